"""Threats to validity: why what a run measured may not hold, each with the number it stands on.

A threat is a function of what was measured. It returns a sentence, or "" where the run gives no
ground for it; THREATS is their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from harness import noise
from harness.record import ABOUT_MEASURING, CONVERGENCE, NOT_MEASURED, OK
from harness.report import threats_of_trials as trained
from harness.report.runs import Run
from harness.report.words import count, plain, processor, si

# a module, not names from it: what studies use of the report may be what imports this file
from harness.studies import spec as studies
from harness.trust import LOW, NONE

FEW_CORES = 4
WIDE_FLOOR = 0.05
NOTICED = 0.01  # of the time, waited for a core
SHORT_S = 1e-4  # an iteration that is mostly Python and launches


class Grounds(NamedTuple):
    """What threats are found in: a machine's runs, and what of them the report shows."""

    evidence: studies.Evidence
    runs: Sequence[Run]

    @property
    def timed(self) -> pd.DataFrame:
        """The results that are times of iterations, trials left out."""
        rows = self.evidence.rows
        apart = (*ABOUT_MEASURING, CONVERGENCE)
        return rows[(rows["status"] == OK) & ~rows["kind"].isin(apart)]


def threats(grounds: Grounds) -> list[str]:
    """Those that apply, in the order of THREATS."""
    return [plain(words) for threat in THREATS if (words := threat(grounds))]


def one_run(grounds: Grounds) -> str:
    """What differs from day to day, or from build to build, is in no interval."""
    starts = [row.extra_info["started_at"] for run in grounds.runs for row in run.rows]
    days = sorted({start[:10] for start in starts})
    if len(days) > 1:
        return ""
    return (
        f"All of it is of one day, {days[0]}, in {count(len(grounds.runs), 'run')}: what another "
        "day, another build or another layout of memory would change is in no interval."
    )


def machine_told(grounds: Grounds) -> str:
    """Runs of two machines of one kind are taken for one machine's."""
    if len(grounds.runs) == 1:
        return ""
    return (
        f"That these {len(grounds.runs)} runs are of one machine is told by the names of its "
        "processors and its number of cores: another of the same kind would not be noticed."
    )


def changed_code(grounds: Grounds) -> str:
    """A commit does not tell what was measured."""
    dirty = [run for run in grounds.runs if _at(run.environment, "git", "dirty") is True]
    if not dirty:
        return ""
    return (
        f"In {len(dirty)} of {count(len(grounds.runs), 'run')} the code had changes that are in no "
        "commit: checking out the commit does not give what was measured."
    )


def no_gpu(grounds: Grounds) -> str:
    """Kernels for GPUs have no time here."""
    rows = grounds.evidence.rows
    if (rows.loc[rows["status"] == OK, "device"] == "cuda").any():
        return ""
    kernels = rows[(rows["provider"] == "triton") & (rows["status"] == NOT_MEASURED)]
    least = f", {count(len(kernels), 'row')} of Triton kernels among what is missing"
    return (
        f"No GPU was measured{least if len(kernels) else ''}: nothing here carries over to one. "
        "Where there is none, Triton kernels run in its interpreter, which proves results and not "
        "races, and whose time is no result."
    )


def few_cores(grounds: Grounds) -> str:
    """What scales over cores is not seen."""
    cores = _at(grounds.evidence.environment, "cpu", "usable_cores")
    if type(cores) is not int or not 0 < cores <= FEW_CORES:
        return ""
    return (
        f"The CPU has {count(cores, 'core')} that may be used: how work spreads over more, and "
        "from which batch size a GPU is ahead of a larger CPU, is another question."
    )


def cores_shared(grounds: Grounds) -> str:
    """Others' work is in the times, and is another the next day."""
    rows = grounds.evidence.rows[grounds.evidence.rows["device"] == "cpu"]
    waited, taken = rows["waited_share"].dropna(), rows[rows["throttled"].eq(True)]
    if waited.empty or not (len(taken) or waited.max() > NOTICED):
        return ""
    reasons = taken["throttle_reasons"].dropna().mode()
    why = f", most often so: {reasons.iloc[0]}" if len(reasons) else ""
    return (
        f"Others had the CPU's cores: threads waited for one {waited.max():.1%} of the time at "
        f"worst, {waited.median():.1%} in the middle of {count(len(waited), 'row')}. "
        f"{count(len(taken), 'row')} without a verdict for that{why}."
    )


def clocks_not_read(grounds: Grounds) -> str:
    """A clock that moved would not be noticed."""
    return _unread(grounds, "clock_after_hz", "the clock", "one that moved would not be noticed")


def energy_not_read(grounds: Grounds) -> str:
    """Nothing here is about energy."""
    return _unread(grounds, "energy_j", "the energy", "nothing here is said of energy")


def cold_in_cache(grounds: Grounds) -> str:
    """Cold rows are not as cold as their name."""
    rows = grounds.timed
    rows = rows[(rows["mode"] == "cold") & (rows["device"] == "cpu")]
    caches = _at(grounds.evidence.environment, "cpu", "cache_bytes")
    sizes = [s for s in caches.values() if type(s) is int] if isinstance(caches, dict) else []
    flushed = rows["flush_bytes"].min()
    if not sizes or not flushed < max(sizes):
        return ""
    return (
        f"Mode cold overwrites {si(flushed, 'B')} before each sample, and the largest cache has "
        f"{si(min(max(sizes), 10**15), 'B')}: data may have stayed in it."
    )


def noise_floor(grounds: Grounds) -> str:
    """Small differences cannot be told, or are told on an assumption."""
    rows = grounds.timed
    compared = rows[(rows["provider"] != rows["baseline"]) & rows["speedup"].notna()]
    every: list[Any] = grounds.evidence.rows.to_dict("records")
    floors = noise.floors(every)
    keys = sorted({*zip(compared["device"], compared["mode"], strict=True)})
    found = [(key, floors.get(key, noise.NO_PAIRS)) for key in keys]
    poor = [(key, floor) for key, floor in found if floor.share > WIDE_FLOOR or not floor.pairs]
    told = [f"{processor(device)} in mode {mode} {floor}" for (device, mode), floor in poor]
    if not told:
        return ""
    return (
        f"The noise floor is wide, or not this run's own: on {'; on '.join(told)}. Differences "
        "below it are not told, and builds of one code may differ by more than what is assumed."
    )


def not_trusted(grounds: Grounds) -> str:
    """Rows that should not be leant on."""
    rows = grounds.timed
    low = rows["trust"].isin([LOW, NONE])
    if not low.any():
        return ""
    why = rows.loc[low, "trust_reasons"].str.split(";").str[0].mode()
    return (
        f"Low trust, or none: {int(low.sum())} of {count(len(rows), 'timed row')}, most often like "
        f"this: {why.iloc[0]}."
    )


def out_of_time(grounds: Grounds) -> str:
    """Samples ended before the median was known well."""
    rows = grounds.timed
    cut = rows["stop_reason"] == "maximum time"
    if not cut.any():
        return ""
    return (
        f"In {int(cut.sum())} of {count(len(rows), 'timed row')} sampling ended because the case's "
        "time was up, and not because the median was known well enough."
    )


def small_work(grounds: Grounds) -> str:
    """The price of a call, rather than of the work, is measured."""
    rows = grounds.timed
    short = rows["median_s"] < SHORT_S
    if not short.any():
        return ""
    return (
        f"In {int(short.sum())} of {count(len(rows), 'timed row')} an iteration takes less than "
        f"{si(SHORT_S, 's')}: calls from Python are much of that, and larger models may order "
        "their providers otherwise."
    )


THREATS: tuple[Callable[[Grounds], str], ...] = (
    *(one_run, machine_told, changed_code),
    *(
        no_gpu,
        few_cores,
        cores_shared,
        clocks_not_read,
        energy_not_read,
        cold_in_cache,
    ),
    *(noise_floor, not_trusted, out_of_time, small_work),
    *(trained.small_data, trained.few_seeds, trained.rates_not_tuned, trained.rates_on_edge),
    *(trained.device_shared, trained.run_again),
)


def _unread(grounds: Grounds, field: str, what: str, so: str) -> str:
    """Of a reading that none of the timed rows has."""
    rows = grounds.timed
    if rows.empty or rows[field].notna().any():
        return ""
    reasons = rows[f"{field}_reason"].dropna().mode()
    why = f" ({reasons.iloc[0]})" if len(reasons) else ""
    return f"None of {count(len(rows), 'timed row')} has {what} beside it{why}: {so}."


def _at(environment: Any, *names: str) -> Any:
    """What stands there in a nested mapping that a file may hold; None where it does not."""
    for name in names:
        environment = environment.get(name) if isinstance(environment, dict) else None
    return environment
