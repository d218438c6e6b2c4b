"""The report of training curves: planted results are shown, failures count, any file is borne."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import curve as files
from harness import report
from harness.curve import CENSORED, DIVERGED, FAILED, TUNING, Curve
from harness.report import plots
from harness.report.amounts import amount, compact, power, spread, tick
from harness.report.made import MAX_LINES, MOST, made
from harness.report.median import along, middle
from harness.report.plots import currencies, profile, style, survival
from harness.report.trials import families, points, times, trials
from harness.report.tuning import grids
from tests.harness.make_curves import LIMIT, NO_COUNTER, TARGET, curve, curves, many, setting
from tests.harness.make_rows import row
from tests.harness.report_page import page

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>"
TRAINING = [n for n in plots.NAMES if plots.load(n).SOURCE in ("trials", "points")]


def table(name: str, of: list[Curve]) -> pd.DataFrame:
    found = trials(of)
    return points(of, found) if plots.load(name).SOURCE == "points" else found


def parts(name: str, of: list[Curve]) -> dict[str, pd.DataFrame]:
    return {part.title: part.frame for part in plots.load(name).parts(table(name, of))}


@pytest.fixture(scope="module")
def all_curves() -> list[Curve]:
    return curves()


def taking(steps: float, **known: Any) -> Curve:
    """A trial that took exactly so many steps; infinite: it did not get there in 100."""
    found = curve(**known)
    end = found.points[-1]
    last = dataclasses.replace(end, steps=int(min(steps, 100)), metric=TARGET)
    if math.isinf(steps):
        last = dataclasses.replace(last, metric=1.0)
        return dataclasses.replace(found, points=(found.points[0], last), status=CENSORED)
    last = dataclasses.replace(last, steps=int(steps))
    return dataclasses.replace(found, points=(found.points[0], last))


@pytest.mark.parametrize("name", TRAINING)
def test_a_plot_draws_every_part_and_tells_its_numbers(name, all_curves):
    plot, found = plots.load(name), table(name, all_curves)
    with style.applied():
        for part in plot.parts(found):
            drawn = plot.figure(part.frame)
            assert drawn is not None
            assert all(axes.get_xlabel() for axes in drawn.axes)
            assert plot.figure(part.frame.iloc[:0]) is None
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


def test_what_did_not_get_there_is_infinite_in_the_median_and_never_left_out():
    of = [curve(seed=0), curve(seed=1), curve(seed=2, limit=20), curve(seed=3, limit=20)]
    of.append(curve(seed=4, status=FAILED, reason="it broke", points=()))
    found = times(trials(of), "steps")
    assert found is not None
    assert (found.median, found.most, found.reached, found.n) == (math.inf, math.inf, 2, 5)
    (shown,) = parts("currencies", of).values()
    assert set(currencies.table(shown)["seeds there"]) == {"2 of 5"}
    # all that was spent over the two that got there
    spent = sum(c.to_target("steps") or 0.0 for c in of[:2]) + 40
    assert amount(spent / 2, "steps") in set(currencies.table(shown).iloc[:, 4])


@pytest.mark.parametrize("lower", [True, False])
def test_the_median_curve_counts_ended_seeds_by_how_they_ended(lower):
    x = np.arange(6.0)
    y = [np.array([9, 8, 7, 6, 5, 4.0]), np.array([9, 7, 5, 3, math.nan, math.nan])]
    y.append(np.array([9, 8, math.nan, math.nan, math.nan, math.nan]))
    sign = 1 if lower else -1
    ends = [CENSORED, "reached", DIVERGED]
    frames = [
        pd.DataFrame({"status": [end], "target": [sign * 3.0], "lower_is_better": [lower]})
        for end in ends
    ]
    seeds = [(sign * of, frame) for of, frame in zip(y, frames, strict=True)]
    at, found = middle(x, seeds, math.inf)
    assert list(sign * found) == [9, 8, 7, 6, 5, 4]  # reached below, diverged above
    assert list(at) == list(x)
    at, found = middle(x, seeds, 3.5)
    assert (at[-1], sign * found[-1]) == (3.5, 3.0)
    assert list(at[:-1]) == [0, 1, 2, 3]


def test_a_seed_that_was_stopped_early_ends_the_median():
    of = [curve(seed=0), curve(seed=1, limit=50)]
    found = points(of, trials(of))
    x = np.linspace(0, 6000, 61)
    seeds = [(along(rows, "samples", x), rows) for _, rows in found.groupby("trial")]
    at, _ = middle(x, seeds, math.inf)
    assert at[-1] == 1600  # 50 steps of 32 samples


def test_the_heavy_line_ends_where_the_target_was_met(all_curves):
    with style.applied():
        drawn = currencies.figure(
            parts("currencies", [curve(seed=s) for s in range(3)])["sgd, batch 32"]
        )
    assert drawn is not None
    steps = [curve(seed=s).to_target("samples") for s in range(3)]
    heavy = [line for line in drawn.axes[0].get_lines() if line.get_linewidth() == 2.2]
    assert len(heavy) == 1
    assert heavy[0].get_xydata()[-1] == pytest.approx((np.median(steps), TARGET))
    assert len([line for line in drawn.axes[0].get_lines() if line.get_linewidth() == 0.7]) == 3


def test_an_unknown_currency_says_why_in_its_panel_and_its_caption():
    shown = parts("currencies", [curve(seed=s) for s in range(3)])["sgd, batch 32"]
    with style.applied():
        drawn = currencies.figure(shown)
    assert drawn is not None
    texts = [text.get_text() for text in drawn.axes[3].texts]
    assert f"not known: {NO_COUNTER}" in " ".join(texts).replace("\n", " ")
    assert f"No joules: {NO_COUNTER}." in currencies.caption(shown)
    assert "not known" in currencies.table(shown).query("currency == 'joules'").iloc[0, 3]


def test_settings_are_compared_in_every_currency(all_curves):
    shown = parts("currencies", all_curves)["optimizers at batch 64, on GPU"]
    words = currencies.caption(shown)
    # planted: newton has the fewest steps and 80 times the FLOPs of a gradient in each
    assert re.search(r"samples newton \(", words) and re.search(r"FLOPs momentum \(", words)
    assert re.search(r"joules newton \(", words)


def test_the_planted_critical_batch_size_is_in_the_caption(all_curves):
    shown = parts("batch_size", all_curves)["sgd on CPU"]
    words = plots.load("batch_size").caption(shown)
    found = re.search(r"critical batch size (\d+) \[(\d+), (\d+)\]", words)
    assert found is not None
    middle_, low, high = map(int, found.groups())
    assert low <= 60 <= high and abs(middle_ - 60) < 6
    assert "batch size 2 left out: 0 of 3 reached" in words


def test_batch_sizes_of_which_none_got_there_have_no_fit_and_still_a_figure():
    of = [curve(batch=b, seed=s, limit=10) for b in (8, 32, 128) for s in range(3)]
    plot, (shown,) = plots.load("batch_size"), parts("batch_size", of).values()
    with style.applied():
        assert plot.figure(shown) is not None
    assert "No fit: 0 batch sizes have steps" in plot.caption(shown)
    assert set(plot.table(shown)["seeds there"]) == {"0 of 3"}
    assert plots.load("time_to_target").parts(trials(of)) == []


def test_the_quickest_batch_size_is_told_for_each_device(all_curves):
    (shown,) = parts("time_to_target", all_curves).values()
    words = plots.load("time_to_target").caption(shown)
    assert "CPU, 3 seeds: batch 8 is the quickest" in words
    assert re.search(r"GPU, 3 seeds: batch 128 is the quickest with .* predicts batch 128", words)
    assert words.count("Not every seed got there: batch 2 (0 of 3)") == 2


def test_the_chosen_rate_and_an_optimum_on_the_edge_are_marked():
    inside = setting("mlp", "sgd", 32)
    edge = [
        curve(optimizer="adam", rate=rate, seed=1000, role=TUNING) for rate in (0.0025, 0.005, 0.01)
    ]
    edge.append(curve(optimizer="adam", rate=0.01))
    found = {grid.optimizer: grid for grid in grids(trials([*inside, *edge]))}
    assert (found["sgd"].chosen, found["sgd"].edges) == (0.4, ())
    assert (found["adam"].chosen, found["adam"].edges) == (0.01, ("high",))
    assert found["sgd"].cells[3.2].diverged == 1 and math.isinf(found["sgd"].cells[3.2].steps)
    plot, (shown,) = (
        plots.load("learning_rates"),
        parts("learning_rates", [*inside, *edge]).values(),
    )
    assert "Best rate on the edge: adam, batch 32." in plot.caption(shown)
    lines = plot.table(shown)
    assert list(lines[lines["chosen"] != "no"]["chosen"]) == ["yes", "yes, on the edge"]
    assert f"not in {LIMIT:,}" not in set(lines["median steps"])


def test_a_grid_of_which_no_rate_got_there_is_drawn():
    of = [curve(rate=rate, seed=1000, role=TUNING, limit=9) for rate in (0.1, 0.2, 0.4)]
    plot, (shown,) = plots.load("learning_rates"), parts("learning_rates", of).values()
    with style.applied():
        assert plot.figure(shown) is not None
    assert set(plot.table(shown)["median steps"]) == {"not in 9"}
    assert "No rate reached the target: sgd, batch 32." in plot.caption(shown)


def test_a_performance_profile_worked_by_hand():
    # two workloads; steps of a: 100, 400; of b: 200, 200; of c: 800, never
    steps = {"w": (100, 200, 800), "v": (400, 200, math.inf)}
    of = [
        taking(each, workload=workload, optimizer=optimizer)
        for workload, row_ in steps.items()
        for optimizer, each in zip("abc", row_, strict=True)
    ]
    shown = parts("profile", of)["steps to the target"]
    lines = profile.table(shown).set_index("optimizer")
    assert lines.loc["a", "best":"at all"].tolist() == ["50 %", "100 %", "100 %", "100 %"]
    assert lines.loc["b", "best":"at all"].tolist() == ["50 %", "100 %", "100 %", "100 %"]
    assert lines.loc["c", "best":"at all"].tolist() == ["0 %", "0 %", "50 %", "50 %"]
    assert "Not always there: c (50 %)." in profile.caption(shown)


def test_survival_rises_to_the_share_that_got_there():
    of = [curve(seed=s, limit=LIMIT if s else 20) for s in range(4)]
    (shown,) = parts("survival", of).values()
    lines = survival.table(shown)
    assert [text.split(" ")[0] for text in lines["share, 95 % interval"]] == ["33", "67", "100"]
    # of four, one was stopped at step 20: three are at risk when the first gets there
    assert set(lines["seeds there"]) == {"3 of 4"}
    of.append(curve(seed=9, rate=3.2))
    (shown,) = parts("survival", of).values()
    last = survival.table(shown)["share, 95 % interval"].iloc[-1]
    assert last.startswith("75 %")  # the one that diverged is at risk for ever


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
    ],
)
def test_amounts_in_words(shown, said):
    assert shown == said


def test_a_range_shows_who_did_not_get_there():
    found = times(trials([curve(seed=0), curve(seed=1), curve(seed=2, limit=5)]), "steps")
    assert found is not None and spread(found, "steps").endswith(", ∞]")


@pytest.mark.slow
def test_five_thousand_rows_and_five_hundred_curves_stay_quick_and_small(tmp_path):
    path = tmp_path / "many.html"
    code = (
        "import pathlib, time; from harness import report; "
        "from tests.harness import make_rows, make_curves; "
        "rows, curves = make_rows.many(5000), make_curves.many(500); start = time.process_time(); "
        f"report.write(rows, {{}}, pathlib.Path({str(path)!r}), [], curves); "
        "print(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10  # processor seconds: others on the machine do not count
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
