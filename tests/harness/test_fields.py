"""What a row says of a figure that its own other figures speak against."""

import pytest
import torch

from harness import case, clocks, fields, roofline
from harness.comparison import Comparison
from harness.roofline import CACHE, MEMORY, Roofs
from harness.timing import BLOCK, Limits, measure
from tests.harness.test_timing import spin


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"throttled": True, "throttle_reasons": "contended: ..."}, "contended: ..."),
        ({"above_roof": True}, "faster than the roof"),
    ],
)
def test_a_doubtful_speedup_has_no_interval_and_so_no_verdict(known, why):
    found = fields.doubts({"device": "cpu", **known})
    assert found["speedup_low"] is found["speedup_high"] is None
    assert why in found["speedup_low_reason"]


def test_a_speedup_without_doubts_is_left_alone():
    assert fields.doubts({"device": "cpu", "throttled": False, "above_roof": False}) == {}


GPU = {"device": "cuda", "mode": "warm", "launch_s": 12e-6, "median_s": 9e-6}


@pytest.mark.parametrize(
    ("changes", "late"),
    [
        ({}, True),
        ({"median_s": 13e-6}, True),  # not clearly below
        ({"median_s": 20e-6}, False),
        ({"mode": "host"}, False),
        ({"mode": "graph"}, False),
        ({"mode": "cold"}, False),  # Python is ahead while the caches are flushed
        ({"mode": "cold", "launch_s": 0.9e-3}, True),
        ({"mode": "cold", "launch_s": 0.9e-3, "median_s": 0.1}, False),  # half a percent of it
        ({"direction": "transfer"}, False),
        ({"launch_s": None}, False),
    ],
)
def test_a_gpu_that_waits_for_python_has_no_verdict_of_its_own(changes, late):
    busy = {"launch_s": 1e-6, "median_s": 1e-3}
    found = fields.doubts(GPU | changes, busy)
    assert bool(found) == late
    if late:
        assert found["speedup_low"] is found["speedup_high"] is None
        assert "the GPU waited for Python: launch " in found["speedup_low_reason"]
        assert "see mode graph" in found["speedup_high_reason"]
    elif changes.get("mode") not in ("host", "graph", "cold") and "direction" not in changes:
        found = fields.doubts(GPU | changes, GPU)  # a ratio has two sides
        assert found["speedup_low_reason"].startswith("as for the baseline, the GPU waited")


def test_a_launch_that_is_slower_than_its_kernel_is_named_in_microseconds():
    why = fields.doubts(GPU)["speedup_low_reason"]
    assert why == "the GPU waited for Python: launch 12 µs of 9 µs; see mode graph"


def test_all_providers_of_a_case_have_blocks_of_one_size():
    limits = Limits(max_samples=6, max_s=1, warmup_s=0.01, max_warmup_s=0.1)
    found = measure({"slow": spin(0.06), "fast": spin(1e-3)}, limits=limits)
    sizes = {len(block) for one in found.values() for block in one.blocks}
    assert sizes == {1} != {BLOCK}


def test_a_cache_is_no_slower_than_the_memory_behind_it():
    seconds = {MEMORY: 1.0, CACHE: 1.0}  # a short copy that took as long as a long one
    roofs = Roofs("cpu", lambda comparison, mode: seconds[comparison.case])
    assert roofs.peak(CACHE, "float32") == roofs.peak(MEMORY, "float32")
    quick = Roofs("cpu", lambda comparison, mode: 1e-6 if comparison.case == CACHE else 1.0)
    assert quick.peak(CACHE, "float32") > quick.peak(MEMORY, "float32")


def test_a_peak_that_could_not_be_measured_leaves_no_share():
    roofs = Roofs("cpu", lambda comparison, mode: None)
    found = roofs.share(roofline.copy("cpu", MEMORY), 1.0, 1.0, "cold")
    assert "roof_share" not in found and found["roof_share_reason"]


def test_a_gpus_cache_is_measured_without_launches(monkeypatch):
    """Else a case in a CUDA graph would seem to be above the roof."""
    monkeypatch.setattr(roofline, "cache_bytes", lambda device: 2**20)
    modes = {}

    def measured(comparison, mode):
        modes[comparison.case] = mode
        return 1.0

    Roofs("cuda", measured).peak(CACHE, "float32")
    assert modes == {CACHE: "graph", MEMORY: "warm"}


@pytest.mark.parametrize(
    ("mode", "seconds", "above"),
    [("warm", 0.95, False), ("graph", 0.85, True), ("cold", 0.95, False), ("cold", 0.85, True)],
)
def test_what_the_last_iteration_left_in_the_cache_is_no_wonder(mode, seconds, above, monkeypatch):
    """A case ten times as large as the last cache may find a tenth of itself there, or leave it."""
    copy = roofline.copy("cpu", MEMORY)
    monkeypatch.setattr(roofline, "cpu_cache_bytes", lambda: {2: 2**20, 3: copy.bytes // 10})
    roofs = Roofs("cpu", lambda comparison, mode: 1.0)
    found = roofs.share(copy, seconds, seconds, mode)
    assert found["above_roof"] is above
    assert found["roof_share"] == pytest.approx(1 / seconds)


@pytest.mark.parametrize(("mode", "seconds", "above"), [("cold", 0.6, False), ("cold", 0.4, True)])
def test_no_more_than_half_of_a_cold_case_is_left_to_be_written(mode, seconds, above, monkeypatch):
    copy = roofline.copy("cpu", MEMORY)
    monkeypatch.setattr(roofline, "cpu_cache_bytes", lambda: {2: 2**20, 3: 2 * copy.bytes})
    found = Roofs("cpu", lambda comparison, mode: 1.0).share(copy, seconds, seconds, mode)
    assert found["above_roof"] is above


def pretended_memory(monkeypatch):
    """torch.cuda's account of memory: [held, peak]."""
    account = [0, 0]

    def forget():
        account[1] = account[0]

    for name, stand_in in {
        "synchronize": lambda: None,
        "reset_peak_memory_stats": forget,
        "memory_allocated": lambda: account[0],
        "max_memory_allocated": lambda: account[1],
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return account


def test_peak_memory_is_without_what_is_kept_from_call_to_call(monkeypatch):
    """As a forward pass is, where the backward pass alone is timed."""
    account = pretended_memory(monkeypatch)

    def call():
        account[0] = 1000  # kept, from the first call on
        account[1] = max(account[1], account[0] + 24)

    found = fields.resources(call, "kernel", "cuda", "host", "quick")
    assert found["peak_memory_bytes"] == 24


def test_no_energy_is_measured_once_the_budget_is_spent(monkeypatch):
    monkeypatch.setattr(fields, "measure_energy", None)
    found = fields.resources(int, "kernel", "cpu", "host", "full", deadline=0.0)
    assert found["energy_j_reason"].startswith("budget: spent")


def test_what_fails_after_it_was_timed_is_its_own_row_and_the_others_go_on(monkeypatch):
    def resources(call, *_):
        if call() is broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return {}

    broken = torch.zeros(8)
    comparison = Comparison(
        "double", "8", "float32", "forward", inputs=lambda seed: (torch.ones(8),),
        providers={"eager": lambda: lambda x: x * 0, "broken": lambda: lambda x: broken},
        baseline="eager", reference=lambda x: x * 0,
    )  # fmt: skip
    monkeypatch.setattr(fields, "resources", resources)
    limits = Limits(min_sampled_s=0, max_samples=30, max_s=0.1, warmup_s=0.01, max_warmup_s=0.1)
    setting = case.Setting("cpu", "a CPU", "host", "quick", limits)
    found = case.run(comparison, ["eager", "broken"], setting)
    assert found["eager"].fields["status"] == "ok"
    assert found["broken"].fields["status"] == "failed" and found["broken"].samples == ()
    assert "after it was timed: RuntimeError: CUDA error" in found["broken"].fields["reason"]


def test_the_share_of_a_roof_and_what_is_above_it(monkeypatch):
    monkeypatch.setattr(roofline, "cpu_cache_bytes", lambda: {2: 2**18})
    copy = roofline.copy("cpu", MEMORY)
    roofs = Roofs("cpu", lambda comparison, mode: 1.0)
    assert roofs.share(copy, 2.0, 2.2, "cold") == {
        "roof_share": 0.5,
        "roof_bound": MEMORY,
        "above_roof": False,
    }
    assert roofs.share(copy, 0.5, 0.6, "cold")["above_roof"] is True
    assert roofs.share(copy, 0.98, 0.99, "cold")["above_roof"] is False  # within the tolerance
    assert roofs.share(copy, 0.96, 0.97, "cold")["above_roof"] is True


def test_the_best_product_is_the_roof_of_arithmetic(monkeypatch):
    """The largest one may be held down by its power."""
    monkeypatch.setattr(roofline, "product", lambda device, dtype, n: product(n))
    rates = {4096: 780e12, 8192: 740e12}
    measured = []

    def product(n):
        return Comparison(
            "product", f"{n}", "bfloat16", "forward", lambda seed: (), {}, "torch", torch.matmul,
            flops=2 * n**3, bytes=6 * n**2,
        )  # fmt: skip

    def seconds(comparison, mode):
        measured.append(int(comparison.case))
        return comparison.flops / rates[measured[-1]]

    roofs = Roofs("cuda", seconds)
    assert roofs.peak(roofline.PRODUCT, "bfloat16") == pytest.approx(780e12)
    assert sorted(measured) == [4096, 8192]
    assert Roofs("cuda", lambda c, mode: None if c.case == "4096" else seconds(c, mode)).peak(
        roofline.PRODUCT, "bfloat16"
    ) == pytest.approx(740e12)


def test_a_launch_is_timed_until_the_call_returns_and_not_until_the_gpu_is_done(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: (waited.append(1), spin(5e-3)()))
    assert 1e-3 <= clocks.launch_s(spin(1e-3), count=5) < 4e-3
    assert len(waited) == 6


def test_a_row_has_its_launch_and_what_it_did_once_or_the_reason_why_not():
    def slow_at_first():
        called = []

        def provider(x):
            if not called:
                spin(0.05)()
            called.append(1)
            return x + x

        return provider

    def slow():
        return lambda x: (spin(1e-3)(), x + x)[1]

    comparison = Comparison(
        "double", "8", "float32", "forward",
        inputs=lambda seed: (torch.randn(8, generator=torch.Generator().manual_seed(seed)),),
        providers={"eager": slow, "compiled": slow_at_first}, baseline="eager",
        reference=lambda x: x + x,
    )  # fmt: skip
    limits = Limits(min_sampled_s=0, max_samples=40, max_s=2, warmup_s=0.01, max_warmup_s=0.1)
    setting = case.Setting("cpu", "a CPU", "host", "quick", limits)
    found = case.run(comparison, ["eager", "compiled"], setting)
    compiled, eager = (found[name].fields for name in ("compiled", "eager"))
    assert compiled["launch_s"] is None and "returns when" in compiled["launch_s_reason"]
    assert compiled["once_s"] >= 0.04
    if compiled["speedup_low"] is None:  # others had the cores
        assert compiled["payback_calls_reason"] == compiled["speedup_low_reason"]
    else:
        assert 10 <= compiled["payback_calls"] <= 60  # 50 ms at 1 ms a call
    assert eager["payback_calls"] is None and eager["payback_calls_reason"]
