"""What makes a figure readable: few lines, ticks enough, what all lines share told once."""

from __future__ import annotations

import pandas as pd
import pytest

from harness import report
from harness.report import plots
from harness.report.frame import frame
from harness.report.plots import panels, speedup
from harness.report.plots.ticks import ratio_ticks, time_ticks
from harness.report.table import told_once
from tests.harness.make_curves import curve
from tests.harness.make_rows import many, row
from tests.harness.plot_parts import drawn, parts
from tests.harness.report_page import page


def test_what_every_line_says_is_told_once_and_no_number_is_lost():
    numbers = pd.DataFrame({"batch": ["1", "32"], "device": ["cpu"] * 2, "n": ["500"] * 2})
    left, words = told_once(numbers)
    assert list(left) == ["batch"] and words == "device cpu, n 500"
    for few in (numbers.iloc[:1], numbers.iloc[[0, 0]]):  # nothing would be left
        left, words = told_once(few)
        assert left.equals(few) and words == ""


def test_the_page_drops_constants_from_a_figures_numbers(tmp_path):
    shown = page(tmp_path, [row(1e-3 * batch, batch=batch) for batch in (1, 32)])
    assert "In every line: workload cnn, provider torch" in shown.text


def test_cells_of_wide_tables_carry_their_heading_for_narrow_boxes(tmp_path):
    rows = [
        row(1e-3 * n, kind="kernel", case=f"c{n}", provider=provider, speedup=1.0 + n)
        for n in (1, 2)
        for provider in ("torch", "triton")
    ]
    shown = page(tmp_path, rows)
    labels = [a.get("data-label") for tag, a in shown.elements if tag == "td"]
    assert "median, 95 % interval" in labels and "what it stands on" in labels
    assert ".stack td::before { content: attr(data-label)" in shown.html
    assert ".claims .stands { width: 45%; }" in shown.html and 'class="stands"' in shown.html


@pytest.mark.parametrize("ticks", [time_ticks, ratio_ticks, panels.decades])
def test_a_log_axis_has_ticks_enough_wherever_it_begins(ticks):
    for low in (1.0, 1.1, 1.9, 2.1, 4.9, 5.1, 8.1, 9.9):
        for factor in (1.3, 1.9, 2.9, 3.1, 5, 9, 90, 5e4):
            found = ticks([low, low * factor])
            assert 2 <= len(found) <= 8, (low, factor, found)
            assert all(low <= tick <= low * factor for tick in found)


@pytest.mark.parametrize("name", ["currencies", "survival", "profile"])
def test_twelve_optimizers_are_two_figures_of_six_with_the_same_axes(name):
    of = [curve(optimizer=f"o{i:02}", batch=64, seed=seed) for i in range(12) for seed in range(3)]
    found = [frame for title, frame in parts(name, of).items() if title.endswith(" of 2")][:2]
    figures = [drawn(name, frame) for frame in found]
    named = [{text.get_text() for text in figure.texts} for figure in figures]
    assert [len(names) for names in named] == [6, 6] and not named[0] & named[1]
    assert len({text.get_color() for text in figures[0].texts}) == 6
    assert len({figure.axes[0].get_xlim() for figure in figures}) == 1
    assert len({plots.load(name).caption(frame) for frame in found}) == 1
    assert len(plots.load(name).table(found[0])) > 0


def test_workloads_compared_at_one_batch_size_are_one_figure():
    rows = [
        row(1e-3, subject=f"w{i}", batch=32, provider=provider, speedup=0.5 + i / 10)
        for i in range(4)
        for provider in ("torch", "triton")
    ]
    (part,) = speedup.parts(frame(rows))
    (axes,) = drawn("speedup", part.frame).axes
    named = [text.get_text().partition(",")[0] for text in axes.texts[1:]]
    assert named == ["w3", "w2", "w1", "w0"]
    assert speedup.caption(part.frame).startswith("4 comparisons: ")
    assert len(speedup.table(part.frame)) == 4
    two = [
        row(1e-3, subject="w0", batch=batch, provider=provider, speedup=0.5)
        for batch in (32, 64)
        for provider in ("torch", "triton")
    ]
    (part,) = speedup.parts(frame(two))
    assert part.title.startswith("w0, ")


def test_figures_left_out_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_FIGURES", 5)
    text = page(tmp_path, many(400)).text
    assert "A report has room for so many; not drawn are " in text
