"""What changed between two runs of one machine: same, faster, slower or unclear, row by row.

Rows are matched by id. The two runs are not paired: an interval knows how much the samples of
either scattered, and not what the machine was like that day. So the noise floor is the largest of
three: the A/A floors of both runs, and how far the time of identical code moved between them, which
the rows of the roofs and self-checks tell: a copy and a product are torch's, whatever was changed
here. Imports neither torch nor triton.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from harness import noise
from harness.faults import faults
from harness.noise import Floor
from harness.record import (
    ABOUT_MEASURING,
    CHECK,
    CONVERGENCE,
    NOT_MEASURED,
    OK,
    ROOF,
    Row,
    number,
)
from harness.statistics import independent_speedup
from harness.verdict import SLOWER, UNCLEAR, Ratio, verdicts

Key = tuple[str, str]  # device, mode


@dataclass(frozen=True)
class Change:
    """One row that was measured in both runs.

    Attributes:
        speedup: old median / new median: above 1 it became faster.
        verdict: of harness.verdict.VERDICTS.
        doubt: why it was not judged, and so is unclear; "" if it was.
    """

    id: str
    old_s: float
    new_s: float
    speedup: Ratio
    verdict: str
    doubt: str = ""

    def is_regression(self, threshold: float) -> bool:
        """Whether it is slower, and its time is longer by more than this share."""
        return self.verdict == SLOWER and 1 / self.speedup.value > 1 + threshold


class Control(NamedTuple):
    """A row of identical code, measured in both runs."""

    id: str
    old_s: float
    new_s: float

    @property
    def share(self) -> float:
        """By how much the longer time is longer, whichever it is."""
        return max(self.old_s, self.new_s) / min(self.old_s, self.new_s) - 1


@dataclass(frozen=True)
class Changes:
    """Two runs compared.

    Attributes:
        both: measured in both, in the new run's order.
        lost: (id, what became of it) of what was measured once and now fails.
        missing, new: ids that only the old run, or only the new one, has measured.
        floors: by device and mode.
        moved: by device, of the controls the one that moved most between the runs: no floor of
            that device is lower.
    """

    both: tuple[Change, ...]
    lost: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    floors: Mapping[Key, Floor]
    moved: Mapping[str, Control]

    def regressions(self, threshold: float) -> list[str]:
        """Ids of what became slower by more than this share, or fails now."""
        slower = [change.id for change in self.both if change.is_regression(threshold)]
        return [*slower, *(key for key, _ in self.lost)]


def changes(old: Sequence[Row], new: Sequence[Row]) -> Changes:
    """Compare two runs' rows.

    Rows about the measuring itself are not compared, nor are trials: their samples are seeds.
    """
    moved = _moved(old, new)
    floors = _floors(old, new, moved)
    before, after = _results(old), _results(new)
    was, now = ({k for k, r in run.items() if r.status == OK} for run in (before, after))
    wrong = faults(old), faults(new)
    both = []
    for first, second in [(before[key], row) for key, row in after.items() if key in was & now]:
        old_s, new_s = (median(row.samples) for row in (first, second))
        value, low, high = independent_speedup(first.samples, second.samples)
        ratio = Ratio(value, low, high, floors[_key(second)])
        doubt = _doubt(first, second, wrong)
        both.append(Change(second.id, old_s, new_s, ratio, UNCLEAR, doubt))
    judged = [change for change in both if not change.doubt]
    words = dict(zip(map(id, judged), verdicts([c.speedup for c in judged]), strict=True))
    return Changes(
        both=tuple(replace(c, verdict=words.get(id(c), UNCLEAR)) for c in both),
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
        moved=moved,
    )


def _doubt(old: Row, new: Row, wrong: Sequence[Mapping[str, Sequence[str]]]) -> str:
    """Why nothing is said of a pair of rows; "" where something can be."""
    for which, row, faulty in zip(("old", "new"), (old, new), wrong, strict=True):
        info = row.extra_info
        if info["device"] in faulty:
            return f"{which}: {faulty[info['device']][0]}"
        if info.get("above_roof"):
            return f"{which}: faster than the roof measured in its run"
        if info["device"] == "cpu" and info.get("throttled"):
            return f"{which}: {info.get('throttle_reasons') or 'disturbed'}"
    for work in ("flops", "bytes"):
        amounts = number(old.extra_info, work), number(new.extra_info, work)
        if None not in amounts and amounts[0] != amounts[1]:
            return f"not the same case: its {work} differ"
    return ""


def _results(rows: Iterable[Row]) -> dict[str, Row]:
    apart = (*ABOUT_MEASURING, CONVERGENCE)
    return {row.id: row for row in rows if row.extra_info["kind"] not in apart}


def _status(row: Row | None) -> str:
    return row.status if row else NOT_MEASURED


def _key(row: Row) -> Key:
    return row.extra_info["device"], row.extra_info["mode"]


def _floors(
    old: Sequence[Row], new: Sequence[Row], moved: Mapping[str, Control]
) -> dict[Key, Floor]:
    """The floor for each device and mode of either run."""
    own = [noise.floors(row.extra_info for row in rows) for rows in (old, new)]
    found = {}
    for key in {_key(row) for row in (*old, *new)}:
        both = [floors.get(key, noise.NO_PAIRS) for floors in own]
        control = moved.get(key[0])
        share = max(*(floor.share for floor in both), control.share if control else 0.0)
        found[key] = Floor(share, min(floor.pairs for floor in both))
    return found


def _moved(old: Iterable[Row], new: Iterable[Row]) -> dict[str, Control]:
    """By device, the control whose time differs most between the runs."""
    before = {row.id: row for row in old if _is_control(row)}
    found: dict[str, Control] = {}
    for row in new:
        if _is_control(row) and row.id in before:
            times = (before[row.id].extra_info["median_s"], row.extra_info["median_s"])
            control, device = Control(row.id, *times), row.extra_info["device"]
            found[device] = max(found.get(device, control), control, key=lambda c: c.share)
    return found


def _is_control(row: Row) -> bool:
    """A copy or a product that nothing is known to have disturbed; a delay is always the same."""
    info = row.extra_info
    return (
        info["kind"] in (ROOF, CHECK)
        and row.status == OK
        and info["subject"] in ("copy", "product")
        and not info.get("throttled")
        and (number(info, "median_s") or 0.0) > 0
    )
