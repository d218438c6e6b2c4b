"""What changed between two runs of one machine: same, faster, slower or unclear, row by row.

Rows are matched by id. The two runs are not paired: an interval knows how much the samples of
either scattered, and not what the machine was like that day. So the noise floor is the largest of
three: the A/A floors of both runs, and how far identical code moved between them
(harness/controls.py). Where no identical code was measured in both, nothing is told. What by its
samples alone is slower, and is not called so, is no evidence that nothing became slower: it is
listed as such. Of trials it is told how many seeds reached the target. Imports neither torch nor
triton.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from harness import noise
from harness.controls import NO_CONTROL, Moved, disturbed, moved
from harness.faults import faults
from harness.noise import Floor
from harness.record import ABOUT_MEASURING, CONVERGENCE, NOT_MEASURED, OK, Row, number
from harness.statistics import independent_speedup
from harness.verdict import SLOWER, UNCLEAR, Ratio, verdicts

Key = tuple[str, str]  # device, mode
_NOTHING = Floor(0.0, 0, 0.0)  # the floor of a machine that never moves


@dataclass(frozen=True)
class Change:
    """One row that was measured in both runs.

    Attributes:
        speedup: old median / new median: above 1 it became faster.
        verdict: of harness.verdict.VERDICTS.
        doubt: why it was not judged, and so is unclear; "" if it was.
        hidden: unclear, and slower but for that doubt or the noise floor.
    """

    id: str
    old_s: float
    new_s: float
    speedup: Ratio
    verdict: str
    doubt: str = ""
    hidden: bool = False

    def is_regression(self, threshold: float) -> bool:
        """Whether it is slower, and its time is longer by more than this share."""
        return self.verdict == SLOWER and 1 / self.speedup.value > 1 + threshold

    def may_be_regression(self, threshold: float) -> bool:
        """Whether it is hidden, and its time's whole interval is longer by more than this share."""
        return self.hidden and 1 / self.speedup.high > 1 + threshold


class Reached(NamedTuple):
    """A setting's trials in both runs: how many of how many seeds reached the target."""

    id: str
    was: tuple[float, float]
    now: tuple[float, float]

    @property
    def gained(self) -> float:
        """The share of seeds that got there, less what it was."""
        return self.now[0] / self.now[1] - self.was[0] / self.was[1]

    @property
    def is_regression(self) -> bool:
        """Whether all seeds got there, and none does now."""
        return self.was[0] == self.was[1] and self.now[0] == 0


@dataclass(frozen=True)
class Changes:
    """Two runs compared.

    Attributes:
        both: measured in both, in the new run's order.
        lost: (id, what became of it) of what was measured once and now fails.
        missing, new: ids that only the old run, or only the new one, has measured.
        floors: by device and mode.
        moved: by device, what its controls say: no floor of that device is lower.
        trials: the settings that were trained in both.
    """

    both: tuple[Change, ...]
    lost: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    floors: Mapping[Key, Floor]
    moved: Mapping[str, Moved]
    trials: tuple[Reached, ...] = ()

    def regressions(self, threshold: float) -> list[str]:
        """Ids of what became slower by more than this share, fails, or reaches no target now."""
        slower = [change.id for change in self.both if change.is_regression(threshold)]
        never = [trial.id for trial in self.trials if trial.is_regression]
        return [*slower, *(key for key, _ in self.lost), *never]

    def undecided(self, threshold: float) -> list[Change]:
        """What moved by more than this share, and cannot be told from a regression."""
        return [change for change in self.both if change.may_be_regression(threshold)]


def changes(old: Sequence[Row], new: Sequence[Row], same_torch: bool = False) -> Changes:
    """Compare two runs' rows.

    Rows about the measuring itself are not compared. The seconds of trials are not either, as their
    samples are seeds.

    Args:
        same_torch: whether torch is known to be the same in both.
    """
    before, after = _results(old), _results(new)
    was, now = ({k for k, r in run.items() if r.status == OK} for run in (before, after))
    compared = Counter(after[key].extra_info["device"] for key in was & now)
    shifts = moved(old, new, compared, same_torch)
    floors = _floors(old, new, shifts)
    wrong = faults(old), faults(new)
    both = []
    for first, second in [(before[key], row) for key, row in after.items() if key in was & now]:
        old_s, new_s = (median(row.samples) for row in (first, second))
        value, low, high = independent_speedup(first.samples, second.samples)
        ratio = Ratio(value, low, high, floors[_key(second)])
        doubt = _doubt(first, second, wrong)
        if not doubt and second.extra_info["device"] not in shifts:
            doubt = NO_CONTROL
        both.append(Change(second.id, old_s, new_s, ratio, UNCLEAR, doubt))
    judged = [change for change in both if not change.doubt]
    words = dict(zip(map(id, judged), verdicts([c.speedup for c in judged]), strict=True))
    by_samples = verdicts([c.speedup._replace(floor=_NOTHING) for c in both])
    return Changes(
        both=tuple(
            replace(c, verdict=word, hidden=word == UNCLEAR and alone == SLOWER)
            for c, alone in zip(both, by_samples, strict=True)
            for word in [words.get(id(c), UNCLEAR)]
        ),
        lost=tuple(
            (key, f"{row.status}: {row.extra_info.get('reason') or 'no reason given'}")
            for key, row in after.items()
            if key in was and row.status not in (OK, NOT_MEASURED)
        ),
        missing=tuple(
            key for key in before if key in was and _status(after.get(key)) == NOT_MEASURED
        ),
        new=tuple(key for key in after if key in now - was),
        floors={key: floors[key] for key in sorted({_key(after[c.id]) for c in both})},
        moved=shifts,
        trials=_trials(old, new),
    )


def _doubt(old: Row, new: Row, wrong: Sequence[Mapping[str, Sequence[str]]]) -> str:
    """Why nothing is said of a pair of rows; "" where something can be."""
    for which, row, faulty in zip(("old", "new"), (old, new), wrong, strict=True):
        info = row.extra_info
        if info["device"] in faulty:
            return f"{which}: {faulty[info['device']][0]}"
        if info.get("above_roof"):
            return f"{which}: faster than the roof measured in its run"
    if why := disturbed(old, new):
        return why
    for work in ("flops", "bytes"):
        amounts = number(old.extra_info, work), number(new.extra_info, work)
        if None not in amounts and amounts[0] != amounts[1]:
            return f"not the same case: its {work} differ"
    return ""


def _results(rows: Iterable[Row]) -> dict[str, Row]:
    apart = (*ABOUT_MEASURING, CONVERGENCE)
    return {row.id: row for row in rows if row.extra_info["kind"] not in apart}


def _trials(old: Iterable[Row], new: Iterable[Row]) -> tuple[Reached, ...]:
    before = _reached(old)
    return tuple(
        Reached(key, before[key], now) for key, now in _reached(new).items() if key in before
    )


def _reached(rows: Iterable[Row]) -> dict[str, tuple[float, float]]:
    """By id of a setting, the seeds that got there, and all."""
    found = {}
    for row in rows:
        seeds = [number(row.extra_info, name) for name in ("reached", "n")]
        if row.extra_info["kind"] == CONVERGENCE and None not in seeds:
            reached, n = (seed or 0.0 for seed in seeds)
            if 0 <= reached <= n and n > 0:
                found[row.id] = reached, n
    return found


def _status(row: Row | None) -> str:
    return row.status if row else NOT_MEASURED


def _key(row: Row) -> Key:
    return row.extra_info["device"], row.extra_info["mode"]


def _floors(
    old: Sequence[Row], new: Sequence[Row], shifts: Mapping[str, Moved]
) -> dict[Key, Floor]:
    """The floor for each device and mode of either run.

    How far the machine moved is in its share, which holds for all rows together; what lasts of a
    build, which is weighed with each row's own error, is the A/A pairs' alone.
    """
    own = [noise.floors(row.extra_info for row in rows) for rows in (old, new)]
    found = {}
    for key in {_key(row) for row in (*old, *new)}:
        both = [floors.get(key, noise.NO_PAIRS) for floors in own]
        shift, wider = shifts.get(key[0]), max(both, key=lambda floor: floor.lasting)
        share = max(*(floor.share for floor in both), shift.limit if shift else 0.0)
        pairs = min(floor.pairs for floor in both)
        found[key] = Floor(share, pairs, wider.lasting, wider.freedom)
    return found
