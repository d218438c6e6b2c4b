"""Whether others had the CPU's cores while something was measured on them.

A precise median can be wrong: where another process wants the cores, threads that wait for each
other take whole scheduling quanta, again and again the same. Linux tells how long the threads of
this process were ready to run and had no core (/proc/self/task/*/schedstat), and how long the
hypervisor gave the machine's cores to others (the "steal" of /proc/stat).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
BUSY = 0.02  # share from which a measurement is flagged


@dataclass(frozen=True)
class Reading:
    """Seconds so far, and the moment; None where the system does not tell."""

    at: float
    waited_s: float | None
    stolen_s: float | None


def read() -> Reading:
    """The counters now."""
    return Reading(time.perf_counter(), _waited_s(), _stolen_s())


def shares(before: Reading, after: Reading, threads: int) -> tuple[float | None, float | None]:
    """(waited, stolen) between two readings, each as a share of the time of so many cores."""
    passed = after.at - before.at

    def share(first: float | None, second: float | None) -> float | None:
        if first is None or second is None or passed <= 0:
            return None
        return (
            max(second - first, 0.0) / passed / threads
        )  # a thread that ended takes its count along

    return share(before.waited_s, after.waited_s), share(before.stolen_s, after.stolen_s)


def reasons(waited: float | None, stolen: float | None) -> list[str]:
    """Why what was measured with these shares is no time, in words; empty where it is one."""
    found = []
    if waited is not None and waited > BUSY:
        found.append(f"contended: a thread waited {waited:.0%} of the time for a core")
    if stolen is not None and stolen > BUSY:
        found.append(f"the hypervisor gave the cores to others {stolen:.0%} of the time")
    return found


def _waited_s() -> float | None:
    total, told = 0, False
    for path in PROC.glob("self/task/*/schedstat"):
        try:
            total += int(path.read_text().split()[1])
            told = True
        except (OSError, ValueError, IndexError):
            continue  # the thread has ended, or the kernel keeps no such count
    return total * 1e-9 if told else None


def _stolen_s() -> float | None:
    try:
        fields = (PROC / "stat").read_text().splitlines()[0].split()
        return int(fields[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
