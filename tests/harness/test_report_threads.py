"""Runs of one machine with other numbers of threads, and roofs that stay with their runs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.report import plots
from harness.report.merge import merge
from tests.harness.make_curves import curve
from tests.harness.make_rows import row
from tests.harness.make_runs import run
from tests.harness.test_report_several import SMALL, section, written


def timed_with(threads, name, day, median=1e-3, **known):
    """A run whose case, roofs and trial had so many threads."""
    work = {"flops": 10**8, "bytes": 10**6, "threads": threads, "direction": "forward"}
    roofs = [
        row(1e-3, kind="roof", subject="copy", case="memory", **work | {"bytes": 10**8}),
        row(1e-3, kind="roof", subject="product", case="p", **work | {"flops": 10**9}),
    ]
    of = [*roofs, row(median, batch=4, name=known.pop("case", "a"), **work)]
    curves = [replace(curve(), threads=threads)]
    return run(name, of, day, curves, **known)


def test_runs_with_other_numbers_of_threads_are_as_apart_as_machines(tmp_path):
    runs = [timed_with(2, "two", 1), timed_with(1, "one", 2, 2e-3)]
    merged = merge(runs)
    names = [f"{SMALL}, 2 threads", f"{SMALL}, 1 thread"]
    assert [view.name for view in merged.machines] == names
    for view, threads in zip(merged.machines, (2, 1), strict=True):
        assert {*view.evidence.rows["threads"]} == {threads}
        assert {one.threads for one in view.evidence.curves} == {threads}
        assert view.history is None
    page = written(tmp_path, runs)
    assert "flopwise report · 2 runs of 1 machine with 2 threads and with 1 thread" in page.text
    for heading in re.findall(r"<h3>(.*?)</h3>", section(page, "roofline")):
        assert heading.startswith(tuple(f"{name}: " for name in names))
    assert section(page, "roofline").count("<svg") == 2
    assert "on each machine and number of threads by itself" in page.text
    assert "All of it is of runs with 1 thread on the CPU" in section(page, "threats")


def test_runs_with_as_many_threads_are_of_one_machine_whatever_has_no_threads_of_its_own():
    trained = row(1e-3, kind="convergence", world_size=2, threads=1)
    on_gpu = row(1e-3, device="cuda", threads=1, name="g")
    (view,) = merge([timed_with(2, "a", 1), run("b", [trained, on_gpu], 2)]).machines
    assert (view.name, len(view.runs)) == (SMALL, 2)
    # of two numbers of threads it is with the newest, whichever is asked for first
    runs = [timed_with(2, "a", 2), timed_with(1, "b", 1), run("c", [trained, on_gpu], 3)]
    for order in (runs, runs[::-1]):
        merged = merge(order)
        of = {view.name: [one.name for one in view.runs] for view in merged.machines}
        assert of == {f"{SMALL}, 2 threads": ["a", "c"], f"{SMALL}, 1 thread": ["b"]}
        assert not merged.pairs  # one machine is no two
    assert [run.name for run in merged.runs] == ["c", "b", "a"]


def test_dots_stand_below_the_roofs_of_their_own_run():
    old = timed_with(2, "old", 1, case="a")
    other = [replace(r, extra_info=r.extra_info | {"bytes": 10**7}) for r in old.rows[:2]]
    b = replace(old.rows[2], id="b", extra_info=old.rows[2].extra_info | {"case": "b"})
    new = run("new", [*other, b], 2)
    (view,) = merge([old, new]).machines
    parts = plots.load("roofline").parts(view.evidence.rows)
    assert [part.title.rpartition(", ")[2] for part in parts] == ["run old", "run new"]
    for part, peak in zip(parts, (1e11, 1e10), strict=True):
        (roof, _) = part.frame["roofs"].iloc[0]
        assert roof.peak == pytest.approx(peak)
        assert len(part.frame) == 1
    rows = view.evidence.rows
    assert plots.load("roofline").absent(rows) == ""
    without = rows[(rows["kind"] != "roof") | (rows["run"] != "old")]
    assert "cpu in run old, so its cases" in plots.load("roofline").absent(without)
