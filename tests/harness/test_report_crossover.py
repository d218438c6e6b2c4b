"""Planted crossovers are found with their intervals, and none is claimed where there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.crossover import crossing, crossover, device_ratio
from harness.report.frame import frame
from tests.harness.make_rows import BATCHES, row


def test_a_planted_crossover_is_found_with_its_interval():
    speedup = [batch / 48 for batch in BATCHES]  # a straight line in log-log, 1 at batch 48
    found = crossover(BATCHES, speedup, [s / 1.5 for s in speedup], [s * 1.5 for s in speedup])
    assert (found.batch, found.low, found.high) == pytest.approx((48, 32, 72), rel=1e-12)
    assert found.words == "GPU faster from batch 48 [32, 72]"


def test_above_1_for_a_while_is_no_crossover():
    found = crossover([1, 2, 4, 8, 16], [0.5, 2, 0.5, 2, 4], [0.4] * 4 + [3], [3] * 5)
    assert found.batch == pytest.approx(math.sqrt(32))
    assert found.high > found.batch
    assert found.low == 0


@pytest.mark.parametrize(
    ("speedup", "width", "said"),
    [
        ([2, 3, 4], 1.1, "GPU faster at every measured batch, 1 to 100"),
        ([0.2, 0.3, 0.4], 1.1, "CPU faster at every measured batch, 1 to 100"),
        ([0.2, 2, 0.5], 1.1, "no crossover up to batch 100, where CPU is faster"),
        ([0.5, 0.6, 0.99], 1.1, "no crossover up to batch 100, where the two are same or unclear"),
        ([1.05, 2, 4], 1.1, "GPU faster from batch 1.2; below it same or unclear [below 1, 1.2]"),
        (
            [0.5, 0.9, 1.05],
            1.1,
            "medians cross at batch 48 [12, above 100], and at batch 100 the two are still same "
            "or unclear",
        ),
        (
            [1.01, 1.02, 1.03],
            1.1,
            "GPU's median is ahead, and at batch 100 the two are still same or unclear",
        ),
    ],
)
def test_crossover_in_words(speedup, width, said):
    low, high = [s / width for s in speedup], [s * width for s in speedup]
    assert crossover([1, 10, 100], speedup, low, high).words == said


@pytest.mark.parametrize(
    ("value", "said"), [(2, "GPU faster"), (0.5, "CPU faster"), (1, "same or unclear")]
)
def test_one_batch_size_is_called_the_only_one(value, said):
    found = crossover([32], [value], [value * 0.9], [value * 1.1])
    assert found.words == f"{said} at the only measured batch, 32"


@given(
    st.lists(
        st.tuples(st.floats(0.01, 100), st.floats(1, 3), st.floats(1, 3)), min_size=1, max_size=8
    )
)
def test_the_interval_holds_the_crossover(points):
    batches = [2.0**i for i in range(len(points))]
    speedup = [s for s, _, _ in points]
    low, high = [s / a for s, a, _ in points], [s * b for s, _, b in points]
    found = crossover(batches, speedup, low, high)
    # both bounds lie on lines between the same batches: equal up to rounding at the tightest
    assert found.low <= found.batch * (1 + 1e-12)
    assert found.batch <= found.high * (1 + 1e-12)


def test_crossover_refuses_what_it_cannot_order():
    with pytest.raises(ValueError, match="rising"):
        crossover([2, 1], [1, 1], [1, 1], [1, 1])
    with pytest.raises(ValueError, match="same number"):
        crossover([1, 2], [1], [1, 1], [1, 1])


def test_gpu_over_cpu_pairs_equals_and_takes_the_widest_interval():
    cpu = row(8e-3, batch=4, device="cpu", median_low_s=7e-3, median_high_s=9e-3, n=50)
    gpu = row(2e-3, batch=4, device="cuda", median_low_s=1e-3, median_high_s=3e-3, n=40)
    gpu_known: dict[str, Any] = {"batch": 4, "device": "cuda"}
    others = [
        row(1e-3, **{**gpu_known, field: "another"})
        for field in ("mode", "dtype", "provider", "direction", "subject", "case")
    ]
    (found,) = device_ratio(frame([cpu, gpu, *others])).to_dict("records")
    assert (found["value"], found["n"]) == (4, 40)
    assert (found["low"], found["high"]) == pytest.approx((7 / 3, 9))


def test_where_no_verdict_is_given_no_crossover_is_told():
    def lines(*ratios, spread=0.0005):
        known: dict[str, Any] = {"spread": spread, "kind": "workload"}
        pairs = enumerate(ratios)
        rows = [
            made
            for i, ratio in pairs
            for made in (
                row(ratio * 1e-3, batch=2**i, device="cpu", **known),
                row(1e-3, batch=2**i, device="cuda", **known),
            )
        ]
        return device_ratio(frame(rows))

    within = lines(
        1.005, 1.006
    )  # both intervals exclude 1, and what was minutes apart has a floor of 10 %
    assert within["verdict"].tolist() == ["same", "same"] and (within["low"] > 1).all()
    assert crossing(within).words == (
        "GPU's median is ahead, and at batch 2 the two are still same or unclear"
    )
    assert crossing(lines(1.5, 2.0)).words == "GPU faster at every measured batch, 1 to 2"
    assert crossing(lines(0.5, 0.6)).words == "CPU faster at every measured batch, 1 to 2"
    assert "same or unclear" in crossing(lines(0.995, 0.995)).words
    found = crossing(lines(0.5, 1.005, 2.0))
    assert 1 < found.low < found.batch < 2 < found.high < 4
    many = lines(1.2, *[1.0] * 200, spread=0.05)  # no longer after as many comparisons (Holm)
    assert many["verdict"].iloc[0] == "unclear" and many["low"].iloc[0] > 1
    assert crossing(many.iloc[:1]).words == "same or unclear at the only measured batch, 1"
