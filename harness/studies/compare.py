"""Which trials are held against each other, in which currency: the duels that studies judge by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from harness import learning_rates, noise, survival
from harness.curve import CURRENCIES, DIVERGED, FAILED, OF_DEVICE, REACHED, TUNING, Curve, Trial
from harness.report.amounts import amount, power
from harness.report.words import NO_REASON, count, plain
from harness.studies.duel import Duel, Told
from harness.studies.spec import DEPENDS, REFUTED, SUPPORTED, UNCLEAR, Evidence

DEVICES = ("cpu", "cuda")
MOVED = "the loss on moved data"  # where that is compared, and no currency
_NOTHING = 1e-12  # in any currency: a trial that raised an error may have needed no more


class Side(NamedTuple):
    """A setting to compare: what it is called in a sentence, and which it is."""

    label: str
    workload: str
    optimizer: str | None = None
    batch: int | None = None

    def trials(self, evidence: Evidence, device: str) -> list[Curve]:
        """From fresh seeds, on a device."""
        return evidence.finals(self.workload, self.optimizer, self.batch, device)


class _Number(NamedTuple):
    """Of one trial, infinite where it did not get there; and what it is at least."""

    value: float
    least: float


_Values = Sequence[tuple[float, ...]]  # of a, and of b
_Curves = Sequence[tuple[Curve, ...]]  # likewise
_Setting = tuple[str, str, int, str]


def duel(evidence: Evidence, a: Side, b: Side, currency: str = "steps") -> Duel | None:
    """The two settings' times-to-target on the first device that has both; None if none has."""
    for device in DEVICES:
        if found := duel_on(device, evidence, a, b, currency):
            return found
    return None


def duel_on(device: str, evidence: Evidence, a: Side, b: Side, currency: str) -> Duel | None:
    """The same on one device; None also where the currency is not known of every trial."""

    def number(curve: Curve) -> _Number | None:
        value = took(curve, currency)
        if value is None or math.isfinite(value) or curve.status == DIVERGED:
            return None if value is None else _Number(value, value)
        spent = None if curve.status == FAILED else usable(curve.spent(currency))
        return _Number(value, spent or _NOTHING)

    def show(values: Sequence[float], curves: Sequence[Curve]) -> str:
        middle = survival.median(values)
        if math.isinf(middle):
            spent = max((usable(c.spent("steps")) or 0.0) for c in curves)
            return f"not reached in {amount(spent, 'steps')} steps"
        told = amount(middle, currency)
        if currency in ("steps", "samples"):
            told += f" {currency.removesuffix('s') if told == '1' else currency}"
        return told

    return _duel(device, evidence, a, b, currency, number, show, _untrained)


def shifted(evidence: Evidence, a: Side, b: Side, chance: float) -> Duel | None:
    """The metric on the moved data at the end of training: of a over that of b, less is better.

    What moving costs is told only where both got to their target on data that are not moved, and
    only where one of the two still knows more of the moved data than chance does.

    Args:
        chance: the metric of one who knows nothing.
    """

    def number(curve: Curve) -> _Number | None:
        if curve.status == FAILED:
            return _Number(math.inf, _NOTHING)
        value = usable(curve.shifted)
        if value is None:
            return None
        value = value if curve.lower_is_better else 1 / value
        return _Number(value, value)

    def show(values: Sequence[float], curves: Sequence[Curve]) -> str:
        last = [c.points[-1].metric for c in curves if c.points]
        known = [v for v in map(usable, last) if v is not None]
        before = f" after {power(survival.median(known))} unmoved" if known else ""
        moved = survival.median(
            [v if c.lower_is_better else 1 / v for v, c in zip(values, curves, strict=True)]
        )
        return f"{plain(curves[0].metric)} {power(moved)} on moved data{before}"

    def doubt(sides: tuple[Side, Side], values: _Values, curves: _Curves) -> str:
        there = [sum(c.status == REACHED for c in of) for of in curves]
        for side, k, of in zip(sides, there, curves, strict=True):
            if k < len(of):
                got = f"{k} of {count(len(of), 'seed')} of {side.label} got to the target"
                return f"no verdict on {sides[1].label}: unmoved, {got}"
        best = min(values, key=survival.median)
        if max(best) < (chance if curves[0][0].lower_is_better else 1 / chance):
            return ""
        neither = f"on moved data neither it nor {sides[0].label} is better than a guess"
        return f"no verdict on {sides[1].label}: {neither}, which has {power(chance)}"

    found = (_duel(device, evidence, a, b, MOVED, number, show, doubt) for device in DEVICES)
    return next((duel for duel in found if duel), None)


def _untrained(sides: tuple[Side, Side], values: _Values, curves: _Curves) -> str:
    """A target that is met before the first step says nothing of training."""
    for side, of in zip(sides, values, strict=True):
        if early := of.count(0.0):
            return f"{early} of {count(len(of), 'seed')} of {side.label} met it before any step"
    return ""


def _duel(
    device: str,
    evidence: Evidence,
    a: Side,
    b: Side,
    currency: str,
    number: Callable[[Curve], _Number | None],
    show: Callable[[Sequence[float], Sequence[Curve]], str],
    doubt: Callable[[tuple[Side, Side], _Values, _Curves], str],
) -> Duel | None:
    timed = currency in OF_DEVICE

    def pair(curve: Curve) -> tuple[int, str, str]:
        # a seed on another machine is no pair: its seconds are that machine's
        return curve.trial.seed, curve.device_name, curve.host if timed else ""

    others = {pair(curve): curve for curve in b.trials(evidence, device)}
    pairs = [
        (first, others[pair(first)])
        for first in a.trials(evidence, device)
        if pair(first) in others
    ]
    numbers = [(number(first), number(second)) for first, second in pairs]
    known = [(x, y) for x, y in numbers if x is not None and y is not None]
    if not pairs or len(known) != len(numbers):
        return None
    of_a, of_b = zip(*known, strict=True)
    values = tuple(n.value for n in of_a), tuple(n.value for n in of_b)
    curves: _Curves = tuple(zip(*pairs, strict=True))
    tuning = [_tuning(evidence, of) for of in curves]
    told = [
        Told(side.label, show(of, trials), _seeds(of, trials) if currency in CURRENCIES else "")
        for side, of, trials in zip((a, b), values, curves, strict=True)
    ]
    on_edge = [
        side.label for side, of in zip((a, b), tuning, strict=True) if any(map(edges, of.values()))
    ]
    return Duel(
        a=values[0],
        b=values[1],
        a_least=tuple(n.least for n in of_a),
        b_least=tuple(n.least for n in of_b),
        of_a=told[0],
        of_b=told[1],
        device_name=plain(pairs[0][0].device_name),
        tuned=all(all(of.values()) for of in tuning),
        currency=currency,
        floor=_floor(evidence, device) if timed else 0.0,
        on_edge=tuple(on_edge),
        doubt=doubt((a, b), values, curves),
    )


def _seeds(values: Sequence[float], curves: Sequence[Curve]) -> str:
    """e.g. "2 of 3 seeds", and how many of the others raised an error."""
    got = f"{sum(map(math.isfinite, values))} of {count(len(values), 'seed')}"
    failed = sum(curve.status == FAILED for curve in curves)
    return f"{got}, {failed} raised an error" if failed else got


def _floor(evidence: Evidence, device: str) -> float:
    """How far apart the times of one thing appear there: trials are minutes apart."""
    rows = evidence.rows
    found = rows.loc[(rows["device"] == device) & (rows["mode"] == "host"), "noise_floor"]
    return max(float(found.max()), noise.APART) if found.notna().any() else noise.APART


def _tuning(evidence: Evidence, curves: Sequence[Curve]) -> dict[_Setting, list[Curve]]:
    """By each setting that these are of, its tuning trials, the last of each."""
    found: dict[_Setting, dict[Trial, Curve]] = {setting(curve): {} for curve in curves}
    for curve in evidence.curves:
        if curve.role == TUNING and (key := setting(curve)) in found:
            found[key][curve.trial] = curve
    return {key: [*of.values()] for key, of in found.items()}


def setting(curve: Curve) -> _Setting:
    """What its seeds share, and the trials that tuned its learning rate."""
    trial = curve.trial
    return trial.workload, trial.optimizer, trial.batch, trial.device


def edges(tuning: Sequence[Curve]) -> tuple[str, ...]:
    """The ends of the grid of learning rates that its best one is at; none of a grid of one."""
    if len({curve.trial.learning_rate for curve in tuning}) < 2:
        return ()
    try:
        return learning_rates.grid(tuning).edges
    except (ValueError, OverflowError):  # files hold any numbers
        return ()


def untimed(evidence: Evidence, device: str, sides: Sequence[Side]) -> str:
    """Why there are no seconds of these settings on a device, as a sentence; "" where there are."""
    for side in sides:
        for curve in side.trials(evidence, device):
            if took(curve, "seconds") is None:
                why = curve.why_unknown("seconds") or NO_REASON
                return f" No seconds of {side.label}: {plain(why)}."
    return ""


def eased(duels: Sequence[Duel]) -> str:
    """One verdict of what is said to ease training: it does not where neither gets there."""
    told = [duel.verdict for duel in duels if not duel.neither]
    if SUPPORTED in told and (REFUTED in told or len(told) < len(duels)):
        return DEPENDS
    if not told or len(set(told)) > 1:
        return UNCLEAR
    return told[0] if len(told) == len(duels) else UNCLEAR


def took(curve: Curve, currency: str) -> float | None:
    """What the target took: infinite if it was not reached, 0 if it was met before any step.

    None if that is not known, or no number above 0.
    """
    try:
        return usable(curve.to_target(currency), zero=curve.to_target("steps") == 0)
    except OverflowError:
        return None


def usable(value: float | None, zero: bool = False) -> float | None:
    """A number above 0, or also 0; None for all else: files hold any, integers of any length."""
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        return None
    return number if number > 0 or (zero and number == 0) else None
