"""Roofline, samples, energy, correctness and findings: numbers worked by hand, and hostile ones."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest

from harness.probes.spec import Finding
from harness.record import FAILED
from harness.report import plots
from harness.report.findings import findings as table_of
from harness.report.frame import frame
from harness.report.plots import distributions, roofline, style
from harness.report.trials import points, trials, variants
from tests.harness.make_curves import curve
from tests.harness.make_rows import SYNTHETIC, row
from tests.harness.report_page import page

HOSTILE = "<script>alert(1)</script>"
OF_ROWS = ("roofline", "distributions", "energy", "correctness")
PROBES = {"products": "products", "backpropagation": "backward", "gradient_noise": "noise"}
OF_FINDINGS = tuple(PROBES)
NAME = f"{SYNTHETIC} cpu"


def kernel(median=1e-3, samples=(), **known):
    """A row of a kernel on the CPU whose samples are given, or all its median."""
    made = row(median, **{"kind": "kernel", "subject": "matmul", "mode": "host"} | known)
    return dataclasses.replace(made, samples=tuple(samples)) if samples else made


def roofs():
    """A copy of 10 GB/s that was once at 20, one of 100 in the cache, products of 1 TFLOP/s."""
    made = [
        kernel(1e-3, kind="roof", subject="copy", case="memory", bytes=10_000_000,
               samples=[1e-3] * 20 + [5e-4] * 5),
        kernel(1e-4, kind="roof", subject="copy", case="cache", bytes=10_000_000),
        kernel(1e-2, kind="roof", subject="product", case="n", flops=10**10),
    ]  # fmt: skip
    return made


def finding(probe, subject="mlp", at="batch 32", why=None, device_name=NAME, n=60, **values):
    return Finding(probe, subject, at, "cpu", device_name, n, values, why or {})


def ends(name, value, share=0.1):
    return {name: value, f"{name}_low": value * (1 - share), f"{name}_high": value * (1 + share)}


def probes():
    """What the three probes find, all that is drawn."""
    return [
        finding("products", flops_share=0.97, **ends("time_share", 0.4), flops_products=97.0,
                flops_rest=3.0),
        finding("products", "cnn", flops_share=0.99, **ends("time_share", 0.95, 0.02)),
        finding("backward", "deep_mlp", **ends("backward_over_forward", 2.1),
                **ends("checkpointed_over_plain", 1.4), saved_bytes=1e6, peak_bytes=3e6,
                saved_bytes_checkpointed=2e5, peak_bytes_checkpointed=1e6, forward_s=1e-3),
        *(finding("noise", at=f"batch {b}", batch=b, **ends("variance", 8 / b))
          for b in (1, 4, 16)),
        *(finding("noise", at=f"step {s}", step=s, **ends("noise_scale", 10.0 + s))
          for s in (0, 100)),
    ]  # fmt: skip


def only(name, table):
    (part,) = plots.load(name).parts(table)
    return part


def drawn(name, part):
    with style.applied():
        figure = plots.load(name).figure(part)
    assert figure is not None
    return figure


def dots(figure):
    """How many points with a marker stand in the axes."""
    return sum(
        int(np.isfinite(np.array(line.get_xydata(), dtype=float)).all(axis=1).sum())
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() not in ("", "None", None)
    )


def told(name, part):
    return plots.load(name).table(part).to_dict("records")


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
        kernel(1e-3, subject=f"s{i % 30}", case=f"c{i}", flops=10**8 + i, bytes=10**7)
        for i in range(150)
    ]
    part = only("roofline", frame([*roofs(), *cases, kernel(case="no work")]))
    assert dots(drawn("roofline", part.frame)) == 150
    words = roofline.caption(part.frame)
    assert "150 dots." in words and "50 more rows only in the table of all rows." in words
    assert "no marker of their own are drawn as others" in words
    assert len(told("roofline", part.frame)) == 100


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
        ("Two modes", "modes"),
        ("Drift", "drifts"),
        ("Widest intervals", "wide"),
        ("Widest intervals", "steady"),
    ]
    assert "two modes: 50% of the samples are" in distributions.caption(parts[0].frame)
    many = [kernel(case=f"c{i}", samples=two_modes()) for i in range(20)]
    groups = [part.group for part in distributions.parts(frame(many))]
    assert groups == ["Two modes"] * 3 + ["Widest intervals"] * 5


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


# findings


def test_findings_as_a_table_keep_the_last_and_no_number_that_is_none():
    found = [
        finding("noise", variance=1.0),
        finding("noise", variance=2.0, batch=10**400, step=None, x=1e300),
        finding("noise", variance=3.0, device_name="another"),
    ]
    table = table_of(found)
    assert [values["variance"] for values in table["values"]] == [2.0, 3.0]
    assert all(math.isnan(table["values"][0][name]) for name in ("batch", "step", "x"))


def test_shares_of_products_are_told_and_drawn():
    part = only("products", table_of(probes()))
    words = plots.load("products").caption(part.frame)
    assert "97% to 99% of the FLOPs, at least 90 % in 2 of 2 workloads" in words
    assert "40% to 95% of the time, at least 90 % in 1 of 2 workloads" in words
    assert [line["workload"] for line in told("products", part.frame)] == ["cnn", "mlp"]
    assert dots(drawn("products", part.frame)) == 4
    none = table_of([finding("products", flops_share=1.7), finding("backward", flops_share=0.5)])
    assert plots.load("products").parts(none) == []


def test_what_the_backward_pass_costs_is_told_with_its_intervals_or_why_there_is_none():
    part = only("backpropagation", table_of(probes()))
    words = plots.load("backpropagation").caption(part.frame)
    assert "backward takes 2.10 [1.89, 2.31] times the forward pass" in words
    assert "checkpointing keeps 20% of 1.00 MB for 1.40 [1.26, 1.54] times the time" in words
    assert dots(drawn("backpropagation", part.frame)) == 6
    names = ("backward_over_forward", "backward_over_forward_low", "peak_bytes")
    why = {names[1]: "a thread waited", names[2]: "torch keeps none"}
    part = only("backpropagation", table_of([
        finding("backward", **dict.fromkeys(names) | {names[0]: 2.0}, why=why)]))  # fmt: skip
    words = plots.load("backpropagation").caption(part.frame)
    assert "backward takes 2.00 times" in words and "interval not known" not in words
    assert "No interval is known: a thread waited." in words
    assert "No peak of memory is known: torch keeps none." in words
    drawn("backpropagation", part.frame)


def test_the_line_of_one_over_b_lies_in_the_middle_of_the_variances():
    part = only("gradient_noise", table_of(probes()))
    by_batch, _ = drawn("gradient_noise", part.frame).axes
    line = by_batch.lines[0]
    np.testing.assert_allclose(np.asarray(line.get_xdata()) * np.asarray(line.get_ydata()), 8.0)
    words = plots.load("gradient_noise").caption(part.frame)
    assert "1.00 to 1.00 times the line's; its interval has the line in it at 3 of 3" in words
    assert "10 [9, 11] samples at step 0, and 110 [99, 121] samples at step 100." in words
    assert len(told("gradient_noise", part.frame)) == 5
    off = [finding("noise", at=f"batch {b}", batch=b, **ends("variance", 1.0)) for b in (1, 4, 16)]
    words = plots.load("gradient_noise").caption(only("gradient_noise", table_of(off)).frame)
    assert "0.250 to 4.00 times the line's; its interval has the line in it at 1 of 3" in words
    endless = finding("noise", at="step 9", step=9, noise_scale=None,
                      why={"noise_scale": "it is inf"})  # fmt: skip
    part = only("gradient_noise", table_of([*probes(), endless]))
    assert "Not known, or infinite: at step 9." in plots.load("gradient_noise").caption(part.frame)


# variants of a workload


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
    currencies = plots.load("currencies")
    parts = [p for p in currencies.parts(points(made, table)) if "variants 4x64" in p.title]
    shown = currencies.table(parts[0].frame)
    assert list(dict.fromkeys(shown["setting"])) == ["net", "4x64", "4x64-he", "4x64-zeros"]
    drawn("currencies", parts[0].frame)
    (alone,) = [p for p in plots.load("survival").parts(table) if p.group == "Workloads"]
    assert {"net", "other"} <= {*alone.frame["workload"]}
    assert "net/mlp" not in {*alone.frame["workload"]}


# all of them


def test_a_page_with_all_of_them_has_each_and_the_same_bytes(tmp_path):
    known = {"flops": 10**8, "bytes": 10**7, "energy_j": 1.0, "energy_method": "a counter"}
    rows = [*roofs(), kernel(**known, correctness_error=1e-7, correctness_bound=1e-6)]
    first = page(tmp_path, rows, findings=probes())
    for name in (*OF_ROWS, *OF_FINDINGS):
        section = first.html.partition(f'<section id="{name}">')[2].partition("</section>")[0]
        assert "<svg" in section and "<table>" in section, name
    again = page(tmp_path, rows, findings=probes())
    assert first.html == again.html


def test_a_run_without_findings_has_none_of_their_sections(tmp_path):
    shown = page(tmp_path, [row()])
    assert not any(f'<section id="{name}">' in shown.html for name in OF_FINDINGS)
    shown = page(tmp_path, [row()], findings=probes()[:1])
    assert "The probe backward found no times in this run." in shown.text


def test_hostile_text_stays_text(tmp_path):
    name = f"{HOSTILE}$x$\u202e{'x' * 5000}"
    texts = {"subject": name, "case": name, "provider": name, "device_name": name, "dtype": name}
    rows = [*roofs(), *(dataclasses.replace(r, extra_info={**r.extra_info, "device_name": name})
                        for r in roofs())]  # fmt: skip
    rows += [
        kernel(**texts, flops=10**8, bytes=10**7, correctness_error=1e-6, correctness_bound=1e-5,
               energy_j=1.0, energy_method=name),
        kernel(case="b", throttled=True, throttle_reasons=name, correctness_error_reason=name,
               energy_j_reason=name),
    ]  # fmt: skip
    found = [
        dataclasses.replace(f, subject=name, at=f"{f.at}{name}", device_name=name,
                            why=dict.fromkeys(("noise_scale", "peak_bytes"), name))
        for f in probes()
    ]  # fmt: skip
    shown = page(tmp_path, rows, findings=found)
    assert shown.count("script") == 1  # ours
    assert HOSTILE in shown.text
    assert "\u202e" not in shown.html and "x" * 600 not in shown.html


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


@pytest.mark.parametrize("name", OF_FINDINGS)
@pytest.mark.parametrize("value", [None, -1.0, 10**400], ids=["null", "negative", "huge"])
def test_findings_of_any_size_are_drawn_or_left_out(name, value):
    plot = plots.load(name)
    found = [f for f in probes() if f.probe == PROBES[name]]
    for changed in {key for f in found for key in f.values}:
        odd = [dataclasses.replace(f, values={**f.values, changed: value}) for f in found]
        for part in plot.parts(table_of(odd)):
            drawn(name, part.frame)
            words = f"{plot.caption(part.frame)} {plot.table(part.frame).to_dict('records')}"
            assert "nan" not in words.lower(), (changed, words)
    nothing = table_of([dataclasses.replace(f, values=dict.fromkeys(f.values)) for f in found])
    assert plot.parts(nothing) == [] and plot.absent(nothing).endswith(".")
    assert plot.parts(table_of([])) == [] and plot.absent(table_of([])).endswith(".")
    assert isinstance(table_of([]), pd.DataFrame)
