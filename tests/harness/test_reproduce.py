"""The commands below each figure are real: pytest selects with them what the figure shows."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import store
from harness.report import plots, reproduce
from harness.report.findings import findings as findings_table
from harness.report.frame import frame
from harness.report.trials import finals, trials
from tests.harness.make_curves import curve, noise_scale
from tests.harness.make_rows import row
from tests.harness.report_page import page

ROOT = Path(__file__).resolve().parents[2]
KERNELS = "tests/benchmarks/test_kernels.py::test_kernels"
HOSTILE = "'; rm -rf ~ #$(id)"

# collecting without measuring: the ids of each command on a line, torch imported once
COLLECT = """
import json, os, shlex, sys
from contextlib import redirect_stdout
os.environ.setdefault("TRITON_INTERPRET", "1")
import pytest

class Keep:
    def pytest_collection_finish(self, session):
        self.ids = [item.nodeid for item in session.items]

for command in json.load(sys.stdin):
    first, *words = shlex.split(command)
    keep = Keep()
    with redirect_stdout(sys.stderr):
        code = pytest.main([*words, "--collect-only", "-q", "-p", "no:cacheprovider"], [keep])
    assert first == "pytest" and code == 0, (command, code)
    print(json.dumps(keep.ids))
"""


def collected(commands):
    """The ids that each command selects."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def kernel(case, provider, mode="host", device="cpu"):
    test = f"{KERNELS}[{device}-{mode}-{case}-{provider}]"
    known = {"kind": "kernel", "subject": case.partition("-")[0], "case": case, "mode": mode}
    made = row(provider=provider, device=device, direction="forward", preset="full", **known)
    return replace(made, id=test)


def test_a_command_names_the_file_the_preset_the_device_and_what_the_tests_share():
    shape = "M512-N512-K512-float32-forward"
    rows = frame(
        [
            kernel(f"matmul-{shape}", "torch"),
            kernel(f"matmul-{shape}", "torch.compile max-autotune"),
            kernel("linear-M1-N1-K1-float32-forward", "torch"),
        ]
    )
    (first, second) = plots.load("kernels").parts(rows)
    assert reproduce.measure(first.frame, rows) == (
        "pytest tests/benchmarks/test_kernels.py --benchmark-only --preset=full --devices=cpu "
        f"-k 'test_kernels and host-matmul-{shape}-'"
    )
    assert "-k 'test_kernels and host-linear-M1-N1-K1-float32-forward-torch'" in (
        reproduce.measure(second.frame, rows)
    )


def test_one_test_with_a_space_in_its_name_is_cut_there():
    rows = frame([kernel("matmul-x", "torch.compile max-autotune")])
    (part,) = plots.load("kernels").parts(rows)
    assert shlex.split(reproduce.measure(part.frame, rows))[-1] == (
        "test_kernels and host-matmul-x-torch.compile"
    )


def test_a_name_that_begins_another_does_not_hide_it():
    tests = [(f"{KERNELS}[cpu-{name}]", "cpu") for name in ("a-b", "a-b-c")]
    assert shlex.split(reproduce.command(tests, ["quick"]))[-1] == "test_kernels and a-"


def test_both_devices_and_several_functions():
    tests = [
        ("tests/a.py::test_one[cpu-host-x-eager]", "cpu"),
        ("tests/a.py::test_one[cuda-host-x-eager]", "cuda"),
        ("tests/b.py::test_two[y]", "cpu"),
    ]
    assert shlex.split(reproduce.command(tests, ["quick", "full"])) == [
        *("pytest", "tests/a.py", "tests/b.py", "--benchmark-only", "--preset=full"),
        *("--devices=cpu,cuda", "-k", "(test_one and host-x-eager) or (test_two)"),
    ]


def test_what_no_test_measured_has_no_command(tmp_path):
    rows = frame([row(batch=4), row(batch=8)])
    (part,) = plots.load("latency").parts(rows)
    assert reproduce.measure(part.frame, rows) == ""
    shown = page(tmp_path, [row(batch=4)], {"run_id": "a run"})
    assert "Measured again by" not in shown.text
    assert "Drawn again by python -m harness report 'a run'" in shown.text


@pytest.mark.parametrize(
    "test",
    [
        f"x.py::test[{HOSTILE}]",
        f"x.py::test[a-{HOSTILE}]",
        "x.py::test[and-or-not]",
        "x.py::test[or]",
        f"x.py::{HOSTILE}[a]",
        f"{HOSTILE}.py::test[a]",
        "-p=evil.py::test[a]",
        "../x.py::test[a]",
        "/x.py::test[a]",
        "a/../../x.py::test[a]",
    ],
)
def test_hostile_names_are_quoted_and_obeyed_by_nobody(tmp_path, test):
    command = reproduce.command([(test, "cpu")], ["--evil"])
    assert command.startswith("pytest x.py --benchmark-only --devices=cpu -k ") or command == ""
    words = shlex.split(command)
    assert len(words) in (0, 6)
    assert not {"rm", "~", "evil"} & set(" ".join(words).replace("=", " ").split())
    if words:
        assert words[-1] in ("test", "test and a-", "test and and-or-not")


def test_trials_and_findings_are_measured_by_their_own_tests():
    name = "tests/benchmarks/test_convergence.py::test_convergence"
    setting = "mlp_classification-sgd-batch32"
    known = {"kind": "convergence", "subject": "mlp_classification", "case": setting}
    measured = [replace(row(preset="quick", **known), id=f"{name}[cpu-{setting}]")]
    table = trials([curve("mlp_classification", setting=setting)])
    command = reproduce.measure(finals(table), frame(measured))
    assert command == (
        "pytest tests/benchmarks/test_convergence.py --benchmark-only --preset=quick --devices=cpu "
        f"-k 'test_convergence and {setting}'"
    )
    found = findings_table([noise_scale(1, 2.0), noise_scale(1, 2.0, probe=HOSTILE)])
    assert reproduce.measure(found, frame(measured)) == (
        "pytest tests/benchmarks/test_probes.py --benchmark-only --preset=quick --devices=cpu "
        "-k test_probes"
    )


@pytest.mark.slow
def test_pytest_selects_the_rows_of_a_figure_and_few_more():
    case = "host-matmul-M512-N512-K512-float32-forward"
    tests = [f"{KERNELS}[cpu-{case}-{provider}]" for provider in ("torch", "triton")]
    (ids,) = collected([reproduce.command([(test, "cpu") for test in tests], ["quick"])])
    assert set(tests) <= set(ids)
    assert all(f"[cpu-{case}" in test for test in ids)


@pytest.mark.slow
def test_pytest_selects_the_trials_and_the_probe():
    setting = "mlp_classification-sgd-batch32"
    tests = [
        f"tests/benchmarks/test_convergence.py::test_convergence[cpu-{setting}]",
        "tests/benchmarks/test_probes.py::test_probes[cpu-noise]",
    ]
    commands = [reproduce.command([(test, "cpu")], ["full"]) for test in tests]
    for test, ids in zip(tests, collected(commands), strict=True):
        assert test in ids and len(ids) < 5


@pytest.mark.slow
def test_commands_of_the_reference_run_select_its_rows():
    (run,) = (ROOT / "results" / "reference").glob("*/*")
    rows = frame(store.read(run)[0])
    shown: dict[str, set[str]] = {}
    for plot in map(plots.load, plots.NAMES):
        for part in plot.parts(rows) if plot.SOURCE == "rows" else []:
            found = reproduce._rows(part.frame, rows)
            command = reproduce.measure(part.frame, rows)
            shown.setdefault(command, set()).update(found["id"])
    assert len(shown) > 20 and "" not in shown
    some = [*shown][::6]  # each takes a collection
    every, *selected = collected(["pytest --benchmark-only --devices=cpu", *some])
    now = set(every)  # some of what the run measured is called otherwise today
    for command, ids in zip(some, selected, strict=True):
        wanted = shown[command] & now
        assert wanted and wanted <= set(ids), command
        assert len(ids) < len(now) / 2
