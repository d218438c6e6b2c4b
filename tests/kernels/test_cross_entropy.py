"""kernels.cross_entropy against torch's in float64: the loss and its gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels.cross_entropy import reference
from tests.kernels.examples import examples
from tests.kernels.row_losses import DTYPES, REDUCTIONS, check, classes_of, random

ALL_DTYPES = pytest.mark.parametrize("dtype", DTYPES, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")


@ALL_DTYPES
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [-100, 3])
def test_every_option_with_every_other(
    device, dtype, reduction, label_smoothing, weighted, ignore_index
):
    target = classes_of(device, 19, 131)
    target[4] = target[18] = ignore_index
    weight = random(device, dtype, 131, seed=1).abs() if weighted else None
    input = 3 * random(device, dtype, 19, 131)
    check(input, target, weight, ignore_index, reduction, label_smoothing)


@ALL_DTYPES
@pytest.mark.parametrize("classes", [1, 2, 127, 128, 129, 1025, 4097, 50257])
def test_vocabularies(device, dtype, classes):
    rows = 17 if classes <= 129 else 3
    target = classes_of(device, rows, classes)
    target[0], target[1] = 0, classes - 1
    check(random(device, dtype, rows, classes), target)


def test_a_large_vocabulary(device):
    classes = 128256
    check(random(device, torch.bfloat16, 2, classes), classes_of(device, 2, classes))


@ALL_DTYPES
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_huge_logits(device, dtype, label_smoothing):
    input = 1e4 * random(device, dtype, 5, 300).clamp(-1, 1)
    # Summing 300 such logits, torch's float16 overflows.
    options = {"label_smoothing": label_smoothing, "own_dtype": torch.float32}
    for target in (classes_of(device, 5, 300), input.argmax(dim=1)):
        check(input, target, reduction="none", **options)


@ALL_DTYPES
def test_a_confident_prediction(device, dtype):
    """p = 0.999: the target's gradient is p - 1, wholly wrong where p is rounded to bfloat16."""
    classes = 1000
    input = random(device, dtype, 4, classes) * 0.01
    input[:, 7] = torch.tensor(999.0 * (classes - 1)).log().to(dtype)
    target = torch.full((4,), 7, device=device)
    check(input, target, reduction="sum", grad=torch.ones((), device=device, dtype=dtype))
    input = input.requires_grad_()
    kernels.cross_entropy(input, target, reduction="sum").backward()
    true = torch.softmax(input.detach().double(), dim=1)[:, 7] - 1
    assert (true.abs() < 1.1e-3).all()
    error = (input.grad[:, 7].double() - true).abs()
    # float32 next to 1, where the sum of exponentials is, and one rounding to dtype.
    assert (error < 16 * torch.finfo(torch.float32).eps + torch.finfo(dtype).eps * true.abs()).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_all_rows_ignored(device, reduction, weighted, label_smoothing):
    input = random(device, torch.float32, 5, 9)
    weight = random(device, torch.float32, 9).abs() if weighted else None
    check(input, torch.full((5,), -100, device=device), weight, -100, reduction, label_smoothing)
    input.requires_grad_()
    loss = kernels.cross_entropy(input, torch.full((5,), 2, device=device), weight, 2, reduction)
    loss.sum().backward()
    assert loss.isnan().all() if reduction == "mean" else (loss == 0).all()
    assert (input.grad == 0).all()


INF, NAN = torch.inf, torch.nan
SPECIAL = [
    [INF, 0, 1],
    [-INF, 0, 1],
    [0, -INF, 1],
    [-INF, -INF, -INF],
    [-INF, -INF, 5],
    [INF, INF, 0],
    [INF, -INF, 0],
    [NAN, 0, 1],
    [0, 1, NAN],
    [NAN, NAN, NAN],
    [0, 1, 2],
]


@ALL_DTYPES
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (1.0, 0.0, 2.0)])
@pytest.mark.parametrize("label", [0, 1, -100])
def test_infinite_logits_and_nan_are_torchs(
    device, dtype, reduction, label_smoothing, weights, label
):
    input = torch.tensor(SPECIAL, device=device, dtype=dtype)
    target = torch.full((len(SPECIAL),), label, device=device)
    weight = None if weights is None else torch.tensor(weights, device=device, dtype=dtype)
    check(input, target, weight, -100, reduction, label_smoothing)


def test_a_tile_of_infinities_before_finite_logits(device):
    input = random(device, torch.float32, 2, 5000)
    input[0, :4500] = -INF
    input[1, 4096:] = -INF
    input[0] -= 1e4  # the sum of a tile of -inf is 0, which is not to be rescaled by infinity
    for label_smoothing in (0.0, 0.1):
        check(input, torch.tensor([4600, 7], device=device), None, -100, "none", label_smoothing)


@ALL_DTYPES
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_out_of_range_make_their_row_nan(
    device, dtype, reduction, label_smoothing, weighted
):
    outside = [-1, 17, -(2**40), 2**40, -99]
    target = torch.tensor([3, *outside, -100, 16], device=device)
    input = random(device, dtype, len(target), 17)
    weight = random(device, dtype, 17).abs() if weighted else None
    check(input, target, weight, -100, reduction, label_smoothing)
    input = input.requires_grad_()
    loss = kernels.cross_entropy(input, target, weight, -100, reduction, label_smoothing)
    loss.sum().backward()
    expected = torch.tensor([False, *[True] * len(outside), False, False], device=device)
    assert torch.equal(loss.isnan(), expected if reduction == "none" else expected.any())
    assert torch.equal(input.grad.isnan(), expected[:, None].expand(-1, 17))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (1, 1), (0, 0)], ids=str)
def test_few_rows(device, reduction, shape):
    input = random(device, torch.float32, *shape).requires_grad_()
    target = torch.zeros(shape[0], dtype=torch.int64, device=device)
    loss = kernels.cross_entropy(input, target, reduction=reduction)
    own = torch.nn.functional.cross_entropy(input, target, reduction=reduction)
    torch.testing.assert_close(loss, own, equal_nan=True)
    (grad,) = torch.autograd.grad(loss.sum(), input)
    assert grad.shape == shape
    if shape[0]:
        check(input.detach(), target, reduction=reduction)


def test_no_classes(device):
    input = torch.ones(3, 0, device=device, requires_grad=True)
    target = torch.tensor([0, -100, 1], device=device)
    loss = kernels.cross_entropy(input, target, reduction="none", label_smoothing=0.1)
    assert torch.equal(loss.isnan(), target != -100)
    loss.sum().backward()
    assert input.grad.shape == (3, 0)


LAYOUTS = {
    "contiguous": lambda new, rows, classes: new(rows, classes),
    "transposed": lambda new, rows, classes: new(classes, rows).t(),
    "every other": lambda new, rows, classes: new(2 * rows, 3 * classes)[::2, ::3],
    "offset": lambda new, rows, classes: new(rows + 2, classes + 3)[2:, 3:],
    "one row expanded": lambda new, rows, classes: new(1, classes).expand(rows, classes),
    "one column expanded": lambda new, rows, classes: new(rows, 1).expand(rows, classes),
    "overlapping": lambda new, rows, classes: new(rows + classes).unfold(0, classes, 1)[:rows],
}


def strided(values, how):
    """The same numbers in memory that is not contiguous."""
    if how == "contiguous":
        return values
    if how == "every other":
        return values.repeat_interleave(2)[::2]
    return values[:1].expand(values.shape)  # "expanded": the first number throughout


ALL_STRIDES = st.sampled_from(["contiguous", "every other", "expanded"])


@examples(140)
@given(
    sizes=st.tuples(st.integers(1, 24), st.integers(1, 300)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(DTYPES),
    reduction=st.sampled_from(REDUCTIONS),
    label_smoothing=st.sampled_from([0, 0.1, 0.7, 1]),
    weight_strides=st.none() | ALL_STRIDES,
    strides=st.tuples(ALL_STRIDES, ALL_STRIDES),
    ignored=st.sampled_from([-100, 0, 5]),
    scale=st.sampled_from([0.1, 1, 10]),
    seed=st.integers(0, 1000),
)
def test_anything(
    device,
    sizes,
    layout,
    dtype,
    reduction,
    label_smoothing,
    weight_strides,
    strides,
    ignored,
    scale,
    seed,
):
    rows, classes = sizes
    input = LAYOUTS[layout](
        lambda *shape: scale * random(device, dtype, *shape, seed=seed), rows, classes
    )
    target = classes_of(device, rows, classes, seed)
    target[classes_of(device, (rows + 3) // 4, rows, seed)] = ignored
    target = strided(target, strides[0])
    weight = None
    if weight_strides:
        weight = strided(random(device, dtype, classes, seed=seed).abs() + 0.1, weight_strides)
    grad = random(device, dtype, *((rows,) if reduction == "none" else ()), seed=seed + 1)
    if reduction == "none":
        grad = strided(grad, strides[1])
    # Summing such logits of all rows and classes, torch's float16 overflows.
    own = torch.float32 if scale == 10 and label_smoothing else None
    check(input, target, weight, ignored, reduction, label_smoothing, grad, own)


def test_nothing_outside_the_operands_is_read(device):
    around = torch.full((40, 300), NAN, device=device)
    around[3:-4, 5:-6] = random(device, torch.float32, 33, 289)
    weight = torch.full((300,), NAN, device=device)
    weight[2:-9] = random(device, torch.float32, 289).abs()
    target = torch.full((42,), -1, device=device)
    target[4:-5] = classes_of(device, 33, 289)
    check(around[3:-4, 5:-6], target[4:-5], weight[2:-9], label_smoothing=0.1)


def test_the_mean_is_over_the_weights_counted_and_the_same_each_time(device):
    input, weight = random(device, torch.float32, 1030, 3), torch.tensor([1.0, 2.0, 4.0])
    weight = weight.to(device)
    target = classes_of(device, 1030, 3)
    target[::7] = -100
    check(input, target, weight)
    losses = [kernels.cross_entropy(input, target, weight) for _ in range(2)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_reference_passes_gradcheck(reduction, label_smoothing):
    input = random("cpu", torch.float64, 4, 5).requires_grad_()
    target, weight = torch.tensor([0, -100, 4, 2]), torch.tensor([1.0, 2, 3, 4, 5]).double()
    torch.autograd.gradcheck(
        lambda x: reference(x, target, weight, -100, reduction, label_smoothing), input
    )
