"""What the operating system tells of the CPU: its name, caches, cores, clock and temperature.

Read from Linux's /proc and /sys; elsewhere, and in most virtual machines, part of it is not told.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from statistics import mean

from harness.energy import Unavailable

SYSTEM = Path("/")  # where /proc and /sys stand


def cpu_cache_bytes() -> dict[int, int]:
    """Bytes of data cache that a core reaches, by level (3 is shared); {} where untold."""
    sizes = {}
    for index in sorted(SYSTEM.glob("sys/devices/system/cpu/cpu0/cache/index*")):
        kind, level, size = (_text(index / name) for name in ("type", "level", "size"))
        if kind in ("Data", "Unified") and re.fullmatch(r"\d+K", size):
            sizes[int(level)] = int(size[:-1]) * 1024
    return sizes


def usable_cores() -> int:
    """Cores that this process may run on; a quota of time may leave it less of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


def quota_cores() -> float:
    """Cores' worth of time that this container may take (control groups, version 2 or 1).

    Raises:
        Unavailable: no quota is set.
    """
    folder = SYSTEM / "sys/fs/cgroup"
    old = (_text(folder / f"cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    quota, period = _text(folder / "cpu.max").split() or old
    if not quota.isdigit():  # "max", "-1" or nothing at all
        raise Unavailable("no quota is set")
    return int(quota) / int(period)


def cpu_model() -> str:
    """The processor's name, or its architecture where no name is told."""
    found = re.search(r"^model name\s*:\s*(.+)$", _text(SYSTEM / "proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else f"{platform.machine()} CPU"


def cpu_clock_hz() -> float:
    """The mean of the cores' clocks now.

    Raises:
        Unavailable: no clock is told, or only the nominal one.
    """
    paths = SYSTEM.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    khz = [float(text) for path in paths if (text := _text(path))]
    if khz:
        return 1e3 * mean(khz)
    cpuinfo = _text(SYSTEM / "proc/cpuinfo")
    mhz = re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", cpuinfo, re.MULTILINE)
    # Linux writes the nominal clock there unless the processor counts its cycles (aperfmperf).
    if not mhz or "aperfmperf" not in cpuinfo:
        raise Unavailable("only the nominal clock is told, as is common in virtual machines")
    return 1e6 * mean(map(float, mhz))


def cpu_temperature_c() -> float:
    """Degrees Celsius of the chip now.

    Raises:
        Unavailable: there is no sensor.
    """
    for name in sorted(SYSTEM.glob("sys/class/hwmon/hwmon*/name")):
        millidegrees = _text(name.parent / "temp1_input")
        if millidegrees and _text(name) in ("coretemp", "k10temp", "zenpower", "cpu_thermal"):
            return float(millidegrees) / 1e3
    raise Unavailable("no temperature sensor is shown, as is common in virtual machines")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
