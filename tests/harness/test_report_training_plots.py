"""What each plot of training says of planted trials: medians, failures, fits and best rates."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.curve import CENSORED, DIVERGED, FAILED, TUNING, Curve
from harness.report import plots
from harness.report.amounts import amount, spread
from harness.report.median import along, middle
from harness.report.plots import currencies, profile, survival
from harness.report.trials import points, times, trials, variants
from harness.report.tuning import grids
from tests.harness.make_curves import LIMIT, NO_COUNTER, TARGET, curve, curves, setting
from tests.harness.plot_parts import drawn, parts, table


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
    figure = drawn(
        "currencies", parts("currencies", [curve(seed=s) for s in range(3)])["sgd, batch 32"]
    )
    steps = [curve(seed=s).to_target("samples") for s in range(3)]
    heavy = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 2.2]
    assert len(heavy) == 1
    assert heavy[0].get_xydata()[-1] == pytest.approx((np.median(steps), TARGET))
    assert len([line for line in figure.axes[0].get_lines() if line.get_linewidth() == 0.7]) == 3


def test_a_currency_that_no_figure_has_takes_no_room_and_is_told_once():
    of = [curve(seed=s) for s in range(3)]
    shown = parts("currencies", of)["sgd, batch 32"]
    figure = drawn("currencies", shown)
    assert [axes.get_xlabel() for axes in figure.axes] == ["samples", "FLOPs", "seconds"]
    assert "joules" not in currencies.caption(shown)
    assert currencies.absent(table("currencies", of)) == f"Without joules: {NO_COUNTER}."
    assert "not known" in currencies.table(shown).query("currency == 'joules'").iloc[0, 3]


def test_a_currency_that_some_figures_have_says_why_where_it_is_missing():
    known = [curve(seed=s, device="cuda") for s in range(3)]
    of = [*known, *(curve("other", seed=s) for s in range(3))]
    with_counter, without = (p.frame for p in currencies.parts(table("currencies", of)))
    assert len(drawn("currencies", with_counter).axes) == 4
    assert len(drawn("currencies", without).axes) == 3
    assert f"No joules: {NO_COUNTER}." in currencies.caption(without)
    assert currencies.absent(table("currencies", of)) == ""


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
    drawn("batch_size", shown)
    assert "No fit: 0 batch sizes have steps" in plot.caption(shown)
    assert set(plot.table(shown)["seeds there"]) == {"0 of 3"}
    assert plots.load("time_to_target").parts(trials(of)) == []


def test_the_quickest_batch_size_is_told_for_each_device(all_curves):
    (shown,) = parts("time_to_target", all_curves).values()
    words = plots.load("time_to_target").caption(shown)
    assert "CPU, 3 seeds: batch 8 is the quickest" in words
    assert re.search(r"GPU, 3 seeds: batch 128 is the quickest with .* predicts batch 128", words)
    assert words.count("Not every seed got there: batch 2 (0 of 3)") == 2


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (
            (1.0, 1.1, 1.2),
            "batch 8 has the least median with 1.10 s, and cannot be told apart",
        ),
        ((3.0, 3.1, 3.2), "batch 8 is the quickest with 1.10 s"),
    ],
)
def test_the_quickest_is_no_other_than_those_it_cannot_be_told_from(seconds, told):
    def trained(batch, seed, taken):
        made = curve(batch=batch, seed=seed)
        last = dataclasses.replace(made.points[-1], seconds=taken, metric=TARGET)
        return dataclasses.replace(made, points=(made.points[0], last))

    of = [trained(8, s, t) for s, t in enumerate((0.9, 1.1, 1.15))]
    of += [trained(32, s, 1.01 * t) for s, t in enumerate(seconds)]
    (shown,) = parts("time_to_target", of).values()
    words = plots.load("time_to_target").caption(shown)
    assert told in words and ("batch 32 (1.11 s)" in words) == ("apart" in told)
    # given up after less than the others took, it may have been as quick
    never = {"status": CENSORED, "reason": "given up"}
    for spent, apart in ((1.0, True), (5.0, False)):
        late = [dataclasses.replace(trained(128, s, spent), **never) for s in range(3)]
        (shown,) = parts("time_to_target", [*of, *late]).values()
        words = plots.load("time_to_target").caption(shown)
        assert ("batch 128 (∞)" in words) == apart


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
    (shown,) = parts("learning_rates", [*inside, *edge]).values()
    plot = plots.load("learning_rates")
    assert "Best rate on the edge: adam, batch 32." in plot.caption(shown)
    lines = plot.table(shown)
    assert list(lines[lines["chosen"] != "no"]["chosen"]) == ["yes", "yes, on the edge"]
    assert f"not in {LIMIT:,}" not in set(lines["median steps"])


def test_an_edge_is_that_of_rates_given_up_after_the_same_steps():
    # the median of none is known; all but the first rate were cut short at four times its best
    first = curve(rate=0.1, seed=1001, role=TUNING, limit=40)
    there = first.points[-1]
    late = dataclasses.replace(
        first, points=(*first.points, dataclasses.replace(there, steps=3000))
    )
    of = [late, taking(100, rate=0.1, seed=1000, role=TUNING)]
    for rate in (0.2, 0.4):
        cut = curve(rate=rate, seed=1001, role=TUNING, limit=40)
        of += [cut, taking(390, rate=rate, seed=1000, role=TUNING)]
    (found,) = grids(trials(of))
    assert found.edges == ("low",)


def test_a_grid_of_which_no_rate_got_there_is_drawn():
    of = [curve(rate=rate, seed=1000, role=TUNING, limit=9) for rate in (0.1, 0.2, 0.4)]
    plot, (shown,) = plots.load("learning_rates"), parts("learning_rates", of).values()
    drawn("learning_rates", shown)
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


def test_a_range_shows_who_did_not_get_there():
    found = times(trials([curve(seed=0), curve(seed=1), curve(seed=2, limit=5)]), "steps")
    assert found is not None and spread(found, "steps").endswith(", ∞]")


def test_variants_stand_beside_the_workload_and_each_other():
    names = ("net", "net/4x64", "net/4x64-he", "net/4x64-zeros", "net/2x9-a", "net/mlp", "other")
    made = [curve(name, "adam", 32, seed=seed) for name in names for seed in range(3)]
    made += [curve("net/far", "adam", 32, target=0.7), curve("net/lone", "adam", 8)]
    table = trials(made)
    found = {family.title: list(dict.fromkeys(family.rows["series"])) for family in variants(table)}
    assert found == {
        "variants by adam, batch 32, to 0.1": ["net", "2x9-a", "mlp"],
        "variants 4x64 by adam, batch 32, to 0.1": ["net", "4x64", "4x64-he", "4x64-zeros"],
    }
    of_4x64 = [p for p in currencies.parts(points(made, table)) if "variants 4x64" in p.title]
    shown = currencies.table(of_4x64[0].frame)
    assert list(dict.fromkeys(shown["setting"])) == ["net", "4x64", "4x64-he", "4x64-zeros"]
    drawn("currencies", of_4x64[0].frame)
    (alone,) = [p for p in plots.load("survival").parts(table) if p.group == "Workloads"]
    assert {"net", "other"} <= {*alone.frame["workload"]}
    assert "net/mlp" not in {*alone.frame["workload"]}
