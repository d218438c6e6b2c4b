"""The plot of predicted against measured kernels: numbers worked by hand, and odd ones."""

import pytest

from harness.report import plots
from harness.report.frame import frame
from tests.harness.plot_parts import dots, drawn, kernel, only, told


def on_gpu(median=1e-3, predicted=5e-4, share=0.4, **more):
    where = {"device": "cuda", "device_name": "NVIDIA H200", "mode": "warm"}
    launched = {"launches": "k: 132 programs of 8 warps", "provider": "triton"}
    return kernel(median, predicted_s=predicted, roof_share=share, **where | launched | more)


def test_a_time_stands_over_its_prediction_and_over_the_roof():
    part = only("prediction", frame([on_gpu(case="c")]))
    assert (part.group, part.title) == ("Warm mode", "matmul on NVIDIA H200")
    (line,) = told("prediction", part.frame)
    assert line["case"] == "c, triton"
    assert line["measured / predicted"] == "2.00 [1.96, 2.04]"
    assert line["measured / roof"] == "2.50×"
    assert line["predicted, not measured"].startswith("500 µs")
    figure = drawn("prediction", part.frame)
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in "os^D"]
    assert sorted(marks) == pytest.approx([2.0, 2.5])


def test_the_farthest_from_its_prediction_is_first():
    rows = [on_gpu(case="near"), on_gpu(case="far", predicted=1e-4), on_gpu(predicted=2e-3)]
    part = only("prediction", frame(rows))
    assert [line["case"] for line in told("prediction", part.frame)][:2] == [
        "far, triton", "near, triton",
    ]  # fmt: skip
    words = plots.load("prediction").caption(part.frame)
    assert words.startswith("3 rows: the median one takes 2.00× its prediction, far, triton 10.0")
    assert dots(drawn("prediction", part.frame)) >= 6


@pytest.mark.parametrize(
    "odd",
    [{"predicted": None}, {"predicted": -1.0}, {"predicted": 0.0}, {"share": None}, {"share": 0.0}],
    ids=str,
)
def test_what_cannot_be_drawn_is_left_out_and_why_is_told(odd):
    reason = {"predicted_s_reason": "only on a GPU", "roof_share_reason": "no roof"}
    table = frame([on_gpu(**odd, **reason)])
    assert plots.load("prediction").parts(table) == []
    assert plots.load("prediction").absent(table).startswith("No kernel's launches have a predict")


def test_of_rows_that_were_not_timed_no_reason_is_told():
    left_out = [kernel(None, case=case, predicted_s_reason="not timed") for case in "ab"]
    table = frame([on_gpu(predicted=None, predicted_s_reason="only on a GPU"), *left_out])
    told = plots.load("prediction").absent(table)
    assert told == "No kernel's launches have a prediction in this run: only on a GPU."


def test_many_cases_are_drawn_in_part_and_told_in_full():
    rows = [on_gpu(case=f"case{i}", predicted=1e-3 / (i + 1)) for i in range(40)]
    part = only("prediction", frame(rows))
    assert len(told("prediction", part.frame)) == 40
    assert "20 more lines only in the numbers." in plots.load("prediction").caption(part.frame)
