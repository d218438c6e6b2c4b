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
WORKED = 0.05  # share of the time that a thread must have run for its waiting to hold others up


@dataclass(frozen=True)
class Reading:
    """The moment, and seconds so far; None where the system does not tell.

    Attributes:
        at: time.perf_counter().
        waited_s: by thread of this process, how long it waited for a core.
        stolen_s: by core that this process may use, how long the hypervisor gave it to others.
        ran_s: by thread, how long it had a core.
    """

    at: float
    waited_s: Mapping[str, float] | None
    stolen_s: Mapping[str, float] | None
    ran_s: Mapping[str, float] | None = None


def read() -> Reading:
    """The counters now."""
    now, threads = time.perf_counter(), _threads()
    ran, waited = ({key: pair[i] for key, pair in threads.items()} for i in (0, 1))
    return Reading(now, waited or None, _stolen_s(), ran or None)


def shares(before: Reading, after: Reading) -> tuple[float | None, float | None]:
    """(waited, stolen) between two readings, each as a share of the time.

    Of the thread that waited longest, and of the core that was taken for longest: threads that
    share out their work wait for the last of them, however many there are. A thread that hardly
    ran, such as the one that draws the progress bar, waits for our own work, and nobody for it;
    unless none ran more.
    """
    passed = after.at - before.at
    waited = after.waited_s
    if waited is not None and after.ran_s is not None and before.ran_s is not None:
        first = before.ran_s
        worked = {k for k, s in after.ran_s.items() if s - first.get(k, 0.0) >= WORKED * passed}
        waited = {k: s for k, s in waited.items() if k in worked} or waited

    def share(
        first: Mapping[str, float] | None, second: Mapping[str, float] | None
    ) -> float | None:
        if first is None or second is None or passed <= 0:
            return None
        # what began in between began at 0, and what ended took its count along
        return max(0.0, *(s - first.get(key, 0.0) for key, s in second.items())) / passed

    return share(before.waited_s, waited), share(before.stolen_s, after.stolen_s)


def reasons(waited: float | None, stolen: float | None) -> list[str]:
    """Why what was measured with these shares is no time, in words; empty where it is one."""
    found = []
    if waited is not None and waited > BUSY:
        found.append(f"contended: a thread waited {waited:.0%} of the time for a core")
    if stolen is not None and stolen > BUSY:
        found.append(f"the hypervisor gave the cores to others {stolen:.0%} of the time")
    return found


def _threads() -> dict[str, tuple[float, float]]:
    """Of this process: seconds that each ran, and waited for a core; empty where nothing tells."""
    found = {}
    for path in PROC.glob("self/task/*/schedstat"):
        try:
            ran, waited = path.read_text().split()[:2]
            found[path.parent.name] = int(ran) * 1e-9, int(waited) * 1e-9
        except (OSError, ValueError):
            continue  # the thread has ended, or the kernel keeps no such count
    return found


def _stolen_s() -> dict[str, float] | None:
    try:
        ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        cores = (line.split() for line in (PROC / "stat").read_text().splitlines())
        tick = os.sysconf("SC_CLK_TCK")
        return {c[0]: int(c[8]) / tick for c in cores if c and c[0] in ours} or None
    except (OSError, ValueError, IndexError, AttributeError):  # the last: no Linux
        return None
