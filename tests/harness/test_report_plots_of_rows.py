"""Roofline, samples, energy and correctness: numbers worked by hand, and odd ones."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from harness.record import FAILED
from harness.report import plots
from harness.report.frame import frame
from harness.report.plots import distributions, roofline, style
from tests.harness.make_rows import row
from tests.harness.plot_parts import dots, drawn, kernel, only, roofs, told

OF_ROWS = ("roofline", "distributions", "energy", "correctness")


# roofline


def test_a_dot_stands_at_its_flops_a_byte_and_its_flop_per_second():
    rows = [*roofs(), kernel(1e-3, flops=2 * 10**8, bytes=10**7, roof_share=0.5)]
    part = only("roofline", frame(rows))
    figure = drawn("roofline", part.frame)
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert (*line.get_xdata(), *line.get_ydata()) == (20.0, 2e11)
    (shown,) = told("roofline", part.frame)
    assert (shown["FLOPs a byte"], shown["share of its roof"]) == ("20", "50%")
    assert shown["achieved, 95 % interval"] == "200 GFLOP/s [196, 204]"


def test_roofs_are_the_quickest_stretch_and_the_medians_interval():
    part = only("roofline", frame([*roofs(), kernel(flops=10**8, bytes=10**7)]))
    memory, cache, product = part.frame["roofs"].iloc[0]
    assert memory[:4] == ("memory", True, pytest.approx(2e10), pytest.approx(1e10))
    assert memory.low == pytest.approx(1e10 / 1.02)
    assert (cache.peak, product.peak) == (pytest.approx(1e11), pytest.approx(1e12))
    words = roofline.caption(part.frame)
    assert "memory 20.0 GB/s (median 10.0 GB/s [9.8, 10.2])" in words
    figure = drawn("roofline", part.frame)
    lines = [
        (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in figure.axes[0].lines
        if line.get_marker() == "None"
    ]
    assert len(lines) == 3
    np.testing.assert_allclose(lines[0][1], 2e10 * lines[0][0])
    np.testing.assert_allclose(lines[2][1], 1e12)
    assert lines[2][0][0] == pytest.approx(10)  # the ridge of the cache


def test_in_cold_mode_the_cache_is_no_roof_and_a_dtype_without_product_is_told():
    rows = [*roofs(), kernel(flops=10**8, bytes=10**7, mode="cold", dtype="bfloat16")]
    part = only("roofline", frame(rows))
    assert [roof.name for roof in part.frame["roofs"].iloc[0]] == ["memory", "float32"]
    assert "No product was measured in bfloat16." in roofline.caption(part.frame)


def test_every_case_is_a_dot_and_the_table_says_what_it_leaves_out():
    cases = [
        kernel(1e-3, subject=f"s{i % 6}", case=f"c{i}", flops=10**8 + i, bytes=10**7)
        for i in range(150)
    ]
    part = only("roofline", frame([*roofs(), *cases, kernel(case="no work")]))
    assert dots(drawn("roofline", part.frame)) == 150
    words = roofline.caption(part.frame)
    assert "150 dots." in words and "50 more rows only in the table of all rows." in words
    assert len(told("roofline", part.frame)) == 100


def test_workloads_stand_by_direction_and_few_in_a_figure_a_line_joining_their_batches():
    cases = [
        row(1e-3 * batch, subject=f"w{i:02}", batch=batch, direction=direction, mode="host",
            flops=10**8 * batch, bytes=10**7 + batch)
        for i in range(12) for batch in (1, 32) for direction in ("train", "inference")
    ]  # fmt: skip
    parts = plots.load("roofline").parts(frame([*roofs(), *cases]))
    assert [part.title for part in parts] == [
        f"workloads, {direction} on CPU, {number} of 2"
        for direction in ("train", "inference")
        for number in (1, 2)
    ]
    figures = [drawn("roofline", part.frame) for part in parts]
    assert [dots(figure) for figure in figures] == [12] * 4
    assert len({figure.axes[0].get_ylim() for figure in figures[:2]}) == 1
    colors = [line.get_color() for line in figures[0].axes[0].lines if len(line.get_xdata()) == 2]
    assert len({*colors} - {style.INK}) == 5  # the sixth hue is that of the roofs
    assert sum(len(told("roofline", part.frame)) for part in parts) == 48


def test_without_a_roof_there_is_no_figure_and_machines_are_not_mixed():
    case = kernel(flops=10**8, bytes=10**7)
    assert roofline.parts(frame([case])) == []
    assert roofline.absent(frame([case])).startswith("No roof was measured on SYNTHETIC")
    there = kernel(flops=10**8, bytes=10**7, device_name="another", case="x")
    table = frame([*roofs(), case, there])
    assert len(only("roofline", table).frame) == 1
    assert roofline.absent(table) == "No roof was measured on another, so its cases have no figure."


# distributions


def steady(seed=0):
    return list(1e-3 * np.random.default_rng(seed).normal(1, 0.01, 200))


def two_modes():
    return [t * (1.5 if i % 2 else 1) for i, t in enumerate(steady())]


def test_the_cases_that_tell_most_are_chosen():
    drifting = [t * (1 + i / 400) for i, t in enumerate(steady(1))]
    rows = [
        kernel(case="steady", samples=steady(), spread=0.001),
        kernel(case="wide", samples=steady(), spread=0.3),
        kernel(case="modes", samples=two_modes()),
        kernel(case="drifts", samples=drifting),
    ]
    parts = distributions.parts(frame(rows))
    assert [(part.group, part.frame["case"].iloc[0]) for part in parts] == [
        ("Two groups", "modes"),
        ("Drift", "drifts"),
        ("Widest intervals", "wide"),
        ("Widest intervals", "steady"),
    ]
    assert "two groups of samples: 50% of them are" in distributions.caption(parts[0].frame)
    many = [kernel(case=f"c{i}", samples=two_modes()) for i in range(20)]
    groups = [part.group for part in distributions.parts(frame(many))]
    assert groups == ["Two groups"] * 3 + ["Widest intervals"] * 5


def test_samples_are_the_rows_own_and_drawn_as_shares_and_in_order():
    made = kernel(samples=[1e-3, 2e-3, 3e-3, 4e-3])
    table = frame([made])
    assert table["samples"].iloc[0] is made.samples
    figure = drawn("distributions", only("distributions", table).frame)
    shares, order = figure.axes
    x, y = (np.asarray(values) for values in shares.lines[0].get_data())
    np.testing.assert_allclose(y, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(x[1:], [0.4, 0.8, 1.2, 1.6])
    (strip,) = [line for line in order.lines if line.get_marker() == "."]
    np.testing.assert_allclose(strip.get_xdata(), [0.4, 0.8, 1.2, 1.6])
    assert np.all(np.diff(np.asarray(strip.get_ydata())) > 0)


def test_an_outlier_is_told_and_marked_and_does_not_press_the_rest_together():
    part = only("distributions", frame([kernel(samples=[*steady(), 1.0])]))
    words = distributions.caption(part.frame)
    assert re.search(r"1 sample beyond the right edge, at most 1,00\d times the median\.", words)
    order = drawn("distributions", part.frame).axes[1]
    assert order.get_xlim()[1] < 2
    assert [len(line.get_xdata()) for line in order.lines if line.get_marker() == ">"] == [1]
    assert "one sample in 2 at least has a dot" in words


def test_seeds_are_no_samples():
    made = kernel(kind="convergence", samples=steady())
    assert distributions.parts(frame([made])) == []


# energy


def test_joules_of_an_iteration_and_a_sample_with_method_and_window():
    how = "NVML total energy counter, 5.1 s window, 812 iterations"
    made = row(batch=4, energy_j=2.0, energy_net_j=1.0, energy_method=how)
    unknown = row(batch=8, energy_j=4.0, energy_method=how, energy_net_j_reason="no idle power")
    part = only("energy", frame([made, unknown]))
    first, second = told("energy", part.frame)
    assert (first["an iteration"], first["a sample"]) == ("2.00 J", "500 mJ")
    assert first["idle power subtracted"] == "1.00 J"
    assert second["idle power subtracted"] == "not known: no idle power"
    assert f"read from: {how}." in plots.load("energy").caption(part.frame)
    assert dots(drawn("energy", part.frame)) == 6  # of 8, two are not known


def test_without_a_counter_the_rows_say_why_and_nothing_is_zero():
    why = "no energy counter here"
    rows = [row(batch=4, energy_j_reason=why), row(batch=8, energy_j=0.0)]
    assert plots.load("energy").parts(frame(rows)) == []
    assert why in plots.load("energy").absent(frame(rows))


# correctness


def test_an_exact_answer_a_wrong_one_and_one_of_each_case():
    def answer(case, error, bound=1e-6, **known):
        return kernel(case=case, correctness_error=error, correctness_bound=bound, **known)

    rows = [
        answer("exact", 0.0),
        answer("half", 5e-7),
        answer("half", 5e-7, mode="cold"),
        answer("wrong", 3e-6, status=FAILED, reason="wrong"),
        answer("none", 1e-6, 0.0),
        kernel(case="unchecked", correctness_error_reason="nothing to hold it against"),
    ]
    part = only("correctness", frame(rows))
    words = plots.load("correctness").caption(part.frame)
    assert words.startswith("4 answers, 2 beyond the bound, 1 exact.")
    assert [line["error over bound"] for line in told("correctness", part.frame)] == [
        "∞, its bound is 0",
        "3.00",
        "0.500",
        "exact",
    ]
    exact, axes = drawn("correctness", part.frame).axes
    assert [t.get_text() for t in exact.get_xticklabels()] == ["exact"]
    assert sum(len(line.get_xdata()) for line in exact.lines) == 1
    left, right = axes.get_xlim()
    assert left < 0.5 and right > 3
    absent = plots.load("correctness").absent(frame(rows))
    assert absent.startswith("Of 5 timed rows 1 have no checked answer; the commonest reason: ")


# all of them


@pytest.mark.parametrize("name", OF_ROWS)
def test_rows_without_their_numbers_have_no_figure_and_a_reason(name):
    plot = plots.load(name)
    table = frame([*roofs(), kernel(), kernel(None, case="none")])
    for empty in (table.iloc[:0], table.assign(status=FAILED)):
        assert plot.parts(empty) == []
        assert plot.absent(empty).endswith(".")
    numbers = [c for c in table.columns if table[c].dtype == "float64"]
    assert plot.parts(table.assign(**dict.fromkeys(numbers, math.nan))) == []


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_null_interval_is_drawn_without_one(name):
    known = {"flops": 10**8, "bytes": 10**7, "energy_j": 1.0, "energy_method": "a counter"}
    known |= {"correctness_error": 0.0, "correctness_bound": 0.0}
    rows = [*roofs(), kernel(median_low_s=None, median_high_s=None, **known)]
    part = only(name, frame(rows))
    drawn(name, part.frame)
    assert "nan" not in f"{plots.load(name).caption(part.frame)} {told(name, part.frame)}".lower()
