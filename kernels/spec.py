"""What a kernel file declares: an Operation, its Cases and their Cost. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FORWARD = "forward"
BACKWARD = "backward"  # the gradients alone, of a forward pass that was not timed
FORWARD_BACKWARD = "forward+backward"
# Output and gradients for an upstream gradient of one, known before the forward pass: what fused
# losses compute there. They are compared on this work; to scale it is no part of it.
FORWARD_GRADIENT = "forward+gradient"
DIRECTIONS = (FORWARD, BACKWARD, FORWARD_BACKWARD, FORWARD_GRADIENT)
PRESETS = ("quick", "full")
DEVICES = ("cpu", "cuda")
# What a case says beside its sizes: too large for a CPU, left out of the quick preset.
CUDA: dict[str, Any] = {"devices": ("cuda",)}
FULL: dict[str, Any] = {"presets": ("full",)}
# Triton's names of the dtypes, for the types of a Build.
TRITON_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Cost:
    """What a case must do at least, whoever computes it.

    Attributes:
        flops: floating-point operations, a multiply-add counting two.
        bytes: compulsory bytes: each input read once, each output written once.

    Raises:
        ValueError: one of them is no whole number, or below 0.
    """

    flops: int
    bytes: int

    def __post_init__(self) -> None:
        for what, given in (("flops", self.flops), ("bytes", self.bytes)):
            if type(given) is not int or given < 0:
                raise ValueError(f"a cost's {what}: {given!r} is no whole number of 0 or more")


@dataclass(frozen=True)
class Case:
    """One shape, dtype and direction of an operation.

    Attributes:
        shape: named sizes in the operation's own letters, e.g. {"M": 512, "N": 512, "K": 512}.
        dtype: torch's name of it, e.g. "float32".
        direction: one of DIRECTIONS.
        presets: the presets that run it ("quick", "full").
        devices: kinds of device it is meant for ("cpu", "cuda"); a case too large for a
            CPU's patience names "cuda" alone.

    Raises:
        ValueError: a direction, preset or device that there is not.
    """

    shape: Mapping[str, int]
    dtype: str
    direction: str = FORWARD
    presets: tuple[str, ...] = PRESETS
    devices: tuple[str, ...] = DEVICES

    def __post_init__(self) -> None:
        for what, given, known in (
            ("direction", (self.direction,), DIRECTIONS),
            ("presets", self.presets, PRESETS),
            ("devices", self.devices, DEVICES),
        ):
            if unknown := [one for one in given if one not in known]:
                raise ValueError(f"a case's {what}: {unknown[0]!r} is none of {', '.join(known)}")

    @property
    def name(self) -> str:
        """e.g. "M512-N512-K512-float32-forward": stable, fit for a test id."""
        sizes = "-".join(f"{letter}{size}" for letter, size in self.shape.items())
        return f"{sizes}-{self.dtype}-{self.direction}"


@dataclass(frozen=True)
class Build:
    """One kernel in one launch configuration and dtype, as a compiler can build it with no GPU.

    Attributes:
        kernel: the @triton.jit function.
        configuration: what tells the kernel's configurations apart, e.g. "large 128x256x64".
        dtype: of the operands, torch's name of it.
        types: Triton's type of each argument that is no constant, e.g. {"a_ptr": "*bf16"}.
        constants: the other arguments.
        aligned: the arguments known to be multiples of 16 (bytes or elements).
        num_warps, num_stages: of the launch.
        matrix: whether it must use the architecture's matrix instructions; False for kernels
            without a product, exact float32, and tiles too small for them.
        wide: how many loads ("ld") and stores ("st") of 16 bytes it must have, at least.
    """

    kernel: Any
    configuration: str
    dtype: str
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    aligned: tuple[str, ...]
    num_warps: int
    num_stages: int
    matrix: bool = False
    wide: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """What is computed, by whom, at what cost, and how the answer is known.

    Attributes:
        name: the public function's name.
        reference: plain torch; its float64 result is the truth, its result in the case's own
            dtype is torch's own error. Never timed.
        magnitude: the same formula over absolute values, in float64: the scale S against which
            a rounding error is judged (Higham 2002, "Accuracy and Stability", section 3.1).
        inputs: (case, device, seed) -> fresh random inputs. Those that are differentiable
            require grad when the case's direction includes backward.
        cost: case -> Cost.
        cases: the most telling first.
        providers: name -> a function that takes the inputs and returns the output. Built
            lazily: the value is called once, with no argument, to get that function. A peer
            that is not installed raises ModuleNotFoundError then.
        baseline: the provider in the denominator of every speedup.
        builds: architecture ("sm_80", "sm_90", "sm_100", "sm_120") -> every kernel in every
            configuration and dtype that is launched there.
        triton: the providers that are Triton kernels, so that only a GPU gives them a time; None
            for all whose names do not begin with "torch".
        in_place: the providers that may write over their inputs, as they say they do; each has
            inputs of its own, and is timed on what its last calls left of them.

    Raises:
        ValueError: no case, two cases of one name, or a provider named that there is not.
    """

    name: str
    reference: Callable[..., Tensor]
    magnitude: Callable[..., Tensor]
    inputs: Callable[[Case, str, int], tuple[Tensor, ...]]
    cost: Callable[[Case], Cost]
    cases: tuple[Case, ...]
    providers: Mapping[str, Callable[[], Callable[..., Tensor]]]
    baseline: str = "torch"
    builds: Callable[[str], Sequence[Build]] = lambda architecture: ()
    triton: tuple[str, ...] | None = None
    in_place: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cases:
            raise ValueError(f"{self.name} has no cases")
        names = [case.name for case in self.cases]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{self.name} has two cases named {twice[0]}")
        providers = ", ".join(self.providers) or "none"
        for name in (self.baseline, *(self.triton or ()), *self.in_place):
            if name not in self.providers:
                raise ValueError(f"{self.name} has no provider {name!r}, only {providers}")
