"""What is measured for the studies besides time and convergence: one file a probe.

A probe is a module with `run(device, preset)`, which yields Findings (harness/probes/spec.py), each
kept on disk before the next is looked for. To add one, write a module here and put its name into
NAMES. Importing this package imports no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Protocol, cast

from harness.probes.spec import Finding

# what depends on the device first: a budget may end before the others, which do not
NAMES = ("backward", "products", "noise", "conditioning")


class Probe(Protocol):
    """What every module named in NAMES has."""

    run: Callable[[str, str], Iterator[Finding]]


def load(name: str) -> Probe:
    """The probe of that name.

    Raises:
        ValueError: NAMES has no such probe.
    """
    if name not in NAMES:
        raise ValueError(f"no probe {name!r}; there are {', '.join(NAMES)}")
    return cast(Probe, importlib.import_module(f"{__name__}.{name}"))
