"""The timing engine: what it returns, when it stops, whom it blames."""

import itertools
import math
import time

import numpy as np
import pytest
import scipy.signal
import torch

from harness import clocks, timing
from harness.timing import Limits, measure

SHORT = Limits(min_sampled_s=0.01, max_samples=60, max_s=0.3, warmup_s=0.01, max_warmup_s=0.05)


def spin(seconds):
    """A call that takes so long by the very clock that measures it."""

    def call():
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return call


def test_a_known_delay_is_measured_in_every_mode_a_cpu_has():
    for mode in ("host", "warm", "cold"):
        found = measure({"spin": spin(2e-3)}, mode=mode, limits=SHORT)["spin"]
        assert min(found.samples) == pytest.approx(2e-3, rel=0.05)  # whoever has the cores
        assert found.low <= found.median <= found.high
        assert found.threads == torch.get_num_threads()


def test_a_short_call_is_repeated_until_a_sample_lasts():
    found = measure({"spin": spin(2e-5)}, limits=SHORT)["spin"]
    assert found.iterations * min(found.samples) >= clocks.SAMPLE_S / 4
    assert min(found.samples) == pytest.approx(2e-5, rel=0.2)  # whoever has the cores


def test_cold_mode_overwrites_the_caches_before_each_sample():
    found = measure({"spin": spin(1e-4)}, mode="cold", limits=SHORT)["spin"]
    assert found.iterations == 1
    assert found.flush_bytes == clocks.CPU_FLUSH_BYTES
    assert measure({"spin": spin(1e-4)}, limits=SHORT)["spin"].flush_bytes is None


def test_what_was_overwritten_is_read_out_of_the_caches_again(monkeypatch):
    """Else it would be written back while the call is timed."""
    monkeypatch.setattr(clocks, "CPU_FLUSH_BYTES", 2**20)
    done, zero, total = [], torch.Tensor.zero_, torch.sum
    monkeypatch.setattr(
        torch.Tensor, "zero_", lambda t: (done.append(("written", t.data_ptr(), t.nbytes)), zero(t))
    )

    def read(t, *args, **kwargs):
        done.append(("read", t.data_ptr(), t.nbytes))
        return total(t, *args, **kwargs)

    monkeypatch.setattr(torch, "sum", read)
    take, size = clocks.taker("cpu", "cold")
    done.clear()
    take(lambda: done.append(("called", 0, 0)), 1, 2)
    assert [what for what, *_ in done] == ["written", "read", "called"] * 2
    (_, written, count), (_, elsewhere, also), _ = done[:3]
    assert count == also == size == 2**20 and written != elsewhere


def test_a_gpus_caches_are_flushed_until_python_is_ahead(monkeypatch):
    """On a GPU that is pretended: a read takes it 60 us, and Python nearly none."""
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: type("", (), {"L2_cache_size": 1000})
    )
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    here = {name: getattr(torch, name) for name in ("empty", "ones")}
    for name, make in here.items():
        monkeypatch.setattr(
            torch, name, lambda *size, device, make=make: make(*(s and 4 for s in size))
        )
    reads = []
    monkeypatch.setattr(torch, "sum", lambda *args, out: reads.append(1))
    monkeypatch.setattr(clocks, "_by_events", lambda before: lambda call, n, count: [60e-6] * count)
    flush, size = clocks._flusher("cuda")
    flush()
    assert size == 64 * 2**20
    assert clocks.LEAD_S <= len(reads) * 60e-6 < clocks.LEAD_S + 60e-6


@pytest.fixture
def one_thread():
    """Threads that wait for each other would measure who else wants the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_cold_mode_finds_memory_slower_than_the_cache(one_thread):
    x = torch.randn(200_000)  # 800 kB, within a core's own cache
    limits = Limits(min_sampled_s=0.05, max_samples=60, max_s=1.5, warmup_s=0.05)
    warm, cold = (measure({"sum": x.sum}, mode=m, limits=limits)["sum"] for m in ("warm", "cold"))
    assert min(cold.samples) > min(warm.samples)  # whoever has the cores


def test_providers_take_turns_in_an_order_that_changes():
    turns = []
    limits = Limits(max_samples=30, max_s=60, warmup_s=0, max_warmup_s=0)

    def provider(name):
        call = spin(clocks.SAMPLE_S)
        return lambda: (turns.append(name), call())

    found = measure({"a": provider("a"), "b": provider("b")}, limits=limits)
    assert len(found["a"].blocks) == len(found["b"].blocks) == 30 / timing.BLOCK
    changes = [
        first for first, second in zip(turns[-60:], turns[-59:], strict=False) if first != second
    ]
    assert len(changes) > 3
    assert {tuple(changes[i : i + 2]) for i in range(len(changes) - 1)} >= {("a", "b"), ("b", "a")}


def test_the_seed_sets_the_order():
    def order(seed):
        turns = []
        calls = {n: (lambda n=n: (turns.append(n), spin(2e-3)())) for n in "abc"}
        limits = Limits(max_samples=30, max_s=60, warmup_s=0, max_warmup_s=0)
        measure(calls, limits=limits, seed=seed)
        return [name for name, _ in itertools.groupby(turns)][-12:]

    first = order(1)
    assert any(order(1) == first for _ in range(3))  # a stall may change how often one is called
    assert order(2) != first


@pytest.fixture
def made_up(monkeypatch):
    """A function that measures given samples as if a provider had taken them."""
    monkeypatch.setattr(timing.gc, "collect", int)  # of a process as large as pytest's it is slow
    monkeypatch.setattr(timing, "WINDOW_S", 0.0)
    monkeypatch.setattr(timing, "SLOW_S", 1.0)
    monkeypatch.setattr(timing, "calibrated", lambda call, synchronize: 1)

    def measured(samples, **limits):
        series = iter(samples)
        take = lambda call, iterations, count: [float(next(series)) for _ in range(count)]  # noqa: E731
        monkeypatch.setattr(timing, "taker", lambda device, mode: (take, None))
        limits = Limits(**{"max_s": 1e9, "warmup_s": 0, "max_warmup_s": 0} | limits)
        return measure({"made up": clocks.nothing}, limits=limits)["made up"]

    return measured


def noisy(seconds, seed=0, count=1000):
    return seconds * (1 + 0.03 * np.random.default_rng(seed).standard_normal(count))


def test_it_stops_when_the_interval_is_narrow_and_says_so(made_up):
    found = made_up(noisy(0.2), half_width=0.01)
    assert found.stop_reason == timing.PRECISE
    assert timing.ENOUGH <= len(found.samples) < 1.3 * timing.ENOUGH
    assert (found.high - found.low) / 2 <= 0.01 * found.median
    wide = made_up(noisy(0.2), half_width=1e-4, max_samples=300)
    assert wide.stop_reason == timing.MAX_SAMPLES


def test_it_goes_on_for_the_least_time_however_narrow(made_up):
    found = made_up(noisy(1e-3), half_width=0.5, min_sampled_s=0.5)
    assert found.stop_reason == timing.PRECISE
    assert 0.5 <= sum(found.samples) < 1.3 * 0.5


def stopped(made_up, rho, runs, seed=0):
    """(median covered, stop reason) of measurements of samples that remember each other."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        noise = rng.standard_normal(700) * math.sqrt(1 - rho**2)
        series = 0.2 * (1 + 0.03 * scipy.signal.lfilter([1], [1, -rho], noise)[150:])
        one = made_up(series, max_samples=500)
        found.append((one.low <= 0.2 <= one.high, one.stop_reason))
    return found


def test_an_interval_that_is_narrow_by_luck_is_not_called_precise(made_up):
    for rho, most in ((0.9, 0.2), (0.97, 0.1)):  # 0.4 of either where 30 samples were enough
        reasons = [reason for _, reason in stopped(made_up, rho, 60)]
        assert reasons.count(timing.PRECISE) / 60 <= most
    for rho, least in ((0.0, 0.88), (0.6, 0.85)):
        found = stopped(made_up, rho, 60)
        covered = [is_covered for is_covered, reason in found if reason == timing.PRECISE]
        assert len(covered) >= 20 and np.mean(covered) >= least


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(half_width=0, min_sampled_s=9, max_samples=40, max_s=60), timing.MAX_SAMPLES),
        (Limits(half_width=0, min_sampled_s=9, max_s=0.1), timing.MAX_TIME),
    ],
)
def test_it_stops_at_the_maxima_and_says_so(limits, reason):
    assert measure({"spin": spin(1e-3)}, limits=limits)["spin"].stop_reason == reason


def test_it_stops_at_the_deadline_with_a_block_of_each():
    found = measure({"a": spin(1e-3), "b": spin(1e-3)}, deadline=0.0, limits=SHORT)
    for one in found.values():
        assert one.stop_reason == timing.BUDGET
        assert len(one.blocks) == 1
        assert (one.low, one.high) == (-math.inf, math.inf)


def test_an_interval_that_does_not_narrow_is_a_plateau(monkeypatch):
    # as on a machine with two speeds: more samples bound the median no better
    monkeypatch.setattr(timing, "median_interval", lambda samples, confidence: (0.9e-3, 1.1e-3))
    limits = Limits(min_sampled_s=0.0, max_samples=10**6, max_s=60, warmup_s=0.01)
    found = measure({"spin": spin(1e-3)}, limits=limits)["spin"]
    assert found.stop_reason == timing.PLATEAU
    assert 60 <= len(found.samples) < 90  # the first look that has twice the samples of another


def test_a_provider_that_raises_is_named_and_the_others_are_measured():
    calls = {"n": 0}

    def late():
        calls["n"] += 1
        if calls["n"] > 20:
            raise ValueError("late")
        spin(1e-3)()

    def early():
        raise RuntimeError("early")

    found = measure({"early": early, "late": late, "good": spin(1e-3)}, limits=SHORT)
    assert isinstance(found["early"], RuntimeError)
    assert isinstance(found["late"], ValueError)
    assert min(found["good"].samples) == pytest.approx(1e-3, rel=0.1)  # whoever has the cores


def test_what_is_called_before_a_block_is_not_timed():
    found = measure({"a": spin(1e-3)}, before_block={"a": spin(5e-3)}, limits=SHORT)["a"]
    assert min(found.samples) == pytest.approx(1e-3, rel=0.1)  # whoever has the cores


def test_the_first_call_is_told_apart():
    calls = []

    def compiles():
        spin(0.05 if not calls else 1e-3)()
        calls.append(1)

    found = measure({"a": compiles}, limits=SHORT)["a"]
    assert found.first_call_s > 0.05 > found.median


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(ValueError, match="unknown device 'tpu': one of cpu, cuda"):
        measure({"a": print}, device="tpu")
    with pytest.raises(ValueError, match="unknown mode 'hot': one of host, warm, cold, graph"):
        measure({"a": print}, mode="hot")
    with pytest.raises(ValueError, match="'cpu' has none"):
        measure({"a": print}, mode="graph")
    with pytest.raises(ValueError, match="at least one provider"):
        measure({})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_asked_for_where_there_is_none_is_refused():
    with pytest.raises(RuntimeError, match="torch sees no CUDA device"):
        measure({"a": print}, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("mode", timing.MODES)
def test_every_mode_measures_a_product_on_a_gpu(mode):
    a = torch.randn(1024, 1024, device="cuda")
    found = measure({"mm": lambda: a @ a}, device="cuda", mode=mode, limits=SHORT)["mm"]
    assert 2 * 1024**3 / found.median < 2e15  # no GPU does more in float32
