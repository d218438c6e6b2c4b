"""kernels.linear_cross_entropy against torch's in float64: the loss and every gradient."""

import importlib
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import kernels
from kernels import _launch, _product
from kernels.tuning import Config
from tests.kernels.examples import examples
from tests.kernels.rule import assert_close_as_torch

module = importlib.import_module("kernels.linear_cross_entropy")
chunks = importlib.import_module("kernels._linear_cross_entropy_chunks")
added = importlib.import_module("kernels._added_product")
cross_entropy = importlib.import_module("kernels.cross_entropy")

BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        _launch.INTERPRETED, reason="Triton's interpreter multiplies bfloat16 wrongly (#11584)"
    ),
)
ALL_DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BFLOAT16], ids=str)
REDUCTIONS = ("none", "mean", "sum")
pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")


def random(device, dtype, *shape, seed=0):
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device, dtype=dtype)


def classes_of(device, rows, classes, seed=0):
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randint(classes, (rows,), generator=generator, device=device)


def gradient_magnitudes(grad, x, w, target, b, weight, ignore_index, reduction, label_smoothing):
    """S of dinput, dlinear_weight and dlinear_bias: products of the absolute values of the
    logits' gradient, each with the error that the logits bring."""
    x, w = x.double(), w.double()
    b = x.new_zeros(w.shape[0]) if b is None else b.double()
    logits, wrong = x @ w.t() + b, x.abs() @ w.abs().t() + b.abs()
    counted = (target != ignore_index) & (target >= 0) & (target < w.shape[0])
    classes = x.new_ones(w.shape[0]) if weight is None else weight.double()
    at = target.where(counted, 0)
    q = torch.zeros_like(logits)
    q = q.scatter_(1, at[:, None], ((1 - label_smoothing) * classes[at])[:, None])
    q = q + label_smoothing / w.shape[0] * classes
    g = grad.double().abs().expand(x.shape[0])
    if reduction == "mean":
        g = g / classes[at].where(counted, 0.0).sum()
    p = q.sum(1, keepdim=True) * logits.softmax(1)
    sizes = cross_entropy.sizes(logits) + 2 * wrong.amax(1, keepdim=True)
    d = (g[:, None] * (p * sizes + q)).where(counted[:, None], 0.0)
    return d @ w.abs(), d.t() @ x.abs(), d.sum(0)


def check(
    input,
    linear_weight,
    target,
    linear_bias=None,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    grad=None,
):
    """The loss and every gradient by the rule."""
    if grad is None:
        shape = input.shape[:1] if reduction == "none" else ()
        grad = random(input.device.type, input.dtype, *shape, seed=2)

    def run(function, dtype):
        operands = [
            t.detach().to(dtype).requires_grad_()
            for t in (input, linear_weight, linear_bias)
            if t is not None
        ]
        loss = function(
            *operands[:2],
            target,
            linear_bias=operands[2] if operands[2:] else None,
            weight=None if weight is None else weight.to(dtype),
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
        return loss, *torch.autograd.grad(loss, operands, grad.to(dtype))

    actual = run(kernels.linear_cross_entropy, input.dtype)
    own = run(module.reference, input.dtype)
    true = run(module.reference, torch.float64)
    options = (weight, ignore_index, reduction, label_smoothing)
    names = ("weight", "ignore_index", "reduction", "label_smoothing")
    scales = (
        module.magnitude(
            input,
            linear_weight,
            target,
            linear_bias=linear_bias,
            **dict(zip(names, options, strict=True)),
        ),
        *gradient_magnitudes(grad, input, linear_weight, target, linear_bias, *options),
    )
    for got, truth, torchs, scale in zip(actual, true, own, scales, strict=False):
        assert_close_as_torch(got, truth, torchs, scale)


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


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_number_of_chunks_does_not_matter(device, chunk, reduction):
    rows, options = 21, {"reduction": reduction, "label_smoothing": 0.1}
    operands = [
        random(device, torch.float32, rows, 9).requires_grad_(),
        random(device, torch.float32, 50, 9, seed=1).requires_grad_(),
        random(device, torch.float32, 50, seed=2).requires_grad_(),
    ]
    grad = random(device, torch.float32, *((rows,) if reduction == "none" else ()), seed=3)
    target = classes_of(device, rows, 50)
    outcomes = []
    for tokens in (2048, 21, 20, 7, 1):
        chunk(tokens)
        loss = kernels.linear_cross_entropy(
            *operands[:2], target, linear_bias=operands[2], **options
        )
        outcomes.append((loss, *torch.autograd.grad(loss, operands, grad)))
        check(
            *(t.detach() for t in operands[:2]), target, operands[2].detach(), grad=grad, **options
        )
    for loss, dinput, dweight, dbias in outcomes[1:]:
        # A row does not know of its chunk; sums over rows are rounded in another order.
        torch.testing.assert_close(loss, outcomes[0][0], rtol=1e-6, atol=0)
        torch.testing.assert_close(dinput, outcomes[0][1], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(dweight, outcomes[0][2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(dbias, outcomes[0][3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", added.CONFIGS)
@pytest.mark.parametrize(
    ("key", "out"),
    [(key, torch.float32) for key in added._SM_80]
    + [(key, torch.float16) for key in added._SM_80 if key[0] == "half"],
    ids=str,
)
def test_every_configuration_of_the_added_product_past_its_block(
    device, monkeypatch, architecture, key, out
):
    if device == "cuda" and architecture != added._architecture(torch.empty(0, device=device)):
        pytest.skip("a configuration for another architecture")
    if key[0] == "tf32" and device == "cuda":
        pytest.skip("rounds to TF32: see matmul's test")
    tile = added.CONFIGS[architecture][key]
    monkeypatch.setattr(added, "CONFIGS", {"sm_80": {k: tile for k in added._SM_80}})
    monkeypatch.setattr(added, "_architecture", lambda operand: "sm_80")
    dtype = torch.float16 if key[0] == "half" else torch.float32
    M, N, K = tile.BLOCK_M + 1, tile.BLOCK_N + 1, tile.BLOCK_K + 1
    check_added(
        random(device, dtype, K, M).t(),
        random(device, dtype, K, N, seed=1),
        random(device, out, M, N, seed=2),
    )


def check_added(a, b, out):
    """out += a b by the rule, in out's dtype."""
    start, own = out.double(), (a.float() @ b.float() + out.float()).to(out.dtype)
    added.add_product(a, b, out)
    true, scale = a.double() @ b.double() + start, a.double().abs() @ b.double().abs() + start.abs()
    assert_close_as_torch(out, true, own, scale)


# One tile, several a program, ragged ends of 8: tiles are 128 x 256 x 64.
@pytest.mark.parametrize("sizes", [(24, 40, 32), (136, 264, 72), (520, 520, 24)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, BFLOAT16], ids=str)
def test_the_added_product_by_descriptors(device, monkeypatch, sizes, dtype):
    if device == "cuda" and added._architecture(torch.empty(0, device=device)) == "sm_80":
        pytest.skip("needs a Hopper or Blackwell GPU")
    elif device == "cpu":
        monkeypatch.setattr(added, "_architecture", lambda operand: "sm_90")
    (M, N, K), shapes, launch = sizes, [], added.launch
    monkeypatch.setattr(added, "launch", lambda *given: (shapes.append(given[3]), launch(*given)))
    for transposed in (False, True):
        a, b = random(device, dtype, K, M).t(), random(device, dtype, K, N, seed=1)
        if transposed:
            a, b = a.contiguous(), b.t().contiguous().t()
        check_added(a, b, random(device, dtype, M, N, seed=2))
    assert shapes == ["tma"] * 2


def test_the_added_product_is_rounded_once_by_descriptors(device, monkeypatch):
    """2049 lies between two float16 numbers: it is 1 above -2048 only if it is added unrounded."""
    if device == "cuda" and added._architecture(torch.empty(0, device=device)) == "sm_80":
        pytest.skip("needs a Hopper or Blackwell GPU")
    elif device == "cpu":
        monkeypatch.setattr(added, "_architecture", lambda operand: "sm_90")
    like = {"dtype": torch.float16, "device": device}
    a, b = torch.ones(24, 32, **like), torch.zeros(32, 40, **like)
    b[0], b[1] = 2048, 1
    out = torch.full((24, 40), -2048.0, **like)
    added.add_product(a, b, out)
    assert (out == 1).all()


@pytest.mark.parametrize("rows", [9, 17, 33, 49])  # 1 to 4 chunks, the last of one row
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BFLOAT16], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_gradient_rounded_once_a_chunk(device, chunk, rows, dtype, reduction):
    chunk(16)
    assert -(-rows // 16) <= chunks.FEW
    check_rounded_gradients(device, dtype, rows, reduction)


def check_rounded_gradients(device, dtype, rows, reduction):
    """Where what the chunks add to dweight has any sign, one sign, and is the same in each."""
    input, linear_weight = random(device, dtype, rows, 24), random(device, dtype, 67, 24, seed=1)
    target = torch.zeros(rows, dtype=torch.int64, device=device)
    for tokens in (input, input.abs(), input[:1].expand(rows, -1)):
        check(tokens, linear_weight / 4, target, reduction=reduction)


def test_many_chunks_are_added_in_float32(device, chunk):
    """64 numbers after one so much larger that float16 would stay at it."""
    chunk(1)
    rows = 65
    input = torch.full((rows, 1), 1.0, dtype=torch.float16, device=device)
    linear_weight = torch.zeros(2, 1, dtype=torch.float16, device=device, requires_grad=True)
    target = torch.zeros(rows, dtype=torch.int64, device=device)
    grad = torch.full((rows,), 2.0**-12, dtype=torch.float16, device=device)
    grad[0] = 1.0
    kernels.linear_cross_entropy(input, linear_weight, target, reduction="none").backward(grad)
    assert linear_weight.grad[:, 0].tolist() == [-0.5 - 2.0**-7, 0.5 + 2.0**-7]


# 3 numbers 2^30 apart: the last lies 2^31 past the first. None of the memory between is touched.
@pytest.mark.parametrize("which", ["row of a", "step along K", "column of b"])
def test_offsets_past_32_bits(device, which):
    """Of the added product; the others are matmul's and cross_entropy's, and tested with them."""
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 8e9:
        pytest.skip("needs 8 GB of free device memory")
    a, b = random(device, torch.float16, 3, 3), random(device, torch.float16, 3, 3, seed=1)
    true, scale = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    own, out = a.float() @ b.float(), torch.zeros(3, 3, device=device)
    strides = (2**30, 1) if which == "row of a" else (1, 2**30)
    far = torch.empty(2**31 + 2**10, dtype=torch.float16, device=device).as_strided((3, 3), strides)
    a, b = (a, far.copy_(b)) if which == "column of b" else (far.copy_(a), b)
    added.add_product(a, b, out)
    assert_close_as_torch(out, true, own, scale)


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


class Allocations(TorchDispatchMode):
    """Keeps the sizes of all tensors that operators return."""

    def __init__(self):
        super().__init__()
        self.numel = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel.append(out.numel())
        return out


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_logits_are_never_whole(device, chunk, monkeypatch, reduction):
    chunk(16)
    rows, hidden, classes = 50, 8, 700
    input = random(device, torch.float32, rows, hidden).requires_grad_()
    linear_weight = random(device, torch.float32, classes, hidden, seed=1).requires_grad_()
    target = classes_of(device, rows, classes)
    buffers, product = [], chunks.product
    monkeypatch.setattr(
        chunks, "product", lambda a, b, out: (buffers.append(out), product(a, b, out))
    )

    def logits_memory():
        found = {t.data_ptr() for t in buffers if t.shape[1] == classes}
        buffers.clear()
        return found

    with Allocations() as seen:
        loss = kernels.linear_cross_entropy(input, linear_weight, target, reduction=reduction)
    assert len(logits_memory()) == 1  # one buffer, used again
    with Allocations() as seen_backward:
        loss.sum().backward()
    assert len(logits_memory()) == (reduction == "none")  # made again only there
    assert max(seen.numel + seen_backward.numel) < rows * classes
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kernels.linear_cross_entropy(input, linear_weight, target, reduction=reduction)
        more = torch.cuda.max_memory_allocated() - before
        assert more < 4 * (16 * classes + classes * hidden + rows * hidden + 8 * rows) + 8192


def test_the_length_of_chunks():
    """CHUNK, or a quarter of more than four of those while that takes less memory."""
    for rows in (0, 1, 2048, 8192):
        assert chunks.tokens(rows, 4096, True) == 2048
    assert chunks.tokens(8193, 4096, True) == 2176  # a multiple of 128
    assert chunks.tokens(16384, 4096, True) == 4096
    assert chunks.tokens(32768, 4096, True) == 8192
    assert chunks.tokens(32769, 4096, True) == 2048  # and dweight in float32
    assert chunks.tokens(16384, 4096, False) == 2048
    assert chunks.tokens(16384, 512, True) == 2048


def peak_bytes(function):
    """The most memory that is allocated beyond what there was, by the allocator's own account."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        function()
    events = profile.kineto_results.events()
    live = itertools.accumulate(e.nbytes() for e in events if e.name() == "[memory]")
    return max(live)


# That of DESIGN's language model; 8 chunks, added up in float32.
@pytest.mark.parametrize("sizes", [(8192, 4096, 128256), (16384, 32, 1000)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_memory_by_the_formula(monkeypatch, sizes, reduction):
    """The kernels are left out, so that memory that only they would touch is never made real."""
    for name in ("product", "add_product", "_add_columns", "scale"):
        monkeypatch.setattr(chunks, name, lambda *operands: None)
    for name in ("losses", "gradients", "reduce"):
        monkeypatch.setattr(chunks.by_row, name, lambda *operands: None)
    monkeypatch.setattr(module, "_check_runnable", lambda operand: None)
    rows, hidden, classes = sizes
    input, linear_weight = (
        torch.empty(size, hidden, dtype=torch.bfloat16, requires_grad=True)
        for size in (rows, classes)
    )
    target = torch.zeros(rows, dtype=torch.int64)

    def run():
        loss = kernels.linear_cross_entropy(input, linear_weight, target, reduction=reduction)
        loss.backward(torch.ones_like(loss))

    logits, many = min(rows, chunks.CHUNK) * classes, rows > 4 * chunks.CHUNK
    dinput, dweight = rows * hidden, classes * hidden
    formula = dinput + (max(2 * dweight + logits, 3 * dweight) if many else dweight + logits)
    peak = peak_bytes(run)
    assert 0 <= peak - 2 * formula < 24 * rows + 4096  # statistics, losses, and their gradient
    assert many or peak < 1.7 * 2**30


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.slow
def test_the_memory_of_a_language_model(device):
    rows, hidden, classes = 8192, 4096, 128256
    if torch.cuda.mem_get_info()[0] < 16e9:
        pytest.skip("needs 16 GB of free device memory")
    input = random(device, torch.bfloat16, rows, hidden).requires_grad_()
    linear_weight = random(device, torch.bfloat16, classes, hidden).requires_grad_()
    target = classes_of(device, rows, classes)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kernels.linear_cross_entropy(input, linear_weight, target).backward()
    assert torch.cuda.max_memory_allocated() - before < 1.7 * 2**30  # the gradients among it


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
