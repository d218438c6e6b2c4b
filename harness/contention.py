"""Whether others had the CPU's cores while something was measured on them.

A precise median can be wrong: where another process wants the cores, threads that wait for each
other take whole scheduling quanta, again and again the same. Linux tells how long the threads of
this process were ready to run and had no core (/proc/self/task/*/schedstat), and how long the
hypervisor gave the machine's cores to others (the "steal" of /proc/stat).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
BUSY = 0.02  # share from which a measurement is flagged


@dataclass(frozen=True)
class Reading:
    """The moment, and seconds so far; None where the system does not tell.

    Attributes:
        at: time.perf_counter().
        waited_s: by thread of this process, how long it waited for a core.
        stolen_s: by core that this process may use, how long the hypervisor gave it to others.
    """

    at: float
    waited_s: Mapping[str, float] | None
    stolen_s: Mapping[str, float] | None


def read() -> Reading:
    """The counters now."""
    return Reading(time.perf_counter(), _waited_s(), _stolen_s())


def shares(before: Reading, after: Reading) -> tuple[float | None, float | None]:
    """(waited, stolen) between two readings, each as a share of the time.

    Of the thread that waited longest, and of the core that was taken for longest: threads that
    share out their work wait for the last of them, however many there are.
    """
    passed = after.at - before.at

    def share(
        first: Mapping[str, float] | None, second: Mapping[str, float] | None
    ) -> float | None:
        if first is None or second is None or passed <= 0:
            return None
        # what began in between began at 0, and what ended took its count along
        return max(0.0, *(s - first.get(key, 0.0) for key, s in second.items())) / passed

    return share(before.waited_s, after.waited_s), share(before.stolen_s, after.stolen_s)


def reasons(waited: float | None, stolen: float | None) -> list[str]:
    """Why what was measured with these shares is no time, in words; empty where it is one."""
    found = []
    if waited is not None and waited > BUSY:
        found.append(f"contended: a thread waited {waited:.0%} of the time for a core")
    if stolen is not None and stolen > BUSY:
        found.append(f"the hypervisor gave the cores to others {stolen:.0%} of the time")
    return found


def _waited_s() -> dict[str, float] | None:
    found = {}
    for path in PROC.glob("self/task/*/schedstat"):
        try:
            found[path.parent.name] = int(path.read_text().split()[1]) * 1e-9
        except (OSError, ValueError, IndexError):
            continue  # the thread has ended, or the kernel keeps no such count
    return found or None


def _stolen_s() -> dict[str, float] | None:
    ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        cores = (line.split() for line in (PROC / "stat").read_text().splitlines())
        tick = os.sysconf("SC_CLK_TCK")
        return {c[0]: int(c[8]) / tick for c in cores if c and c[0] in ours} or None
    except (OSError, ValueError, IndexError):
        return None
