"""What this machine can and cannot measure, why, and what to do about it, in plain words."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sysconfig
import tempfile
import textwrap
import time
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from harness import environment
from harness.energy import Unavailable, counter

YES, NO, PARTLY = "yes", "no", "partly"

_WIDTH = 100
_FEWEST = 20  # columns of text, beside those of status and what
_SPIN_S = 0.2
_ENOUGH_DISK_BYTES = 10**9
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# What to do, by a part of the reason that environment.probe_gpu gives.
_GPU_ADVICE = {
    "not installed": "install torch",
    "built without CUDA": "with an NVIDIA GPU, install torch's CUDA build; without one, nothing",
    "no NVIDIA driver": "with an NVIDIA GPU, install its driver; without one, nothing",
    "too old": "update the NVIDIA driver, or install a torch built for an older CUDA",
    "shows torch no GPU": "look at nvidia-smi, and at CUDA_VISIBLE_DEVICES",
    "CUDA fails": "look at nvidia-smi; another torch build may be needed for this GPU",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wanted of the machine."""

    what: str
    status: str  # YES, NO or PARTLY
    why: str
    what_to_do: str = ""  # empty where there is nothing to do


def diagnose() -> list[Finding]:
    """Looks at the machine for a few seconds; writes nothing that stays."""
    usable, gpu = environment.probe_gpu()
    return [
        _python(),
        _packages(),
        _gpu_timings(usable, gpu),
        _triton(usable),
        _cpu_timings(),
        _torch_compile(),
        _gpu_energy(usable, gpu),
        _cpu_energy(),
        _sensors("GPU clocks and throttling", "cuda"),
        _sensors("CPU clock and temperature", "cpu"),
        _results_folder(),
        _git(),
        _browser(),
    ]


def render(findings: list[Finding], columns: int = _WIDTH) -> str:
    """The findings as plain text: status, what, why, and what to do.

    Args:
        columns: of the terminal; at most 100 are used, and at least what a few words need.
    """
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for finding in findings:
        head = f"{finding.status:<6}  {finding.what:<{width}}  "
        within = max(min(columns, _WIDTH), len(head) + _FEWEST)
        lines += _wrap(finding.why, head, within)
        if finding.what_to_do:
            lines += _wrap(finding.what_to_do, " " * len(head) + "-> ", within)
    return "\n".join(lines)


def _wrap(text: str, head: str, within: int) -> list[str]:
    indent = " " * len(head)
    return textwrap.wrap(
        text, within, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
    )


def _python() -> Finding:
    wanted = _project()["requires-python"]
    found = platform.python_version()
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("Python", YES, found)
    return Finding("Python", NO, f"{found}, and {wanted} is wanted", "install a newer Python")


def _packages() -> Finding:
    wrong, right = [], []
    for requirement in map(Requirement, _project()["dependencies"]):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if requirement.specifier.contains(found, prereleases=True):
            right.append(f"{requirement.name} {found}")
        else:
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    if wrong:
        return Finding("packages", NO, "; ".join(wrong), "install what pyproject.toml lists")
    return Finding("packages", YES, ", ".join(right))


def _gpu_timings(usable: bool, gpu: str) -> Finding:
    if usable:
        return Finding("GPU timings", YES, gpu)
    advice = next(advice for part, advice in _GPU_ADVICE.items() if part in gpu)
    return Finding("GPU timings", NO, gpu, advice)


def _triton(usable: bool) -> Finding:
    what = "Triton kernels"
    try:
        found = version("triton")
    except PackageNotFoundError:
        return Finding(what, NO, "triton is not installed", "install triton (Linux only)")
    interpreted = os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")
    if usable and not interpreted:
        return Finding(what, YES, f"triton {found}: correctness and timings")
    if usable:
        why = f"triton {found}, and TRITON_INTERPRET is set: its times are no result"
        return Finding(what, PARTLY, why, "for timings, unset TRITON_INTERPRET")
    return Finding(
        what,
        PARTLY,
        f"triton {found}, and no CUDA GPU that can be used: its interpreter runs on the CPU, "
        "which tells correctness only; its times are no result",
        "for correctness: make test, or python -m harness check FILE; for timings: a CUDA GPU",
    )


def _cpu_timings() -> Finding:
    cores = environment.usable_cores()
    jitter = f"{cores} usable {'core' if cores == 1 else 'cores'}; {_jitter()}"
    try:
        quota = environment.quota_cores()
    except Unavailable:
        quota = float(cores)
    if quota < cores:
        why = f"{jitter}; a quota holds this container to {quota:g} cores' time"
        return Finding("CPU timings", PARTLY, why, "lift the quota: it stops the timed code")
    if cores == 1:
        return Finding("CPU timings", PARTLY, jitter, "use 2 cores or more: others' work disturbs")
    return Finding("CPU timings", YES, jitter)


def _jitter() -> str:
    """How much the same short spin varies: a first look at the noise, no verdict on it."""
    spins_s: list[float] = []
    end = time.perf_counter() + _SPIN_S
    # on a busy machine the time may be over after one, and a percentile needs a hundred
    while (begin := time.perf_counter()) < end or len(spins_s) < 100:
        for _ in range(1000):
            pass
        spins_s.append(time.perf_counter() - begin)
    median_s = statistics.median(spins_s)
    high_s = statistics.quantiles(spins_s, n=100)[98]
    return (
        f"of {len(spins_s)} equal spins of {median_s * 1e6:.0f} us, 1% took "
        f"{high_s / median_s - 1:.0%} or more above the median (a {_SPIN_S:g} s look)"
    )


def _torch_compile() -> Finding:
    what = "torch.compile"
    wrong, advice = [], []
    try:
        compiler = environment.cxx_version()
    except Unavailable as error:
        wrong.append(f"no C++ compiler: {error}")
        advice.append("install g++, or name a compiler in CXX")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        wrong.append("no Python.h where this Python looks for it")
        minor = ".".join(platform.python_version_tuple()[:2])
        advice.append(f"install Python's headers (python{minor}-dev or -devel)")
    if wrong:
        return Finding(what, NO, "; ".join(wrong), "; ".join(advice))
    return Finding(what, YES, f"{compiler}, and Python.h")


def _gpu_energy(usable: bool, gpu: str) -> Finding:
    if not usable:
        return Finding("GPU energy", NO, gpu, "as for GPU timings")
    try:
        with counter("cuda") as source:
            return Finding("GPU energy", YES, source.name)
    except Unavailable as error:
        advice = "use a whole GPU of the Volta generation or newer: virtual ones may not count"
        return Finding("GPU energy", NO, str(error), advice)


def _cpu_energy() -> Finding:
    try:
        with counter("cpu") as source:
            return Finding("CPU energy", YES, source.name)
    except Unavailable as error:
        advice = "on a machine of your own, run as root or make the counter readable"
        return Finding("CPU energy", NO, str(error), advice)


def _sensors(what: str, device: str) -> Finding:
    state = environment.device_state(device)
    told: dict[str, str] = {}
    if state.clock_hz is not None:
        told["clock_hz"] = f"{state.clock_hz / 1e6:.0f} MHz"
    if state.temperature_c is not None:
        told["temperature_c"] = f"{state.temperature_c:.0f} C"
    if state.throttle_reasons is not None:
        told["throttle_reasons"] = f"throttled by: {', '.join(state.throttle_reasons) or 'nothing'}"
    wanted = ["clock_hz", "temperature_c", *["throttle_reasons"] * (device == "cuda")]
    reasons = dict.fromkeys(state.reasons[name] for name in wanted if name not in told)
    why = "; ".join([*told.values(), *reasons])
    if not reasons:
        return Finding(what, YES, why)
    advice = "nothing where the machine is virtual: results say null with this reason"
    return Finding(what, PARTLY if told else NO, why, advice)


def _results_folder() -> Finding:
    what = "results folder"
    results = Path.cwd() / "results"  # where runs go unless --results says otherwise
    folder = results if results.exists() else results.parent  # where it will be made
    try:
        tempfile.TemporaryFile(dir=folder).close()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        why = f"{results} cannot be written: {error.strerror}"
        return Finding(what, NO, why, "get the right to write there, or measure with --results=DIR")
    why = f"{results} can be written, {free / 1e9:.1f} GB free"
    if free < _ENOUGH_DISK_BYTES:
        return Finding(what, PARTLY, why, "free some disk space: 1 GB is a safe amount")
    return Finding(what, YES, why)


def _git() -> Finding:
    try:
        state = environment.git_state()
    except Unavailable as error:
        advice = "install git and work in a clone, so that results name their commit"
        return Finding("git commit", NO, str(error), advice)
    commit = state["commit"][:12]
    if state["dirty"]:
        advice = "commit first, so that the commit names what was measured"
        return Finding("git commit", PARTLY, f"{commit}, with uncommitted changes", advice)
    return Finding("git commit", YES, commit)


def _browser() -> Finding:
    found = next(filter(shutil.which, _BROWSERS), None)
    if found:
        return Finding("browser test", YES, f"{found} is here")
    why = f"none of {', '.join(_BROWSERS)} is here: the report's test in a browser will skip"
    return Finding("browser test", NO, why, "install chromium")


def _project() -> dict:
    return tomllib.loads((environment.REPOSITORY / "pyproject.toml").read_text())["project"]
