"""What machine, what software, and the state of the device around a case.

What is described here is committed publicly with the results: no host name, no user name and no
absolute path. Importing this file imports neither torch nor pynvml; the functions do.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.cpu import (
    cpu_cache_bytes,
    cpu_clock_hz,
    cpu_model,
    cpu_temperature_c,
    quota_cores,
    usable_cores,
)
from harness.energy import Unavailable, is_cuda, nvml

PACKAGES = (
    *("torch", "triton", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib"),
    *("pytest", "pytest-benchmark", "nvidia-ml-py", "liger-kernel", "cut-cross-entropy"),
)
Readers = Mapping[str, Callable[[], Any]]  # by the name of what each reads
REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class DeviceState:
    """Clocks, temperature and throttling of a device at one moment; None has its reason."""

    clock_hz: float | None  # of the GPU's multiprocessors, or the mean of the CPU's cores
    memory_clock_hz: float | None
    temperature_c: float | None  # degrees Celsius of the chip
    throttle_reasons: tuple[str, ...] | None  # what holds the clock down now; () is nothing
    throttled: bool | None
    reasons: Mapping[str, str]


def device_state(device: str) -> DeviceState:
    """The state of "cpu", "cuda" or "cuda:<ordinal>" now: read it outside of a timing.

    Raises:
        ValueError: `device` is none of these.
    """
    if not is_cuda(device):
        sensors: Readers = {"clock_hz": cpu_clock_hz, "temperature_c": cpu_temperature_c}
        return _state(sensors, "the operating system does not tell this of a CPU")
    try:
        with nvml(device) as gpu:
            throttle_reasons = cache(gpu.throttle_reasons)  # one reading serves two fields
            readers: Readers = {
                "clock_hz": partial(gpu.clock_hz, "SM"),
                "memory_clock_hz": partial(gpu.clock_hz, "MEM"),
                "temperature_c": gpu.temperature_c,
                "throttle_reasons": throttle_reasons,
                "throttled": lambda: throttle_reasons() != (),
            }
            return _state(readers, "")
    except Unavailable as error:
        return _state({}, str(error))


def probe_gpu() -> tuple[bool, str]:
    """Whether torch can run on a CUDA GPU, and the GPU's name, or why it cannot in one line.

    Runs one small kernel: that a GPU is listed does not mean that this torch can use it.
    """
    try:
        import torch
    except (ImportError, OSError):
        return False, "torch is not installed, or does not load"
    if torch.version.cuda is None:
        return False, f"torch {torch.__version__} is built without CUDA"
    try:
        torch.zeros(1, device="cuda").item()
        return True, torch.cuda.get_device_name()
    except (RuntimeError, AssertionError) as error:
        message = (str(error).splitlines() or ["no message"])[0]
    if "no NVIDIA driver" in message:
        return False, "no NVIDIA driver is installed"
    if "too old" in message:
        return False, f"the NVIDIA driver is too old for torch's CUDA {torch.version.cuda}"
    if "No CUDA GPUs" in message:
        hidden = " (CUDA_VISIBLE_DEVICES is set)" if "CUDA_VISIBLE_DEVICES" in os.environ else ""
        return False, f"the NVIDIA driver shows torch no GPU{hidden}"
    return False, f"CUDA fails: {without_paths(message)}"


def device_name(device: str) -> str:
    """The processor's name, e.g. "NVIDIA H200"; "no CUDA GPU" where "cuda" cannot be used.

    Raises:
        ValueError: `device` is neither "cpu" nor "cuda" nor "cuda:<ordinal>".
    """
    if not is_cuda(device):
        return cpu_model()
    usable, _ = probe_gpu()
    return sys.modules["torch"].cuda.get_device_name(device) if usable else "no CUDA GPU"


def machine_id(environment: Mapping[str, Any]) -> str:
    """A folder's name, of a-z, 0-9 and hyphens, for the machine that `describe` described.

    The GPU's ("nvidia-h200"), else the CPU's and its cores ("intel-xeon-processor-2-cores").
    """
    if environment["gpus"]:
        name = environment["gpus"][0]["name"]
    else:
        cores = environment["cpu"]["usable_cores"]
        model = re.sub(r"\((R|TM)\)|\bCPU\b|@.*", " ", environment["cpu"]["model"])
        name = f"{model} {cores} {'core' if cores == 1 else 'cores'}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80]


def cxx_version() -> str:
    """The version of torch.compile's C++ compiler (CXX, else g++); Unavailable without one."""
    said = _output(os.environ.get("CXX", "g++"), "--version")
    return without_paths(said.partition("\n")[0])


def git_state() -> dict[str, Any]:
    """The commit that is checked out, and whether tracked files differ from it ("dirty").

    Raises:
        Unavailable: git is missing, or this is no checkout.
    """
    commit, inside = _output("git", "rev-parse", "HEAD", "--show-prefix").split("\n")[:2]
    if inside:
        raise Unavailable("not a checkout, but a folder inside another project's")
    lines = _output("git", "--no-optional-locks", "status", "--porcelain").splitlines()
    untracked = sum(line.startswith("??") for line in lines)
    return {"commit": commit, "dirty": len(lines) > untracked, "untracked": untracked}


def without_paths(text: str) -> str:
    """`text` cut at its first absolute or upward path: such paths name users and machines."""
    return re.sub(r"(?s)(?<![\w.])(?:~|/|\.\./|[A-Za-z]:\\).*|(?<=^-\w)/.*", "<path>", text)


def describe() -> dict[str, Any]:
    """The machine and the software, ready for JSON; beside each None is a `<field>_reason`."""
    usable, why = probe_gpu()
    torch: Any = sys.modules.get("torch")

    def gpus() -> list[dict[str, Any]]:
        _told(usable or None, why)
        return [_gpu(torch, ordinal) for ordinal in range(torch.cuda.device_count())]

    caches = {str(level): size for level, size in cpu_cache_bytes().items()}
    cpu: Readers = {
        "model": cpu_model,
        "logical_cores": os.cpu_count,
        "usable_cores": usable_cores,
        "quota_cores": quota_cores,
        "cache_bytes": lambda: _told(caches or None, "the operating system does not tell"),
    }
    toolkit: Readers = {
        "available": lambda: usable,
        "version": lambda: _told(torch and torch.version.cuda, why),
        "driver": partial(_ask_nvml, "cuda", "driver"),
    }
    packages = {name: partial(version, name) for name in PACKAGES}
    if torch:  # its wheel's metadata may leave out what it was built for
        packages["torch"] = partial(str, torch.__version__)
    readers: Readers = {
        "cpu": partial(_section, cpu),
        "memory_bytes": lambda: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "os": lambda: f"{platform.system()} {platform.release()}",
        "python": lambda: f"{platform.python_implementation()} {platform.python_version()}",
        "packages": partial(_section, packages),
        "torch_threads": lambda: _told(torch, why).get_num_threads(),
        "cuda": partial(_section, toolkit),
        "gpus": gpus,
        "git": git_state,
        "cxx": cxx_version,
        "command": lambda: " ".join([Path(sys.argv[0]).name, *map(without_paths, sys.argv[1:])]),
    }
    return _section(readers)


def _section(readers: Readers) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for name, read in readers.items():
        try:
            section[name] = read()
        except Unavailable as error:
            section[name], section[f"{name}_reason"] = None, str(error)
        except PackageNotFoundError:
            section[name], section[f"{name}_reason"] = None, "not installed"
    return section


def _told(value: Any, why: str) -> Any:
    if value is None:
        raise Unavailable(why)
    return value


def _state(readers: Readers, why: str) -> DeviceState:
    names = ("clock_hz", "memory_clock_hz", "temperature_c", "throttle_reasons", "throttled")
    told = _section({name: readers.get(name, partial(_told, None, why)) for name in names})
    reasons = {name: told[f"{name}_reason"] for name in names if told[name] is None}
    return DeviceState(**{name: told[name] for name in names}, reasons=reasons)


def _ask_nvml(device: str, question: str, *arguments: Any) -> Any:
    with nvml(device) as gpu:
        return getattr(gpu, question)(*arguments)


def _gpu(torch: Any, ordinal: int) -> dict[str, Any]:
    device = f"cuda:{ordinal}"
    properties = torch.cuda.get_device_properties(device)
    readers: Readers = {
        "power_limit_w": partial(_ask_nvml, device, "power_limit_w"),
        "max_clock_hz": partial(_ask_nvml, device, "clock_hz", "SM", True),
        "max_memory_clock_hz": partial(_ask_nvml, device, "clock_hz", "MEM", True),
    }
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "l2_bytes": properties.L2_cache_size,
        **_section(readers),
    }


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):  # their messages name paths
        raise Unavailable(f"{Path(command[0]).name} is missing, or fails here") from None
    return done.stdout
