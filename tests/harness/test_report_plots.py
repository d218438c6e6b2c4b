"""Each plot draws its parts, says why where it has none, and tells what it leaves out."""

from __future__ import annotations

import pandas as pd
import pytest

from harness import report
from harness.report import plots
from harness.report.frame import frame
from harness.report.plots import style
from harness.report.plots.ticks import ratio_ticks, time_ticks
from tests.harness.make_rows import cpu_and_gpu, many, row
from tests.harness.report_page import page


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return frame(cpu_and_gpu())


ABSENT = {  # of the synthetic CPU there is no roof and no counter
    "roofline": "No roof was measured on SYNTHETIC, not a measurement: cpu, so its cases have no "
    "figure.",
    "energy": "No joules are known on SYNTHETIC, not a measurement: cpu: made up for a test.",
}
OF_ROWS = [name for name in plots.NAMES if plots.load(name).SOURCE == "rows"]


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_plot_draws_its_parts_and_says_why_where_it_has_none(name, table):
    plot = plots.load(name)
    part = plot.parts(table)[0]
    with style.applied():
        assert plot.figure(part.frame).axes
    assert len(plot.table(part.frame)) > 0
    assert plot.absent(table) == ABSENT.get(name, "")
    for rows in ([row(kind="roof")], [row(None, batch=1), row(None, kind="kernel")]):
        assert plot.parts(frame(rows)) == []
        assert plot.absent(frame(rows)).endswith(".")


def test_an_unknown_plot_is_refused():
    with pytest.raises(ValueError, match="no plot 'nosuch'; there are speedup, latency, kernels"):
        plots.load("nosuch")


def test_a_provider_looks_the_same_in_all_figures(table):
    looks = set()
    for name in OF_ROWS:
        for part in plots.load(name).parts(table):
            looks |= set(zip(part.frame["provider"], part.frame["look"], strict=True))
    assert sorted(looks) == [("torch", 0), ("torch.compile", 1), ("triton", 2)]


def test_what_a_figure_leaves_out_is_said(table):
    oom = next(p for p in plots.load("latency").parts(table) if "transformer" in p.title)
    assert plots.load("latency").caption(oom.frame) == "No point for 2 rows: 2 out_of_memory."
    rows = [
        row(batch=b, provider=f"p{i}") for i in range(style.MAX_SERIES + 3) for b in range(1, 5)
    ]
    (part,) = plots.load("latency").parts(frame(rows))
    assert "3 more lines only in the table of all rows." in plots.load("latency").caption(
        part.frame
    )
    rows = [row(kind="kernel", case=f"case{i}") for i in range(40)]
    (part,) = plots.load("kernels").parts(frame(rows))
    assert "24 more rows only in the table of all rows." in plots.load("kernels").caption(
        part.frame
    )


def test_figures_are_bounded_and_the_rest_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_FIGURES", 5)
    shown = page(tmp_path, many(400))
    assert shown.count("svg") == 5
    assert "more figures left out. Their numbers are in the table of all rows." in shown.text


def test_room_is_shared_by_who_needs_it():
    assert report._allot([48, 24, 8], 80) == [48, 24, 8]
    assert report._allot([100, 100, 4], 80) == [38, 38, 4]


def test_kernels_stand_by_their_largest_speedup():
    rows = [
        row(1e-3, kind="kernel", case=case, provider=provider, speedup=speedup)
        for case, speedup in (("slow", 0.7), ("best", 3.0), ("good", 1.5))
        for provider in ("torch", "triton")
    ]
    (part,) = plots.load("kernels").parts(frame(rows))
    shown = plots.load("kernels").table(part.frame)
    assert list(dict.fromkeys(shown["case"])) == ["best", "good", "slow"]
    assert list(shown["verdict"])[:2] == ["not compared", "faster"]


def test_labels_are_moved_apart_and_stay_inside():
    assert style.spread([10, 11, 50], 12, (0, 100)) == [10, 22, 50]
    assert style.spread([95, 99], 12, (0, 100)) == [88, 100]
    assert style.spread([], 12, (0, 100)) == []


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ([4.1e-5, 6.2e-5], ["45 µs", "50 µs", "55 µs", "60 µs"]),
        ([9e-4, 6e-3], ["1 ms", "2 ms", "5 ms"]),
        ([9e-7, 2e-1], ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]),
        ([9e-10, 2e2], ["1 ns", "100 ns", "10 µs", "1 ms", "100 ms", "10 s"]),
    ],
)
def test_times_at_the_axis_are_round_and_few(ends, labels):
    assert list(time_ticks(ends).values()) == labels


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ([0.88, 1.11], ["0.9×", "0.95×", "1×", "1.05×", "1.1×"]),
        ([0.4, 9.0], ["0.5×", "1×", "2×", "4×", "8×"]),
        ([0.01, 2000.0], ["0.01×", "0.1×", "1×", "10×", "100×", "1000×"]),
    ],
)
def test_speedups_at_the_axis_are_round_and_few(ends, labels):
    assert list(ratio_ticks(ends).values()) == labels
