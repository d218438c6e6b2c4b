"""The machine's description and the device's state, on a machine made up of fakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import cpu, environment
from harness.energy import Unavailable
from tests.harness.simulated_power import NVMLError, NVMLError_FunctionNotFound


def fails(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with one H200; returns the module that stands for pynvml."""
    properties = SimpleNamespace(
        name="NVIDIA H200",
        uuid="a",
        major=9,
        minor=0,
        multi_processor_count=132,
        total_memory=150_754_820_096,
        L2_cache_size=62_914_560,
    )
    monkeypatch.setattr(environment, "probe_gpu", lambda: (True, properties.name))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: properties.name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        NVMLError_FunctionNotFound=NVMLError_FunctionNotFound,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.95.05",
        nvmlDeviceGetHandleByUUID=lambda uuid: {"GPU-a": "handle"}[uuid],
        nvmlDeviceGetClockInfo=lambda handle, clock: {1: 1755, 2: 3201}[clock],
        nvmlDeviceGetMaxClockInfo=lambda handle, clock: {1: 1980, 2: 3202}[clock],
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 700_000,
        nvmlDeviceGetTemperature=lambda handle, sensor: 41,
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 0x1 | 0x2,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_importing_imports_neither_torch_nor_pynvml() -> None:
    code = (
        "import sys, harness.environment, harness.energy, harness.doctor\n"
        "print([name for name in ('torch', 'pynvml', 'triton', 'numpy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=environment.REPOSITORY, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def every_mapping(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from every_mapping(inner)


def check_described(described: dict[str, Any]) -> None:
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    for mapping in every_mapping(described):
        for key, value in mapping.items():
            if key.endswith("_reason"):
                assert mapping[key.removesuffix("_reason")] is None and value
            elif value is None:
                assert mapping[f"{key}_reason"], key
            assert value not in ("", [], {}), key


def test_describe_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path.home()
    argv = [f"{home}/bin/pytest", "-k", "a/b", f"--out={home}", f"-c{home}/x"]
    monkeypatch.setattr(sys, "argv", [*argv, "../../u/x", "t/a.py"])
    described = environment.describe()
    check_described(described)
    assert described["command"] == "pytest -k a/b --out=<path> -c<path> <path> t/a.py"
    assert described["packages"]["torch"] == torch.__version__
    assert described["torch_threads"] == torch.get_num_threads()
    assert not re.search(r"(^|[\s'\"=:])[/~]", json.dumps(described)), "an absolute path"
    assert list(described) == [
        *("cpu", "memory_bytes", "os", "python", "packages", "torch_threads", "cuda"),
        *[key for key in ("gpus", "gpus_reason") if key in described],
        *[key for key in ("git", "git_reason", "cxx", "cxx_reason") if key in described],
        "command",
    ]  # a new field is published: look at it first


@pytest.mark.parametrize(
    "text",
    [
        *("/home/u", "--x=/home/u/y", "--x='~u/y'", "a:/home/u", "C:\\Users\\u", "x/../../u"),
        "-I/home/u",
    ],
)
def test_no_user_name_is_left_of_a_path(text: str) -> None:
    assert not re.search(r"\bu\b", environment.without_paths(text))


@pytest.mark.parametrize("text", ["tests/a.py::t[b/c]", "--batch=32", "HEAD~1", "-k", "x.y", "./a"])
def test_what_is_no_such_path_stays(text: str) -> None:
    assert environment.without_paths(text) == text


def test_torch_says_itself_what_it_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.11.0+cu130")  # the wheel's metadata: 2.11.0
    assert environment.describe()["packages"]["torch"] == "2.11.0+cu130"


def test_describe_a_machine_with_a_gpu(gpu: SimpleNamespace) -> None:
    described = environment.describe()
    check_described(described)
    assert described["gpus"] == [
        {
            "name": "NVIDIA H200",
            "compute_capability": "9.0",
            "multiprocessors": 132,
            "memory_bytes": 150_754_820_096,
            "l2_bytes": 62_914_560,
            "power_limit_w": 700.0,
            "max_clock_hz": 1.98e9,
            "max_memory_clock_hz": 3.202e9,
        }
    ]
    assert described["cuda"]["available"] is True
    assert described["cuda"]["driver"] == "580.95.05"
    assert environment.machine_id(described) == "nvidia-h200"
    assert environment.device_name("cuda") == "NVIDIA H200"


def test_a_gpu_that_hides_its_limits_is_described_with_the_reason(gpu: SimpleNamespace) -> None:
    gpu.nvmlDeviceGetEnforcedPowerLimit = fails(NVMLError("Not Supported"))
    described = environment.describe()
    check_described(described)
    assert described["gpus"][0]["power_limit_w"] is None
    assert "Not Supported" in described["gpus"][0]["power_limit_w_reason"]


def test_a_machine_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "SYSTEM", tmp_path)
    monkeypatch.setattr(environment, "probe_gpu", lambda: (False, "torch is not installed"))
    monkeypatch.setattr(environment, "version", fails(PackageNotFoundError("x")))
    monkeypatch.setattr(environment.subprocess, "run", fails(FileNotFoundError(2, "/no/such")))
    monkeypatch.setitem(sys.modules, "torch", None)
    described = environment.describe()
    check_described(described)
    assert described["packages"]["torch_reason"] == "not installed"
    assert described["torch_threads_reason"] == "torch is not installed"
    assert described["git_reason"] == "git is missing, or fails here"
    assert described["cpu"]["cache_bytes"] is None
    assert environment.cpu_cache_bytes() == {}


@pytest.mark.parametrize(
    ("model", "cores", "name"),
    [
        ("Intel(R) Xeon(R) Processor", 2, "intel-xeon-processor-2-cores"),
        ("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", 8, "intel-core-i7-8550u-8-cores"),
        ("AMD EPYC 9654 96-Core Processor", 1, "amd-epyc-9654-96-core-processor-1-core"),
        ("../../etc/pass wd\n", 4, "etc-pass-wd-4-cores"),
    ],
)
def test_machine_id_of_a_cpu(model: str, cores: int, name: str) -> None:
    machine = {"gpus": None, "cpu": {"model": model, "usable_cores": cores}}
    assert environment.machine_id(machine) == name


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("Found no NVIDIA driver on your system. Please\nmore", "no NVIDIA driver is installed"),
        ("The NVIDIA driver on your system is too old (11040).", "too old for torch's CUDA 13.0"),
        ("No CUDA GPUs are available", "shows torch no GPU (CUDA_VISIBLE_DEVICES is set)"),
        ("CUDA error: no kernel image\nhint", "CUDA fails: CUDA error: no kernel image"),
        ("cannot open /home/u/lib", "CUDA fails: cannot open <path>"),
        ("", "CUDA fails: no message"),
    ],
)
def test_why_the_gpu_cannot_be_used(error: str, reason: str, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "zeros", fails(RuntimeError(error)))
    usable, why = environment.probe_gpu()
    assert not usable and why.endswith(reason) and "\n" not in why
    assert environment.device_name("cuda") == "no CUDA GPU"


def test_a_gpu_is_usable_once_a_kernel_ran_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    tensor = SimpleNamespace(item=lambda: ran.append("kernel"))
    monkeypatch.setattr(torch, "zeros", lambda size, device: tensor)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert environment.probe_gpu() == (True, "NVIDIA H200")
    assert ran == ["kernel"]


def test_torch_without_cuda_or_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert environment.probe_gpu() == (False, f"torch {torch.__version__} is built without CUDA")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert environment.probe_gpu() == (False, "torch is not installed, or does not load")


def test_the_state_of_a_gpu(gpu: SimpleNamespace) -> None:
    state = environment.device_state("cuda")
    assert state == environment.DeviceState(1.755e9, 3.201e9, 41.0, (), False, {})
    gpu.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0x1 | 0x4 | 0x40 | 0x1000
    state = environment.device_state("cuda")
    assert state.throttled is True
    known = ("software power cap", "hardware thermal slowdown")
    assert state.throttle_reasons == (*known, "reason 0x1000")


@pytest.mark.parametrize("newer", ["not in the bindings", "not in the driver"])
def test_throttle_reasons_by_their_older_name(newer: str, gpu: SimpleNamespace) -> None:
    gpu.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x8
    gpu.nvmlDeviceGetCurrentClocksEventReasons = fails(NVMLError_FunctionNotFound("Not Found"))
    if newer == "not in the bindings":
        del gpu.nvmlDeviceGetCurrentClocksEventReasons
    assert environment.device_state("cuda").throttle_reasons == ("hardware slowdown",)


def test_a_sensor_that_is_not_supported_leaves_the_others(gpu: SimpleNamespace) -> None:
    gpu.nvmlDeviceGetTemperature = fails(NVMLError("Not Supported"))
    gpu.nvmlDeviceGetCurrentClocksEventReasons = fails(NVMLError("Not Supported"))
    state = environment.device_state("cuda")
    assert (state.clock_hz, state.memory_clock_hz) == (1.755e9, 3.201e9)
    assert (state.temperature_c, state.throttle_reasons, state.throttled) == (None, None, None)
    assert set(state.reasons) == {"temperature_c", "throttle_reasons", "throttled"}


def test_the_state_of_a_gpu_without_nvml(gpu: SimpleNamespace) -> None:
    gpu.nvmlInit = fails(NVMLError("Driver Not Loaded"))
    state = environment.device_state("cuda")
    assert state.clock_hz is None and state.throttled is None and state.throttle_reasons is None
    assert len(state.reasons) == 5
    assert all("Driver Not Loaded" in reason for reason in state.reasons.values())


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path, monkeypatch) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.check_output(command, cwd=tmp_path, text=True)

    monkeypatch.setattr(environment, "REPOSITORY", tmp_path)
    git("init", "--quiet")
    with pytest.raises(Unavailable, match="git is missing, or fails here"):
        environment.git_state()
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/rows").write_text("untracked results do not make it dirty")
    assert environment.git_state() == {"commit": commit, "dirty": False, "untracked": 1}
    (tmp_path / "file").write_text("two")
    assert environment.git_state() == {"commit": commit, "dirty": True, "untracked": 1}
    monkeypatch.setattr(environment, "REPOSITORY", tmp_path / "results")
    with pytest.raises(Unavailable, match="inside another project"):
        environment.git_state()


def test_the_compiler_that_cxx_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/home/u/bin/no-such-compiler")
    with pytest.raises(Unavailable) as reason:
        environment.cxx_version()
    assert str(reason.value) == "no-such-compiler is missing, or fails here"  # and no path


@pytest.mark.parametrize("ask", [environment.device_state, environment.device_name])
def test_an_unknown_device_is_refused(ask: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match="'tpu'; allowed are 'cpu', 'cuda'"):
        ask("tpu")
