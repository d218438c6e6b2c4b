"""Clocks: how a sample is taken on a device in a mode, and after how many iterations it lasts."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

SAMPLE_S = 1e-3  # iterations are repeated until a sample lasts this long, 2000 x a GPU event's tick
# A graph of so many of the shortest kernels, 1 us each, lasts 500 ticks of an event; each more is
# held in memory, and captured at the speed of Python.
MAX_GRAPH_ITERATIONS = 256
WARM_UP = 3  # iterations before a CUDA graph is captured
LEAD_S = 0.5e-3  # a GPU's caches are flushed for so long that Python is ahead of it meanwhile
CPU_FLUSH_BYTES = 128 * 2**20  # a server's last-level cache is shared, and rarely ours to fill

# A taker takes samples: (call, iterations, count) -> seconds per iteration of each sample.
Taker = Callable[[Callable[[], object], int, int], list[float]]


def taker(device: str, mode: str) -> tuple[Taker, int | None]:
    """The clock of a device and mode, and the bytes that it overwrites before each sample."""
    if mode == "cold":
        flush, size = _flusher(device)
        return (_by_events if device == "cuda" else _by_wall_clock)(before=flush), size
    if device == "cuda" and mode != "host":
        return _by_events(before=nothing), None
    return _by_wall_clock(before=nothing, device=device), None


def _by_wall_clock(before: Callable[[], object], device: str = "cpu") -> Taker:
    synchronize = synchronizer(device)

    def take(call: Callable[[], object], iterations: int, count: int) -> list[float]:
        samples = []
        for _ in range(count):
            before()
            synchronize()
            start = time.perf_counter_ns()
            for _ in range(iterations):
                call()
            synchronize()
            # a clock that did not move means "below its tick", not "took no time"
            samples.append(max(time.perf_counter_ns() - start, 1) * 1e-9 / iterations)
        return samples

    return take


def _by_events(before: Callable[[], object]) -> Taker:
    """Between two events in the stream; the host runs ahead and waits once at the end."""

    def take(call: Callable[[], object], iterations: int, count: int) -> list[float]:
        pairs = []
        for _ in range(count):
            before()
            start = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            start.record()
            for _ in range(iterations):
                call()
            end.record()
            pairs.append((start, end))
        torch.cuda.synchronize()
        return [max(start.elapsed_time(end), 1e-6) * 1e-3 / iterations for start, end in pairs]

    return take


def _flusher(device: str) -> tuple[Callable[[], object], int]:
    """A function that overwrites the caches, and how many bytes it writes.

    It then reads as many elsewhere: what is written stays in the cache until it has to go, and
    would be going while the call is timed. On a GPU it reads until Python has surely queued the
    call: else the call would be waited for between its two events.
    """
    if device == "cuda":
        l2 = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        size = max(2 * l2, 64 * 2**20)
    else:
        size = CPU_FLUSH_BYTES
    written = torch.empty(size // 4, device=device)
    elsewhere = torch.ones(size // 4, device=device)  # zeros may all be one page of a CPU's memory
    total = torch.empty((), device=device)

    def read() -> None:
        torch.sum(elsewhere, 0, out=total)

    reads = 1
    if device == "cuda":
        lasts = statistics.median(_by_events(before=nothing)(read, 1, 9))
        reads = math.ceil(LEAD_S / lasts)

    def flush() -> None:
        written.zero_()
        for _ in range(reads):
            read()

    return flush, size


def calibrated(call: Callable[[], object], synchronize: Callable[[], object]) -> int:
    """Iterations after which a sample lasts SAMPLE_S."""

    def spent(iterations: int) -> float:
        synchronize()
        start = time.perf_counter()
        for _ in range(iterations):
            call()
        synchronize()
        return time.perf_counter() - start

    iterations = 1
    while True:
        least = spent(iterations)
        if least >= SAMPLE_S / 2:  # or was it interrupted?
            least = min(least, spent(iterations), spent(iterations))
        if least >= SAMPLE_S / 2 or iterations >= 2**20:
            return max(1, math.ceil(iterations * SAMPLE_S / max(least, 1e-9)))
        iterations *= 4


def captured(call: Callable[[], object], take: Taker) -> tuple[int, Callable[[], object]]:
    """A CUDA graph whose replay lasts SAMPLE_S, of MAX_GRAPH_ITERATIONS at most.

    A graph of one iteration is timed, and one of more is made by that: how long iterations last
    without a graph says more of Python.

    Args:
        call: an iteration.
        take: the clock of a replay.

    Returns:
        How many iterations the graph holds, and its replay.

    Raises:
        RuntimeError: the call does what a graph cannot hold.
    """

    def repeat(count: int) -> None:
        for _ in range(count):
            call()

    iterations = 1
    while True:
        replay = recorded(partial(repeat, WARM_UP), partial(repeat, iterations))
        taken = statistics.median(take(replay, 1, 5))
        if taken >= SAMPLE_S / 2 or iterations == MAX_GRAPH_ITERATIONS:
            return iterations, replay
        # a replay's own cost is more of a short graph than of a long one: look again
        iterations = min(math.ceil(iterations * SAMPLE_S / taken), MAX_GRAPH_ITERATIONS)
        del replay  # with the memory that its graph holds


def recorded(prepare: Callable[[], object], work: Callable[[], object]) -> Callable[[], object]:
    """The replay of a CUDA graph that holds the work.

    Args:
        prepare: called before, on the stream of the capture: libraries and optimizers allocate
            then, and autograd remembers the stream that a forward pass ran on.
        work: what the graph is to hold.

    Raises:
        RuntimeError: it does what a graph cannot hold, such as waiting for the GPU.
    """
    stream, outer = torch.cuda.Stream(), torch.cuda.current_stream()
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    stream.wait_stream(outer)
    try:
        with torch.cuda.stream(stream), _no_waiting():
            prepare()
        outer.wait_stream(stream)
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            work()
    except BaseException:
        _abandon(pool, outer)
        raise
    return graph.replay


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Raises where torch would wait for the GPU; within a capture that would end the capture, with
    an error that does not name what waited."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _abandon(pool: Any, outer: torch.cuda.Stream) -> None:
    """Set right what a capture that failed leaves behind.

    torch.cuda.graph does not leave its stream then; and before torch 2.12 the allocator goes on
    recording, so that every later empty_cache, and with it every capture, raises (pytorch #180395).
    """
    torch.cuda.set_stream(outer)
    with contextlib.suppress(RuntimeError):  # it has stopped: nothing was left behind
        device = torch.cuda.current_device()
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)


def launch_s(call: Callable[[], object], count: int = 30) -> float:
    """Seconds until a call returns without waiting for the GPU: the median of `count` calls.

    The GPU is idle before each, so that a full queue of launches is not waited for either. A call
    that waits for the GPU itself takes as long as its work.
    """
    taken = []
    for _ in range(count):
        torch.cuda.synchronize()
        start = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - start)
    torch.cuda.synchronize()
    return 1e-9 * statistics.median(taken)


def synchronizer(device: str) -> Callable[[], object]:
    """What waits for the device."""
    return torch.cuda.synchronize if device == "cuda" else nothing


def nothing() -> None:
    """Does nothing."""
