"""What is told of a CPU, on machines made up of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cpu, environment
from harness.energy import Unavailable


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine without /proc and /sys; the function writes one file into it."""
    monkeypatch.setattr(cpu, "SYSTEM", tmp_path)

    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    return write


def test_the_state_of_a_virtual_cpu(system) -> None:
    system("proc/cpuinfo", "flags\t\t: fpu hypervisor\ncpu MHz\t\t: 2599.998")
    state = environment.device_state("cpu")
    assert state.clock_hz is None  # the nominal clock is no reading
    assert "nominal" in state.reasons["clock_hz"]
    assert set(state.reasons) == set(vars(state)) - {"reasons"}


def test_the_state_of_a_real_cpu(system) -> None:
    system("proc/cpuinfo", "flags : aperfmperf\ncpu MHz\t: 2000.0\n\ncpu MHz\t: 3000.5")
    assert environment.device_state("cpu").clock_hz == 2.50025e9
    system("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1000000")
    system("sys/devices/system/cpu/cpu11/cpufreq/scaling_cur_freq", "3000000")
    system("sys/class/hwmon/hwmon0/name", "nvme")
    system("sys/class/hwmon/hwmon0/temp1_input", "99000")
    system("sys/class/hwmon/hwmon1/name", "coretemp")
    system("sys/class/hwmon/hwmon1/temp1_input", "45500")
    state = environment.device_state("cpu")
    assert (state.clock_hz, state.temperature_c) == (2e9, 45.5)


def test_the_cpus_model_and_caches(system) -> None:
    assert environment.device_name("cpu").endswith(" CPU")  # the architecture, at least
    system("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9654\nmodel name\t: other")
    assert environment.device_name("cpu") == "AMD EPYC 9654"
    kinds = [("Data", "1", "48K"), ("Instruction", "1", "64K"), ("Unified", "2", "2048K")]
    for index, parts in enumerate([*kinds, ("Unified", "3", "garbage")]):
        for name, text in zip(("type", "level", "size"), parts, strict=True):
            system(f"sys/devices/system/cpu/cpu0/cache/index{index}/{name}", text)
    assert cpu.cpu_cache_bytes() == {1: 49152, 2: 2097152}


def test_the_quota_of_a_container(system) -> None:
    with pytest.raises(Unavailable, match="no quota is set"):
        cpu.quota_cores()
    system("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    system("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    with pytest.raises(Unavailable, match="no quota is set"):
        cpu.quota_cores()
    system("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000")
    assert cpu.quota_cores() == 0.5
    system("sys/fs/cgroup/cpu.max", "150000 100000")
    assert cpu.quota_cores() == 1.5
    system("sys/fs/cgroup/cpu.max", "max 100000")
    with pytest.raises(Unavailable, match="no quota is set"):
        cpu.quota_cores()


def test_the_cores_that_the_affinity_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    assert cpu.usable_cores() == 2
    monkeypatch.delattr(cpu.os, "sched_getaffinity")
    assert cpu.usable_cores() == 64
