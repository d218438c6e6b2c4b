"""Rows on disk: a run is a folder with rows.jsonl, one row a line, and environment.json.

Beside it, one a line likewise, are curves.jsonl, the trials' curves, and findings.jsonl, what
probes found.

Each line is written and fsynced before the next case starts; a line cut short by a crash is
named and skipped. benchmark.json, in pytest-benchmark's form, is made from rows.jsonl, so that
a resumed run has all its rows in it. Imports neither torch nor triton.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from harness import curve as curves
from harness.curve import Curve
from harness.probes import spec as findings
from harness.probes.spec import Finding
from harness.record import OK, Row, decode, encode

ROWS = "rows.jsonl"
CURVES = "curves.jsonl"
FINDINGS = "findings.jsonl"
ENVIRONMENT = "environment.json"
BENCHMARK = "benchmark.json"
REPORT = "report.html"

T = TypeVar("T")

_MAX_LINE = 4 * 2**20  # characters; no row of ours comes near, so a longer line is foreign


class StoreError(Exception):
    """A results folder that cannot be used, in one line that says what to do."""


class Store:
    """Appends rows to one run's folder.

    Args:
        run: the folder; made if need be.
        environment: written to environment.json when the run is new.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(self, run: Path, environment: Mapping[str, Any]):
        self.run = run
        begun = False
        try:
            begun = (run / ROWS).exists()
            run.mkdir(parents=True, exist_ok=True)
            if not (run / ENVIRONMENT).exists():
                write_atomically(run / ENVIRONMENT, json.dumps(environment, indent=1))
            self._seal()
        except OSError as error:
            why = _cannot_write(run, error) if begun else cannot_begin(run, error)
            raise StoreError(why) from None

    def _seal(self) -> None:
        """End lines that a crash cut short, so that the next row does not continue them."""
        for name in (ROWS, CURVES, FINDINGS):
            if name != ROWS and not (self.run / name).exists():
                continue
            with (self.run / name).open("ab+") as file:
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")

    def append(self, rows: Iterable[Row]) -> None:
        """Put rows on disk: when this returns, they outlive a crash of the machine.

        Raises:
            StoreError: they could not be written; the file is as it was before.
        """
        self._append(ROWS, "".join(encode(row) + "\n" for row in rows))

    def append_curve(self, curve: Curve) -> None:
        """Put a trial's curve on disk, as `append` does rows.

        Raises:
            StoreError: it could not be written; the file is as it was before.
        """
        self._append(CURVES, curves.encode(curve) + "\n")

    def append_finding(self, finding: Finding) -> None:
        """Put what a probe found on disk, as `append` does rows.

        Raises:
            StoreError: it could not be written; the file is as it was before.
        """
        self._append(FINDINGS, findings.encode(finding) + "\n")

    def _append(self, name: str, text: str) -> None:
        data = text.encode()
        try:
            with (self.run / name).open("ab", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    if file.write(data) != len(data):
                        raise OSError("the disk took only part of it")
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as error:
            raise StoreError(_cannot_write(self.run, error)) from None


def read(run: Path) -> tuple[list[Row], list[str]]:
    """The rows of a run, each id once (the last written), in the order of first appearance.

    Returns:
        (rows, problems): problems are one line each, naming what was skipped and why.

    Raises:
        StoreError: there is no run in that folder.
    """
    try:
        found, problems = _read_lines(run, ROWS, decode)
    except FileNotFoundError:
        raise StoreError(f"no run in {run}: it has no {ROWS}") from None
    return list({row.id: row for row in found}.values()), problems


def read_curves(run: Path) -> tuple[list[Curve], list[str]]:
    """The trials' curves of a run, in the order in which they were done, and what was skipped.

    Raises:
        StoreError: the file is there and cannot be read.
    """
    try:
        return _read_lines(run, CURVES, curves.decode)
    except FileNotFoundError:
        return [], []


def read_findings(run: Path) -> tuple[list[Finding], list[str]]:
    """What probes found in a run, each once (the last), and what was skipped.

    Raises:
        StoreError: the file is there and cannot be read.
    """
    try:
        found, problems = _read_lines(run, FINDINGS, findings.decode)
    except FileNotFoundError:
        return [], []
    return list({finding.key: finding for finding in found}.values()), problems


def _read_lines(run: Path, name: str, decode: Callable[[str], T]) -> tuple[list[T], list[str]]:
    found: list[T] = []
    problems: list[str] = []
    try:
        with (run / name).open("rb") as file:
            for number, raw in enumerate(file, 1):
                if not raw.strip():
                    continue
                try:
                    if len(raw) > _MAX_LINE:
                        raise ValueError(f"longer than {_MAX_LINE} characters")
                    found.append(decode(raw.decode("utf-8")))
                except ValueError as error:  # UnicodeDecodeError is one too
                    problems.append(f"{run.name}/{name}, line {number}: skipped: {_short(error)}")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"cannot read {run / name}: {error.strerror}") from None
    return found, problems


def read_environment(run: Path) -> tuple[dict[str, Any], list[str]]:
    """environment.json and what is wrong with it; an empty one if it cannot be read."""
    path = run / ENVIRONMENT
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{run.name}/{ENVIRONMENT}: skipped: {_short(error)}"]
    return found, []


def runs(results: Path) -> list[Path]:
    """The folders <results>/<machine>/<run> that hold rows, the newest first."""
    found = [path.parent for path in results.glob(f"*/*/{ROWS}")]
    return sorted(found, key=lambda run: (run / ROWS).stat().st_mtime, reverse=True)


def find(results: Path, wanted: str) -> Path:
    """The run that `wanted` names: a folder, a run's name below `results`, or "last".

    Raises:
        StoreError: there is none, or several.
    """
    try:
        if (Path(wanted) / ROWS).is_file():
            return Path(wanted)
        if Path(wanted).is_dir():
            raise StoreError(f"no run in {wanted}: it has no {ROWS}")
        if Path(wanted).name != wanted:
            raise StoreError(f"no run in {wanted}: there is no such folder")
        known = runs(results)
    except OSError as error:  # a folder of another user's, a name that is too long
        raise StoreError(f"no run in {wanted[:200]}: {error.strerror}") from None
    matching = known[:1] if wanted == "last" else [run for run in known if run.name == wanted]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise StoreError(f"several runs are called {wanted!r}: give the folder of one")
    names = ", ".join(run.name for run in known[:5]) or "there are none before one is measured"
    raise StoreError(f"no run {wanted!r} in {results}/*/: {names}")


def write_benchmark_json(run: Path, environment: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """benchmark.json as pytest-benchmark would save it: its compare command reads it.

    Raises:
        StoreError: it cannot be written.
    """
    from pytest_benchmark.stats import Stats

    entries = []
    for row in rows:
        if row.status != OK or not row.samples:  # trials without a time that counts
            continue
        stats = Stats()
        stats.data = list(row.samples)
        entry = {
            "group": row.group,
            "name": row.name,
            "fullname": row.id,
            "params": dict(row.params),
            "param": None,
            "extra_info": dict(row.extra_info),
            "options": {},
            "stats": {
                **stats.as_dict(),
                "data": list(row.samples),
                "iterations": row.extra_info["iterations"],
            },
        }
        entries.append(entry)
    git = environment.get("git") if isinstance(environment.get("git"), dict) else {}
    output = {
        # stable values only: pytest-benchmark warns when this differs between two files
        "machine_info": {"machine": run.parent.name, "node": "", "cpu": {}},
        "commit_info": {"id": (git or {}).get("commit"), "dirty": (git or {}).get("dirty")},
        "benchmarks": entries,
        "datetime": datetime.now(UTC).isoformat(),
        "version": "flopwise 1",
    }
    try:
        write_atomically(run / BENCHMARK, json.dumps(output, allow_nan=False))
    except OSError as error:
        raise StoreError(_cannot_write(run, error)) from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file whole or not at all.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        data = content.encode() if isinstance(content, str) else content
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(run: Path, error: OSError) -> str:
    """Of a run that has begun: what it has measured stays there, and so does the rest."""
    return (
        f"cannot write results to {run}: {error.strerror or error}; see that it can be written and "
        f"has space, then go on with --resume={shlex.quote(str(run))}"
    )


def cannot_begin(run: Path, error: OSError) -> str:
    """Of a run that has measured nothing yet, in one line."""
    room = "free space there or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return (
        f"cannot write results to {run}: {error.strerror or error}; {room}choose another folder "
        "with --results"
    )


def _short(error: Exception) -> str:
    """One printable line of an error, whatever the file put into it."""
    return re.sub(r"[^\x20-\x7e]+", " ", str(error))[:200]
