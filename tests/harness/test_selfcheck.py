"""What the harness knows beforehand it measures right, and says so where it does not."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness import case, clocks, instrument, roofline, selfcheck, store
from harness.faults import faults
from harness.record import CHECK, Row
from harness.roofline import CACHE, MEMORY, Roofs
from tests.harness.make_rows import row


def check(subject, samples, **known):
    """A planted row of a self-check."""
    middle = sorted(samples)[len(samples) // 2]
    made = row(middle, kind=CHECK, subject=subject, spread=0.001, name=subject, **known)
    return Row(made.id, made.group, made.name, made.params, made.extra_info, tuple(samples))


def measured(device):
    """The rows of all self-checks, measured now."""
    found = []
    for one in selfcheck.comparisons(device):
        setting = case.Setting(device, device, selfcheck.MODE[device], "quick", selfcheck.LIMITS)
        result = case.run(one, ["torch"], setting)["torch"]
        found.append(Row(one.subject, "", one.subject, {}, result.fields, result.samples))
    return found


def test_a_cpu_has_no_fault_whoever_has_its_cores():
    found = measured("cpu")
    assert [r.id for r in found] == ["nothing", "delay", "copy"]
    assert all(r.status == "ok" for r in found)
    assert faults(found) == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_has_no_fault():
    found = measured("cuda")
    assert [r.id for r in found] == ["nothing", "delay", "copy", "product"]
    assert all(r.status == "ok" for r in found)
    assert faults(found) == {}


WAIT = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from harness.delay import wait

types = {"waited_ptr": "*i64", "nanoseconds": "i64"}
print(triton.compile(ASTSource(wait, types, {}), target=GPUTarget("cuda", 90, 32)).asm["ptx"])
"""


def test_a_gpus_delay_reads_its_clock_in_a_loop(tmp_path):
    """As PTX, since the interpreter has no such clock."""
    root = Path(__file__).parents[2]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(root), "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WAIT], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    code = re.sub(r"//.*", "", done.stdout)
    assert re.search(r"(\$\w+):[^:]*%globaltimer[^:]*bra\s+\1;", code)
    assert code.count("%globaltimer") == 2
    assert selfcheck.DELAY_S["cuda"] >= 10e-3


def test_a_clock_that_runs_wrong_is_found(monkeypatch):
    right = clocks.time.perf_counter_ns

    class Fast:
        perf_counter = staticmethod(clocks.time.perf_counter)

        @staticmethod
        def perf_counter_ns():
            return round(1.05 * right())

    monkeypatch.setattr(clocks, "time", Fast)
    (wrong,) = faults(measured("cpu"))["cpu"]
    assert wrong.startswith("self-check delay: 2.000 ms were measured as 2.1")


@pytest.mark.parametrize(
    ("samples", "device", "fault"),
    [
        ([2e-3] * 9, "cpu", False),
        ([2e-3, *[9e-3] * 8], "cpu", False),  # another process had the core, all but once
        ([2.1e-3] * 9, "cpu", True),
        ([1.9e-3, *[2e-3] * 8], "cpu", True),  # nothing makes a delay shorter
        ([1e-2, *[2e-2] * 8], "cuda", True),  # a GPU's kernel is not preempted
        ([1.019e-2] * 9, "cuda", False),
    ],
)
def test_a_delay_may_be_off_by_2_percent(samples, device, fault):
    expected = 2e-3 if device == "cpu" else 1e-2
    found = faults([check("delay", samples, device=device, expected_s=expected)])
    assert set(found) == ({device} if fault else set())


def test_a_call_that_does_nothing_takes_no_time_to_speak_of():
    assert faults([check("nothing", [6e-8] * 9)]) == {}
    assert faults([check("nothing", [2e-5] * 9)]) == {
        "cpu": ["self-check nothing: a call that does nothing took 20.0 µs"]
    }


def test_nothing_is_above_the_roof_unless_others_had_the_cores():
    known = {"bytes": 4000, "roof_share": 1.05}
    (wrong,) = faults([check("copy", [1e-3] * 9, **known)])["cpu"]
    assert wrong == "self-check copy: 1.05 times the roof measured beside it"
    assert faults([check("copy", [1e-3] * 9, **known, throttled=True)]) == {}
    assert faults([check("copy", [1e-3] * 9, **(known | {"roof_share": 1.02}))]) == {}


ROOF = "roof::cpu::copy-cache-float32"


@pytest.mark.parametrize(
    ("roofs", "fault"),
    [([1e-3], False), ([2e-3, 1e-3], False), ([3e-3, 2e-3, 1e-3], False), ([2e-3] * 9, True)],
    ids=str,
)
def test_a_roof_that_was_measured_in_a_slow_moment_is_measured_again(monkeypatch, roofs, fault):
    """A copy of 1 ms against roofs of so many seconds, one after the other."""
    rows, left, begun = {}, iter(roofs), []

    def run(comparison, providers, setting):
        share = next(left) / 1e-3 if comparison.kind == "roof" else None
        if comparison.kind == CHECK:
            peak = setting.roofs.peak(CACHE, "float32")
            share = comparison.bytes and comparison.bytes / 1e-3 / peak
        seconds = 1e-3 * share if comparison.kind == "roof" else comparison.expected_s or 1e-8
        seconds = 1e-3 if comparison.subject == "copy" and comparison.kind == CHECK else seconds
        planted = check(
            comparison.subject, [seconds] * 9, bytes=comparison.bytes, roof_share=share,
            expected_s=comparison.expected_s,
        )  # fmt: skip
        return {"torch": case.Result(planted.extra_info, planted.samples)}

    def put(new):
        rows.update({one.id: one for one in new})

    monkeypatch.setattr(instrument.case, "run", run)
    monkeypatch.setattr(Roofs, "_cases", lambda self, *of: [roofline.copy("cpu", CACHE)])
    folder = SimpleNamespace(rows=rows, put=put)
    about = instrument.Instrument(folder, {"cpu": "a processor"}, "quick", 1e9, begun.append)
    first_case = about.setting("cpu", "host")  # asked for before the self-checks
    about.check_itself("cpu")
    bytes_ = roofline.copy("cpu", CACHE).bytes
    assert first_case.roofs.peak(MEMORY, "float32") == bytes_ / rows[ROOF].samples[0]
    found = faults(row for key, row in rows.items() if key.startswith("check::"))
    assert bool(found) == fault, found
    looks = min(len(roofs), instrument.LOOKS)
    assert begun.count("self-check: copy cpu") == looks
    assert rows[ROOF].samples[0] == roofs[looks - 1]


def test_a_wrong_answer_is_a_fault_and_a_check_that_was_not_measured_is_none():
    failed = row(None, kind=CHECK, subject="product", status="failed", reason="wrong answer: ...")
    assert faults([failed]) == {"cpu": ["self-check product: wrong answer: ..."]}
    absent = row(None, kind=CHECK, subject="product", status="out_of_memory", reason="too large")
    assert faults([absent, row()]) == {}


def test_the_reference_run_without_self_checks_has_no_fault():
    (run,) = (Path(__file__).parents[2] / "results" / "reference").glob("*/*/")
    assert faults(store.read(run)[0]) == {}
