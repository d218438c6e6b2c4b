"""kernels.bias_activation against torch in float64: the output and both gradients."""

import importlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import _activation_rows, _activations, _launch
from tests.kernels.examples import examples
from tests.kernels.rule import assert_close_as_torch

# The file, not the function that `kernels.bias_activation` is.
module = importlib.import_module("kernels.bias_activation")

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
ALL_DTYPES = pytest.mark.parametrize("dtype", DTYPES, ids=str)
# NumPy, under Triton's interpreter, on what is meant to overflow or to be NaN.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
ALL_ACTIVATIONS = pytest.mark.parametrize("activation", _activations.NAMES)


def random(device, dtype, *shape, seed=0, scale=1.0):
    generator = torch.Generator(device).manual_seed(seed)
    return (torch.randn(shape, generator=generator, device=device) * scale).to(dtype)


def check(file, operands, activation, grad=None, fixed=False, infinite=False):
    """Output and every gradient of `file`'s function by the rule.

    Args:
        file: the kernel's module, of bias_activation or linear.
        operands: its tensors; the last, the bias, may be None.
        grad: of the output; None draws one.
        fixed: whether outputs of 4096 numbers and more are judged without their magnitude.
        infinite: whether to judge as if torch were exact, which at infinities it is not.
    """
    function = getattr(kernels, file.OPERATION.name)
    with torch.no_grad():
        own = file.reference(*operands, activation)
    if grad is None:
        grad = random(own.device.type, own.dtype, *own.shape, seed=2)

    def run(function, change=lambda t: t.detach()):
        given = [None if t is None else change(t).requires_grad_() for t in operands]
        output = function(*given, activation)
        needed = [t for t in given if t is not None]
        return output, *torch.autograd.grad(output, needed, change(grad))

    results = (
        run(function),
        run(file.reference, lambda t: t.detach().cpu().double()),
        # contiguous: torch's gelu refuses an overlapping gradient on the CPU
        run(file.reference, lambda t: t.detach().contiguous()),
        # not 0, where |x| has no slope
        run(file.magnitude, lambda t: t.detach().double().abs().nan_to_num(1).clamp(1e-30)),
    )
    for got, true, torchs, scale in zip(*results, strict=True):
        torchs = true.to(torchs) if infinite else torchs
        assert_close_as_torch(got, true, torchs, None if fixed and true.numel() >= 4096 else scale)


@ALL_ACTIVATIONS
@ALL_DTYPES
def test_every_activation(device, dtype, activation):
    input, bias = random(device, dtype, 67, 71, scale=3), random(device, dtype, 71, seed=1)
    # Triton's interpreter truncates to bfloat16, which is within the scaled rule only.
    fixed = not (_launch.INTERPRETED and dtype == torch.bfloat16)
    check(module, (input, bias), activation, fixed=fixed)
    check(module, (input, None), activation, fixed=fixed)


@pytest.mark.parametrize(
    "shape",
    [
        (1,), (7,), (1025,),  # no leading dimension
        (1, 1), (5, 1), (4097, 1), (1, 2), (65, 64), (64, 65), (17, 257), (17, 256), (5, 1025),
        (5, 1040), (2, 3, 5), (3, 1, 2, 67),
    ],
    ids=str,
)  # fmt: skip
def test_sizes(device, shape):
    operands = random(device, torch.float32, *shape), random(device, torch.float32, shape[-1])
    check(module, operands, "silu")


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (64, "square"), (63, "square"), (65, "ragged"), (80, "medium"), (512, "medium"),
        (520, "ragged"), (528, "long"), (8191, "ragged"), (8192, "long"),
    ],
)  # fmt: skip
def test_tiles_by_the_length_of_the_rows(columns, name):
    assert _activation_rows.tile(torch.empty(5, columns)) == _activation_rows.TILES[name]
    transposed = torch.empty(columns, 5).t()
    assert _activation_rows.tile(transposed) == _activation_rows.TILES["square"]


@ALL_ACTIVATIONS
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 5), (0, 0)], ids=str)
def test_empty(device, shape, activation):
    input = torch.ones(shape, device=device, requires_grad=True)
    bias = torch.ones(shape[-1:], device=device, requires_grad=True)
    output = kernels.bias_activation(input, bias, activation)
    output.sum().backward()
    assert output.shape == input.grad.shape == shape
    assert torch.equal(bias.grad, torch.zeros(shape[-1], device=device))


def test_more_rows_than_the_programs_take_at_once(device, monkeypatch):
    monkeypatch.setattr(_activation_rows, "PROGRAMS", 3)
    for rows, columns in ((611, 5), (150, 130), (30, 600), (30, 608)):
        input = random(device, torch.float32, rows, columns)
        check(module, (input, random(device, torch.float32, columns, seed=1)), "silu")


# Each [m, n] or [2, m, n].
LAYOUTS = {
    "contiguous": lambda new, m, n: new(m, n),
    "transposed": lambda new, m, n: new(n, m).t(),
    "every other": lambda new, m, n: new(2 * m, 3 * n)[::2, ::3],
    "offset": lambda new, m, n: new(m + 2, n + 3)[2:, 3:],
    "one row expanded": lambda new, m, n: new(1, n).expand(m, n),
    "one column expanded": lambda new, m, n: new(m, 1).expand(m, n),
    "one number expanded": lambda new, m, n: new(1, 1).expand(m, n),
    "overlapping": lambda new, m, n: new(m + n).unfold(0, n, 1)[:m],
    "three dimensions": lambda new, m, n: new(2, m, n),
    "leading dimensions swapped": lambda new, m, n: new(m, 2, n).transpose(0, 1),
    "leading dimension expanded": lambda new, m, n: new(m, n).expand(2, m, n),
    "all dimensions swapped": lambda new, m, n: new(n, m, 2).permute(2, 1, 0),
}
ALL_LAYOUTS = st.sampled_from(sorted(LAYOUTS))


@examples(160)
@given(
    sizes=st.tuples(st.integers(0, 80), st.integers(0, 80)),
    layouts=st.tuples(ALL_LAYOUTS, ALL_LAYOUTS),
    dtype=st.sampled_from(DTYPES),
    activation=st.sampled_from(_activations.NAMES),
    bias=st.sampled_from([None, "contiguous", "every other", "expanded"]),
)
def test_any_shape_and_strides(device, sizes, layouts, dtype, activation, bias):
    m, n = sizes
    input = LAYOUTS[layouts[0]](lambda *shape: random(device, dtype, *shape), m, n)
    grad = LAYOUTS[layouts[1]](lambda *shape: random(device, dtype, *shape, seed=2), m, n)
    if grad.dim() < input.dim():
        grad = grad.expand(input.shape)
    grad = grad[0] if grad.dim() > input.dim() else grad
    biases = {
        None: lambda: None,
        "contiguous": lambda: random(device, dtype, n, seed=1),
        "every other": lambda: random(device, dtype, 2 * n, seed=1)[::2],
        "expanded": lambda: random(device, dtype, 1, seed=1).expand(n),
    }
    check(module, (input, biases[bias]()), activation, grad)


EXTREME = [1e4, -1e4, 88.0, -88.0, 104.0, -104.0, 12.0, -12.0, 0.56, -0.54, 1e-30, 0.0, -0.0]


@ALL_ACTIVATIONS
@ALL_DTYPES
def test_large_numbers(device, dtype, activation):
    input = torch.tensor([EXTREME, EXTREME[::-1]], device=device).to(dtype)
    check(module, (input, None), activation)
    check(module, (input, torch.full((len(EXTREME),), 1e4, device=device).to(dtype)), activation)


@ALL_ACTIVATIONS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_nan_and_infinities_pass_through(device, dtype, activation):
    input = random(device, dtype, 4, 5)
    input[0, 1], input[1, 2], input[2, 3] = torch.nan, torch.inf, -torch.inf
    check(module, (input, None), activation, infinite=True)
    assert kernels.bias_activation(input, None, activation)[0, 1].isnan()

    bias = random(device, dtype, 5, seed=1)
    bias[4] = torch.nan
    assert kernels.bias_activation(input, bias, activation)[:, 4].isnan().all()
    check(module, (input, bias), activation, infinite=True)


@ALL_ACTIVATIONS
def test_nan_and_infinite_gradients(device, activation):
    input, grad = random(device, torch.float32, 4, 5), torch.ones(4, 5, device=device)
    grad[0, 1], grad[1, 2], grad[2, 3] = torch.nan, torch.inf, -torch.inf
    check(
        module, (input, random(device, torch.float32, 5, seed=1)), activation, grad, infinite=True
    )


def test_the_bias_of_absent_rows_is_not_added_up(device):
    # The slope overflows at the bias alone, and is 0.5 at the sum.
    bias = torch.full((3,), 1e30, device=device)
    check(module, (-bias.expand(3, 3), bias), "gelu_tanh")


def test_nothing_outside_the_operands_is_read(device):
    around = torch.full((79, 90), torch.nan, device=device)
    around[4:-5, 4:-5] = random(device, torch.float32, 70, 81)
    bias = torch.full((90,), torch.nan, device=device)
    bias[4:-5] = random(device, torch.float32, 81, seed=1)
    check(module, (around[4:-5, 4:-5], bias[4:-5]), "tanh", around[4:-5, 4:-5])


def test_a_negative_view_is_not_read_as_it_lies(device):
    input = torch.randn(5, 6, dtype=torch.complex64, device=device).conj().imag
    assert input.is_neg()
    check(module, (input, None), "silu")


# 3 numbers 2^30 apart: the last lies 2^31 past the first. None of the memory between is touched.
@pytest.mark.parametrize("which", ["row", "column"])
def test_offsets_past_32_bits(device, which):
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 6e9:
        pytest.skip("needs 6 GB of free device memory")
    memory = torch.empty(2**31 + 2**25, dtype=torch.float16, device=device)
    strides = (2**30, 1) if which == "row" else (1, 2**30)
    far = memory.as_strided((3, 3), strides).copy_(random(device, torch.float16, 3, 3))
    check(module, (far, None), "gelu", grad=far)


def test_the_sum_is_not_rounded_to_half_precision(device):
    input, bias = (torch.tensor([x], device=device).half() for x in (-8.0, -(2.0**-8)))
    assert (input + bias).item() == -8  # the sum lies between two numbers of float16
    output = kernels.bias_activation(input, bias, "sigmoid")
    expected = torch.sigmoid(input.double() + bias.double()).half()
    assert torch.equal(output, expected) and not torch.equal(output, torch.sigmoid(input + bias))


def test_the_same_bits_every_time(device):
    input, bias = random(device, torch.float32, 611, 70), random(device, torch.float32, 70, seed=1)
    input.requires_grad_(), bias.requires_grad_()

    def gradients():
        return torch.autograd.grad(
            kernels.bias_activation(input, bias, "gelu").sum(), (input, bias)
        )

    first, again = gradients(), gradients()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@ALL_ACTIVATIONS
def test_the_reference_is_differentiable(activation):
    # away from the kinks, where finite differences say nothing
    x = torch.tensor([-3.0, -0.7, 0.4, 2.5], dtype=torch.float64, requires_grad=True)
    bias = torch.full((4,), 0.1, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x, b: module.reference(x, b, activation), (x, bias))


def test_threshold_is_a_step_that_learns_nothing(device):
    x = torch.tensor([-1.0, 0.0, -0.0, 1e-30, 2.0], device=device, requires_grad=True)
    y = kernels.bias_activation(x, activation="threshold")
    assert y.tolist() == [0, 0, 0, 1, 1]
    y.backward(torch.full_like(y, torch.nan))
    assert x.grad.tolist() == [0] * 5


def test_relu_is_the_default(device):
    x = random(device, torch.float32, 3, 4)
    assert torch.equal(kernels.bias_activation(x), x.relu())


def test_unknown_names_are_refused_by_the_reference():
    with pytest.raises(ValueError, match="activation is 'swish', expected one of identity, thr"):
        _activations.reference("swish")
