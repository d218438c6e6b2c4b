"""What every kernel file shares: checks of its operands, refusals, and where and how to launch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple, NoReturn

import torch
import torch.autograd.forward_ad
import triton
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)

# What @triton.jit looks at: whether kernels run in Triton's interpreter, on the CPU.
INTERPRETED: bool = triton.knobs.runtime.interpret


class Gpu(NamedTuple):
    """What a launch depends on of its GPU: the compute capability, and how many multiprocessors."""

    capability: tuple[int, int]
    multiprocessors: int


# A GPU that is not there, whose launches harness/dry_run.py records: CPU tensors stand for its own.
assumed: Gpu | None = None


def check_operand(function: str, name: str, operand: Any, dimensions: str) -> None:
    """Refuses anything but a dense floating tensor with the named dimensions.

    Args:
        function: the public function, for the message.
        name: the argument's name there.
        operand: what was given.
        dimensions: what is expected, e.g. "[M, K]"; their number is the rank.

    Raises:
        TypeError: not a tensor, not strided, or of another dtype.
        ValueError: another rank.
    """
    if not isinstance(operand, Tensor):
        raise TypeError(
            f"{function}: {name} is a {type(operand).__name__}, "
            f"expected a torch.Tensor {dimensions}"
        )
    if operand.layout != torch.strided:
        raise TypeError(
            f"{function}: {name} has layout {operand.layout}, expected torch.strided; "
            "a sparse tensor has .to_dense()"
        )
    if operand.dtype not in DTYPES:
        raise TypeError(
            f"{function}: {name} is {operand.dtype}, expected one of {', '.join(map(str, DTYPES))}"
        )
    if operand.dim() != dimensions.count(",") + 1:
        raise ValueError(
            f"{function}: {name} has shape {list(operand.shape)}, expected {dimensions}"
        )


def check_alike(function: str, name: str, operand: Tensor, name2: str, operand2: Tensor) -> None:
    """Refuses two operands that differ in dtype or device.

    Raises:
        TypeError: they differ in dtype.
        ValueError: they differ in device.
    """
    if operand.dtype != operand2.dtype:
        raise TypeError(
            f"{function}: {name} is {operand.dtype} and {name2} is {operand2.dtype}, "
            "expected one dtype for both"
        )
    if operand.device != operand2.device:
        raise ValueError(
            f"{function}: {name} is on {operand.device} and {name2} is on {operand2.device}, "
            "expected one device for both"
        )


def check_runnable(function: str, operand: Tensor) -> None:
    """Refuses what would not run, or would run and be wrong.

    Called by the public function, where torch.compile sees it while tracing, and again by the
    operator, which sees what only a run shows: duals that reach a compiled graph or a backward.

    Raises:
        RuntimeError: no kernel runs on this device, or forward-mode differentiation is on.
    """
    if not (operand.is_cuda or assumed or (INTERPRETED and operand.device.type == "cpu")):
        raise RuntimeError(
            f"{function}: Triton kernels do not run on {operand.device}; move the tensors to a "
            "CUDA device, or set TRITON_INTERPRET=1 before importing kernels to check "
            "correctness, slowly, on the CPU"
        )
    # Any active level, not only duals among the operands: inside torch.func transforms the duals
    # are hidden in wrappers, and a custom operator would drop their tangents without a word.
    if torch.autograd.forward_ad._current_level >= 0:
        raise RuntimeError(
            f"{function}: forward-mode differentiation (torch.func.jvp, jacfwd, dual tensors) is "
            "not supported; use reverse mode, or torch's own operator"
        )


def check_dot(function: str, operand: Tensor) -> None:
    """Refuses bfloat16 in the interpreter, whose tl.dot multiplies bit patterns (triton #11584).

    Raises:
        RuntimeError: the product would be wrong by many orders of magnitude.
    """
    if INTERPRETED and operand.dtype == torch.bfloat16:
        raise RuntimeError(
            f"{function}: Triton's interpreter multiplies bfloat16 matrices wrongly; use float32 "
            "or float16 with TRITON_INTERPRET=1, or a CUDA device without it"
        )


def refuse_twice(function: str, backward: torch.library.CustomOpDef) -> None:
    """Makes differentiating the operator `backward`, the gradient of `function`, raise."""

    def raise_twice(ctx: Any, *grads: Any) -> NoReturn:
        raise RuntimeError(
            f"{function}: differentiating twice is not supported; use torch's own operator"
        )

    backward.register_autograd(raise_twice)


def refuse_vmap(function: str, *operators: torch.library.CustomOpDef) -> None:
    """Makes torch.func.vmap over any of the operators raise instead of looping slowly."""

    def raise_vmap(info: Any, in_dims: Any, *args: Any) -> NoReturn:
        raise RuntimeError(f"{function}: vmap is not supported; use torch's own operator")

    for operator in operators:
        operator.register_vmap(raise_vmap)


def asked_once(grad: Tensor) -> bool:
    """Whether backward can give the gradients it kept away, since autograd will free them.

    Not from a graph that is retained or differentiated, nor in a trace or while a CUDA graph is
    captured, which may be replayed without its forward pass.
    """
    if torch.is_grad_enabled() or type(grad) is not Tensor:
        return False
    if grad.is_cuda and torch.cuda.is_current_stream_capturing():
        return False
    return not torch._C._autograd._get_current_graph_task_keep_graph()


def cdiv(size: int, block: int) -> int:
    """How many blocks hold so many; triton.cdiv of 3.6 takes a microsecond, of each of a launch's
    ten."""
    return -(-size // block)


def device_of(operand: Tensor) -> AbstractContextManager[Any]:
    """Makes the operand's device the current one: Triton launches on that."""
    return torch.cuda.device(operand.device) if operand.is_cuda else nullcontext()


def architecture(operand: Tensor) -> str:
    """The architecture whose configurations fit the operand's device: "sm_80" or "sm_90".

    What counts is shared memory: 227 KiB a block on capability 9.x and 10.x ("sm_90"), while
    "sm_80" keeps to the 99 KiB that 8.6, 8.9 and 12.x have.
    """
    return "sm_90" if capability(operand)[0] in (9, 10) else "sm_80"


def capability(operand: Tensor) -> tuple[int, int]:
    """The compute capability of the operand's device; (8, 0) in the interpreter."""
    if assumed:
        return assumed.capability
    if operand.is_cuda:
        gpu = properties(operand.device)
        return gpu.major, gpu.minor
    return 8, 0


@cache
def properties(device: torch.device) -> Any:
    """What torch tells of a tensor's GPU, asked once: a launch needs them several times."""
    return torch.cuda.get_device_properties(device)


def multiprocessors(operand: Tensor) -> int:
    """How many the operand's device has."""
    if assumed:
        return assumed.multiprocessors
    if operand.is_cuda:
        return properties(operand.device).multi_processor_count
    return 2  # the interpreter's programs, so that each has several tiles


def float32_precision() -> str:
    """How torch multiplies float32 matrices now: "ieee", or "tf32" where the user chose it."""
    # Reads "none" where neither this nor a wider setting was made: then torch computes in float32.
    # Never the older allow_tf32: torch raises when the two ways of saying it are mixed.
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"
