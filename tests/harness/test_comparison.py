"""Wrong providers are refused before anything is timed."""

import numpy as np
import pytest
import torch

from harness.comparison import Checker, Comparison

N = 96


def comparison(n=N, **changes):
    def inputs(seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, n, generator=generator), torch.randn(n, n, generator=generator)

    known = {
        "subject": "product",
        "case": f"{n}",
        "dtype": "float32",
        "direction": "forward",
        "inputs": inputs,
        "providers": {"torch": lambda: torch.matmul},
        "baseline": "torch",
        "reference": torch.matmul,
        "magnitude": lambda a, b: a.abs() @ b.abs(),
    }
    return Comparison(**{**known, **changes})


def wrong(provider, **changes):
    return Checker(comparison(**changes)).check(provider).wrong


def previous():
    """A provider that returns what it computed the call before."""
    kept = [torch.zeros(N, N)]

    def provider(a, b):
        kept.append(a @ b)
        return kept[-2]

    return provider


def stale():
    """A provider that computes once and keeps the answer."""
    kept = []
    return lambda a, b: (kept.append(a @ b) if not kept else None, kept[0])[1]


def partly(a, b):
    out = torch.empty(N, N)
    out[: N - 1] = (a @ b)[: N - 1]
    return out


def one_element_off(a, b):
    out = a @ b
    out[-1, -1] += 1e-3
    return out


WRONG = {
    "returns zeros": lambda a, b: torch.zeros(N, N),
    "returns its previous output": previous(),
    "computes once": stale(),
    "writes only part": partly,
    "is off in one element": one_element_off,
    "rounds to half": lambda a, b: (a.half() @ b.half()).float(),
    "swaps the operands": lambda a, b: b @ a,
    "returns NaN": lambda a, b: (a @ b) * float("nan"),
    "returns another shape": lambda a, b: (a @ b)[:1],
    "returns another dtype": lambda a, b: (a @ b).double(),
    "returns two tensors": lambda a, b: (a @ b, a),
    "writes into its input": lambda a, b: a.copy_(a @ b),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_provider_is_refused_that(fault):
    assert wrong(WRONG[fault])


@pytest.mark.parametrize(
    "provider", [torch.matmul, lambda a, b: (b.t() @ a.t()).t(), lambda a, b: a @ b]
)
def test_right_providers_pass(provider):
    verdict = Checker(comparison()).check(provider)
    assert verdict.wrong is None
    assert 0 <= verdict.error <= verdict.bound < 1e-4


def test_the_first_call_is_timed():
    checker = Checker(comparison())
    assert checker.first_call_s is None
    checker.check(torch.matmul)
    assert checker.first_call_s > 0


def test_nan_and_infinity_must_stand_where_the_reference_has_them():
    def inputs(seed):
        return (torch.tensor([1.0, float("nan"), float("inf"), -float("inf")]) * (seed + 1),)

    kept = {"inputs": inputs, "reference": lambda x: x + 1, "magnitude": None}
    assert wrong(lambda x: x + 1, **kept) is None
    assert "NaN or infinite" in wrong(lambda x: torch.nan_to_num(x) + 1, **kept)
    assert "NaN or infinite" in wrong(lambda x: (x + 1) * torch.tensor([1, 1, 1, -1]), **kept)


def test_the_reference_may_keep_a_state_as_the_providers_do():
    class Sum:
        def __init__(self, every=1):
            self.totals, self.every, self.calls = {}, every, 0

        def __call__(self, a, b):
            self.calls += 1
            if self.calls % self.every == 0:
                self.totals[a.dtype] = self.totals.get(a.dtype, torch.zeros_like(a)) + a
            return self.totals.get(a.dtype, torch.zeros_like(a)).clone()

    kept = {"reference": Sum(), "magnitude": None}
    assert wrong(Sum(), **kept) is None
    assert wrong(Sum(every=2), **kept)  # one that skips its update


def test_a_floor_of_one_rounding_keeps_chance_from_deciding():
    # in one output torch's own error may be 0 by chance; half an ulp is not a fault
    kept = {"n": 1, "reference": torch.mul, "magnitude": lambda a, b: (a * b).abs()}
    assert wrong(lambda a, b: torch.nextafter(a * b, torch.tensor(9.0)), **kept) is None
    assert wrong(lambda a, b: a * b * (1 + 1e-6), **kept)


def test_many_outputs_have_a_floor_of_one_millionth():
    kept = {"n": 64, "reference": torch.add, "magnitude": None}
    largest = 4.0  # of 4096 normal sums, about
    assert wrong(lambda a, b: a + b + 0.1e-6 * largest, **kept) is None
    assert wrong(lambda a, b: a + b + 5e-6 * largest, **kept)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flops": 2e9}, "flops: 2000000000.0 is no int of 0 or more"),
        ({"bytes": np.int64(8)}, "bytes: .* is no int of 0 or more"),
        ({"batch": -1}, "batch: -1 is no int"),
        ({"batch": True}, "batch: True is no int"),
        ({"case": 512}, "case: 512 is no text"),
        ({"dtype": torch.float32}, "dtype: torch.float32 is no text"),
    ],
)
def test_what_no_row_could_hold_is_refused_before_it_is_timed(change, words):
    known = {"subject": "s", "case": "c", "dtype": "float32", "direction": "forward"}
    rest = {"inputs": lambda seed: (), "providers": {}, "baseline": "torch", "reference": max}
    with pytest.raises((TypeError, ValueError), match=words):
        Comparison(**known | rest | change)
