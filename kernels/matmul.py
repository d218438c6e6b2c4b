"""Matrix product, forward and both gradients: c = a b, da = dc b^T, db = a^T dc.

One program computes one tile of c, walking along K with the accumulator in registers; programs
are ordered in groups of rows so that those in flight share tiles in L2 (Tillet, Kung and Cox
2019, "Triton", MAPL, 10.1145/3315508.3329973; the order is that of its matmul tutorial). The
gradients are the same kernel on swapped strides: no operand is ever copied or transposed.

Not yet timed on a GPU. Where it should lose to torch's cuBLAS: no split along K, so few rows with
a long K leave multiprocessors idle; plain loads and no persistent programs, so large half-precision
products on Hopper stay below the matrix units' peak; a launch from Python, so tiny products cost
more host time. Configurations are static, chosen from what the compiler reports (registers,
spills, shared memory).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch
from kernels.spec import FORWARD, FORWARD_BACKWARD, Build, Case, Cost, Operation


def reference(a: Tensor, b: Tensor) -> Tensor:
    """[M, K] x [K, N] -> [M, N] in the operands' own dtype."""
    return torch.matmul(a, b)


def magnitude(a: Tensor, b: Tensor) -> Tensor:
    """|a| |b| in float64, the scale of the rounding error of each output."""
    return a.double().abs() @ b.double().abs()


@triton.jit
def _matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """One program: one [BLOCK_M, BLOCK_N] tile of c, accumulated along all of K."""
    # ceil(size / block) written so that sizes near 2^31 do not overflow, as tl.cdiv would.
    tiles_m = (M - 1) // BLOCK_M + 1
    tiles_n = (N - 1) // BLOCK_N + 1
    tiles_k = (K - 1) // BLOCK_K + 1

    # Down GROUP_M tiles of a column, then the next column, then the next group of rows.
    pid = tl.program_id(0)
    group_size = GROUP_M * tiles_n
    first_m = pid // group_size * GROUP_M
    rows = tl.minimum(tiles_m - first_m, GROUP_M)
    pid_m = first_m + pid % group_size % rows
    pid_n = pid % group_size // rows

    # 64-bit from here: a row number times a stride passes 2^31 on large tensors.
    offsets_m = pid_m.to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)  # [BLOCK_M]
    offsets_n = pid_n.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)  # [BLOCK_N]
    offsets_k = tl.arange(0, BLOCK_K).to(tl.int64)  # [BLOCK_K]
    in_m = offsets_m[:, None] < M  # [BLOCK_M, 1]
    in_n = offsets_n[None, :] < N  # [1, BLOCK_N]
    step_a = tl.cast(stride_ak, tl.int64) * BLOCK_K
    step_b = tl.cast(stride_bk, tl.int64) * BLOCK_K

    # [BLOCK_M, BLOCK_K] and [BLOCK_K, BLOCK_N]
    a_ptrs = a_ptr + offsets_m[:, None] * stride_am + offsets_k[None, :] * stride_ak
    b_ptrs = b_ptr + offsets_k[:, None] * stride_bk + offsets_n[None, :] * stride_bn
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for tile_k in range(tiles_k):
        left = K - tile_k * BLOCK_K
        a = tl.load(a_ptrs, mask=in_m & (offsets_k[None, :] < left), other=0.0)
        b = tl.load(b_ptrs, mask=(offsets_k[:, None] < left) & in_n, other=0.0)
        accumulator = tl.dot(a, b, accumulator, input_precision=PRECISION)
        a_ptrs += step_a
        b_ptrs += step_b

    # [BLOCK_M, BLOCK_N]
    c_ptrs = c_ptr + offsets_m[:, None] * stride_cm + offsets_n[None, :] * stride_cn
    tl.store(c_ptrs, accumulator.to(c_ptr.dtype.element_ty), mask=in_m & in_n)


class Config(NamedTuple):
    """A tile, and how many warps and pipeline stages work on it; named as the launch names them."""

    BLOCK_M: int
    BLOCK_N: int
    BLOCK_K: int
    num_warps: int
    num_stages: int
    GROUP_M: int = 8


# (arithmetic, shape class): `config` says what these mean.
_SM_80 = {
    ("half", "large"): Config(128, 256, 32, 8, 4),
    ("half", "ragged"): Config(128, 128, 32, 8, 3),
    ("half", "small"): Config(64, 64, 64, 4, 4),
    ("half", "skinny"): Config(16, 32, 128, 4, 6),
    ("tf32", "large"): Config(128, 128, 32, 8, 4),
    ("tf32", "ragged"): Config(128, 64, 32, 8, 3),
    ("tf32", "small"): Config(64, 64, 32, 4, 3),
    ("tf32", "skinny"): Config(16, 32, 64, 4, 6),
    ("ieee", "large"): Config(128, 128, 16, 8, 4),
    ("ieee", "ragged"): Config(64, 128, 16, 8, 3),
    ("ieee", "small"): Config(64, 64, 16, 8, 3),
    ("ieee", "skinny"): Config(16, 32, 64, 4, 4),
}
CONFIGS = {
    "sm_80": _SM_80,
    "sm_90": _SM_80
    | {
        ("half", "large"): Config(128, 256, 64, 8, 3),
        # These two spill on sm_100 with the tiles of sm_80.
        ("tf32", "ragged"): Config(64, 128, 32, 8, 3),
        ("tf32", "small"): Config(64, 64, 32, 8, 4),
    },
}


def config(M: int, N: int, K: int, dtype: torch.dtype, precision: str, architecture: str) -> Config:
    """The configuration for one product.

    Args:
        M, N, K: sizes of the product.
        dtype: of the operands.
        precision: "ieee" or "tf32", what float32 products use.
        architecture: "sm_80" or "sm_90", see _launch.architecture.
    """
    arithmetic = precision if dtype == torch.float32 else "half"
    if M <= 16:
        shape = "skinny"  # reads b and does little else: many programs, deep pipeline
    elif M * N < 2048 * 2048:
        shape = "small"  # large tiles would be fewer than multiprocessors
    elif M % 16 == N % 16 == K % 16 == 0:
        shape = "large"
    else:
        shape = "ragged"  # rows not 16-byte aligned: narrow loads need the registers
    return CONFIGS[architecture][arithmetic, shape]


def _product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Writes a b into out; [M, K], [K, N] and [M, N], any strides."""
    _launch.check_dot("matmul", a)
    if out.shape[1] <= 16 < out.shape[0]:
        a, b, out = b.t(), a.t(), out.t()  # few columns as few rows: c^T = b^T a^T
    (M, K), N = a.shape, b.shape[1]
    if out.numel() == 0:
        return  # no programs; K = 0 is no special case, the kernel stores its zeros
    precision = _launch.float32_precision()
    tile = config(M, N, K, a.dtype, precision, _launch.architecture(a))
    programs = triton.cdiv(M, tile.BLOCK_M) * triton.cdiv(N, tile.BLOCK_N)
    strides = (*a.stride(), *b.stride(), *out.stride())
    with _launch.device_of(a):
        _matmul_kernel[(programs,)](
            a, b, out, M, N, K, *strides, PRECISION=precision, **tile._asdict()
        )


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices, as torch.matmul's of two matrices.

    Args:
        a: [M, K]; float32, float16 or bfloat16, any strides.
        b: [K, N]; the same dtype and device.

    Returns:
        [M, N], contiguous, in the operands' dtype, accumulated in float32. float32 operands are
        rounded to TF32 only where torch.backends.cuda.matmul.fp32_precision says so.

    Raises:
        TypeError: an operand is not a dense tensor of these dtypes, or the dtypes differ.
        ValueError: the shapes do not fit, or the devices differ.
        RuntimeError: CPU tensors outside Triton's interpreter, bfloat16 inside it, forward-mode
            differentiation, vmap, or differentiating twice.
    """
    _launch.check_operand("matmul", "a", a, "[M, K]")
    _launch.check_operand("matmul", "b", b, "[K, N]")
    _launch.check_alike("matmul", "a", a, "b", b)
    if a.shape[1] != b.shape[0]:
        raise ValueError(
            f"matmul: a has shape {list(a.shape)} and b has shape {list(b.shape)}, "
            "expected [M, K] and [K, N] with one K"
        )
    _launch.check_runnable("matmul", a)
    return _forward(a, b)


@torch.library.custom_op("flopwise::matmul", mutates_args=())
def _forward(a: Tensor, b: Tensor) -> Tensor:
    _launch.check_runnable("matmul", a)
    out = a.new_empty((a.shape[0], b.shape[1]))
    _product(a, b, out)
    return out


@_forward.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], b.shape[1]))


# The operand that a gradient does not need is None: da needs b, db needs a.
@torch.library.custom_op("flopwise::matmul_backward", mutates_args=())
def _backward(grad: Tensor, a: Tensor | None, b: Tensor | None) -> list[Tensor]:
    """[da where b is given] + [db where a is given]."""
    _launch.check_runnable("matmul", grad)
    grads = _empty_gradients(grad, a, b)
    remaining = iter(grads)
    if b is not None:
        _product(grad, b.t(), next(remaining))
    if a is not None:
        _product(a.t(), grad, next(remaining))
    return grads


@_backward.register_fake
def _empty_gradients(grad: Tensor, a: Tensor | None, b: Tensor | None) -> list[Tensor]:
    grads = []
    if b is not None:
        grads.append(grad.new_empty((grad.shape[0], b.shape[0])))
    if a is not None:
        grads.append(grad.new_empty((a.shape[1], grad.shape[1])))
    return grads


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    a, b = inputs
    needs_a, needs_b = ctx.needs_input_grad[:2]
    ctx.save_for_backward(a if needs_b else None, b if needs_a else None)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    grads = iter(_backward(grad, *ctx.saved_tensors))
    needs_a, needs_b = ctx.needs_input_grad[:2]
    return next(grads) if needs_a else None, next(grads) if needs_b else None


_forward.register_autograd(_differentiate, setup_context=_save)
_launch.refuse_twice("matmul", _backward)
_launch.refuse_vmap("matmul", _forward, _backward)


def inputs(case: Case, device: str, seed: int) -> tuple[Tensor, Tensor]:
    """a and b from the normal distribution, the same for the same seed and device."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(rows: str, columns: str) -> Tensor:
        return torch.randn(
            (case.shape[rows], case.shape[columns]),
            generator=generator,
            device=device,
            dtype=getattr(torch, case.dtype),
            requires_grad=case.direction == FORWARD_BACKWARD,
        )

    return normal("M", "K"), normal("K", "N")


def cost(case: Case) -> Cost:
    """2MNK for the product and as much for each gradient; each matrix moved once each time."""
    M, N, K = (case.shape[size] for size in "MNK")
    element = getattr(torch, case.dtype).itemsize
    flops, operands, output = 2 * M * N * K, (M * K + K * N) * element, M * N * element
    if case.direction == FORWARD:
        return Cost(flops, operands + output)
    # Backward reads the output's gradient and both operands, and writes both gradients.
    return Cost(3 * flops, operands + output + output + 2 * operands)


def _case(M: int, N: int, K: int, dtype: str, direction: str = FORWARD, **more: Any) -> Case:
    return Case({"M": M, "N": N, "K": K}, dtype, direction, **more)


_CUDA: dict[str, Any] = {"devices": ("cuda",)}
_FULL: dict[str, Any] = {"presets": ("full",)}

CASES = (
    _case(512, 512, 512, "float32"),
    _case(512, 512, 512, "float32", FORWARD_BACKWARD),
    _case(251, 509, 383, "float32"),
    _case(4096, 4096, 4096, "bfloat16", **_CUDA),
    _case(4096, 4096, 4096, "bfloat16", FORWARD_BACKWARD, **_CUDA),
    _case(16, 4096, 4096, "bfloat16", **_CUDA),
    _case(8192, 8192, 8192, "bfloat16", **_CUDA, **_FULL),
    _case(8192, 8192, 8192, "bfloat16", FORWARD_BACKWARD, **_CUDA, **_FULL),
    _case(4095, 4097, 4093, "bfloat16", **_CUDA, **_FULL),
    _case(4096, 4096, 4096, "float16", **_CUDA, **_FULL),
    _case(4096, 4096, 4096, "float32", **_CUDA, **_FULL),
    _case(1024, 1024, 1024, "float32", **_FULL),
    _case(2048, 2048, 2048, "float32", **_FULL),
)

PROVIDERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "torch": lambda: torch.matmul,
    "triton": lambda: matmul,
    "torch.compile": lambda: torch.compile(torch.matmul, dynamic=False),
}

# The strides that are 1: of c = a b, and of its gradients dc b^T and a^T dc.
_LAYOUTS = {
    "nn": ("stride_ak", "stride_bn", "stride_cn"),
    "nt": ("stride_ak", "stride_bk", "stride_cn"),
    "tn": ("stride_am", "stride_bn", "stride_cn"),
}
_TRITON_TYPE = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
# Configurations of an architecture that has none of its own; see _launch.architecture.
_FAMILY = {"sm_80": "sm_80", "sm_90": "sm_90", "sm_100": "sm_90", "sm_120": "sm_80"}


def builds(architecture: str) -> list[Build]:
    """Every configuration launched on the architecture, for contiguous operands of each layout."""
    return [*_builds(architecture)]


def _builds(architecture: str) -> Iterator[Build]:
    for (arithmetic, shape), tile in CONFIGS[_FAMILY[architecture]].items():
        for dtype in ("bfloat16", "float16") if arithmetic == "half" else ("float32",):
            for layout, ones in _LAYOUTS.items():
                yield _build(arithmetic, shape, tile, dtype, layout, ones)


def _build(arithmetic, shape, tile, dtype, layout, ones):
    constants = {
        "PRECISION": "tf32" if arithmetic == "tf32" else "ieee",
        **{name: 1 for name in ones},
        **{name: value for name, value in tile._asdict().items() if name.isupper()},
    }
    types = {
        name: f"*{_TRITON_TYPE[dtype]}" if name.endswith("_ptr") else "i32"
        for name in _matmul_kernel.arg_names
        if name not in constants
    }
    # torch aligns memory to 16 bytes; sizes and strides are multiples of 16 unless ragged.
    aligned = tuple(name for name in types if shape != "ragged" or name.endswith("_ptr"))
    return Build(
        _matmul_kernel,
        f"{arithmetic} {shape} {layout}",
        dtype,
        types,
        constants,
        aligned,
        tile.num_warps,
        tile.num_stages,
        matrix=arithmetic != "ieee" and tile.BLOCK_M >= 64,
    )


OPERATION = Operation("matmul", reference, magnitude, inputs, cost, CASES, PROVIDERS, builds=builds)
