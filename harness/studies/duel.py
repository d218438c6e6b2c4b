"""Two settings over the same seeds: what trials say of a claim that one is ahead.

From five pairs of seeds on the interval decides (harness.survival.paired_ratio). Fewer have none.
There only the order of all seeds says something: that each of three seeds of one setting is ahead
of each of the other's has a chance of one in twenty where the two are the same, and that the
others are ahead of these has as much, so that one such verdict in ten is chance's.

A trial that was given up has an infinite time, and is known only not to have got there with what
it spent. A verdict therefore has to hold whatever it would have taken from there on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from harness import survival
from harness.report.words import count, digits, ratio
from harness.studies.spec import REFUTED, SUPPORTED, UNCLEAR, by_interval

FEWEST = 3  # seeds; the order of fewer is chance's too often


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
        value, low, high = survival.paired_ratio(self.a, self.b)
        if not self.few:
            low = min(low, survival.paired_ratio(self.a_least, self.b)[1])
            high = max(high, survival.paired_ratio(self.a, self.b_least)[2])
        return value, low, high

    @property
    def verdict(self) -> str:
        """Whether b is better than a."""
        if self.doubt or self.n < FEWEST or self.neither:
            return UNCLEAR
        bound = 1 + self.floor
        if self.few:
            if min(self.a_least) > max(self.b) * bound:
                return SUPPORTED
            return REFUTED if max(self.a) * bound < min(self.b_least) else UNCLEAR
        value, low, high = self.ratio
        return UNCLEAR if 1 / bound <= value <= bound else by_interval(low, high)

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
        if not 0 < value < math.inf and self.verdict == UNCLEAR:
            b, a = (sum(map(math.isfinite, of)) for of in (self.b, self.a))
            return f"{b} of {count(self.n, 'seed')} got there against {a}"
        if self.few:
            return times(value)
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
