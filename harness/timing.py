"""The timing engine: seconds per iteration of several providers, measured in turn.

Modes:
    host    wall clock from Python, launches included; on a GPU until it has finished.
    warm    back to back; on a GPU between two events, so the device's own time.
    cold    the caches overwritten before each sample, and then read elsewhere, so that nothing is
            left to be written back; one iteration a sample.
    graph   the replay of a CUDA graph of the iterations: the device's time without launches.
On a CPU there is one clock, so warm is the same measurement as host, and graph does not exist.

Sources: Hoefler & Belli 2015 (doi 10.1145/2807591.2807644) for medians with intervals and the
stopping rule; Chen & Revels 2016 (arXiv 1608.04295) for iterations per sample and interleaving.
"""

from __future__ import annotations

import gc
import math
import random
import statistics as stdlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from harness.clocks import calibrated, captured, nothing, synchronizer, taker
from harness.statistics import BLOCK, effective_size, median_interval

MODES = ("host", "warm", "cold", "graph")
DEVICES = ("cpu", "cuda")

SETTLED = 0.02  # warm-up ends when the medians of two windows differ by less
WINDOW_S = 0.05
SLOW_S = 0.05

# An interval that is looked at again and again is narrow by luck at some time. Of one with so many
# samples, a fifth of which count, "precise" covers 95% and 93% of the medians of samples that
# remember each other with rho 0 and 0.6 (with 30 samples 83%), and is hardly ever said for rho 0.9.
ENOUGH, REMEMBERED = 200, 5

PRECISE, PLATEAU = "precise", "plateau"
MAX_SAMPLES, MAX_TIME, BUDGET = "maximum samples", "maximum time", "budget"


@dataclass(frozen=True)
class Limits:
    """When to stop. Times in seconds, each for one provider.

    Attributes:
        half_width: stop when half the interval is no more than this share of the median ...
        min_sampled_s: ... and the samples together last at least this long, and are ENOUGH.
        min_samples: the first look at the interval; further looks at 1.2 x as many each.
        max_samples: stop here at the latest.
        max_s: likewise by wall clock, overheads such as cold mode's flush included.
        warmup_s: warm up at least this long.
        max_warmup_s: and this long at most, settled or not.
    """

    half_width: float = 0.01
    min_sampled_s: float = 0.5
    min_samples: int = 30
    max_samples: int = 1000
    max_s: float = 10.0
    warmup_s: float = 0.2
    max_warmup_s: float = 3.0


FULL = Limits()
QUICK = Limits(max_samples=500, max_s=1.5, warmup_s=0.15, max_warmup_s=1.0)


@dataclass(frozen=True)
class Measurement:
    """What one provider took. Times in seconds per iteration.

    Attributes:
        blocks: the samples by block, in the order they were taken; block i of all providers
            measured together lie side by side in time.
        low, high: the interval of the median at `confidence`; -inf and inf where the samples
            are too few to bound it.
        n_eff: independent samples that would know the median as well.
        first_call_s: the first call, compilation included.
    """

    blocks: tuple[tuple[float, ...], ...]
    iterations: int
    median: float
    low: float
    high: float
    confidence: float
    n_eff: float
    stop_reason: str
    warmup_s: float
    first_call_s: float
    threads: int
    flush_bytes: int | None

    @property
    def samples(self) -> tuple[float, ...]:
        """All samples, in the order they were taken."""
        return tuple(s for block in self.blocks for s in block)


def measure(
    providers: Mapping[str, Callable[[], object]],
    *,
    device: str = "cpu",
    mode: str = "host",
    limits: Limits = QUICK,
    confidence: float = 0.95,
    seed: int = 0,
    deadline: float = math.inf,
    before_block: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, Measurement | Exception]:
    """Measure each provider's seconds per iteration, block by block in a random order.

    Args:
        providers: by name, what to call: one call is one iteration. A call may leave work
            running on the device; measuring waits for it.
        device: "cpu" or "cuda" (the current CUDA device).
        mode: one of MODES.
        limits: when to stop.
        confidence: of each median's interval.
        seed: of the order.
        deadline: time.perf_counter() at which to stop with what there is, not before
            each provider has one block.
        before_block: by provider, what to call before each of its blocks, outside of the
            clock: to set a state back that its calls change.

    Returns:
        By name, the exceptions that providers raised, as they did; then the others' Measurements.

    Raises:
        ValueError: an unknown device or mode, a mode that the device does not have, or no
            providers.
        RuntimeError: "cuda" where there is no CUDA device.
    """
    _check(providers, device, mode)
    runs: dict[str, _Run] = {}
    result: dict[str, Measurement | Exception] = {}
    for name, call in providers.items():
        try:
            runs[name] = _Run(call, device, mode, limits, (before_block or {}).get(name, nothing))
        except Exception as error:
            result[name] = error
    # one size for all: the median of one sample and the median of five lie apart where samples
    # are skewed, and their ratio would say that one provider is faster
    if any(run.sample_s > SLOW_S for run in runs.values()):
        for run in runs.values():
            run.block = 1
    order, rng = list(runs), random.Random(seed)
    budget_s = limits.max_s * len(runs)
    with _no_garbage_collection():
        start = time.perf_counter()  # collecting may take longer than a short measurement
        while runs and not all(run.stop_reason for run in runs.values()):
            rng.shuffle(order)
            for name in order:
                try:
                    runs[name].take_block()
                except Exception as error:
                    result[name] = error
            for name in result.keys() & runs.keys():
                del runs[name]
                order.remove(name)
            now = time.perf_counter()
            for run in runs.values():
                run.judge(limits, confidence, now - start > budget_s, now > deadline)
    for name, run in runs.items():
        result[name] = run.measurement(confidence)
    return result


class _Run:
    """One provider under way: warmed up and calibrated, then block by block."""

    def __init__(
        self,
        call: Callable[[], object],
        device: str,
        mode: str,
        limits: Limits,
        before_block: Callable[[], object],
    ):
        self._before_block = before_block
        synchronize = synchronizer(device)
        start = time.perf_counter()
        call()
        synchronize()
        self.first_call_s = time.perf_counter() - start
        take, self.flush_bytes = taker(device, mode)
        self.iterations, estimate = 1, 0.0
        self._take = lambda count: take(call, self.iterations, count)
        if mode == "graph":
            self.iterations, replay = captured(call, take)
            self._take = lambda count: [s / self.iterations for s in take(replay, 1, count)]
        elif mode != "cold":
            self.iterations = calibrated(call, synchronize)
        self.warmup_s, estimate = self._warm_up(limits)
        self.sample_s = estimate * self.iterations
        self.block = BLOCK
        self.blocks: list[tuple[float, ...]] = []
        self.stop_reason = ""
        self._next_look: float = limits.min_samples
        self._looks: list[tuple[int, float]] = []  # samples, half-width

    def _warm_up(self, limits: Limits) -> tuple[float, float]:
        """Run until the medians of two windows agree; (seconds spent, last median)."""
        start, previous = time.perf_counter(), math.inf
        while True:
            self._before_block()
            window: list[float] = []
            opened = time.perf_counter()
            while not window or time.perf_counter() - opened < WINDOW_S:
                window += self._take(1)
            median, spent = stdlib.median(window), time.perf_counter() - start
            settled = abs(median / previous - 1) <= SETTLED
            if (spent >= limits.warmup_s and settled) or spent >= limits.max_warmup_s:
                return spent, median
            previous = median

    def take_block(self) -> None:
        self._before_block()
        self.blocks.append(tuple(self._take(self.block)))

    @property
    def samples(self) -> list[float]:
        return [s for block in self.blocks for s in block]

    def judge(self, limits: Limits, confidence: float, late: bool, over_budget: bool) -> None:
        """Set stop_reason if there is one; a provider that could stop goes on while another
        of its case must, so that their blocks stay paired."""
        n = len(self.blocks) * self.block
        if over_budget or late:
            self.stop_reason = self.stop_reason or (BUDGET if over_budget else MAX_TIME)
        elif n >= limits.max_samples:
            self.stop_reason = self.stop_reason or MAX_SAMPLES
        elif n >= self._next_look:
            while self._next_look <= n:
                self._next_look *= 1.2
            samples = self.samples
            low, high = median_interval(samples, confidence)
            half = (high - low) / 2
            enough = sum(samples) * self.iterations >= limits.min_sampled_s
            narrow = half <= limits.half_width * stdlib.median(samples)
            known = n >= ENOUGH and n <= REMEMBERED * effective_size(samples)
            # twice the samples ought to have narrowed it to 0.7 of what it was
            stuck = any(2 * m <= n and half > 0.9 * h for m, h in self._looks)
            if enough and narrow and known:
                self.stop_reason = PRECISE
            elif enough and not narrow and stuck:
                self.stop_reason = PLATEAU
            else:
                self.stop_reason = ""
            self._looks.append((n, half))

    def measurement(self, confidence: float) -> Measurement:
        samples = self.samples
        low, high = median_interval(samples, confidence)
        return Measurement(
            blocks=tuple(self.blocks),
            iterations=self.iterations,
            median=stdlib.median(samples),
            low=low,
            high=high,
            confidence=confidence,
            n_eff=effective_size(samples),
            stop_reason=self.stop_reason,
            warmup_s=self.warmup_s,
            first_call_s=self.first_call_s,
            threads=torch.get_num_threads(),
            flush_bytes=self.flush_bytes,
        )


class _no_garbage_collection:
    """Collect before, not during: a collection inside a sample would be timed with it."""

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_enabled:
            gc.enable()


def _check(providers: Mapping[str, object], device: str, mode: str) -> None:
    if not providers:
        raise ValueError("measure needs at least one provider")
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}: one of {', '.join(DEVICES)}")
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}: one of {', '.join(MODES)}")
    if mode == "graph" and device != "cuda":
        raise ValueError("mode 'graph' replays CUDA graphs, and device 'cpu' has none")
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device 'cuda' was asked for, and torch sees no CUDA device")
