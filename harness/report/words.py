"""Numbers, intervals and verdicts as a reader sees them; hostile text made harmless to show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from harness.verdict import VERDICTS
from harness.words import count as count  # the report has one place to ask
from harness.words import decimals
from harness.words import digits as digits
from harness.words import ratio as ratio

NO_REASON = "no reason was recorded"

_LONGEST = 600  # characters of one text that are shown
_PREFIXES = (*((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")), (1.0, ""))
_SMALL = ((1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


@lru_cache(maxsize=65536)
def plain(text: str, most: int = _LONGEST) -> str:
    """The text on one line, with nothing in it that is not seen, at most so many characters of it.

    Control characters, lone surrogates (which UTF-8 cannot hold) and the marks that turn the
    direction of writing become U+FFFD; every kind of space becomes a space.
    """
    if not text.isprintable():
        seen = (c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
        text = "".join(seen)
    return shorten(text, most)


def shorten(text: str, most: int) -> str:
    """At most `most` characters, the end cut off visibly."""
    return text if len(text) <= most else text[: most - 1] + "…"


def tally(verdicts: Sequence[str]) -> str:
    """e.g. "5 faster, 1 unclear"."""
    return ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts)


def si(value: float, unit: str) -> str:
    """e.g. si(0.00123, "s") is "1.23 ms"; decimal prefixes, so GB is 10^9."""
    factor, prefix = _prefix(value, unit)
    return f"{digits(value / factor)} {prefix}{unit}"


def si_tick(value: float, unit: str) -> str:
    """The same at an axis, without the zeros that end it: "20 ms"."""
    number, _, unit = si(value, unit).partition(" ")
    return f"{float(number.replace(',', '')):g} {unit}"


def si_interval(value: float, low: float, high: float, unit: str) -> str:
    """e.g. "1.23 ms [1.20, 1.27]": the ends in the unit and the decimals of the value."""
    if math.isnan(low) or math.isnan(high):
        return f"{si(value, unit)} [interval not known]"
    factor, _ = _prefix(value, unit)
    ends, size = (low / factor, high / factor), abs(value / factor)
    if 1e-4 <= size < 1e6:
        return f"{si(value, unit)} [{', '.join(f'{end:,.{decimals(size)}f}' for end in ends)}]"
    return f"{si(value, unit)} [{', '.join(f'{end:.3g}' for end in ends)}]"


def whole(value: float) -> str:
    """A count, or a batch size between two measured ones, e.g. "1,024" or "1.7"."""
    if value >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def counts(numbers: Iterable[float], noun: str) -> str:
    """Those that occur, rising, e.g. "3 or 5 seeds"."""
    each = sorted(set(numbers))
    return f"{' or '.join(map(whole, each))} {noun}{'' if each == [1] else 's'}"


def processor(device: str) -> str:
    """What a device is called in a sentence."""
    return {"cpu": "CPU", "cuda": "GPU"}.get(device, device)


def _prefix(value: float, unit: str) -> tuple[float, str]:
    prefixes = _PREFIXES if unit.startswith(("B", "FLOP")) else (*_PREFIXES[-1:], *_SMALL)
    for factor, prefix in prefixes:
        if abs(value) >= factor:
            return factor, prefix
    return (1.0, "") if value == 0 else prefixes[-1]
