"""What the README shows is run."""

import re
from pathlib import Path

import matplotlib
import pytest

from harness import case, plugin, store
from harness.report import front
from harness.timing import Limits

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_worked_example_of_a_users_own_function_runs(pytester, monkeypatch):
    limits = Limits(min_sampled_s=0, max_samples=30, max_s=0.5, warmup_s=0.01)
    monkeypatch.setattr(case, "PRESETS", {"quick": limits})
    monkeypatch.setattr(plugin, "MODES_OF", {"cpu": ("host",), "cuda": ("host",)})
    (example,) = re.findall(r"```python\n(import pytest.*?)```", README, re.DOTALL)
    pytester.makepyfile(test_softmax=example)
    result = pytester.runpytest_inprocess(
        "-p", "harness.plugin", "--benchmark-only", "--devices=cpu"
    )
    result.assert_outcomes(passed=2)


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
