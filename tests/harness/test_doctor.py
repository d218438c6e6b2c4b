"""What the doctor finds on machines that have, lack or half have what is wanted."""

from __future__ import annotations

import re
import shutil
import sysconfig
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness import doctor, environment
from harness.doctor import NO, PARTLY, YES, Finding
from harness.energy import Unavailable


@pytest.fixture(autouse=True)
def short_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jitter figure is tested by itself; the others need not wait for it."""
    monkeypatch.setattr(doctor, "_SPIN_S", 0.005)


def finding(what: str) -> Finding:
    found = [each for each in doctor.diagnose() if each.what == what]
    assert len(found) == 1
    return found[0]


def set_gpu(monkeypatch: pytest.MonkeyPatch, usable: bool, why: str) -> None:
    monkeypatch.setattr(environment, "probe_gpu", lambda: (usable, why))


def set_counter(monkeypatch: pytest.MonkeyPatch, refusals: dict[str, str]) -> None:
    """Energy counters that exist, but on the devices in `refusals`."""

    @contextmanager
    def counter(device: str):
        if device in refusals:
            raise Unavailable(refusals[device])
        yield SimpleNamespace(name=f"{device} counter")

    monkeypatch.setattr(doctor, "counter", counter)


def unavailable(reason: str):
    def raise_it() -> None:
        raise Unavailable(reason)

    return raise_it


def test_this_machine_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    findings = doctor.diagnose()
    assert len({each.what for each in findings}) == len(findings) == 13
    for each in findings:
        assert each.status in (YES, NO, PARTLY)
        assert each.why
        assert bool(each.what_to_do) == (each.status != YES), each


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(environment.REPOSITORY / "pyproject.toml", tmp_path)
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert finding("results folder").status == YES
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]


def test_a_machine_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpu(monkeypatch, True, "NVIDIA H200")
    set_counter(monkeypatch, {"cpu": "absent"})
    state = environment.DeviceState(1.98e9, 3.2e9, 40.0, ("software power cap",), True, {})
    monkeypatch.setattr(environment, "device_state", lambda device: state)
    assert finding("GPU timings") == Finding("GPU timings", YES, "NVIDIA H200")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert finding("Triton kernels").status == PARTLY
    assert finding("Triton kernels").what_to_do == "for timings, unset TRITON_INTERPRET"
    monkeypatch.delenv("TRITON_INTERPRET")
    assert finding("Triton kernels").status == YES
    assert finding("GPU energy") == Finding("GPU energy", YES, "cuda counter")
    assert finding("GPU clocks and throttling") == Finding(
        "GPU clocks and throttling", YES, "1980 MHz; 40 C; throttled by: software power cap"
    )


def test_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpu(monkeypatch, False, "no NVIDIA driver is installed")
    for what in ("GPU timings", "GPU energy"):
        assert finding(what).status == NO
        assert finding(what).why == "no NVIDIA driver is installed"
    assert "install its driver" in finding("GPU timings").what_to_do
    triton = finding("Triton kernels")
    assert triton.status == PARTLY and "correctness only" in triton.why


@pytest.mark.parametrize(
    "error",
    ["Found no NVIDIA driver", "driver is too old", "No CUDA GPUs are available", "anything else"],
)
def test_there_is_advice_for_each_reason_of_the_probe(error: str, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "zeros", refuse)
    _, why = environment.probe_gpu()
    assert doctor._gpu_timings(False, why).what_to_do


def test_a_gpu_that_counts_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpu(monkeypatch, True, "NVIDIA H200 vGPU")
    set_counter(monkeypatch, {"cuda": "NVML answers with: Not Supported"})
    assert finding("GPU energy").status == NO
    assert finding("GPU energy").why == "NVML answers with: Not Supported"
    assert finding("CPU energy") == Finding("CPU energy", YES, "cpu counter")


def test_half_of_the_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"temperature_c": "no sensor", "throttle_reasons": "untold", "memory_clock_hz": "-"}
    state = environment.DeviceState(2e9, None, None, None, None, reasons)
    monkeypatch.setattr(environment, "device_state", lambda device: state)
    assert finding("CPU clock and temperature").status == PARTLY
    assert finding("CPU clock and temperature").why == "2000 MHz; no sensor"
    assert finding("GPU clocks and throttling").why == "2000 MHz; no sensor; untold"


@pytest.mark.parametrize("lacking", ["compiler", "headers", "both"])
def test_torch_compile_wants_a_compiler_and_headers(
    lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "cxx_version", lambda: "g++ 12")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "Python.h").touch()
    assert finding("torch.compile") == Finding("torch.compile", YES, "g++ 12, and Python.h")
    if lacking in ("compiler", "both"):
        monkeypatch.setattr(environment, "cxx_version", unavailable("g++ is missing"))
    if lacking in ("headers", "both"):
        (tmp_path / "Python.h").unlink()
    found = finding("torch.compile")
    assert found.status == NO
    assert ("g++ is missing" in found.why) == ("install g++" in found.what_to_do)
    assert ("g++ is missing" in found.why) == (lacking != "headers")
    assert ("Python.h" in found.why) == (lacking != "compiler")


@pytest.mark.parametrize(
    ("cores", "quota", "status"),
    [(2, None, YES), (1, None, PARTLY), (4, 1.5, PARTLY), (2, 2.0, YES)],
)
def test_cpu_timings(cores: int, quota: float | None, status: str, monkeypatch) -> None:
    monkeypatch.setattr(environment, "usable_cores", lambda: cores)
    monkeypatch.setattr(
        environment, "quota_cores", unavailable("none") if quota is None else lambda: quota
    )
    found = finding("CPU timings")
    assert found.status == status
    assert ("quota holds this container to 1.5 cores" in found.why) == (quota == 1.5)
    assert re.search(
        rf"^{cores} usable cores?; of \d+ equal spins of \d+ us, 1% took \d+%", found.why
    )


@pytest.mark.parametrize("look_s", [0.1005, 0.0005], ids=["quiet", "busy"])
def test_the_jitter_is_the_99th_percentile_over_the_median(monkeypatch, look_s) -> None:
    # 98 spins of 1 ms and 2 of 1.5 ms; the clock is read thrice a spin
    lengths = iter([0.001] * 98 + [0.0015] * 2)
    clock = {"now": 0.0, "spinning": False, "started": False}

    def perf_counter() -> float:
        if clock["started"] and clock["spinning"]:
            clock["now"] += next(lengths, 9.0)
        if clock["started"]:
            clock["spinning"] = not clock["spinning"]
        clock["started"] = True
        return clock["now"]

    monkeypatch.setattr(doctor, "time", SimpleNamespace(perf_counter=perf_counter))
    monkeypatch.setattr(doctor, "_SPIN_S", look_s)
    text = doctor._jitter()
    assert text.startswith("of 100 equal spins of 1000 us, 1% took 50% or more above the median")


def test_missing_and_outdated_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "triton":
            raise PackageNotFoundError(package)
        return {"torch": "2.9.1+cpu"}.get(package, "999.0")

    monkeypatch.setattr(doctor, "version", version)
    set_gpu(monkeypatch, False, "torch is not installed, or does not load")
    assert finding("packages").status == NO
    assert finding("packages").why == "torch is 2.9.1+cpu, not >=2.11; triton is missing"
    assert finding("Triton kernels").status == NO


def test_a_python_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.10.13")
    found = finding("Python")
    assert (found.status, found.why) == (NO, "3.10.13, and >=3.11 is wanted")


def test_results_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = finding("results folder")
    where = Path.cwd() / "results"
    assert (found.status, found.why) == (NO, f"{where} cannot be written: Permission denied")


def test_the_results_folder_is_the_one_that_runs_go_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert finding("results folder").why.startswith(f"{tmp_path / 'results'} can be written")
    (tmp_path / "results").write_text("a file")
    assert finding("results folder").why == f"{tmp_path / 'results'} cannot be written: " + (
        "Not a directory"
    )


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9e8))
    found = finding("results folder")
    assert (found.status, found.why) == (
        PARTLY,
        f"{Path.cwd() / 'results'} can be written, 0.9 GB free",
    )


@pytest.mark.parametrize(("dirty", "status"), [(False, YES), (True, PARTLY)])
def test_the_commit(dirty: bool, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"commit": "0123456789abcdef", "dirty": dirty}
    monkeypatch.setattr(environment, "git_state", lambda: state)
    assert finding("git commit").status == status
    assert finding("git commit").why.startswith("0123456789ab")
    monkeypatch.setattr(environment, "git_state", unavailable("git is missing"))
    assert finding("git commit").status == NO


@pytest.mark.parametrize("browser", ["google-chrome", None])
def test_the_browser(browser: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == browser else None)
    assert finding("browser test").status == (YES if browser else NO)


def test_the_text_is_aligned_and_fits_100_columns() -> None:
    findings = [
        Finding("short", YES, "why " * 60),
        Finding("a longer name", PARTLY, "x" * 250, "do " * 50),
    ]
    lines = doctor.render(findings).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("yes     short          why why")
    assert lines[1].startswith(" " * 23 + "why")
    assert [line for line in lines if line.startswith(" " * 23 + "-> do do")]
    assert "".join(lines).count("why") == 60 and "".join(lines).count("x") == 250


@pytest.mark.parametrize(("columns", "most"), [(60, 60), (80, 80), (200, 100), (10, 43)])
def test_the_text_fits_the_terminal(columns: int, most: int) -> None:
    lines = doctor.render([Finding("a longer name", PARTLY, "why " * 60, "do " * 50)], columns)
    widths = [len(line) for line in lines.splitlines()]
    assert most - 4 < max(widths) <= most


def test_no_findings_are_no_text() -> None:
    assert doctor.render([]) == ""
