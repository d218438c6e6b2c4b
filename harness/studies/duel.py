"""Two settings over the same seeds: what trials say of a claim that one is ahead.

From five pairs of seeds on an interval decides, of fewer the order of all seeds, and of three of
each one such verdict in ten is chance's (harness.survival.ahead).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from harness import survival
from harness.report.words import count, digits, ratio
from harness.studies.spec import REFUTED, SUPPORTED, UNCLEAR

_VERDICTS = {1: SUPPORTED, -1: REFUTED, 0: UNCLEAR}


class Told(NamedTuple):
    """What one setting of a duel did: its label, its median, and seeds, e.g. "3 of 3 seeds"."""

    label: str
    text: str
    seeds: str

    @property
    def full(self) -> str:
        """e.g. "8 steps (3 of 3 seeds)"."""
        return f"{self.text} ({self.seeds})" if self.seeds else self.text


@dataclass(frozen=True)
class Duel:
    """How many times as much setting a has of something as setting b, over the same seeds.

    Attributes:
        a, b: one number a seed, infinite where the target was not reached; less is better, so
            that a ratio above 1 speaks for b.
        a_least, b_least: what they are at least: the same where the target was reached, and what
            was spent where the trial was given up.
        of_a, of_b: the two with their medians and how many seeds got there.
        device_name: where.
        tuned: whether the learning rates are; others might have another verdict.
        currency: of what they are numbers, one of harness.curve.CURRENCIES, or the metric.
        floor: the share by which a ratio has to exceed 1 before it is taken for a difference.
        on_edge: the labels of those whose learning rate is the first or last that was tried.
        doubt: why nothing can be said of the claim, whatever the numbers are; "" where it can.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    a_least: tuple[float, ...]
    b_least: tuple[float, ...]
    of_a: Told
    of_b: Told
    device_name: str
    tuned: bool
    currency: str
    floor: float = 0.0
    on_edge: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def n(self) -> int:
        """Pairs of seeds."""
        return len(self.a)

    @property
    def words(self) -> str:
        """Both in full, b first."""
        a, b = self.of_a, self.of_b
        return f"{b.label}: {b.full} against {a.label}: {a.full}"

    @property
    def brief(self) -> str:
        """The same without the seeds."""
        a, b = self.of_a, self.of_b
        return f"{b.label}: {b.text} against {a.label}: {a.text}"

    @property
    def every_seed(self) -> bool:
        """Whether all seeds of both got there, or there is nothing to get to."""
        return all(told.seeds in ("", all_of(self.n)) for told in (self.of_a, self.of_b))

    @property
    def few(self) -> bool:
        """Whether there are too few pairs for an interval."""
        return self.n < survival.MIN_PAIRS

    @property
    def neither(self) -> bool:
        """Whether no trial of either got there."""
        return not any(map(math.isfinite, (*self.a, *self.b)))

    @property
    def ratio(self) -> tuple[float, float, float]:
        """a over b with its interval, 0 and infinite below five pairs.

        The interval holds whatever the trials that were given up would have taken.
        """
        if not all(x > 0 for x in (*self.a, *self.b)):
            return math.nan, 0.0, math.inf
        return survival.bounded_ratio(self.a, self.b, self.a_least, self.b_least)

    @property
    def verdict(self) -> str:
        """Whether b is better than a."""
        if self.doubt or self.neither:
            return UNCLEAR
        times = (self.a, self.b, self.a_least, self.b_least)
        return _VERDICTS[survival.ahead(*times, self.floor)]

    @property
    def given_up_sooner(self) -> bool:
        """Whether it would be told, had the trials that were given up gone on for ever."""
        endless = replace(self, a_least=self.a, b_least=self.b)
        return self.verdict == UNCLEAR != endless.verdict

    @property
    def times(self) -> str:
        """The ratio as text, with its interval if there is one."""
        value, low, high = self.ratio
        if self.neither:
            return "neither got there"
        if 0.0 in (*self.a, *self.b):
            return "met before any step"
        if not 0 < value < math.inf and self.verdict == UNCLEAR:
            b, a = (sum(map(math.isfinite, of)) for of in (self.b, self.a))
            return f"{b} of {count(self.n, 'seed')} got there against {a}"
        if self.few:
            return times(value)
        if math.isinf(value) and low > 0:  # half of the seeds of a or more never got there
            return f"> {times(low)}"
        if not (0 < value < math.inf and math.isfinite(high)):
            return f"{times(value)} [{times(low)}, {times(high)}]"
        return f"{ratio(value, low, high)}×"


def no_interval(duels: Sequence[Duel]) -> str:
    """e.g. " (no interval from 3 seeds)", of the fewest; "" where all have one."""
    few = [duel.n for duel in duels if duel.few and not duel.neither]
    return f" (no interval from {count(min(few), 'seed')})" if few else ""


def all_of(n: int) -> str:
    """e.g. "3 of 3 seeds"."""
    return f"{n} of {count(n, 'seed')}"


def times(value: float) -> str:
    """A ratio as text."""
    return "∞" if math.isinf(value) else "not known" if math.isnan(value) else f"{digits(value)}×"
