"""The linear layer's product with bias and activation: kernels, configurations and the launch.

What kernels/linear.py makes differentiable; its docstring tells the algorithm.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels import _launch
from kernels._activations import activate
from kernels._tiles import product, quickest, tile_of, wide
from kernels.tuning import Config, chosen


@triton.jit
def _linear_kernel(
    input_ptr, weight_ptr, bias_ptr, output_ptr, pre_ptr, M, N, K,
    stride_im, stride_ik, stride_wn, stride_wk, stride_b,
    ACTIVATION: tl.constexpr, PRECISION: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """One program: one [BLOCK_M, BLOCK_N] tile of the output, and of z where pre_ptr is given."""
    pid_m, pid_n = tile_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP_M)
    # 64-bit from here: a row number times a stride passes 2^31 on large tensors.
    offsets_m = pid_m.to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)  # [BLOCK_M]
    offsets_n = pid_n.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)  # [BLOCK_N]
    z = product(
        input_ptr, weight_ptr, offsets_m, offsets_n, M, N, K,
        stride_im, stride_ik, stride_wk, stride_wn, PRECISION, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + offsets_n * stride_b, mask=offsets_n < N, other=0.0)
        z += bias.to(tl.float32)[None, :]

    at = offsets_m[:, None] * N + offsets_n[None, :]  # [BLOCK_M, BLOCK_N]
    mask = (offsets_m[:, None] < M) & (offsets_n[None, :] < N)
    if pre_ptr is not None:
        tl.store(pre_ptr + at, z.to(pre_ptr.dtype.element_ty), mask=mask)
    y = activate(z, ACTIVATION)
    tl.store(output_ptr + at, y.to(output_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _store_half(
    z, bias_ptr, output_desc, pre_desc, m, n, N, stride_b, ACTIVATION: tl.constexpr
):  # fmt: skip
    """Adds the bias to half a tile at (m, n), and stores it and its activation."""
    if bias_ptr is not None:
        offsets_n = n + tl.arange(0, z.shape[1])
        at = bias_ptr + offsets_n.to(tl.int64) * stride_b
        z += tl.load(at, mask=offsets_n < N, other=0.0).to(tl.float32)[None, :]
    if pre_desc is not None:
        pre_desc.store([m, n], z.to(pre_desc.dtype))
    output_desc.store([m, n], activate(z, ACTIVATION).to(output_desc.dtype))


@triton.jit
def _persistent_kernel(
    input_desc, weight_desc, bias_ptr, output_desc, pre_desc, M, N, K, stride_b,
    ACTIVATION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """One program: every so many tiles, moved by the TMA unit, which pads and clips."""
    tiles = ((M - 1) // BLOCK_M + 1) * ((N - 1) // BLOCK_N + 1)
    # Flattened: one loop over tiles and K, whose loads for the next tile are in flight while this
    # one goes through the activation.
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0), flatten=True):
        pid_m, pid_n = tile_of(tile, M, N, BLOCK_M, BLOCK_N, GROUP_M)
        m, n = pid_m * BLOCK_M, pid_n * BLOCK_N
        z = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for tile_k in range((K - 1) // BLOCK_K + 1):
            a = input_desc.load([m, tile_k * BLOCK_K])  # [BLOCK_M, BLOCK_K]
            b = weight_desc.load([n, tile_k * BLOCK_K])  # [BLOCK_N, BLOCK_K]
            z = tl.dot(a, b.T, z)
        # In halves, so that the activation's temporaries fit in registers beside the tile.
        halves = tl.permute(tl.reshape(z, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))
        left, right = tl.split(halves)  # [BLOCK_M, BLOCK_N // 2]
        _store_half(left, bias_ptr, output_desc, pre_desc, m, n, N, stride_b, ACTIVATION)
        n += BLOCK_N // 2
        _store_half(right, bias_ptr, output_desc, pre_desc, m, n, N, stride_b, ACTIVATION)


# (arithmetic, shape class): `shape_class` and `select` say what these mean.
_SM_80 = {
    ("half", "large"): Config(128, 128, 32, 8, 4),
    ("half", "ragged"): Config(64, 128, 32, 8, 3),
    ("half", "small"): Config(64, 64, 64, 4, 4),
    ("half", "few rows"): Config(16, 32, 128, 4, 6),
    ("half", "few columns"): Config(64, 16, 64, 4, 4),
    ("tf32", "large"): Config(128, 128, 32, 8, 4),
    ("tf32", "ragged"): Config(128, 64, 32, 8, 3),
    ("tf32", "small"): Config(64, 64, 32, 4, 4),
    ("tf32", "few rows"): Config(16, 32, 64, 4, 6),
    ("tf32", "few columns"): Config(64, 16, 64, 4, 3),
    ("ieee", "large"): Config(128, 128, 16, 8, 4),
    ("ieee", "ragged"): Config(64, 128, 16, 8, 3),
    ("ieee", "small"): Config(64, 64, 16, 8, 3),
    ("ieee", "few rows"): Config(16, 32, 64, 4, 4),
    ("ieee", "few columns"): Config(64, 16, 32, 4, 3),
}
CONFIGS = {
    "sm_80": _SM_80,
    "sm_90": _SM_80
    | {
        ("half", "tma"): Config(128, 256, 64, 8, 4),
        ("half", "tma narrow"): Config(128, 128, 64, 8, 4),
        ("half", "large"): Config(128, 128, 64, 8, 4),
        # With 128 x 128 triton 3.6 makes each product wait for the last.
        ("tf32", "large"): Config(128, 64, 32, 8, 4),
        # These two spill on sm_100 with the tiles of sm_80.
        ("tf32", "ragged"): Config(64, 128, 32, 8, 3),
        ("tf32", "small"): Config(64, 64, 32, 8, 4),
    },
}


# What `tune` tries beside these; a shape class that is not here has no choice. Some spill on some
# architecture and version of Triton: there they are never timed.
ALTERNATIVES: dict[str, dict[tuple[str, str], tuple[Config, ...]]] = {
    "sm_80": {
        ("half", "large"): (Config(128, 128, 64, 8, 3), Config(64, 256, 32, 8, 3)),
        ("half", "small"): (Config(64, 128, 32, 4, 4), Config(32, 64, 64, 4, 4)),
        ("half", "few rows"): (Config(16, 64, 128, 4, 4), Config(16, 128, 64, 4, 4)),
        ("half", "few columns"): (Config(128, 16, 64, 4, 4), Config(64, 16, 128, 4, 4)),
    },
    "sm_90": {
        ("half", "tma"): (
            Config(128, 256, 64, 8, 4, GROUP_M=16),
            Config(128, 256, 64, 8, 3),
            Config(256, 128, 64, 8, 4),
        ),
        ("half", "tma narrow"): (
            Config(128, 128, 64, 8, 5),
            Config(128, 128, 64, 4, 4),
            Config(64, 256, 64, 8, 4),
        ),
        ("half", "small"): (
            Config(64, 128, 64, 4, 4),
            Config(128, 128, 64, 8, 4),
            Config(64, 64, 128, 4, 3),
        ),
        ("half", "few rows"): (Config(16, 64, 128, 4, 6), Config(16, 128, 64, 4, 5)),
        ("half", "few columns"): (Config(128, 16, 64, 4, 4), Config(64, 16, 128, 4, 4)),
    },
}


def shape_class(M: int, N: int, K: int) -> str:
    """Which configuration a layer of these sizes takes where no descriptor can be used.

    Where it is "large", an operand that is not `wide` makes it "ragged"; see select.
    """
    if M <= 16:
        return "few rows"  # reads the weight and does little else: many programs, deep pipeline
    if N <= 16:
        return "few columns"
    if M * N < 2048 * 2048:
        return "small"  # large tiles would be fewer than multiprocessors
    if M % 16 == N % 16 == K % 16 == 0:
        return "large"
    return "ragged"  # rows not 16-byte aligned: narrow loads need the registers


def candidates(architecture: str, arithmetic: str, shape: str) -> tuple[Config, ...]:
    """The default configuration, then those that may be timed against it; as matmul's."""
    key = arithmetic, shape
    return CONFIGS[architecture][key], *ALTERNATIVES[architecture].get(key, ())


def _describable(matrix: Tensor) -> bool:
    """Whether a TMA descriptor can say where the matrix lies."""
    outer, inner = matrix.stride()
    return (
        inner == 1
        and outer >= matrix.shape[1] > 0  # neither expanded nor overlapping
        and outer * matrix.itemsize % 16 == 0
        and matrix.data_ptr() % 16 == 0
    )


def select(input: Tensor, weight: Tensor, output: Tensor) -> tuple[str, Config]:
    """The shape class and configuration of a layer on its device; [M, K], [N, K], [M, N]."""
    (M, K), N = input.shape, weight.shape[0]
    architecture = _launch.architecture(input)
    arithmetic = _launch.float32_precision() if input.dtype == torch.float32 else "half"
    shape = shape_class(M, N, K)
    if (
        (architecture, arithmetic) == ("sm_90", "half")
        and shape in ("large", "ragged", "small")
        and all(map(_describable, (input, weight, output)))
    ):
        classes = ("tma", "tma narrow", *(["small"] if shape == "small" else []))
        tiles = {name: CONFIGS[architecture][arithmetic, name] for name in classes}
        shape = quickest(M, N, _launch.multiprocessors(input), tiles)
    elif shape == "large" and not (wide(input) and wide(weight) and wide(output)):
        shape = "ragged"  # whole sizes, but a view's strides or its address are not
    dtype = str(input.dtype).removeprefix("torch.") if arithmetic == "half" else arithmetic
    allowed = candidates(architecture, arithmetic, shape)
    return shape, chosen("linear", f"{dtype} {shape}", allowed, input.device)


def write_output(
    input: Tensor, weight: Tensor, bias: Tensor | None, activation: str,
    output: Tensor, pre: Tensor | None,
) -> None:  # fmt: skip
    """Writes the layer's output and, unless None, its pre-activation; [M, K], [N, K] -> [M, N]."""
    if output.numel() == 0:
        return  # no programs; K = 0 is no special case, the product is then zeros
    shape, tile = select(input, weight, output)
    launch(input, weight, bias, activation, output, pre, shape, tile)


def launch(
    input: Tensor, weight: Tensor, bias: Tensor | None, activation: str,
    output: Tensor, pre: Tensor | None, shape: str, tile: Config,
) -> None:  # fmt: skip
    """Launches the kernel of the shape class with the configuration; output is not empty."""
    (M, K), N = input.shape, weight.shape[0]
    tiles = _launch.cdiv(M, tile.BLOCK_M) * _launch.cdiv(N, tile.BLOCK_N)
    stride_b = 0 if bias is None else bias.stride(0)
    sizes = tile._asdict()
    with _launch.device_of(input):
        if shape.startswith("tma"):
            blocks = [tile.BLOCK_M, tile.BLOCK_K], [tile.BLOCK_N, tile.BLOCK_K]
            out = [tile.BLOCK_M, tile.BLOCK_N // 2]
            _persistent_kernel[(min(tiles, _launch.multiprocessors(input)),)](
                TensorDescriptor.from_tensor(input, blocks[0]),
                TensorDescriptor.from_tensor(weight, blocks[1]),
                bias,
                TensorDescriptor.from_tensor(output, out),
                None if pre is None else TensorDescriptor.from_tensor(pre, out),
                M, N, K, stride_b, ACTIVATION=activation, **sizes,
            )  # fmt: skip
        else:
            _linear_kernel[(tiles,)](
                input, weight, bias, output, pre, M, N, K, *input.stride(), *weight.stride(),
                stride_b, ACTIVATION=activation, PRECISION=_launch.float32_precision(), **sizes,
            )  # fmt: skip
