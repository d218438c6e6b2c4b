"""Choosing a learning rate on a grid whose rates are twice as large from one to the next.

A comparison of optimizers or batch sizes is one of how well each was tuned, so the grid is part
of the result: what was tried, what that cost, and whether the best lies on the edge, where a
better one may lie beyond (Choi et al. 2019, arXiv 1910.05446). Imports neither torch nor triton.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.curve import CENSORED, CURRENCIES, REACHED, Curve
from harness.survival import expected_running_time, median

STEP = 2.0  # from one learning rate to the next


@dataclass(frozen=True)
class Grid:
    """What the tuning seeds of one setting took, by learning rate.

    Attributes:
        times: the times-to-target, infinite where it was not reached.
        spent: what the same trials took up to their target or their end, in the same currency; a
            failure counts for no more than the shortest after which one was given up, as the
            later rates of a grid are given up sooner than the first ones.
        cost: what the whole tuning took, in each of harness.curve.CURRENCIES; None where a
            trial's is not known.
    """

    times: Mapping[float, tuple[float, ...]]
    spent: Mapping[float, tuple[float, ...]]
    cost: Mapping[str, float | None]

    @property
    def winner(self) -> float:
        """The best learning rate, as `winner` has it."""
        return winner(self.times, self.spent)

    @property
    def edges(self) -> tuple[str, ...]:
        """Where the best may lie beyond the grid, as `edges` has it."""
        return edges(self.times, self.spent)

    @property
    def extension(self) -> tuple[float, ...]:
        """The learning rates to try next: one beyond each of `edges`."""
        beyond = {"low": min(self.times) / STEP, "high": max(self.times) * STEP}
        return tuple(beyond[edge] for edge in self.edges)


def rates(middle: float, each_side: int) -> tuple[float, ...]:
    """2 x each_side + 1 learning rates around `middle`, in order.

    Raises:
        ValueError: a middle that is not above 0, or a negative number of rates.
    """
    if not 0 < middle < math.inf or each_side < 0:
        raise ValueError(f"no grid of {each_side} learning rates on each side of {middle!r}")
    return tuple(middle * STEP**k for k in range(-each_side, each_side + 1))


def grid(curves: Iterable[Curve], currency: str = "steps") -> Grid:
    """The grid that the tuning trials of one setting are, in any order.

    Args:
        curves: alike in all but learning rate and seed.
        currency: one of harness.curve.CURRENCIES, in which the learning rates are compared.

    Raises:
        ValueError: no curves, curves of different settings, the same trial twice, an unknown
            currency, or one that is not known of all trials.
    """
    curves = list(curves)
    trials = [curve.trial for curve in curves]
    settings = {(t.workload, t.optimizer, t.batch, t.device) for t in trials}
    if len(settings) != 1 or len(set(trials)) != len(trials):
        raise ValueError(
            f"{len(curves)} curves of {len(settings)} settings, {len(set(trials))} of them "
            "different trials: a grid is of one setting, each trial once"
        )
    limit = min((_known(c, currency) for c in curves if c.status == CENSORED), default=math.inf)
    times: dict[float, tuple[float, ...]] = {}
    spent: dict[float, tuple[float, ...]] = {}
    for curve in sorted(curves, key=lambda c: (c.trial.learning_rate, c.trial.seed)):
        rate, time = curve.trial.learning_rate, curve.to_target(currency)
        if time is None:
            raise ValueError(f"{currency} are not known of learning rate {rate:g}")
        used = time if curve.status == REACHED else min(_known(curve, currency), limit)
        times[rate] = (*times.get(rate, ()), time)
        spent[rate] = (*spent.get(rate, ()), used)
    return Grid(times, spent, {name: _total(curves, name) for name in CURRENCIES})


def _known(curve: Curve, currency: str) -> float:
    """What the whole trial took."""
    spent = curve.spent(currency)
    if spent is None:
        rate = curve.trial.learning_rate
        raise ValueError(f"{currency} are not known of learning rate {rate:g}")
    return spent


def winner(
    times: Mapping[float, tuple[float, ...]], spent: Mapping[float, tuple[float, ...]]
) -> float:
    """The learning rate whose median time-to-target is smallest, infinity counted.

    Of those that tie, as all do whose median is infinite, the one whose expected running time is
    smallest; of those that tie again, the middle one, the lower of two.

    Args:
        times: by learning rate, the times-to-target of its seeds, infinite where not reached.
        spent: by learning rate, what the same trials took up to their target or their end.

    Raises:
        ValueError: no learning rates, or times and spent of different trials.
    """
    return _middle(_best(times, spent))


def edges(
    times: Mapping[float, tuple[float, ...]], spent: Mapping[float, tuple[float, ...]]
) -> tuple[str, ...]:
    """The ends of the grid, "low" and "high", beyond which a better learning rate may lie.

    The winner's own, if it is the smallest or the largest; both where no trial of any learning
    rate reached the target. Arguments and errors as of `winner`.
    """
    best = winner(times, spent)
    nowhere = all(math.isinf(time) for of_rate in times.values() for time in of_rate)
    ends = {"low": min(times), "high": max(times)}
    return tuple(name for name, rate in ends.items() if nowhere or best == rate)


def _best(
    times: Mapping[float, tuple[float, ...]], spent: Mapping[float, tuple[float, ...]]
) -> list[float]:
    if not times or times.keys() != spent.keys():
        raise ValueError(f"learning rates {sorted(times)} have times, and {sorted(spent)} a cost")
    scores = {
        rate: (
            median(times[rate]),
            expected_running_time(spent[rate], [math.isfinite(time) for time in times[rate]]),
        )
        for rate in times
    }
    least = min(scores.values())
    return [rate for rate in sorted(scores) if scores[rate] == least]


def _middle(ordered: list[float]) -> float:
    # on a grid of equal ratios the middle by rank is the geometric one
    return ordered[(len(ordered) - 1) // 2]


def _total(curves: list[Curve], currency: str) -> float | None:
    spent = [curve.spent(currency) for curve in curves]
    known = [value for value in spent if value is not None]
    return sum(known) if len(known) == len(spent) else None
