"""Energy on a simulated GPU and CPU, whose true joules are known, in simulated time."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import energy
from harness.energy import Unavailable, measure_energy
from tests.harness.simulated_power import (
    BUSY_W,
    IDLE_W,
    ITERATION_S,
    TICK_S,
    Machine,
    Nvml,
    NVMLError,
    NVMLError_FunctionNotFound,
    Rapl,
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    simulated = Machine()
    monkeypatch.setattr(energy, "time", simulated)
    monkeypatch.setattr(energy, "_synchronize", simulated.synchronize)
    return simulated


@pytest.fixture
def nvml(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Nvml:
    """The fake module, on a machine whose only visible GPU is GPU-a."""
    fake = Nvml(machine)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    show_to_torch(monkeypatch, {"cuda": "a"})
    return fake


def show_to_torch(monkeypatch: pytest.MonkeyPatch, uuids: dict[str, str]) -> None:
    import torch

    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=uuids[device])
    )


def method(measured: energy.Energy) -> tuple[float, int]:
    """The window's seconds and the iterations that the method names."""
    assert measured.energy_method is not None
    found = re.fullmatch(
        r"(?:.*) counter, (\d+\.\d) s window, (\d+) iterations", measured.energy_method
    )
    assert found, measured.energy_method
    return float(found[1]), int(found[2])


def test_gross_and_net_joules_of_an_iteration(machine: Machine, nvml: Nvml) -> None:
    measured = measure_energy(machine.run, "cuda")
    _, iterations = method(measured)
    truth_j = BUSY_W * ITERATION_S
    assert measured.energy_j is not None
    # the idle rest of the last tick is the only thing beside the iterations
    assert truth_j <= measured.energy_j <= truth_j + IDLE_W * TICK_S / iterations
    # edges are polled each 1 ms: idle power is off by at most 0.1%, in a window of 5 s
    assert measured.energy_net_j == pytest.approx(truth_j - IDLE_W * ITERATION_S, rel=1e-3)
    assert measured.reasons == {}
    assert nvml.opened == 1 and nvml.open == 0


def test_the_window_begins_and_ends_on_ticks(machine: Machine, nvml: Nvml) -> None:
    measured = measure_energy(machine.run, "cuda", window_s=2.0)
    seconds, iterations = method(measured)
    window = machine.work[-iterations:]
    begin, end = window[0][0], window[-1][1]
    assert begin % TICK_S < 2e-3  # work begins right after a tick
    assert 2.0 <= end - begin <= seconds + 0.05  # 0.05: the method rounds to tenths
    ticks_j = machine.joules(math.ceil(end / TICK_S) * TICK_S) - machine.joules(
        math.floor(begin / TICK_S) * TICK_S
    )
    assert measured.energy_j == pytest.approx(ticks_j / iterations, rel=1e-6)  # mJ are whole


def test_a_run_that_only_enqueues_is_not_let_run_ahead(machine: Machine, nvml: Nvml) -> None:
    measured = measure_energy(machine.run, "cuda", window_s=2.0)
    seconds, iterations = method(measured)
    # one chunk of work and one tick past the window at most
    assert seconds <= 2.0 + energy._CHUNK_S + TICK_S
    assert iterations <= (2.0 + energy._CHUNK_S) / ITERATION_S


def test_iterations_longer_than_the_window_are_counted_whole(machine: Machine, nvml: Nvml) -> None:
    def long_run() -> None:
        for _ in range(200):
            machine.run()

    measured = measure_energy(long_run, "cuda", window_s=2.0)
    assert method(measured)[1] == 1
    assert measured.energy_net_j == pytest.approx(200 * 500 * ITERATION_S, rel=1e-3)


def test_the_idle_power_after_counts_as_much_as_the_one_before(
    machine: Machine, nvml: Nvml
) -> None:
    class Warming(Machine):
        """Draws 40 W more when idle, once it has worked."""

        def joules(self, until: float) -> float:
            since = self.work[0][0] if self.work else until
            return super().joules(until) + 40 * max(0.0, until - since)

    machine.__class__ = Warming
    measured = measure_energy(machine.run, "cuda")
    assert measured.energy_j is not None and measured.energy_net_j is not None
    seconds, iterations = method(measured)
    idle_w = (measured.energy_j - measured.energy_net_j) * iterations / seconds
    assert idle_w == pytest.approx(120, rel=0.015)  # 1.5%: seconds are rounded to tenths


def test_the_gpu_is_found_by_uuid_and_not_by_its_number(
    machine: Machine, nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_to_torch(monkeypatch, {"cuda:0": "b", "cuda:1": "a"})  # CUDA_VISIBLE_DEVICES=1,0
    other = measure_energy(machine.run, "cuda:0").energy_net_j
    one = measure_energy(machine.run, "cuda:1").energy_net_j
    assert one is not None and other is not None
    assert other / one == pytest.approx(10, rel=2e-3)


def fails(error: Exception):
    def raise_it(*_: object) -> None:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("function", "stub", "reason"),
    [
        ("nvmlInit", fails(NVMLError("NVML Shared Library Not Found")), "Shared Library Not Found"),
        ("nvmlInit", fails(NVMLError("Driver Not Loaded")), "Driver Not Loaded"),
        ("nvmlDeviceGetHandleByUUID", fails(NVMLError("Not Found")), "Not Found"),
        ("nvmlDeviceGetTotalEnergyConsumption", fails(NVMLError("Not Supported")), "Not Supported"),
        (
            "nvmlDeviceGetTotalEnergyConsumption",
            fails(NVMLError_FunctionNotFound("Function Not Found")),
            "does not have nvmlDeviceGetTotalEnergyConsumption",
        ),
    ],
)
def test_what_nvml_refuses_is_a_reason_and_never_zero(
    function: str, stub: object, reason: str, machine: Machine, nvml: Nvml
) -> None:
    setattr(nvml, function, stub)
    expect_reason(measure_energy(machine.run, "cuda"), reason)
    assert machine.work == []  # no time is spent on it
    assert nvml.open == 0


def expect_reason(measured: energy.Energy, reason: str) -> None:
    assert (measured.energy_j, measured.energy_net_j, measured.energy_method) == (None, None, None)
    assert set(measured.reasons) == {"energy_j", "energy_net_j", "energy_method"}
    for text in measured.reasons.values():
        assert reason in text and "\n" not in text


def test_bindings_without_the_function(machine: Machine, nvml: Nvml, monkeypatch) -> None:
    monkeypatch.delattr(Nvml, "nvmlDeviceGetTotalEnergyConsumption")
    expect_reason(measure_energy(machine.run, "cuda"), "does not have nvmlDeviceGetTotalEnergy")


def test_without_nvidia_ml_py(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    expect_reason(measure_energy(machine.run, "cuda"), "nvidia-ml-py is not installed")


@pytest.mark.parametrize("error", [AssertionError("not compiled"), RuntimeError("no driver")])
def test_a_gpu_that_torch_cannot_use(
    error: Exception, machine: Machine, nvml: Nvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_properties", fails(error))
    expect_reason(measure_energy(machine.run, "cuda:3"), "torch finds no GPU as 'cuda:3'")
    assert nvml.opened == 1 and nvml.open == 0


def test_a_counter_that_stands_still(machine: Machine, nvml: Nvml, monkeypatch) -> None:
    count = Nvml.nvmlDeviceGetTotalEnergyConsumption
    monkeypatch.setattr(Nvml, count.__name__, lambda self, handle: 0 * count(self, handle) + 123)
    expect_reason(measure_energy(machine.run, "cuda"), "did not advance in 1 s")
    assert machine.now < 1.1  # simulated seconds


def test_a_counter_that_is_reset_in_the_window(machine: Machine, nvml: Nvml, monkeypatch) -> None:
    count = Nvml.nvmlDeviceGetTotalEnergyConsumption

    def reset(self: Nvml, handle: str) -> int:
        return count(self, handle) - (300_000 if len(machine.work) > 1 else 0)

    monkeypatch.setattr(Nvml, count.__name__, reset)
    expect_reason(measure_energy(machine.run, "cuda", window_s=0.2), "went backwards")


def test_work_that_draws_no_more_than_idle_has_no_net(machine: Machine, nvml: Nvml) -> None:
    machine.busy_w = IDLE_W / 2
    measured = measure_energy(machine.run, "cuda")
    assert measured.energy_j is not None and measured.energy_j > 0
    assert measured.energy_net_j is None
    assert "no more power than idle (100.0 W)" in measured.reasons["energy_net_j"]


def test_what_run_raises_reaches_the_caller_and_closes_nvml(machine: Machine, nvml: Nvml) -> None:
    with pytest.raises(ZeroDivisionError):
        measure_energy(lambda: 1 // 0, "cuda")  # type: ignore[arg-type]
    assert nvml.opened == 1 and nvml.open == 0


@pytest.mark.parametrize("window_s", [0, -1.0, math.inf, math.nan])
def test_a_window_without_length_is_refused(window_s: float) -> None:
    with pytest.raises(ValueError, match="window_s is"):
        measure_energy(lambda: None, "cpu", window_s)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "cpu:0", "cpu\n"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=r"device is .* allowed are"):
        measure_energy(lambda: None, device)


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rapl:
    simulated = Rapl(tmp_path)
    monkeypatch.setattr(energy, "time", simulated)
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    return simulated


def test_rapl_adds_the_packages_and_survives_a_wrap(rapl: Rapl) -> None:
    measured = measure_energy(rapl.run, "cpu")
    assert measured.energy_method is not None
    assert measured.energy_method.startswith("RAPL package counter, 5.")
    assert rapl.joules(rapl.now) * 0.01 * 1e6 > Rapl.RANGE_UJ  # it did wrap
    assert measured.energy_j == pytest.approx(2 * 0.01 * BUSY_W * ITERATION_S, rel=1e-3)
    assert measured.energy_net_j == pytest.approx(2 * 0.01 * 500 * ITERATION_S, rel=1e-3)


def test_rapl_that_only_root_may_read(rapl: Rapl, monkeypatch: pytest.MonkeyPatch) -> None:
    read_text = Path.read_text

    def guarded(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", guarded)
    expect_reason(measure_energy(rapl.run, "cpu"), "RAPL needs root")
    assert rapl.work == []


def test_a_machine_without_rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path / "nowhere")
    expect_reason(measure_energy(lambda: None, "cpu"), "absent in virtual machines")


def test_the_real_bindings_have_every_function_that_is_called() -> None:
    pynvml = pytest.importorskip("pynvml")
    source = Path(energy.__file__).read_text()
    names = set(re.findall(r"\b(nvml[A-Z]\w+|NVML_\w+[A-Z]|NVMLError\w*)\b", source))
    assert "nvmlDeviceGetTotalEnergyConsumption" in names
    assert [name for name in sorted(names) if not hasattr(pynvml, name)] == []


def test_nvml_that_is_not_there_raises_unavailable_from_the_real_bindings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pynvml = pytest.importorskip("pynvml")
    monkeypatch.setattr(
        pynvml, "nvmlInit", fails(pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    )
    with pytest.raises(Unavailable, match="NVML Shared Library Not Found"), energy.nvml("cuda"):
        pass
