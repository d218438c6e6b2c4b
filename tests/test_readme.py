"""What the README shows is run."""

import re
from pathlib import Path

import matplotlib
import pytest
import torch

from harness import store
from harness.__main__ import main
from harness.report import front
from tests.harness.test_plugin import SHORTER

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for module, name, value in SHORTER:
        monkeypatch.setattr(module, name, value)


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
    own_files, monkeypatch, capsys
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


def test_its_figure_is_drawn_from_the_committed_run():
    pinned = re.search(r"^matplotlib==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
    if matplotlib.__version__ != pinned:
        pytest.skip(f"drawn with matplotlib {pinned}, and this is {matplotlib.__version__}")
    (run,) = (ROOT / "results" / "reference").glob("*/*/")
    rows, problems = store.read(run)
    assert problems == []
    assert front.svg(rows) == (ROOT / "results" / "reference" / "latency.svg").read_text("utf-8")


def test_what_it_says_of_compiling_is_what_was_measured():
    (run,) = (ROOT / "results" / "reference").glob("*/*/")
    infos = [row.extra_info for row in store.read(run)[0]]
    found = [
        i for i in infos if (i["provider"], i["mode"], i["status"]) == ("compile", "host", "ok")
    ]
    assert len(found) == 4 and all(i["batch"] == 32 and i["speedup_high"] < 1 for i in found)
    slower = sorted(1 / i["speedup"] for i in found)
    assert f"by {slower[0]:.1f} to {slower[-1]:.1f} times" in README


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README))
def test_its_links_lead_somewhere(path):
    assert (Path(__file__).parents[1] / path).exists()


def test_every_option_it_names_exists(pytester):
    text = pytester.runpytest_inprocess("-p", "harness.plugin", "--help").stdout.str()
    for option in re.findall(r"pytest --benchmark-only[^#\n]*", README):
        for name in re.findall(r"--[a-z-]+", option):
            assert name in text
