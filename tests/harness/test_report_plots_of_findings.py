"""What the probes find, drawn: numbers worked by hand, hostile ones, and a page with all plots."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from harness.report import plots
from harness.report.findings import findings as table_of
from tests.harness.make_evidence import finding
from tests.harness.make_rows import row
from tests.harness.plot_parts import dots, drawn, kernel, only, roofs, told
from tests.harness.report_page import page
from tests.harness.test_report_plots_of_rows import OF_ROWS

HOSTILE = "<script>alert(1)</script>"
PROBES = {"products": "products", "backpropagation": "backward", "gradient_noise": "noise"}
OF_FINDINGS = tuple(PROBES)


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
    assert "The noise scale, in samples, was 10 [9, 11] at step 0, " in words
    assert words.count("] at step ") == words.count("[") and "110 [99, 121] at step 100." in words
    assert len(told("gradient_noise", part.frame)) == 5
    off = [finding("noise", at=f"batch {b}", batch=b, **ends("variance", 1.0)) for b in (1, 4, 16)]
    words = plots.load("gradient_noise").caption(only("gradient_noise", table_of(off)).frame)
    assert "0.250 to 4.00 times the line's; its interval has the line in it at 1 of 3" in words
    endless = finding("noise", at="step 9", step=9, noise_scale=None,
                      why={"noise_scale": "it is inf"})  # fmt: skip
    part = only("gradient_noise", table_of([*probes(), endless]))
    assert "Not known, or infinite: at step 9." in plots.load("gradient_noise").caption(part.frame)


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


# a page with all of them, of rows and findings


def test_a_page_with_all_of_them_has_each_and_the_same_bytes(tmp_path):
    known = {"flops": 10**8, "bytes": 10**7, "energy_j": 1.0, "energy_method": "a counter"}
    rows = [*roofs(), kernel(**known, correctness_error=1e-7, correctness_bound=1e-6)]
    first = page(tmp_path, rows, findings=probes())
    for name in (*OF_ROWS, *OF_FINDINGS):
        section = first.html.partition(f'<section id="{name}">')[2].partition("</section>")[0]
        assert "<svg" in section and "<table" in section, name
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
