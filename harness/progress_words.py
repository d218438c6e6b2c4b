"""What the progress line says of what ended: a case's times and speedups, or a setting's trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness import record
from harness.curve import Curve
from harness.record import Row
from harness.words import count, ratio


def trained(info: Mapping[str, Any], finals: Sequence[Curve]) -> str:
    """How far the trials of a setting got.

    Args:
        info: the extra_info of its row.
        finals: its trials, one a seed.
    """
    got = f"{info['reached']} of {count(info['n'], 'seed')}"
    if info["steps_to_target"] is None:
        return f"{got}; {info['reason']}"
    rate = f"rate {info['learning_rate']:.3g}{' (edge of the grid)' * bool(info['rate_on_edge'])}"
    if info["median_s"] is None:
        took = f"no time ({info['median_s_reason']})"
    else:
        took = f"{_seconds(info['median_s'])}{_ends(finals, 'seconds', _seconds)}"
    steps = f"{count(info['steps_to_target'], 'step')}{_ends(finals, 'steps', '{:,.0f}'.format)}"
    return f"{steps}, {took}, {got}, {rate}"


def _ends(finals: Sequence[Curve], currency: str, show: Callable[[float], str]) -> str:
    """The least and the most over seeds: of few seeds there is no interval."""
    found = [value for c in finals if (value := c.to_target(currency)) is not None]
    if len(found) < 2:
        return ""
    least, most = (show(end) if end < math.inf else "never" for end in (min(found), max(found)))
    return f" ({least} to {most} over seeds)"


def timed(rows: Sequence[Row]) -> str:
    """What came out for each provider of a case."""
    return ", ".join(_provider(row.extra_info) for row in rows)


def _provider(info: Mapping[str, Any]) -> str:
    if info["status"] == record.NOT_MEASURED:
        return f"{info['provider']} not measured"
    if info["status"] != record.OK:
        return f"{info['provider']} {info['status']}: {info['reason']}"
    text = f"{info['provider']} {_seconds(info['median_s'])}"
    if info["median_high_s"] is None:
        text += f" (n={info['n']}, no interval)"
    else:
        half = 50 * (info["median_high_s"] - info["median_low_s"]) / info["median_s"]
        text += f" ±{half:.{1 if half >= 0.1 else 3}f}%"
    if info["speedup_high"] and info["provider"] != info["baseline"]:
        speedup = ratio(info["speedup"], info["speedup_low"], info["speedup_high"])
        text += f" (speedup {speedup})"
    doubts = [info["throttle_reasons"]] if info["throttled"] else []
    doubts += ["above the measured roof"] if info["above_roof"] else []
    return f"{text} !! {'; '.join(doubts)}" if doubts else text


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
