"""What the README shows is run."""

import re
from pathlib import Path

import pytest

from harness import case, plugin
from harness.timing import Limits

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


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


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README))
def test_its_links_lead_somewhere(path):
    assert (Path(__file__).parents[1] / path).exists()


def test_every_option_it_names_exists(pytester):
    text = pytester.runpytest_inprocess("-p", "harness.plugin", "--help").stdout.str()
    for option in re.findall(r"pytest --benchmark-only[^#\n]*", README):
        for name in re.findall(r"--[a-z-]+", option):
            assert name in text
