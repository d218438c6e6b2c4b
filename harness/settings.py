"""torch's global settings that decide how fast and how right all providers of a process are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import torch


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


# by name in torch: what reads it, what sets it. The precision comes first, for it sets others
_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "float32_matmul_precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "num_threads": (torch.get_num_threads, torch.set_num_threads),
    "default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "grad_enabled": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "deterministic_algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "backends.cudnn.benchmark": _attribute(torch.backends.cudnn, "benchmark"),
    **{
        f"backends.{name}.fp32_precision": _attribute(
            attrgetter(name)(torch.backends), "fp32_precision"
        )
        for name in (
            *("cuda.matmul", "cudnn.conv", "cudnn.rnn"),
            *("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn"),
        )
    },
    **{
        f"backends.cuda.matmul.{name}": _attribute(torch.backends.cuda.matmul, name)
        for name in (
            "allow_fp16_reduced_precision_reduction",
            "allow_bf16_reduced_precision_reduction",
        )
    },
}


def read() -> dict[str, Any]:
    """The settings now, by name."""
    found = {}
    for name, (get, _) in _SETTINGS.items():
        with contextlib.suppress(RuntimeError):  # torch was told one thing in two ways
            found[name] = get()
    return found


def restore(before: Mapping[str, Any]) -> str | None:
    """Set back what is not as it was; in words the first that was not, or None."""
    now = read()
    changed = [name for name, value in before.items() if now.get(name) != value]
    for name in before if changed else ():
        if read().get(name) != before[name]:
            _SETTINGS[name][1](before[name])
    told = [f"torch's {name} from {before[name]} to {now.get(name)}" for name in changed]
    return told[0] if told else None
