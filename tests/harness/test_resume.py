"""A run that is cut short: what is on disk of it, and how it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import store
from tests.harness import user_project
from tests.harness.user_project import LIMITS, measure, rows, statuses

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(pytester, monkeypatch):
    return user_project.made(pytester, monkeypatch)


def test_a_spent_budget_leaves_rows_that_say_so_and_a_resume_that_measures_them(project):
    project.write(sizes="1000, 2000, 3000")
    result = measure(project, "--budget=1e-9")
    result.assert_outcomes(skipped=6)
    assert set(statuses(project).values()) == {"not_measured"}
    result.stdout.fnmatch_lines(["*6 rows are missing (the budget was spent); go on with*"])
    measure(project, "--resume=last").assert_outcomes(passed=6)
    assert list(statuses(project).values()) == ["ok"] * 6
    assert len(store.runs(project.path / "results")) == 1


def test_a_resumed_run_keeps_its_rows_and_shows_them(project):
    measure(project)
    kept = {key: row.samples for key, row in rows(project)[0].items()}
    project.write(sizes="1000, 2000")
    result = measure(project, "--resume=last")
    result.assert_outcomes(passed=4)
    now = {key: row.samples for key, row in rows(project)[0].items()}
    assert len(now) == 4
    assert {key: now[key] for key in kept} == kept
    lines = (store.runs(project.path / "results")[0] / store.ROWS).read_text().splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert len(ids) == len(set(ids))


def test_kill_in_the_middle_then_resume_has_every_row_once(project):
    project.write(sizes=", ".join(map(str, range(1000, 1020))))
    project.makeconftest(  # the other process has its own limits to shorten
        "from harness import case, instrument, roofline\nfrom harness.timing import Limits\n"
        "instrument.LOOKS = 1\n"
        f"case.PRESETS = {{'quick': {LIMITS}}}\n"
        f"roofline.COPY_BYTES, roofline.PRODUCT_SIZES = {{'cpu': 4096}}, {{'cpu': (32,)}}\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "harness.plugin", "--benchmark-only",
               "--devices=cpu"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen(command, cwd=project.path, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and killed.poll() is None:
        found = store.runs(project.path / "results")
        if found and (found[0] / store.ROWS).read_bytes().count(b"\n") >= 8:
            break
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it ended before it could be killed"
    before, _ = rows(project)
    assert 2 <= len(before) < 40
    measure(project, "--resume=last").assert_outcomes(passed=40)
    after, problems = rows(project)
    assert len(after) == 40
    assert {key: after[key].samples for key in before} == {k: r.samples for k, r in before.items()}
    assert len(problems) <= 1  # at most the line that was being written


def test_an_interrupt_leaves_a_readable_run_and_says_how_to_go_on(project):
    more = """
def interrupt(x):
    raise KeyboardInterrupt
PROVIDERS["interrupts"] = interrupt

@pytest.mark.parametrize("provider", ["interrupts"])
def test_late(compare, provider):
    compare(lambda device: comparison(device, 7))
"""
    project.write(more=more)
    result = measure(project, no_reraise_ctrlc=True)
    result.stdout.fnmatch_lines(["*1 row is missing (interrupted); go on with: *--resume=*"])
    assert set(statuses(project).values()) == {"ok"}
    saved = json.loads((store.runs(project.path / "results")[0] / store.BENCHMARK).read_text())
    assert saved["benchmarks"]


def test_a_full_disk_ends_the_run_with_one_line(project, monkeypatch):
    def full(self, rows):
        raise store.StoreError("cannot write results to results/x: No space left on device")

    monkeypatch.setattr(store.Store, "append", full)
    result = measure(project)
    result.stdout.fnmatch_lines(["*Exit: cannot write results to *No space left on device*"])


def test_another_machines_run_is_not_resumed(project):
    measure(project)
    run = store.runs(project.path / "results")[0]
    run.parent.rename(run.parent.with_name("another-machine"))
    result = measure(project, "--resume=last")
    result.stderr.fnmatch_lines(["*cannot resume *: it was measured on another-machine*"])


@pytest.mark.parametrize(
    ("section", "key", "name"),
    [("git", "commit", "commit"), ("packages", "torch", "torch"), ("", "torch_threads", "threads")],
)
def test_a_run_of_other_code_or_software_is_not_resumed(project, section, key, name):
    measure(project)
    path = store.runs(project.path / "results")[0] / store.ENVIRONMENT
    described = json.loads(path.read_text())
    (described[section] if section else described)[key] = "another"
    path.write_text(json.dumps(described))
    result = measure(project, "--resume=last")
    result.stderr.fnmatch_lines([f"*cannot resume *: its {name} was another, and is * now;*"])
