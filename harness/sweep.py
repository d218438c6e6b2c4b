"""python -m harness sweep: the settings of harness.convergence outside of pytest.

The same trials, rows and run folder as `pytest --benchmark-only -k convergence` makes, under the
same ids, so that either goes on with the other's run.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness import convergence, environment, launch, ranks, record, session, trials
from harness.cluster import Cluster
from harness.convergence import Setting
from harness.progress import LiveProgress
from harness.session import Member, Session
from harness.store import REPORT, StoreError
from harness.words import count

_TEST = "test_convergence"
_FILE = f"tests/benchmarks/{_TEST}.py"


class CannotSweep(Exception):
    """What was asked for cannot be run, in one line that says what to do."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; without patterns all settings of the preset."""

    patterns: tuple[str, ...]
    preset: str
    device: str
    results: Path
    resume: str | None


class _Screen:
    """Standard output, as LiveProgress writes to it."""

    isatty = sys.stdout.isatty()

    def write(self, content: str, *, flush: bool = False) -> None:
        print(content, end="", flush=flush)


def run(
    options: Options,
    engine: trials.Engine = trials.here,
    started: Callable[[Path], None] = lambda run: None,
    cluster: Cluster | None = None,
) -> int:
    """Run the trials of all chosen settings, each on disk before the next one starts.

    Args:
        engine: what runs the trials.
        started: told the run's folder before the first trial.
        cluster: what runs them in the engine's place, many settings at a time.

    Returns:
        0 if all seeds of all settings reached their targets, 2 if it was interrupted, else 1.

    Raises:
        CannotSweep: no such setting, or no such device.
        StoreError: the results folder cannot be used, or there is no such run to resume.
    """
    settings = chosen(options.patterns, options.preset)
    gpu, why = environment.probe_gpu()
    if options.device == "cuda" and not gpu and not cluster:
        raise CannotSweep(f"no CUDA device: {why}; sweep on --device cpu")
    members = [_member(setting, options.device) for setting in settings]
    wanted = session.Options(
        (options.device,), options.preset, None, options.results, options.resume
    )
    sweep = Session(wanted, members, cluster.engine if cluster else engine, cluster is not None)
    started(sweep.run)
    kept = f", {count(sweep.kept, 'row')} kept" if sweep.kept else ""
    print(f"run: {sweep.run} ({count(sweep.cases_left, 'setting')} to train{kept})", flush=True)
    sweep.progress = LiveProgress(_Screen(), sweep.cases_left, None)
    interrupted = False
    try:
        each = cluster.map if cluster else map
        rows = list(each(sweep.converge, members, settings))
    except KeyboardInterrupt:
        rows, interrupted = [], True
    finally:
        sweep.progress.stop()
        counts = sweep.finish()
    for problem in sweep.problems:
        print(problem, file=sys.stderr)
    told = ", ".join(f"{n} {status}" for status, n in counts.items() if n) or "no rows"
    print(f"{told} in {sweep.run}")
    again = shlex.quote(str(sweep.run))
    if interrupted:
        print(f"interrupted; go on with --resume {again}", file=sys.stderr)
    print(f"{REPORT}: python -m harness report {again}")
    if interrupted:
        return 2
    return 0 if all(row.status == record.OK for row in rows) else 1


def over_ranks(options: Options) -> int:
    """The same on one of torchrun's ranks: each trial on all of them, rank 0 writes.

    Returns:
        0 if all seeds of all settings reached their targets, else as launch.missed says.

    Raises:
        CannotSpread, CannotSweep, StoreError: as Ranks and `run` do.
    """
    team = ranks.Ranks(options.device)
    status = 0
    if team.rank:
        team.serve()
    else:
        resume = launch.interrupted(options.results) or options.resume
        try:
            status = run(dataclasses.replace(options, resume=resume), team.engine, team.started)
        except (CannotSweep, StoreError):
            team.dismiss()
            raise
        team.dismiss()
    team.leave()
    return launch.missed("not every target was reached: its line says why") if status else 0


def chosen(patterns: Sequence[str], preset: str) -> list[Setting]:
    """The preset's settings whose name has one of the patterns in it or fits it as a whole.

    Args:
        patterns: parts of names, or with *, ? and [] as a shell has them; none for all.

    Raises:
        CannotSweep: one of them fits no setting of the preset.
    """
    settings = [setting for setting in convergence.settings() if preset in setting.presets]
    for pattern in patterns:
        if not any(_fits(setting, pattern) for setting in settings):
            names = ", ".join(setting.name for setting in settings[:3])
            raise CannotSweep(f"no setting of preset {preset} fits {pattern!r}: {names} ...")
    return [s for s in settings if not patterns or any(_fits(s, p) for p in patterns)]


def _fits(setting: Setting, pattern: str) -> bool:
    return pattern in setting.name or fnmatchcase(setting.name, pattern)


def _member(setting: Setting, device: str) -> Member:
    """The row that pytest's test of the setting would be."""
    name = f"{_TEST}[{device}-{setting.name}]"
    params: dict[str, str | int] = {"bench_device": device, "setting": setting.name}
    return Member(f"{_FILE}::{name}", name, name, "", device, "host", params, wanted=True)
