"""What pytest --benchmark-only can be asked for, and how it is read."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pytest

from harness import environment
from harness.case import PRESETS
from harness.timing import DEVICES


def add(group: Any) -> None:
    """Add our options to one of pytest's groups of them."""
    group.addoption(
        "--devices",
        type=_devices,
        default="auto",
        metavar="LIST",
        help="cpu, cuda or cpu,cuda; default: cpu, and cuda where there is a GPU",
    )
    group.addoption(
        "--preset",
        choices=tuple(PRESETS),
        default="quick",
        help="quick: minutes; full: every case, energy too; default: %(default)s",
    )
    group.addoption(
        "--budget",
        type=_budget,
        metavar="SECONDS",
        help="start no case after so many seconds, and none that tunes for minutes before it is "
        "timed; the most telling cases come first",
    )
    group.addoption(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="rows go to DIR/<machine>/<run>/; default: %(default)s",
    )
    group.addoption(
        "--resume",
        metavar="RUN",
        help='go on with a run: its folder, its name, or "last"; rows that are there are kept',
    )
    group.addoption(
        "--own",
        action="append",
        default=[],
        metavar="FILE",
        help="measure the OPERATION or WORKLOAD of this file and nothing else; may be repeated",
    )


def devices(config: pytest.Config) -> tuple[str, ...]:
    """The devices that were asked for; cuda unasked only where there is one."""
    text = config.getoption("devices")
    if text != "auto":
        return tuple(dict.fromkeys(text.split(",")))
    import torch

    return DEVICES if torch.cuda.is_available() else ("cpu",)


def nowhere(config: pytest.Config) -> str:
    """Why nothing could be measured on the devices that were asked for; "" where something can."""
    if devices(config) != ("cuda",):
        return ""
    usable, why = environment.probe_gpu()
    return "" if usable else f"no CUDA device: {why}; measure with --devices=cpu"


def _devices(text: str) -> str:
    names = text.split(",")
    if text != "auto" and not all(name in DEVICES for name in names):
        unknown = next(name for name in names if name not in DEVICES)
        raise argparse.ArgumentTypeError(
            f"unknown device {unknown!r}: one or more of {', '.join(DEVICES)}, or auto"
        )
    return text


def _budget(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
