"""A simulated GPU and CPU whose true joules are known, in simulated time."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

IDLE_W, BUSY_W, TICK_S, ITERATION_S = 100.0, 600.0, 0.1, 0.02


class NVMLError(Exception):
    pass


class NVMLError_FunctionNotFound(NVMLError):
    pass


class Machine:
    """A clock, and a device that draws IDLE_W, or BUSY_W while it has work in its queue."""

    def __init__(self) -> None:
        self.now = 0.03  # not on a tick
        self.free_at = 0.0
        self.work: list[tuple[float, float]] = []
        self.busy_w = BUSY_W

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> None:
        """Enqueues one iteration, which takes the host 10 us and the device ITERATION_S."""
        self.now += 1e-5
        start = max(self.now, self.free_at)
        self.free_at = start + ITERATION_S
        self.work.append((start, self.free_at))

    def synchronize(self, device: str) -> None:
        self.now = max(self.now, self.free_at)

    def joules(self, until: float) -> float:
        busy = sum(max(0.0, min(until, end) - start) for start, end in self.work)
        return IDLE_W * until + (self.busy_w - IDLE_W) * busy


class Nvml(SimpleNamespace):
    """Stands for the module pynvml, of a machine with the GPUs GPU-a and GPU-b."""

    NVMLError = NVMLError
    NVMLError_FunctionNotFound = NVMLError_FunctionNotFound

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine=machine, open=0, opened=0)

    def nvmlInit(self) -> None:
        self.open += 1
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in ("GPU-a", "GPU-b"):
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        """Millijoules, as of the last tick; a call takes 50 us. GPU-b took ten times as many."""
        self.machine.now += 5e-5
        tick = math.floor(self.machine.now / TICK_S) * TICK_S
        return round(1000 * self.machine.joules(tick)) * (10 if handle == "GPU-b" else 1)


class Rapl(Machine):
    """Two packages of 1 W idle and 6 W busy each, that wrap at 31 J, in a /sys of their own."""

    RANGE_UJ = 31_000_000

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.zones = {}
        for zone, name, share in (
            ("intel-rapl:0", "package-0", 0.01),
            ("intel-rapl:0:0", "core", 0.01),  # a part of package-0
            ("intel-rapl:1", "package-1", 0.01),
            ("intel-rapl:2", "psys", 0.05),  # the whole platform
        ):
            (folder / zone).mkdir(parents=True)
            (folder / zone / "name").write_text(f"{name}\n")
            (folder / zone / "max_energy_range_uj").write_text(f"{self.RANGE_UJ}\n")
            self.zones[folder / zone / "energy_uj"] = share
        self.tell()

    def tell(self) -> None:
        for path, share in self.zones.items():
            path.write_text(f"{round(1e6 * share * self.joules(self.now)) % (self.RANGE_UJ + 1)}\n")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.tell()

    def run(self) -> None:
        super().run()
        self.now = self.free_at  # a CPU works while it is called
        self.tell()
