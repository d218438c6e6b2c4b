"""Joules per iteration, from the counters that NVML (NVIDIA GPUs) and RAPL (CPUs) keep.

A GPU's counter advances every 20 to 100 ms only, so a window begins and ends where it advances
and lasts seconds. Importing this file imports neither torch nor pynvml; asking about a GPU does.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_POWERCAP = Path("/sys/class/powercap")
_IDLE_S = 1.0  # idle power is measured this long before and after
_CHUNK_S = 0.1  # run() may only enqueue: synchronise this often, so as not to run far ahead
_STALLED_S = 1.0  # a counter that stands still for this long does not work
_POLL_S = 0.001

# The bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h).
_NOT_THROTTLING = 0x1 | 0x2  # idle, and clocks set by the user
_THROTTLE_REASONS = {
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clock setting",
}


class Unavailable(Exception):
    """Something cannot be read here; the message is the reason, in one plain line."""


@dataclass(frozen=True)
class Nvml:
    """One GPU as NVML, the NVIDIA Management Library, sees it. Readings raise Unavailable."""

    library: Any
    handle: Any

    def read(self, function: str, *arguments: Any, otherwise: str = "") -> Any:
        """What `function` says about the GPU, or `otherwise`, its other name, where it is gone.

        Raises:
            Unavailable: neither exists in the driver, or the GPU does not support it.
        """
        for name in (function, otherwise):
            try:
                if hasattr(self.library, name):
                    return getattr(self.library, name)(self.handle, *arguments)
            except self.library.NVMLError_FunctionNotFound:
                continue  # nvidia-ml-py has it, the driver does not
            except self.library.NVMLError as error:
                raise Unavailable(f"NVML answers {name} with: {error}") from None
        raise Unavailable(f"the driver or nvidia-ml-py does not have {function}")

    def driver(self) -> str:
        """The driver's version."""
        return self.library.nvmlSystemGetDriverVersion()

    def energy_j(self) -> float:
        """Joules since the driver was loaded; Volta and newer."""
        return self.read("nvmlDeviceGetTotalEnergyConsumption") / 1e3

    def power_limit_w(self) -> float:
        """The limit in force, in watts."""
        return self.read("nvmlDeviceGetEnforcedPowerLimit") / 1e3

    def clock_hz(self, part: str, highest: bool = False) -> float:
        """The clock of `part`, "SM" or "MEM": now, or the highest that it can have."""
        function = "nvmlDeviceGetMaxClockInfo" if highest else "nvmlDeviceGetClockInfo"
        return 1e6 * self.read(function, getattr(self.library, f"NVML_CLOCK_{part}"))

    def temperature_c(self) -> float:
        """Degrees Celsius of the chip."""
        sensor = self.library.NVML_TEMPERATURE_GPU
        newer = "nvmlDeviceGetTemperatureV"
        return float(self.read("nvmlDeviceGetTemperature", sensor, otherwise=newer))

    def throttle_reasons(self) -> tuple[str, ...]:
        """What holds the clock down now, other than idling and clocks set by the user."""
        older = "nvmlDeviceGetCurrentClocksThrottleReasons"
        bits = self.read("nvmlDeviceGetCurrentClocksEventReasons", otherwise=older)
        bits &= ~_NOT_THROTTLING
        return tuple(
            _THROTTLE_REASONS.get(1 << bit, f"reason {1 << bit:#x}")
            for bit in range(bits.bit_length())
            if bits >> bit & 1
        )


@dataclass(frozen=True)
class Energy:
    """The energy of one iteration; a field that is None has its reason in `reasons`."""

    energy_j: float | None  # joules an iteration, gross: all that the board or package took
    energy_net_j: float | None  # with the idle power, measured before and after, subtracted
    energy_method: str | None  # the counter, the length of the window and its iterations
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Counter:
    """A counter of joules that only grows: its name, and how to read it."""

    name: str
    read_j: Callable[[], float]


def is_cuda(device: str) -> bool:
    """Whether `device` names a CUDA GPU; else it names the CPU.

    Raises:
        ValueError: it is neither.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"device is {device!r}; allowed are 'cpu', 'cuda' and 'cuda:<ordinal>'")
    return device != "cpu"


@contextmanager
def nvml(device: str) -> Iterator[Nvml]:
    """NVML's view of the GPU that torch calls `device` ("cuda" or "cuda:<ordinal>").

    The two are matched by UUID: NVML counts every GPU of the machine, torch those that
    CUDA_VISIBLE_DEVICES leaves, in another order perhaps.

    Raises:
        Unavailable: nvidia-ml-py, the driver, torch's CUDA or the GPU is missing.
    """
    try:
        import pynvml
    except ImportError:
        raise Unavailable("the package nvidia-ml-py is not installed") from None
    try:
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{_torch_uuid(device)}")
            yield Nvml(pynvml, handle)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        raise Unavailable(f"NVML, the NVIDIA driver's library, says: {error}") from None


@contextmanager
def counter(device: str) -> Iterator[Counter]:
    """The energy counter of `device`, read once to see that it works.

    Raises:
        Unavailable: it has none that can be read here.
        ValueError: `device` is neither "cpu" nor "cuda" nor "cuda:<ordinal>".
    """
    if not is_cuda(device):
        yield Counter("RAPL package counter", _rapl())
        return
    with nvml(device) as gpu:
        gpu.energy_j()
        yield Counter("nvml total energy counter", gpu.energy_j)


def measure_energy(run: Callable[[], None], device: str, window_s: float = 5.0) -> Energy:
    """Joules of one iteration of `run`, over a window of at least `window_s` seconds.

    The window begins where the counter advances and ends where it next does after the last
    iteration: the idle rest of that tick, 0.1 s at most, is in the gross figure and not in the
    net one. The counter is of the whole board or package, other processes' work included.

    Args:
        run: one iteration, warmed up; it may only enqueue its work.
        device: "cpu", "cuda" or "cuda:<ordinal>".
        window_s: seconds; below 5 the counter's coarse ticks show. What the sensors behind it
            miss: Yang, Adamek and Armour 2023, "Part-time power measurements: nvidia-smi's lack
            of attention", arXiv 2312.02741.

    Raises:
        ValueError: `device` or `window_s` is not allowed.
    """
    if not (0 < window_s < math.inf):
        raise ValueError(f"window_s is {window_s!r}; give seconds above 0, 5 or more")
    try:
        with counter(device) as source:
            return _measure(run, source, device, window_s)
    except Unavailable as error:
        fields = ("energy_j", "energy_net_j", "energy_method")
        return Energy(None, None, None, dict.fromkeys(fields, str(error)))


def _measure(run: Callable[[], None], source: Counter, device: str, window_s: float) -> Energy:
    _synchronize(device)
    idle_before_w = _idle_power_w(source)
    start = time.perf_counter()
    run()
    _synchronize(device)
    chunk = max(1, int(_CHUNK_S / max(time.perf_counter() - start, 1e-6)))

    iterations = 0
    begin = _tick(source)
    while time.perf_counter() - begin[0] < window_s:
        for _ in range(chunk):
            run()
        _synchronize(device)
        iterations += chunk
    gross_j, seconds = _since(begin, source)

    idle_w = (idle_before_w + _idle_power_w(source)) / 2
    net_j = gross_j - idle_w * seconds
    method = f"{source.name}, {seconds:.1f} s window, {iterations} iterations"
    if net_j <= 0:
        why = f"no more power than idle ({idle_w:.1f} W)"
        return Energy(gross_j / iterations, None, method, {"energy_net_j": why})
    return Energy(gross_j / iterations, net_j / iterations, method)


def _idle_power_w(source: Counter) -> float:
    begin = _tick(source)
    time.sleep(_IDLE_S)
    idle_j, seconds = _since(begin, source)
    return idle_j / seconds


def _tick(source: Counter) -> tuple[float, float]:
    """The time, in seconds, at which the counter next advances, and the joules it then shows."""
    before = source.read_j()
    deadline = time.perf_counter() + _STALLED_S
    while time.perf_counter() < deadline:
        now_j = source.read_j()
        if now_j != before:
            return time.perf_counter(), now_j
        time.sleep(_POLL_S)
    raise Unavailable(f"the {source.name} did not advance in {_STALLED_S:g} s")


def _since(begin: tuple[float, float], source: Counter) -> tuple[float, float]:
    """The joules and the seconds from the tick `begin` to the next one."""
    seconds, joules = _tick(source)
    if joules < begin[1]:
        raise Unavailable(f"the {source.name} went backwards: it was reset")
    return joules - begin[1], seconds - begin[0]


def _rapl() -> Callable[[], float]:
    """Reads the joules of all CPU packages; AMD's appear under the same names.

    The zones of a package's parts ("core") and of the platform ("psys") would count them twice.
    Counters wrap at 65 kJ or more, minutes at full power: one wrap between readings is seen.
    """
    every = sorted(_POWERCAP.glob("intel-rapl:*"))
    zones = [zone for zone in every if _text(zone / "name").startswith("package")]
    if not zones:
        raise Unavailable("no RAPL counter here: it is absent in virtual machines")
    range_uj = {zone: int(_text(zone / "max_energy_range_uj")) for zone in zones}
    last_uj = {zone: int(_text(zone / "energy_uj")) for zone in zones}
    total_uj = 0

    def read_j() -> float:
        nonlocal total_uj
        for zone in zones:
            now_uj = int(_text(zone / "energy_uj"))
            total_uj += (now_uj - last_uj[zone]) % (range_uj[zone] + 1)
            last_uj[zone] = now_uj
        return total_uj / 1e6

    return read_j


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except PermissionError:
        raise Unavailable("RAPL needs root: its counter is not readable by this user") from None
    except OSError as error:
        raise Unavailable(f"RAPL's counter is not readable: {error.strerror}") from None


def _torch_uuid(device: str) -> str:
    try:
        import torch

        return str(torch.cuda.get_device_properties(device).uuid)
    except (ImportError, OSError, RuntimeError, AssertionError):
        raise Unavailable(f"torch finds no GPU as {device!r}") from None


def _synchronize(device: str) -> None:
    if is_cuda(device):
        import torch

        torch.cuda.synchronize(device)
