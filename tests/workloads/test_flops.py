"""Counting by running: torch's own counts, what it silently takes for 0, and refusals."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from workloads import flops
from workloads.spec import Flops

A = torch.eye(6, dtype=torch.float64) * 2
B = torch.ones(6, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(5, 3),
        nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3, padding=1), nn.Tanh()),
        nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1)),
        nn.RNN(5, 4, batch_first=True),
        nn.GRU(5, 4, batch_first=True),
    ],
    ids=lambda model: type(model).__name__,
)
def test_where_torchs_counter_is_right_the_two_agree(model):
    x = torch.ones(7, 5) if not isinstance(model, nn.RNNBase) else torch.ones(7, 2, 5)

    def work():
        out = model(x)
        (out[0] if isinstance(out, tuple) else out).sum().backward()

    with FlopCounterMode(display=False) as torchs:
        work()
    assert flops.count(work) == torchs.get_total_flops() > 0


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda: A @ B[:, 0], 2 * 36),  # matrix times vector
        (lambda: B[:, 0] @ B[:, 1], 2 * 6),  # dot product
        (lambda: torch.linalg.cholesky_ex(A), 72),  # n^3 / 3
        (lambda: torch.cholesky_solve(B, A), 2 * 36 * 4),
        (lambda: torch.linalg.solve_triangular(A, B, upper=True), 36 * 4),
        (lambda: torch.linalg.eigh(A), 9 * 216),
        (lambda: torch.relu(B) + B.sum(), 0),  # elementwise and sums are not counted
        (lambda: B.t()[:, :2].contiguous(), 0),
    ],
)
def test_what_torchs_counter_takes_for_nothing(work, expected):
    assert flops.count(work) == expected


@pytest.mark.parametrize(
    ("work", "op"),
    [
        (lambda: torch.linalg.svd(A), "_linalg_svd"),
        (lambda: torch.fft.fft(B), "_fft_r2c"),
        (lambda: nn.LSTM(5, 4)(torch.ones(2, 3, 5)), "rnn|lstm"),
    ],
)
def test_an_op_without_a_formula_is_refused_by_name(work, op):
    with pytest.raises(flops.UnknownFlops, match=rf"the FLOPs of aten\..*({op}).* are not known"):
        flops.count(work)


def test_it_counts_under_torch_func():
    linear = nn.Linear(5, 3)
    x = torch.ones(7, 5)

    def objective(weight):
        return torch.func.functional_call(linear, {"weight": weight}, x).square().sum()

    # the forward product and the weight's gradient
    expected = 2 * (2 * 7 * 5 * 3)
    assert flops.count(lambda: torch.func.grad(objective)(linear.weight.detach())) == expected


@pytest.mark.parametrize("wrong", [2e6, True, -1])
def test_what_no_row_could_hold_is_no_count(wrong):
    with pytest.raises(ValueError, match=r"FLOPs backward: .* is no int of 0 or more"):
        Flops(1, wrong)
