"""What the README shows is run."""

import re
import statistics
from pathlib import Path

import matplotlib
import pytest
import torch

import workloads
from harness import store
from harness.__main__ import main
from harness.report import front
from harness.report.frame import frame
from harness.studies import spec as studies
from harness.verdict import FASTER, SLOWER
from tests.harness.user_project import shorten

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
WORDS = " ".join(PROSE.split())  # however the lines are broken


@pytest.fixture(autouse=True)
def short(monkeypatch):
    shorten(monkeypatch)


def test_the_worked_example_of_a_users_own_function_runs(pytester):
    (example,) = re.findall(r"```python\n(import pytest.*?)```", README, re.DOTALL)
    pytester.makepyfile(test_softmax=example)
    result = pytester.runpytest_inprocess(
        "-p", "harness.plugin", "--benchmark-only", "--devices=cpu"
    )
    result.assert_outcomes(passed=2)


@pytest.fixture
def own_files(pytester):
    """The worked examples of own files, in a folder outside of this one."""
    found = re.findall(r"```python\n# (\w+\.py)(.*?)```", README, re.DOTALL)
    for name, text in found:
        (pytester.path / name).write_text(f"# {name}{text}")
    assert [name for name, _ in found] == ["my_softmax.py", "my_model.py"]
    return pytester


def test_the_worked_example_of_an_own_operation_is_right_and_timed(own_files, capsys):
    assert main(["check", "my_softmax.py"]) == 0
    assert "2 right, 0 wrong, 0 not checked" in capsys.readouterr().out
    result = own_files.runpytest_inprocess(
        *("--benchmark-only", "-p", "harness.plugin", "--own=my_softmax.py", "--devices=cpu")
    )
    # torch is timed, and Triton's interpreter is not
    result.assert_outcomes(passed=1, skipped=1)


def test_the_worked_example_of_an_own_workload_is_right_timed_and_trained(
    own_files, monkeypatch, capsys, quiet
):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # seconds each
    assert main(["check", "my_model.py"]) == 0
    assert "9 right, 0 wrong" in capsys.readouterr().out
    assert main(["train", "my_model.py"]) == 0
    result = own_files.runpytest_inprocess(
        *("--benchmark-only", "-p", "harness.plugin", "--own=my_model.py", "--devices=cpu"),
        *("-k", "convergence or batch32-eager"),
    )
    result.assert_outcomes(passed=3)


@pytest.fixture(scope="module")
def reference():
    """The committed run, whole: its folder and what is in it."""
    (run,) = (ROOT / "results" / "reference").glob("*/*/")
    read = [of(run) for of in (store.read, store.read_curves, store.read_findings)]
    environment, problems = store.read_environment(run)
    assert [*problems, *(problem for _, problems in read for problem in problems)] == []
    (rows, _), (curves, _), (findings, _) = read
    return run, studies.Evidence(frame(rows), curves, findings, environment), rows


def test_its_figure_is_drawn_from_the_committed_run(reference):
    pinned = re.search(r"^matplotlib==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
    if matplotlib.__version__ != pinned:
        pytest.skip(f"drawn with matplotlib {pinned}, and this is {matplotlib.__version__}")
    _, evidence, rows = reference
    drawn = front.svg(rows, evidence.curves)
    assert drawn == (ROOT / "results" / "reference" / "front.svg").read_text("utf-8")


def test_its_table_is_of_the_committed_run(reference):
    (table,) = re.findall(r"<!-- claims:.*?-->\n(.*?)\n<!-- end", README, re.DOTALL)
    assert table == front.table(reference[1])
    assert not any(line.startswith(">") for line in table.splitlines())  # GitHub would quote it


def test_every_workload_is_in_the_committed_run(reference):
    run, evidence, _ = reference
    ok = evidence.rows[evidence.rows["status"] == "ok"]
    assert {*ok.loc[ok["kind"] == "workload", "subject"]} == {*workloads.NAMES}
    assert {*workloads.NAMES} <= {curve.trial.workload for curve in evidence.curves}
    timed = ok[ok["kind"].isin(["kernel", "workload"])]
    cases = len(timed[["subject", "case", "mode"]].drop_duplicates())
    assert f"the times of {cases} of its cases" in WORDS
    assert (run / store.REPORT).exists()
    assert evidence.environment["git"]["dirty"] is False


def test_what_it_says_of_batches_is_what_was_measured(reference):
    _, evidence, rows = reference
    step = {"status": "ok", "kind": "workload", "direction": "train", "provider": "eager"}
    times = {
        (i["subject"], i["batch"]): i["median_s"] / i["batch"]
        for i in (row.extra_info for row in rows)
        if i["mode"] == "host" and step.items() <= i.items()
    }
    ratios = sorted(times[name, 1] / times[name, 32] for name in workloads.NAMES)
    least, most = ratios[0], ratios[-1]
    assert f"alone costs {least:.0f} to {most:.0f} times what it costs in a batch of 32" in WORDS

    def middle(batch, currency):
        name = f"mlp_classification-sgd-batch{batch}"
        trials = [c for c in evidence.curves if (c.setting, c.role) == (name, "final")]
        return statistics.median(c.to_target(currency) for c in trials)

    assert f"{middle(2, 'steps') / middle(32, 'steps'):.1f} times fewer steps" in WORDS
    assert f"{middle(32, 'samples') / middle(2, 'samples'):.1f} times more samples" in WORDS
    assert {c.trial.seed for c in evidence.curves if c.role == "final"} == {0, 1, 2, 3, 4}
    assert f"{middle(32, 'steps') / middle(512, 'steps'):.1f} times fewer steps and" in WORDS
    assert f"{middle(512, 'samples') / middle(32, 'samples'):.1f} times more samples" in WORDS


def test_what_it_says_of_compiling_is_what_was_measured(reference):
    rows = reference[1].rows
    compiled = rows[(rows["provider"] == "compile") & (rows["mode"] == "host")]
    compiled = compiled[compiled["status"] == "ok"]
    assert {*compiled["batch"]} == {32}
    faster, slower = ((compiled["verdict"] == word).sum() for word in (FASTER, SLOWER))
    told = f"faster than eager in {faster} and slower in {slower} of the {len(compiled)} steps"
    assert told in WORDS


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", PROSE))
def test_its_links_lead_somewhere(path):
    assert (Path(__file__).parents[1] / path).exists()


def test_every_option_it_names_exists(pytester):
    text = pytester.runpytest_inprocess("-p", "harness.plugin", "--help").stdout.str()
    for option in re.findall(r"pytest --benchmark-only[^#\n]*", README):
        for name in re.findall(r"--[a-z-]+", option):
            assert name in text
