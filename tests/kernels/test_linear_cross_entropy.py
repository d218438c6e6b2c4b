"""kernels.linear_cross_entropy against torch's in float64: the loss and every gradient."""

import importlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import _product
from kernels.tuning import Config
from tests.kernels.examples import examples
from tests.kernels.linear_losses import BFLOAT16, check, module
from tests.kernels.row_losses import REDUCTIONS, classes_of, random

chunks = importlib.import_module("kernels._linear_cross_entropy_chunks")
added = importlib.import_module("kernels._added_product")

ALL_DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BFLOAT16], ids=str)
pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")


@pytest.fixture
def chunk(monkeypatch):
    """Sets the tokens of a chunk."""
    return lambda tokens: monkeypatch.setattr(chunks, "tokens", lambda *_: tokens)


@ALL_DTYPES
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_every_option_with_every_other(
    device, dtype, chunk, reduction, label_smoothing, weighted, biased
):
    chunk(8)
    target = classes_of(device, 19, 67)
    target[4] = target[18] = -100
    weight = random(device, dtype, 67, seed=1).abs() if weighted else None
    bias = random(device, dtype, 67, seed=5) if biased else None
    input, linear_weight = random(device, dtype, 19, 33), random(device, dtype, 67, 33, seed=3) / 4
    check(input, linear_weight, target, bias, weight, -100, reduction, label_smoothing)


@ALL_DTYPES
@pytest.mark.parametrize(
    ("hidden", "classes"), [(1, 1), (3, 2), (17, 127), (65, 129), (33, 1030)], ids=str
)
def test_sizes(device, dtype, chunk, hidden, classes):
    chunk(16)
    target = classes_of(device, 18, classes)
    target[0], target[1] = 0, classes - 1
    linear_weight = random(device, dtype, classes, hidden, seed=1)
    check(random(device, dtype, 18, hidden), linear_weight, target)


@pytest.mark.parametrize("classes", [50257, pytest.param(128256, marks=pytest.mark.slow)])
def test_vocabularies_of_language_models(device, monkeypatch, classes):
    if device == "cpu":  # thousands of small tiles would take the interpreter minutes
        long, wide = Config(16, 16, 4096, 4, 1), Config(16, 4096, 16, 4, 1)
        monkeypatch.setattr(
            _product, "select", lambda a, b, out: ("small", long if a.shape[1] > 16 else wide)
        )
        high = Config(4096, 16, 16, 4, 1)
        monkeypatch.setattr(added, "CONFIGS", {"sm_80": dict.fromkeys(added._SM_80, high)})
    target = torch.tensor([0, classes - 1], device=device)
    linear_weight = random(device, torch.float32, classes, 3, seed=1)
    check(random(device, torch.float32, 2, 3), linear_weight, target)


def test_float16_gradients_survive_a_loss_scale(device):
    """Of a mean over many rows they are below float16's smallest number until they are scaled."""
    rows, classes = 64, 40
    input = random(device, torch.float16, rows, 8)
    linear_weight = 2.0**-10 * random(device, torch.float16, classes, 8, seed=1)
    weight = torch.ones(classes, device=device, dtype=torch.float16)
    weight[1:] = 2.0**-10  # nearly all of the mean's denominator is class 0's
    target = classes_of(device, rows, classes)
    target[:32] = 0
    scale = torch.tensor(2.0**12, device=device, dtype=torch.float16)
    check(input, linear_weight, target, None, weight, grad=scale)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("biased", [False, True])
def test_all_rows_ignored(device, reduction, biased):
    bias = random(device, torch.float32, 9) if biased else None
    input, linear_weight = random(device, torch.float32, 5, 3), random(device, torch.float32, 9, 3)
    check(input, linear_weight, torch.full((5,), -100, device=device), bias, reduction=reduction)
    check(input, linear_weight, torch.full((5,), 2, device=device), bias, None, 2, reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_targets_out_of_range_make_their_rows_nan(device, chunk, reduction, label_smoothing):
    chunk(4)
    target = torch.tensor([3, -1, 17, -(2**40), 2**40, -100, 16], device=device)
    input = random(device, torch.float32, 7, 5)
    linear_weight = random(device, torch.float32, 17, 5, seed=1)
    check(
        input,
        linear_weight,
        target,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e4])
def test_nan_infinite_and_huge_logits_are_torchs(device, reduction, value):
    input = random(device, torch.float32, 6, 4)
    linear_weight = random(device, torch.float32, 11, 4, seed=1)
    input[2, 1] = input[5, 0] = value
    target = classes_of(device, 6, 11)
    target[5] = -100
    check(input, linear_weight, target, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (1, 1, 1), (0, 0, 1)], ids=str)
def test_few_rows_and_nothing_hidden(device, reduction, shape):
    rows, hidden, classes = shape
    operands = [
        random(device, torch.float32, rows, hidden).requires_grad_(),
        random(device, torch.float32, classes, hidden).requires_grad_(),
        random(device, torch.float32, classes).requires_grad_(),
    ]
    target = torch.zeros(rows, dtype=torch.int64, device=device)

    def run(function):
        loss = function(*operands[:2], target, linear_bias=operands[2], reduction=reduction)
        return loss, *torch.autograd.grad(loss.sum(), operands)

    for ours, torchs in zip(run(kernels.linear_cross_entropy), run(module.reference), strict=True):
        torch.testing.assert_close(ours, torchs, equal_nan=True)


def test_no_classes(device):
    input = torch.ones(3, 2, device=device, requires_grad=True)
    linear_weight = torch.ones(0, 2, device=device, requires_grad=True)
    target = torch.tensor([0, -100, 1], device=device)
    loss = kernels.linear_cross_entropy(input, linear_weight, target, reduction="none")
    assert torch.equal(loss.isnan(), target != -100)
    loss.sum().backward()
    assert torch.equal(input.grad, torch.zeros_like(input))
    assert linear_weight.grad.shape == (0, 2)


LAYOUTS = {
    "contiguous": lambda new, rows, columns: new(rows, columns),
    "transposed": lambda new, rows, columns: new(columns, rows).t(),
    "every other": lambda new, rows, columns: new(2 * rows, 3 * columns)[::2, ::3],
    "offset": lambda new, rows, columns: new(rows + 2, columns + 3)[2:, 3:],
    "one row expanded": lambda new, rows, columns: new(1, columns).expand(rows, columns),
    "one column expanded": lambda new, rows, columns: new(rows, 1).expand(rows, columns),
}
ALL_LAYOUTS = st.sampled_from(sorted(LAYOUTS))


@examples(60)
@given(
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 40), st.integers(1, 80)),
    layouts=st.tuples(ALL_LAYOUTS, ALL_LAYOUTS),
    tokens=st.sampled_from([5, 16, 2048]),
    dtype=st.sampled_from([torch.float32, torch.float16]),
    reduction=st.sampled_from(REDUCTIONS),
    label_smoothing=st.sampled_from([0, 0.2, 1]),
    biased=st.booleans(),
    weighted=st.booleans(),
    ignored=st.sampled_from([-100, 0]),
    seed=st.integers(0, 1000),
)
def test_anything(
    device,
    sizes,
    layouts,
    tokens,
    dtype,
    reduction,
    label_smoothing,
    biased,
    weighted,
    ignored,
    seed,
):
    rows, hidden, classes = sizes
    input, linear_weight = (
        LAYOUTS[layout](
            lambda *shape, i=i: random(device, dtype, *shape, seed=seed + i) / 2, *shape
        )
        for i, (layout, shape) in enumerate(
            zip(layouts, [(rows, hidden), (classes, hidden)], strict=True)
        )
    )
    target = classes_of(device, rows, classes, seed)
    target[rows // 2] = ignored
    bias = random(device, dtype, classes, seed=seed) if biased else None
    weight = random(device, dtype, classes, seed=seed).abs() + 0.1 if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "tokens", lambda *_: tokens)
        check(input, linear_weight, target, bias, weight, ignored, reduction, label_smoothing)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_reference_passes_gradcheck(reduction):
    operands = [
        random("cpu", torch.float64, *shape).requires_grad_() for shape in ((4, 3), (5, 3), (5,))
    ]
    target, weight = torch.tensor([0, -100, 4, 2]), torch.tensor([1.0, 2, 3, 4, 5]).double()
    torch.autograd.gradcheck(
        lambda x, w, b: module.reference(
            x, w, target, linear_bias=b, weight=weight, reduction=reduction, label_smoothing=0.1
        ),
        operands,
    )
