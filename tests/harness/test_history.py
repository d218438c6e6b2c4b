"""Many runs of one machine as one table, and as a figure."""

import math

import pytest

from harness.report.frame import frame
from harness.report.history import history
from harness.report.plots import history as plot
from harness.report.plots import style
from tests.harness.make_rows import row


def run(day, *medians, **known):
    started = {"started_at": f"2026-01-0{day}T00:00:00+00:00"}
    names = "abcdefghijk"
    return [
        row(m, name=n, case=n, batch=1, **(started | known))
        for n, m in zip(names, medians, strict=False)
    ]


RUNS = [
    frame(run(3, 1e-3, 1.5e-3), "third"),
    frame(run(1, 2e-3), "first"),
    frame(run(2, 2.1e-3, 1e-3), "second"),
]


def test_runs_stand_in_the_order_of_time_and_are_compared_with_the_first_that_has_the_row():
    table = history(RUNS)
    a = table[table["case"] == "a"]
    assert list(zip(a["run"], a["number"], strict=True)) == [
        ("first", 1),
        ("second", 2),
        ("third", 3),
    ]
    assert list(a["value"]) == pytest.approx([1, 2 / 2.1, 2])
    b = table[table["case"] == "b"]
    assert list(b["value"]) == pytest.approx([1, 1 / 1.5])
    # both medians are known to ± 2 %
    assert a["value_low"].iloc[2] == pytest.approx(2 * 0.972, rel=1e-3)
    assert a["value_high"].iloc[2] == pytest.approx(2 * 1.029, rel=1e-3)
    assert a["value_low"].iloc[0] == a["value_high"].iloc[0] == 1


def test_what_was_not_measured_and_what_is_no_result_is_left_out():
    rows = [row(None), row(kind="aa"), row(kind="check"), row(kind="convergence"), row(kind="roof")]
    assert list(history([frame(rows, "one")])["kind"]) == ["roof"]
    assert history([]).empty


def test_an_interval_that_is_not_known_is_not_made_up():
    unknown = {"median_low_s": None, "median_high_s": None}
    runs = [frame(run(1, 2e-3), "one"), frame(run(2, 1e-3, **unknown), "two")]
    table = history(runs)
    assert table["value"].tolist() == pytest.approx([1, 2])
    assert table["value_low"].tolist()[0] == 1 and math.isnan(table["value_low"].tolist()[1])
    (part,) = plot.parts(table)
    with style.applied():
        assert plot.figure(part.frame) is not None
    assert "2.00 [interval not known] in run 2" in plot.caption(part.frame)
    assert plot.table(part.frame)["speedup over the first run"].tolist()[1].endswith("not known]")


def test_the_figure_has_what_more_than_one_run_has():
    (part,) = plot.parts(history(RUNS))
    assert set(part.frame["case"]) == {"a", "b"}
    with style.applied():
        assert plot.figure(part.frame).axes
    shown = plot.table(part.frame)
    assert list(shown["run"]) == ["first", "second", "second", "third", "third"]
    assert plot.caption(part.frame) == (
        "3 runs. a, torch: 2.00 [1.94, 2.06] in run 3, trust low. "
        "b, torch: 0.667 [0.648, 0.686] in run 3, trust low."
    )
    assert plot.absent(history(RUNS)) == ""
    assert plot.absent(history(RUNS[:1])) == "No case was measured in more than one of these runs."


def test_lines_that_have_no_room_are_told():
    many = [frame(run(i, *[1e-3] * 11), f"run{i}") for i in (1, 2)]
    (part,) = plot.parts(history(many))
    with style.applied():
        assert plot.figure(part.frame) is not None
    assert "3 more lines only in the numbers." in plot.caption(part.frame)
