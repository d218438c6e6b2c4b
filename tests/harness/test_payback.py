"""When compiling has paid for itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.payback import fields, once_s, payback_calls

seconds = st.floats(1e-6, 1e3)


@pytest.mark.parametrize(
    ("first", "median", "base_first", "base_median", "calls"),
    [
        (10.0, 1.0, 2.0, 2.0, 9),  # 8 s behind, 1 s less a call
        (2.0, 1.0, 2.0, 2.0, 1),
        (10.0, 1.0, 2.0, 1.0, math.inf),
        (10.0, 2.0, 2.0, 1.0, math.inf),
    ],
)
def test_calls_until_it_has_paid_for_itself(first, median, base_first, base_median, calls):
    assert payback_calls(first, median, base_first, base_median) == calls


@given(seconds, seconds, seconds, seconds)
def test_it_is_the_first_call_at_which_the_sum_is_no_larger(first, median, base_first, base_median):
    n = payback_calls(first, median, base_first, base_median)

    def ahead(calls):
        return base_first + (calls - 1) * base_median - first - (calls - 1) * median

    tiny = 1e-9 * (first + base_first + median + base_median)
    if math.isfinite(n):
        assert ahead(n) >= -tiny * n
        assert n == 1 or ahead(n - 1) <= tiny * n
    else:
        assert median >= base_median


def test_what_was_done_once():
    assert once_s(3.0, 0.5) == 2.5
    assert once_s(0.4, 0.5) == 0.0


def info(first, median, low=1.0, **more):
    return {"first_call_s": first, "median_s": median, "speedup_low": low, **more}


def test_the_fields_of_a_row():
    base = info(2.0, 2.0)
    assert fields(info(10.0, 1.0, 1.9), base) == {"once_s": 9.0, "payback_calls": 9}
    assert "never" in fields(info(10.0, 1.9, 0.9), base)["payback_calls_reason"]
    assert "never" in fields(info(10.0, 2.1, 1.01), base)["payback_calls_reason"]
    doubtful = info(10.0, 1.0, None, speedup_low_reason="not to be trusted: contended")
    assert fields(doubtful, base)["payback_calls_reason"] == "not to be trusted: contended"
    assert fields(info(10.0, 1.0, 1.9), None)["payback_calls_reason"]
