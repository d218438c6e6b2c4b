"""kernels.linear against torch in float64: the output and all three gradients."""

import importlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import _activations, _launch, _linear_kernel
from kernels.tuning import Config
from tests.kernels.examples import examples
from tests.kernels.test_bias_activation import LAYOUTS, check, random

# The file, not the function that `kernels.linear` is.
module = importlib.import_module("kernels.linear")

BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        _launch.INTERPRETED, reason="Triton's interpreter multiplies bfloat16 wrongly (#11584)"
    ),
)
ALL_DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BFLOAT16], ids=str)
# NumPy, under Triton's interpreter, on what is meant to overflow or to be NaN.
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
ALL_ACTIVATIONS = pytest.mark.parametrize("activation", _activations.NAMES)


def operands(device, dtype, *leading, N, K, bias=True):
    """input, weight / sqrt(K) and bias: pre-activations of order 1."""
    return (
        random(device, dtype, *leading, K),
        random(device, dtype, N, K, seed=1, scale=max(K, 1) ** -0.5),
        random(device, dtype, N, seed=3) if bias else None,
    )


@ALL_ACTIVATIONS
@ALL_DTYPES
def test_every_activation(device, dtype, activation):
    check(module, operands(device, dtype, 67, N=71, K=65), activation, fixed=True)
    check(module, operands(device, dtype, 5, N=7, K=3, bias=False), activation)


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1),
        (2, 3, 5),
        (17, 65, 65),  # one past the block of few rows, and past the small blocks
        (65, 17, 129),
        (67, 16, 71),  # few columns
        (16, 67, 71),  # few rows
        (127, 61, 1),
        (1, 127, 61),
        (127, 1, 61),
        (600, 70, 20),  # more than one group of rows
    ],
    ids=str,
)
def test_sizes(device, sizes):
    M, N, K = sizes
    check(module, operands(device, torch.float32, M, N=N, K=K), "silu")


@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (3, 1, 2)], ids=str)
def test_leading_dimensions(device, leading):
    check(module, operands(device, torch.float32, *leading, N=5, K=7), "gelu")


@pytest.mark.parametrize("architecture", _linear_kernel.CONFIGS)
@pytest.mark.parametrize("key", _linear_kernel.CONFIGS["sm_90"], ids="-".join)
def test_every_configuration_past_its_block(device, monkeypatch, architecture, key):
    if key not in _linear_kernel.CONFIGS[architecture]:
        pytest.skip("no such configuration")
    if device == "cuda" and architecture != _launch.architecture(torch.empty(0, device=device)):
        pytest.skip("a configuration for another architecture")
    arithmetic, shape = key
    if arithmetic == "tf32":
        monkeypatch.setattr(_launch, "float32_precision", lambda: "tf32")
        if device == "cuda":
            monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32")
    dtype = torch.float16 if arithmetic == "half" else torch.float32
    tile = _linear_kernel.CONFIGS[architecture][key]
    monkeypatch.setattr(_linear_kernel, "select", lambda *layer: (shape, tile))
    # 8: what the TMA unit needs rows to be a multiple of
    M, N, K = tile.BLOCK_M + 1, tile.BLOCK_N + 8, tile.BLOCK_K + 8
    check(module, operands(device, dtype, M, N=N, K=K), "relu")


@ALL_ACTIVATIONS
@pytest.mark.parametrize("bias", [True, False])
def test_persistent_programs_walk_over_all_tiles(device, monkeypatch, activation, bias):
    if device == "cuda" and torch.cuda.get_device_capability()[0] < 9:
        pytest.skip("needs a TMA unit")
    tile = Config(64, 64, 32, 4, 2, GROUP_M=2) if device == "cuda" else Config(16, 16, 16, 4, 2, 2)
    monkeypatch.setattr(_linear_kernel, "select", lambda *layer: ("tma", tile))
    monkeypatch.setattr(_launch, "multiprocessors", lambda operand: 3)
    M, N, K = 5 * tile.BLOCK_M + 1, 2 * tile.BLOCK_N + 8, 2 * tile.BLOCK_K + 8
    check(module, operands(device, torch.float16, M, N=N, K=K, bias=bias), activation)


def test_selection_follows_sizes_and_layout(monkeypatch):
    def layer(M, N, K, dtype=torch.float16):
        return tuple(torch.empty(size, dtype=dtype) for size in ((M, K), (N, K), (M, N)))

    def selected(*layer):
        return _linear_kernel.select(*layer)[0]

    monkeypatch.setattr(_launch, "multiprocessors", lambda operand: 132)
    for architecture in _linear_kernel.CONFIGS:
        monkeypatch.setattr(_launch, "architecture", lambda operand, a=architecture: a)
        large = "tma" if architecture == "sm_90" else "large"
        assert selected(*layer(2048, 2048, 64)) == large
        assert selected(*layer(2048, 2048, 64, torch.float32)) == "large"
        assert selected(*layer(2049, 2056, 72)) == ("tma" if architecture == "sm_90" else "ragged")
        assert selected(*layer(2049, 2056, 71)) == "ragged"
        assert selected(*layer(16, 8192, 64)) == "few rows"
        assert selected(*layer(8192, 16, 64)) == "few columns"
        assert selected(*layer(512, 512, 8192)) == "small"
        narrow = "tma narrow" if architecture == "sm_90" else "small"
        assert selected(*layer(2048, 1024, 8192)) == narrow
        assert selected(*layer(2048, 1024, 8191)) == "small"
        input, weight, output = layer(2048, 2048, 64)
        assert selected(input, weight.t().contiguous().t(), output) == "large"
        assert selected(input[:1].expand(2048, 64), weight, output) == "large"
        # whole sizes, but loads or stores of 2 bytes
        odd = torch.empty(2048 * 64 + 1, dtype=torch.float16)[1:].view(2048, 64)
        assert selected(odd, weight, output) == "ragged"
        assert selected(input, odd.new_empty(2048, 65)[:, 1:], output) == "ragged"
        assert selected(input[:1, :1].expand(2048, 64), weight, output) == "ragged"


@ALL_ACTIVATIONS
@pytest.mark.parametrize("sizes", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)], ids=str)
def test_empty(device, sizes, activation):
    M, N, K = sizes
    check(module, operands(device, torch.float32, M, N=N, K=K), activation)


def test_bias_and_activation_without_a_product(device):
    bias = random(device, torch.float32, 5)
    input, weight = torch.empty(3, 0, device=device), torch.empty(5, 0, device=device)
    assert torch.equal(kernels.linear(input, weight, bias, "relu"), bias.relu().expand(3, 5))


TWO_DIMENSIONS = [name for name in LAYOUTS if "dimension" not in name]


@examples(70)
@given(
    sizes=st.tuples(*[st.integers(0, 70)] * 3),
    layouts=st.tuples(st.sampled_from(sorted(LAYOUTS)), *[st.sampled_from(TWO_DIMENSIONS)] * 2),
    dtype=st.sampled_from([torch.float32, torch.float16]),
    activation=st.sampled_from(_activations.NAMES),
    bias=st.sampled_from([None, "contiguous", "every other", "expanded"]),
)
def test_any_shape_and_strides(device, sizes, layouts, dtype, activation, bias):
    M, N, K = sizes

    def lay(layout, rows, columns, seed):
        return LAYOUTS[layout](
            lambda *shape: random(device, dtype, *shape, seed=seed), rows, columns
        )

    input, weight, grad = (
        lay(layouts[0], M, K, 0),
        lay(layouts[1], N, K, 1),
        lay(layouts[2], M, N, 2),
    )
    biases = {
        None: lambda: None,
        "contiguous": lambda: random(device, dtype, N, seed=3),
        "every other": lambda: random(device, dtype, 2 * N, seed=3)[::2],
        "expanded": lambda: random(device, dtype, 1, seed=3).expand(N),
    }
    grad = grad.expand(*input.shape[:-1], N)
    check(module, (input, weight, biases[bias]()), activation, grad)


def test_nothing_outside_the_operands_is_read(device):
    def embedded(rows, columns, seed):
        around = torch.full((rows + 9, columns + 9), torch.nan, device=device)
        around[4:-5, 4:-5] = random(device, torch.float32, rows, columns, seed=seed)
        return around[4:-5, 4:-5]

    layer = embedded(70, 35, 0), embedded(66, 35, 1), embedded(1, 66, 2)[0]
    check(module, layer, "sigmoid", embedded(70, 66, 3))


@ALL_ACTIVATIONS
def test_large_numbers(device, activation):
    input, weight, bias = operands(device, torch.float32, 9, N=8, K=3)
    bias[:4] = torch.tensor([1e4, -1e4, 90.0, -90.0])
    check(module, (input, weight, bias), activation)


@ALL_ACTIVATIONS
def test_nan_and_infinities_pass_through(device, activation):
    input, weight, bias = operands(device, torch.float32, 9, N=8, K=3)
    input[1, 2], input[3, 0], bias[5] = torch.nan, torch.inf, torch.nan
    if activation != "threshold":  # torch multiplies its gradient, 0, with NaN
        check(module, (input, weight, bias), activation, infinite=True)
    output = kernels.linear(input, weight, bias, activation)
    assert output[1].isnan().all() and output[:, 5].isnan().all()


# 3 numbers 2^30 apart: the last lies 2^31 past the first. None of the memory between is touched.
@pytest.mark.parametrize("which", ["row of the input", "row of the weight", "step along K"])
def test_offsets_past_32_bits(device, which):
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 6e9:
        pytest.skip("needs 6 GB of free device memory")
    input, weight, bias = operands(device, torch.float16, 3, N=4, K=3)
    far = torch.empty(3 * 2**30 + 2**10, dtype=torch.float16, device=device)
    if which == "row of the weight":
        weight = far.as_strided(weight.shape, (2**30, 1)).copy_(weight)
    else:
        strides = (1, 2**30) if which == "step along K" else (2**30, 1)
        input = far.as_strided(input.shape, strides).copy_(input)
    check(module, (input, weight, bias), "gelu")


def test_the_bias_is_added_before_the_activation_and_before_rounding(device):
    input = torch.tensor([[2048.0, 1.0]], device=device).half()
    weight = torch.tensor([[1.0, 1.0]], device=device).half()
    bias = torch.tensor([-2048.0], device=device).half()
    # The product, 2049, is no float16: rounded before the bias, the sum would be 0.
    assert kernels.linear(input, weight, bias, "relu").item() == 1


@ALL_ACTIVATIONS
def test_the_reference_is_differentiable(activation):
    generator = torch.Generator().manual_seed(0)
    layer = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 4), (5, 4), (5,))
    ]
    torch.autograd.gradcheck(lambda *layer: module.reference(*layer, activation), layer)


def test_only_what_backward_needs_is_kept(device, monkeypatch):
    input, weight, bias = operands(device, torch.float32, 9, N=8, K=3)
    kept, write = [], _linear_kernel.write_output
    monkeypatch.setattr(
        _linear_kernel,
        "write_output",
        lambda *args: (kept.append(args[-1] is not None), write(*args)),
    )
    kernels.linear(input, weight, bias, "gelu")
    with torch.no_grad():
        kernels.linear(input.requires_grad_(), weight, bias, "gelu")
    for activation in ("identity", "threshold", "gelu"):
        kernels.linear(input, weight, bias, activation)
    assert kept == [False, False, False, False, True]
    input.requires_grad_(False)
    kernels.linear(input, weight, bias.requires_grad_(), "gelu").sum().backward()
    assert kept[-1] and bias.grad is not None
