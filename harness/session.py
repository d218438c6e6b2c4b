"""One benchmark run: which cases, in which order, within which budget, into which folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import budget, case, environment, probes, progress_words, record, trials
from harness.comparison import Comparison
from harness.convergence import Setting
from harness.folder import Folder
from harness.instrument import Instrument
from harness.progress import LiveProgress
from harness.record import Row
from harness.words import count

Build = Callable[[str], Comparison]


@dataclass(frozen=True)
class Options:
    """What the user asked for on the command line; `own`: digests of their own files by name."""

    devices: tuple[str, ...]
    preset: str
    budget_s: float | None
    results: Path
    resume: str | None
    own: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """One row to be: a provider of a case, on a device, in a mode.

    Attributes:
        id: unique in the run; group: the same for all providers that are measured together.
        wanted: whether the preset has it.
        native: whether its case is meant for that device alone.
        unhurried: whether it takes too long to start for a run under a budget.
        fixture: of harness.budget's, whose share of the time it has.
    """

    id: str
    name: str
    group: str
    provider: str
    device: str
    mode: str
    params: Mapping[str, str | int]
    wanted: bool
    fixture: str = budget.COMPARE
    native: bool = False
    unhurried: bool = False


class Session:
    """The state of a run.

    Args:
        options: what was asked for.
        members: the rows to be, in the order in which they will be asked for.
        engine: what runs the trials.
        elsewhere: whether it runs them on other machines, which have their own devices.

    Raises:
        StoreError: the results folder cannot be used, or there is no such run to resume.
    """

    def __init__(
        self,
        options: Options,
        members: Sequence[Member],
        engine: trials.Engine = trials.here,
        elsewhere: bool = False,
    ):
        self.options, self._engine, self._elsewhere = options, engine, elsewhere
        self.start = time.perf_counter()
        self._ends = budget.ends(options.budget_s, {member.fixture for member in members})
        self.folder = Folder(options.results, options.resume, options.own)
        self.run, self.rows = self.folder.run, self.folder.rows
        self.problems = self.folder.problems
        self.gpu_usable, self.gpu_reason = environment.probe_gpu()
        self.gpu_lost = False  # a kernel has brought it down in this run
        self.probed: dict[str, str] = {}  # by id, why it was not run, or ""
        self.kept = len(self.rows)
        self.members: dict[str, list[Member]] = {}
        for member in members:
            if member.id not in self.rows:
                self.members.setdefault(member.group, []).append(member)
        self.cases_left = sum(any(m.wanted for m in g) for g in self.members.values())
        self.progress: LiveProgress | None = None
        self._names = {d: environment.device_name(d) for d in {m.device for m in members}}
        deadline = self.start + self._ends.get(budget.COMPARE, math.inf)
        self._instrument = Instrument(
            self.folder, self._names, options.preset, deadline, self._begin
        )
        self._waiting: list[Row] = []  # not measured, and not yet on disk

    def row(self, member: Member, build: Build) -> Row:
        """The row of a member, measured now with all others of its group if need be.

        Raises:
            StoreError: it could not be written.
        """
        if member.id not in self.rows:
            self._measure(self.members[member.group], build)
        return self.rows[member.id]

    def converge(self, member: Member, setting: Setting) -> Row:
        """The row of a setting, its trials run now, but for those that are on disk.

        Raises:
            StoreError: it or one of its curves could not be written.
        """
        if member.id in self.rows:
            return self.rows[member.id]
        here = member.device == "cpu" or self.gpu_usable or self._elsewhere
        why, outcome, refused = self._why_not(member, here), None, None
        if not why:
            try:
                outcome = self._runner(member).run(setting, member.device)
            except trials.OutOfBudget:
                why = f"budget: {self._share(member)} spent before its trials were"
            except trials.Refused as error:
                why = str(error)
                refused = f"{setting.name} {member.device} not measured: {why}"
        name, preset = self._names[member.device], self.options.preset
        fields = trials.row_fields(setting, outcome, member.device, name, preset, why)
        label = f"convergence {setting.workload} {member.device}"
        row = Row(member.id, label, member.name, member.params, fields, trials.samples(outcome))
        self.folder.put([row])
        self._look_again([row])
        if self.progress and member.wanted:
            told = refused
            if outcome:
                words = progress_words.trained(fields, outcome.finals)
                told = f"{setting.name} {member.device}: {words}"
            self.progress.end(told, outcome is not None)
        return row

    def probe(self, member: Member, name: str) -> str:
        """Run a probe; in words why it was not run or cut short, or "". On resuming it is run anew.

        Raises:
            StoreError: a finding could not be written.
        """
        here = member.device == "cpu" or self.gpu_usable
        why = self.probed[member.id] = self._why_not(member, here)
        if why:
            return why
        self._begin(f"probe {name} {member.device}")
        found = 0
        for finding in probes.load(name).run(member.device, self.options.preset):
            self.folder.store.append_finding(finding)
            found += 1
            if time.perf_counter() - self.start >= self._ends[member.fixture]:
                # a probe of the full preset lasts minutes, and is not to outlast the budget
                why = f"budget: {self._share(member)} spent after {found} of its findings"
                self.probed[member.id] = why
                break
        if self.progress:
            self.progress.end(f"probe {name} {member.device}: {count(found, 'finding')}", False)
        return why

    def _runner(self, member: Member) -> trials.Runner:
        return trials.Runner(
            self.options.preset,
            self.folder.curves,
            self.folder.keep,
            self._begin,
            self.start + self._ends[member.fixture],
            self._engine,
        )

    def _begin(self, words: str) -> None:
        """The progress line says what is run now, where there is one."""
        if self.progress:
            self.progress.begin(words)

    def _measure(self, group: Sequence[Member], build: Build) -> None:
        device, mode = group[0].device, group[0].mode
        here = device == "cpu" or self.gpu_usable
        setting = self._instrument.setting(device, mode)
        try:
            comparison = build(device if here else "cpu")
        except Exception as error:
            test, _, params = group[0].group.rpartition("::")[2].partition("[")
            found = {m.id: case.unbuilt(test, params, m.provider, setting, error) for m in group}
            self._keep(group, found, group[0].group)
            return
        why = {m.id: self._why_not(m, here) for m in group}
        chosen = [m for m in group if not why[m.id]]
        label = f"{comparison.subject} {comparison.case} {device} {mode}"
        if chosen:
            self._begin(label)
        results = {
            m.id: case.not_measured(comparison, m.provider, setting, why[m.id])
            for m in group
            if why[m.id]
        }
        if chosen:
            self._instrument.check_itself(device)
            names = [m.provider for m in chosen]
            comparison, again = self._instrument.with_copy(comparison, names, setting)
            measured = case.run(comparison, [*names, *again], setting)
            results |= {m.id: measured[m.provider] for m in chosen}
            for name in again:
                key, of = f"aa::{group[0].group}", {"provider": name, "device": device}
                fields = measured[name].fields | {"kind": record.AA}
                self.folder.put(
                    [Row(key, label, f"aa {label}", of, fields, measured[name].samples)]
                )
        rows = self._keep(group, results, label)
        self._look_again(rows)
        timed = any(row.status == record.OK for row in rows)
        if self.progress and any(m.wanted for m in group):
            told = [row for m, row in zip(group, rows, strict=True) if m.wanted]
            self.progress.end(f"{label}: {progress_words.timed(told)}" if chosen else None, timed)

    def _keep(
        self, group: Sequence[Member], results: Mapping[str, case.Result], label: str
    ) -> list[Row]:
        """Put the rows of a group on disk, all at once; those of a group of which nothing was
        measured wait for others, as thousands would last for longer than a budget."""
        rows = [
            Row(m.id, label, m.name, m.params, results[m.id].fields, results[m.id].samples)
            for m in group
        ]
        self._waiting += rows
        self.rows |= {row.id: row for row in rows}
        if any(row.status != record.NOT_MEASURED for row in rows):
            self._put_waiting()
        return rows

    def _put_waiting(self) -> None:
        if self._waiting:
            self.folder.put(self._waiting)
        self._waiting = []

    def _look_again(self, rows: Sequence[Row]) -> None:
        """A kernel that reads where nothing is ends this process's use of its GPU: what would come
        after it has not failed, and is measured on resuming."""
        failed = any(r.status == record.FAILED and r.extra_info["device"] == "cuda" for r in rows)
        if failed and self.gpu_usable:
            self.gpu_usable, self.gpu_reason = environment.probe_gpu()
            self.gpu_lost = not self.gpu_usable

    def _why_not(self, member: Member, here: bool) -> str:
        if not member.wanted:
            return f"preset: {self.options.preset} leaves it out, --preset full has it"
        if not here:
            return f"no CUDA device: {self.gpu_reason}"
        if member.unhurried and self.options.budget_s is not None:
            return "it takes minutes to start: a run without --budget has it"
        if time.perf_counter() - self.start >= self._ends[member.fixture]:
            return f"budget: {self._share(member)} spent before its turn"
        return ""

    def _share(self, member: Member) -> str:
        """The seconds by which the member should have been started, in words."""
        end, whole = self._ends[member.fixture], self.options.budget_s
        return f"the {end:g} s were" if end == whole else f"its share, {end:g} of {whole:g} s, was"

    def finish(self) -> dict[str, int]:
        """Write benchmark.json from all rows on disk; rows by status.

        Raises:
            StoreError: it cannot be written.
        """
        self._put_waiting()
        return self.folder.finish()
