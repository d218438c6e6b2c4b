"""The report of training curves: each plot is drawn or says why not, and any file is borne."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import curve as files
from harness import report
from harness.curve import CENSORED, DIVERGED, FAILED, TUNING, Curve
from harness.report import plots
from harness.report.amounts import amount, compact, power, tick
from harness.report.made import MAX_LINES, MOST, made
from harness.report.plots import style
from harness.report.runs import Run
from harness.report.trials import families, trials
from harness.report.words import counts
from tests.harness.make_curves import curve, curves, many
from tests.harness.make_rows import many as many_rows
from tests.harness.make_rows import row
from tests.harness.plot_parts import table
from tests.harness.report_page import page

HOSTILE = "<script>alert(1)</script>"
TRAINING = [n for n in plots.NAMES if plots.load(n).SOURCE in ("trials", "points")]


@pytest.fixture(scope="module")
def all_curves() -> list[Curve]:
    return curves()


@pytest.mark.parametrize("name", TRAINING)
def test_a_plot_draws_every_part_and_tells_its_numbers(name, all_curves):
    plot, found = plots.load(name), table(name, all_curves)
    with style.applied():
        for part in plot.parts(found):
            drawn = plot.figure(part.frame)
            assert all(axes.get_xlabel() for axes in drawn.axes)
            assert len(plot.table(part.frame)) > 0
            words = plot.caption(part.frame)
            assert re.search(r"\bCPU\b|\bGPU\b", words) and words.endswith(".")
            assert re.search(r"\d seeds|\d problems|1 tuning seed", words)
    assert re.search(r"better", plot.INTRO)


@pytest.mark.parametrize("name", TRAINING)
def test_a_plot_says_why_it_has_nothing_to_draw(name):
    never = [curve(status=FAILED, reason="it broke", points=())]
    plot = plots.load(name)
    assert plot.absent(table(name, never)).endswith(".") or plot.parts(table(name, never))
    empty = table(name, [])
    assert plot.parts(empty) == []
    assert plot.absent(empty).endswith(".")


def test_a_run_without_curves_says_so_once(tmp_path):
    shown = page(tmp_path, [row()])
    assert shown.text.count("This run has no training curves") == 1
    ids = [a["id"] for tag, a in shown.elements if tag == "section"]
    assert not set(TRAINING) & set(ids) and "training" in ids and "made" not in ids


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": HOSTILE, "workload": "$x$ & $y$"},
        {"optimizer": "a\x00b\ud800\u202ec", "workload": "x" * 5000},
        {"device": HOSTILE},
    ],
)
def test_hostile_text_stays_text(tmp_path, change):
    of = [
        curve(
            **{"batch": batch, "seed": seed, "role": role} | change,
            setting=HOSTILE, metric=HOSTILE, device_name=HOSTILE, generated=f"{HOSTILE}\n\u202e",
            why={"joules": HOSTILE, "flops": HOSTILE},
        )
        for batch in (8, 32) for seed in (0, 1) for role in ("final", TUNING)
    ]  # fmt: skip
    of += [dataclasses.replace(c, status=DIVERGED, reason=HOSTILE) for c in of]
    shown = page(tmp_path, [row()], curves=of)
    assert shown.count("script") == 1  # ours
    assert HOSTILE in shown.text
    assert "x" * 600 not in shown.text and "\u202e" not in shown.html


def test_a_trial_that_is_there_twice_counts_once_and_the_later_one():
    first = curve(seed=0)
    again = dataclasses.replace(first, status=CENSORED, reason="cut short")
    retuned = dataclasses.replace(again, trial=dataclasses.replace(first.trial, learning_rate=0.5))
    found = trials([first, curve(seed=1), again, retuned])
    assert list(found["status"]) == ["reached", CENSORED]
    assert list(found["learning_rate"]) == [0.4, 0.5]


def test_families_share_all_but_one_thing(all_curves):
    found = families(trials(all_curves).query("role == 'final'"))
    assert [(f.workload, f.device, f.title) for f in found] == [
        ("mlp", "cpu", "sgd, by batch size"),
        ("regression", "cpu", "optimizers at batch 64"),
        ("mlp", "cuda", "sgd, by batch size"),
        ("regression", "cuda", "optimizers at batch 64"),
    ]


def test_what_models_make_is_shown_escaped_and_bounded(tmp_path):
    text = "\n".join([f"line {i} <b>" for i in range(MAX_LINES + 5)])
    of = [curve(f"w{i}", seed=s, generated=text) for i in range(MOST + 2) for s in (0, 1)]
    found, more = made(of)
    assert (len(found), more) == (MOST, 2)
    assert found[0].text.endswith(f"line {MAX_LINES - 1} <b>\n… 5 more lines")
    assert "seed 0" in found[0].about
    shown = page(tmp_path, [row()], curves=of)
    assert "line 1 &lt;b&gt;\nline 2" in shown.html and shown.count("b") == 0
    assert shown.count("pre") == MOST
    (text_,), _ = made([curve(generated="word " * 60)])
    assert [len(line) for line in text_.text.split("\n")] == [99, 99, 99]  # runs on below
    none = page(tmp_path, [row()], curves=[curve()])
    assert "None of the models that were trained writes" in none.text


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (amount(1728.67, "steps"), "1,729"),
        (amount(2.05e9, "flops"), "2.05 GFLOP"),
        (amount(math.inf, "seconds"), "∞"),
        (tick(0.02, "seconds"), "20 ms"),
        (tick(0.0, "joules"), "0"),
        (tick(24000.0, "samples"), "24k"),
        (compact(1536.0), "1.5k"),
        (compact(95.2), "95"),
        (compact(0.25), "0.25"),
        (power(1e-6), "10⁻⁶"),
        (power(2e-6), "2×10⁻⁶"),
        (power(0.1), "0.1"),
        (power(475.0), "475"),
        (counts([5, 3, 5], "seed"), "3 or 5 seeds"),
        (counts([1, 1], "tuning seed"), "1 tuning seed"),
    ],
)
def test_amounts_in_words(shown, said):
    assert shown == said


@pytest.mark.slow
def test_five_thousand_rows_and_five_hundred_curves_stay_quick_and_small(tmp_path):
    path = tmp_path / "many.html"
    took = []
    for number in (125, 500):
        rows, curves = many_rows(10 * number), many(number)
        start = time.process_time()  # others on the machine do not count
        report.write_all([Run("", rows, {}, curves)], path)
        took.append(time.process_time() - start)
    assert took[1] < 6 * took[0]  # 16 times, if anything looked at each trial for each trial
    assert path.stat().st_size < 8e6


def test_figures_of_many_curves_are_bounded_and_the_rest_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_FIGURES", 8)
    shown = page(tmp_path, [row()], curves=many(300))
    assert shown.count("svg") == 8
    assert "left out. Their numbers are in curves.jsonl, beside the run's rows." in shown.text


_KNOWN = st.floats(allow_nan=False) | st.sampled_from([0, -1, 10**400, 1e300, 1e-300])
_NUMBERS = st.none() | _KNOWN


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_curve_breaks_the_report(tmp_path_factory, data):
    of = []
    for number in range(data.draw(st.integers(1, 4))):
        raw: dict[str, Any] = json.loads(files.encode(curve(seed=number % 2, limit=4)))
        raw["points"] = data.draw(
            st.lists(
                st.tuples(
                    *(st.integers(-1, 10**20), st.integers(-1, 10**20), _NUMBERS),
                    *(_KNOWN, _KNOWN),
                    *(_NUMBERS, _NUMBERS, _NUMBERS),
                ),
                max_size=4,
            )
        )
        raw["status"] = data.draw(st.sampled_from(files.STATUSES))
        raw["target"] = data.draw(st.floats(-1, 1) | st.sampled_from([1e300, 10**400, 0]))
        raw["lower_is_better"] = data.draw(st.booleans())
        raw["role"] = data.draw(st.sampled_from(["final", "tuning", "neither"]))
        raw["trial"]["batch"] = data.draw(st.sampled_from([1, 2, 4, 0, -3, 10**400]))
        raw["trial"]["learning_rate"] = data.draw(
            st.sampled_from([0.1, 0.2, 0, -1, 1e300, 10**400])
        )
        raw["trial"]["optimizer"] = data.draw(st.sampled_from(["sgd", "adam"]))
        raw["trial"]["device"] = data.draw(st.sampled_from(["cpu", "cuda", "other"]))
        text = json.dumps(raw).replace("Infinity", "1e999")
        try:
            of.append(files.decode(text))
        except ValueError:  # reached, and no evaluation met the target
            continue
    page(tmp_path_factory.mktemp("any"), [row()], curves=of)
