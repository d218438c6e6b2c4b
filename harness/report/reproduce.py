"""The commands that measure again what a figure shows, and that draw it again.

What a test is called is text from a file: only what pytest takes for a name is used of it, and all
of it is quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

import pandas as pd

from harness import probes
from harness.report.runs import Run
from harness.report.trials import groups
from harness.report.words import plain

# what tells rows apart, in a figure as in the table of all rows
_KEY = [
    *("kind", "subject", "case", "direction", "dtype", "batch"),
    *("provider", "mode", "device"),
]
_TEST = re.compile(r"(own:)?(\w[\w./-]*\.py)::(?:\w+::)*(\w+)\[(.*)\]", re.DOTALL)
_OWN = ("-p", "harness.plugin")  # a file of the user's own is measured where our conftest is not
_KEYWORD = re.compile(r"[\w.+:-]+")  # what needs no quotes in pytest's -k
_PRESETS = ("full", "quick")  # full has all that quick has
_DEVICES = ("cpu", "cuda")
_PROBES = "tests/benchmarks/test_probes.py::test_probes"


def report(runs: Sequence[Run]) -> str:
    """The command that writes the report of these runs; of one without a name, in general.

    A run below the working folder is named by its path from there, which finds it in whatever
    results folder it is. No other path is told: it would be one of this machine.
    """
    if not all(run.name for run in runs):
        return "python -m harness report RUN"
    paths = [_below(run.folder) for run in runs]
    named = zip(runs, paths, strict=True)
    words = [shlex.quote(plain(path or run.name)) for run, path in named]
    elsewhere = any(run.folder and not path for run, path in zip(runs, paths, strict=True))
    return " ".join(["python -m harness report", *words, *(["--results DIR"] if elsewhere else [])])


def _below(folder: Path | None) -> str:
    """Its path from the working folder; "" where it is not below that."""
    here = Path.cwd()
    if folder is None or not folder.resolve().is_relative_to(here):
        return ""
    return folder.resolve().relative_to(here).as_posix()


def measure(part: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The command that measures what a figure shows; "" where no test of pytest's did.

    Args:
        part: what the figure is drawn of: rows, trials, evaluations or findings.
        rows: `harness.report.frame.frame`, of the runs that the figure is of.
    """
    if "probe" in part:
        tests = part[["probe", "device"]].drop_duplicates().itertuples(index=False)
        known = [(p, d) for p, d in tests if p in probes.NAMES and d in _DEVICES]
        return command([(f"{_PROBES}[{d}-{p}]", d) for p, d in known], rows["preset"])
    if "each" in part:  # a rank's share of the batch
        return _sweeps(part)
    found = _rows(part, rows)
    return command([*zip(found["id"], found["device"], strict=True)], found["preset"])


def _sweeps(part: pd.DataFrame) -> str:
    """On each number of ranks; "" where they were on several hosts, which must find each other."""
    if any("," in hosts for hosts in part["hosts"]):
        return ""
    commands = []
    for ranks, trials in groups(part, "ranks", sort=True):
        torchrun = ["torchrun", "--standalone", f"--nproc-per-node={ranks:.0f}"]
        names = [shlex.quote(name) for name in trials["setting"].unique()]
        start = torchrun if ranks > 1 else ["python"]
        commands.append(" ".join([*start, "-m", "harness", "sweep", *names]))
    return " && ".join(commands)


def command(tests: Sequence[tuple[str, str]], presets: Iterable[str]) -> str:
    """pytest with a -k that selects these tests, and the fewest others that have a name in common.

    Args:
        tests: (id, device) of each.
        presets: those that they were run in.
    """
    names: dict[str, list[str]] = {}
    files: list[str] = []
    devices = set()
    for test, device in tests:
        found = _TEST.fullmatch(test)
        if found and ".." not in found[2]:
            files += [*_OWN, f"--own={found[2]}"] if found[1] else [found[2]]
            names.setdefault(found[3], []).append(found[4].removeprefix(f"{device}-"))
            devices.add(device)
    if not names:
        return ""
    words = ["pytest", *dict.fromkeys(files), "--benchmark-only"]
    words += [f"--preset={preset}" for preset in _PRESETS if preset in set(presets)][:1]
    if devices <= {*_DEVICES}:
        words.append(f"--devices={','.join(sorted(devices))}")
    chosen = [_selected(name, parameters) for name, parameters in names.items()]
    return shlex.join(
        [*words, "-k", chosen[0] if len(chosen) == 1 else f"({') or ('.join(chosen)})"]
    )


def _selected(test: str, parameters: Sequence[str]) -> str:
    """What the name of a test must have in it: the function, and how all parameters begin."""
    words = [text.split("-")[:-1] for text in parameters]
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    shared = "".join(f"{column[0]}-" for column in alike)
    begun = _KEYWORD.match(shared if len(set(parameters)) > 1 else parameters[0])
    # without a hyphen it may be one of pytest's own words
    return f"{test} and {begun[0]}" if begun and "-" in begun[0] else test


def _rows(part: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Those that a figure is drawn of."""
    if "id" in part:
        return rows[rows["id"].isin(part["id"])]
    if "setting" in part:  # trials, each setting of which is a row
        trials = part[["setting", "device"]].rename(columns={"setting": "case"}).drop_duplicates()
        return rows[rows["kind"] == "convergence"].merge(trials)
    shared = [name for name in _KEY if name in part]
    if (part["device"] == "").any():  # the GPU beside the CPU
        shared.remove("device")
    return rows.merge(part[shared].drop_duplicates())
