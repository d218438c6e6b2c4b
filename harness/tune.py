"""Chooses each kernel's launch configurations by timing them on the GPU at hand."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import kernels
from harness import compile

if TYPE_CHECKING:
    from kernels.spec import Build
    from kernels.tuning import Candidate

# By the major number of a GPU's compute capability: what it is compiled for to look for flaws.
_ARCHITECTURES = {8: "sm_80", 9: "sm_90", 10: "sm_100", 12: "sm_120"}
# How what a candidate has beside its blocks is told.
_WORDS = {
    "num_warps": "{} warps",
    "num_stages": "{} stages",
    "GROUP_M": "groups of {}",
    "LANES": "{} lanes",
}


class CannotTune(Exception):
    """There is nothing here to time on; says why."""


def run() -> None:
    """Times the candidates of every kernel whose module has `choices`, and prints what is kept.

    Raises:
        CannotTune: no GPU that kernels have configurations for, or Triton's interpreter is on.
        OSError: what was chosen cannot be kept.
    """
    try:
        import torch
        import triton
    except ModuleNotFoundError as error:
        raise CannotTune(f"cannot tune: {error.name} is not installed") from error
    from kernels import tuning

    if triton.knobs.runtime.interpret:
        raise CannotTune("cannot tune in Triton's interpreter: unset TRITON_INTERPRET")
    if not torch.cuda.is_available():
        raise CannotTune("cannot tune: torch finds no GPU; python -m harness doctor says why")
    gpu, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    if major not in _ARCHITECTURES:
        raise CannotTune(
            f"cannot tune on {gpu}, capability {major}.{minor}: "
            f"expected {', '.join(f'{known}.x' for known in _ARCHITECTURES)}"
        )
    device = torch.device("cuda", torch.cuda.current_device())
    modules = [importlib.import_module(f"kernels.{name}") for name in kernels.NAMES]
    choices = [
        c for module in modules if hasattr(module, "choices") for c in module.choices(device)
    ]

    def flaws(name: str, build: Build) -> Sequence[str]:
        return compile.inspect(name, build, _ARCHITECTURES[major], loads=False).problems

    for number, (choice, best, seconds) in enumerate(tuning.tune(choices, gpu, flaws), start=1):
        line = describe(choice.candidates, best, seconds)
        print(f"[{number}/{len(choices)}] {choice.kernel} {choice.key}: {line}", flush=True)


def describe(
    candidates: Sequence[Candidate], best: Candidate, seconds: Mapping[Candidate, float]
) -> str:
    """In a line: the best configuration, its time and the default's, and how many were timed."""
    if best not in seconds:
        return "nothing timed, every candidate has flaws or was refused; the default stays"
    given = best._asdict()
    more = "x".join(f"{size}" for name, size in given.items() if name.startswith("BLOCK"))
    for name, words in _WORDS.items():
        more += f", {words.format(given[name])}" if name in given else ""
    default = seconds.get(candidates[0])
    beside = "not timed" if default is None else f"{default * 1e6:.1f} us"
    return (
        f"{more}: {seconds[best] * 1e6:.1f} us, the default {beside}; "
        f"{len(seconds)} of {len(candidates)} candidates timed"
    )
