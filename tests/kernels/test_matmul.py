"""kernels.matmul against torch.matmul in float64: the output and both gradients."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given
from hypothesis import strategies as st

import kernels
from kernels import _launch, _product
from kernels.tuning import Config
from tests.kernels.examples import examples
from tests.kernels.products import ALL_DTYPES, check, random
from tests.kernels.rule import assert_close_as_torch

# The file, not the function that `kernels.matmul` is.
module = importlib.import_module("kernels.matmul")

ROOT = Path(__file__).parents[2]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def float32_precision():
    """Sets torch's precision of float32 products, for "cuda" or "everything", and takes it back."""
    places = {"cuda": torch.backends.cuda.matmul, "everything": torch.backends}
    before = {name: place.fp32_precision for name, place in places.items()}

    def set_precision(name, value):
        places[name].fp32_precision = value

    yield set_precision
    for name, value in before.items():
        places[name].fp32_precision = value


@ALL_DTYPES
def test_fixed_case(device, dtype):
    check(random(device, dtype, 131, 67), random(device, dtype, 67, 129, seed=1), fixed=True)


@ALL_DTYPES
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1),
        (2, 3, 5),
        (17, 65, 65),  # one past BLOCK_M of few rows, and past the small blocks
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
def test_sizes(device, dtype, sizes):
    M, N, K = sizes
    check(random(device, dtype, M, K), random(device, dtype, K, N, seed=1))


@pytest.mark.parametrize("architecture", _product.CONFIGS)
@pytest.mark.parametrize("key", _product.CONFIGS["sm_90"], ids="-".join)
def test_every_configuration_past_its_block(
    device, monkeypatch, float32_precision, architecture, key
):
    if key not in _product.CONFIGS[architecture]:
        pytest.skip("Hopper's own")
    arithmetic, shape = key
    dtype = torch.float16 if arithmetic == "half" else torch.float32
    if device == "cuda" and architecture != _launch.architecture(torch.empty(0, device=device)):
        pytest.skip("a configuration for another architecture")
    float32_precision("cuda", "tf32" if arithmetic == "tf32" else "ieee")
    tile = _product.CONFIGS[architecture][key]
    monkeypatch.setattr(_product, "select", lambda *operands: (shape, tile))
    more = 8 if shape.startswith("tma") else 1  # rows that a descriptor can point to
    M, N, K = tile.BLOCK_M + more, tile.BLOCK_N + more, tile.BLOCK_K + more
    check(random(device, dtype, M, K), random(device, dtype, K, N, seed=1))


def test_a_tuned_configuration_is_launched(device, monkeypatch):
    tile, launched = Config(32, 64, 64, 4, 2), []
    monkeypatch.setattr(_product, "chosen", lambda *asked: (launched.append(asked), tile)[1])
    a, b = random(device, torch.float16, 65, 65), random(device, torch.float16, 65, 65, seed=1)
    check(a, b)
    assert {asked[:2] for asked in launched} == {("matmul", "float16 small")}


@pytest.mark.parametrize("sizes", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)], ids=str)
def test_empty(device, sizes):
    M, N, K = sizes
    a = torch.ones(M, K, device=device, requires_grad=True)
    b = torch.ones(K, N, device=device, requires_grad=True)
    c = kernels.matmul(a, b)
    c.sum().backward()
    assert torch.equal(c, torch.zeros(M, N, device=device))
    expected = torch.ones(M, N, device=device)
    assert torch.equal(a.grad, expected @ b.detach().t())
    assert torch.equal(b.grad, a.detach().t() @ expected)


LAYOUTS = {
    "contiguous": lambda new, rows, columns: new(rows, columns),
    "transposed": lambda new, rows, columns: new(columns, rows).t(),
    "every other": lambda new, rows, columns: new(2 * rows, 3 * columns)[::2, ::3],
    "offset": lambda new, rows, columns: new(rows + 2, columns + 3)[2:, 3:],
    "one row expanded": lambda new, rows, columns: new(1, columns).expand(rows, columns),
    "one column expanded": lambda new, rows, columns: new(rows, 1).expand(rows, columns),
    "one number expanded": lambda new, rows, columns: new(1, 1).expand(rows, columns),
    "overlapping": lambda new, rows, columns: new(rows + columns).unfold(0, columns, 1)[:rows],
}
ALL_LAYOUTS = st.sampled_from(sorted(LAYOUTS))


@examples(70)
@given(
    sizes=st.tuples(*[st.integers(0, 80)] * 3),
    layouts=st.tuples(*[ALL_LAYOUTS] * 3),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
def test_any_shape_and_strides(device, sizes, layouts, dtype):
    M, N, K = sizes
    a, b, grad = (
        LAYOUTS[layout](lambda *shape, i=i: random(device, dtype, *shape, seed=i), *shape)
        for i, (layout, shape) in enumerate(zip(layouts, [(M, K), (K, N), (M, N)], strict=True))
    )
    check(a, b, grad)


def test_nothing_outside_the_operands_is_read(device):
    def embedded(rows, columns, seed):
        around = torch.full((rows + 9, columns + 9), torch.nan, device=device)
        around[4:-5, 4:-5] = random(device, torch.float32, rows, columns, seed=seed)
        return around[4:-5, 4:-5]

    check(embedded(70, 35, 0), embedded(35, 66, 1), embedded(70, 66, 2))


# The operands end where memory ends: a read past them kills the process, so it has its own.
PAST_THE_END = """
import ctypes, mmap, torch, kernels
libc = ctypes.CDLL(None, use_errno=True)

def at_the_end(rows, columns, transposed):
    memory = mmap.mmap(-1, 16 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    size = 15 * mmap.PAGESIZE
    assert libc.mprotect(ctypes.c_void_p(start + size), mmap.PAGESIZE, 0) == 0  # PROT_NONE
    rest = size // 4 - rows * columns
    flat = torch.frombuffer(memory, dtype=torch.float32, count=size // 4)[rest:].fill_(1)
    return flat.view(columns, rows).t() if transposed else flat.view(rows, columns)

for transposed in (False, True):
    for rows, columns, inner in ((65, 67, 33), (5, 67, 33), (67, 5, 33)):
        a = at_the_end(rows, inner, transposed)
        b = at_the_end(inner, columns, transposed)
        assert (kernels.matmul(a, b) == inner).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory as Linux does")
def test_nothing_past_the_end_is_read():
    run = subprocess.run(
        [sys.executable, "-c", PAST_THE_END],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr or f"killed by signal {-run.returncode}"


def test_nan_and_infinities_pass_through(device):
    a, b = random(device, torch.float32, 70, 35), random(device, torch.float32, 35, 66, seed=1)
    a[3, 5], a[69, 34], a[8, 0] = torch.nan, torch.inf, -torch.inf
    b[34, 2], b[7, 65] = 0.0, torch.inf  # infinity x 0 is NaN
    check(a, b)
    assert kernels.matmul(a, b)[69, 2].isnan()


def test_a_negative_view_is_not_read_as_it_lies(device):
    a = torch.randn(5, 6, dtype=torch.complex64, device=device).conj().imag
    assert a.is_neg()
    check(a, random(device, torch.float32, 6, 7))


# 3 numbers of 2^30 apart: the last lies 2^31 past the first. None of the memory between is touched.
@pytest.mark.parametrize("which", ["row of a", "step along K", "row of c"])
def test_offsets_past_32_bits(device, which):
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 6e9:
        pytest.skip("needs 6 GB of free device memory")
    K = 130 if which == "step along K" else 5  # 130: past BLOCK_K of few rows
    assert _product.CONFIGS["sm_80"]["half", "skinny"].BLOCK_K == 128
    a, b = random(device, torch.float16, 3, K), random(device, torch.float16, K, 4, seed=1)
    true, own, scale = a.cpu().double() @ b.cpu().double(), a @ b, module.magnitude(a, b)

    def spread(shape, strides):
        return torch.empty(2**31 + 2**25, dtype=torch.float16, device=device).as_strided(
            shape, strides
        )

    c = torch.empty_like(own)
    if which == "row of a":
        a = spread(a.shape, (2**30, 1)).copy_(a)
    elif which == "step along K":
        a = spread(a.shape, (1, 2**24)).copy_(a)
    else:
        c = spread(c.shape, (2**30, 1))
    module._product(a, b, c)
    assert_close_as_torch(c.clone(), true, own, scale)


def test_bfloat16_dots_of_the_interpreter_are_still_wrong(device):
    """Fails when Triton is mended: then drop _launch.check_dot and the skips of bfloat16."""
    if not _launch.INTERPRETED:
        pytest.skip("about Triton's interpreter")

    @triton.jit
    def dot(a_ptr, c_ptr):
        at = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
        a = tl.load(a_ptr + at)
        tl.store(c_ptr + at, tl.dot(a, a))

    a, c = torch.ones(16, 16, dtype=torch.bfloat16), torch.zeros(16, 16)
    dot[(1,)](a, c)
    assert not torch.equal(c, torch.full((16, 16), 16.0)), "Triton #11584 is mended"


@needs_gpu
def test_float32_is_rounded_to_tf32_only_when_torch_says_so(device, float32_precision):
    a, b = random(device, torch.float32, 256, 256), random(device, torch.float32, 256, 256, seed=1)
    check(a, b, fixed=True)
    exact = kernels.matmul(a, b)
    float32_precision("cuda", "tf32")
    check(a, b, fixed=True)
    assert not torch.equal(exact, kernels.matmul(a, b))


def test_precision_follows_torch(float32_precision):
    assert _launch.float32_precision() == "ieee"
    float32_precision("everything", "tf32")
    assert _launch.float32_precision() == "tf32"
    float32_precision("cuda", "ieee")
    assert _launch.float32_precision() == "ieee"
    float32_precision("everything", "none")
    float32_precision("cuda", "tf32")
    assert _launch.float32_precision() == "tf32"
