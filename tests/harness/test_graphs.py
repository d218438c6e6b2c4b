"""CUDA graphs, on a GPU that is pretended: what is left behind by a capture that fails."""

import contextlib

import pytest
import torch

from harness import clocks
from harness.iterations import Graphed


class Gpu:
    """torch.cuda as far as captures need it; `log` is what was done on which stream."""

    def __init__(self, monkeypatch, recording=True):
        self.log, self.waiting, self.recording, self.capturing = [], 0, recording, False
        self.default = self.current = Stream()
        pretended = {
            "Stream": Stream,
            "current_stream": lambda: self.current,
            "set_stream": lambda stream: setattr(self, "current", stream),
            "stream": self.on,
            "graph": self.graph,
            "CUDAGraph": lambda: self,
            "graph_pool_handle": lambda: (0, 7),
            "current_device": lambda: 0,
            "get_sync_debug_mode": lambda: self.waiting,
            "set_sync_debug_mode": lambda mode: setattr(self, "waiting", mode),
            "is_current_stream_capturing": lambda: self.capturing,
        }
        for name, stand_in in pretended.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        for name, ended in (("endAllocateToPool", self.end), ("releasePool", self.release)):
            monkeypatch.setattr(torch._C, f"_cuda_{name}", ended, raising=False)

    def work(self):
        self.log.append((self.current, "captured" if self.capturing else "run", self.waiting))

    @contextlib.contextmanager
    def on(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextlib.contextmanager
    def graph(self, graph, pool, stream):
        """As torch 2.11's: it does not leave its stream when what it captures fails."""
        self.current, self.capturing, before = stream, True, self.current
        try:
            yield
        finally:
            self.capturing = False
        self.current = before

    def end(self, device, pool):
        if not self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.log.append(("ended", device, pool))

    def release(self, device, pool):
        self.log.append(("released", device, pool))

    def replay(self):
        self.log.append("replay")


class Stream:
    def __init__(self):
        self.waited_for = []

    def wait_stream(self, other):
        self.waited_for.append(other)


def replays_last(iteration_s, overhead_s=0.0):
    """A clock of replays: of the graph that was captured last, whose iterations `held` counts."""

    def take(replay, iterations, count):
        assert iterations == 1
        take.looks += 1
        return [overhead_s + take.held() * iteration_s] * count

    take.looks = 0
    return take


def long(*_):
    """The clock of a replay that lasts long enough."""
    return [1.0]


@pytest.mark.parametrize(
    ("iteration_s", "overhead_s", "least", "looks"),
    [
        (5e-6, 0.0, 1e-3, 2),
        (5e-6, 6e-6, 1e-3 / 2, 3),  # a replay's own cost makes the first look too short
        (2e-3, 0.0, 2e-3, 1),
        (1e-7, 6e-6, 256 * 1e-7, 3),
    ],
)
def test_a_graph_holds_what_lasts_long_enough_however_slow_python_is(
    monkeypatch, iteration_s, overhead_s, least, looks
):
    gpu = Gpu(monkeypatch)
    take = replays_last(iteration_s, overhead_s)

    def held():
        """Of the last capture: what follows the last warm-up."""
        kinds = [entry[1] for entry in gpu.log]
        return len(kinds) - 1 - max(i for i, kind in enumerate(kinds) if kind == "run")

    take.held = held
    monkeypatch.setattr(clocks.time, "perf_counter", None)  # Python's time has no part in it
    count, _ = clocks.captured(gpu.work, take)
    assert count == held() <= clocks.MAX_GRAPH_ITERATIONS
    assert take.looks == looks
    assert count * iteration_s >= least * 0.999
    assert count * iteration_s <= max(2 * clocks.SAMPLE_S, iteration_s)


def test_what_is_captured_was_run_before_on_the_same_stream(monkeypatch):
    gpu = Gpu(monkeypatch)
    count, replay = clocks.captured(gpu.work, long)
    ran = [entry for entry in gpu.log if entry[1] == "run"]
    kept = [entry for entry in gpu.log if entry[1] == "captured"]
    assert (count, len(ran), len(kept)) == (1, clocks.WARM_UP, 1)
    (stream,) = {stream for stream, *_ in gpu.log}
    assert stream.waited_for == [gpu.default] and gpu.default.waited_for == [stream]
    assert gpu.current is gpu.default
    replay()
    assert gpu.log[-1] == "replay"


def test_no_call_may_wait_for_the_gpu_before_it_is_captured(monkeypatch):
    gpu = Gpu(monkeypatch)
    clocks.captured(gpu.work, long)
    assert [mode for _, how, mode in gpu.log if how == "run"] == ["error"] * clocks.WARM_UP
    assert gpu.waiting == 0


@pytest.mark.parametrize("recording", [True, False])
def test_a_capture_that_fails_leaves_neither_its_stream_nor_its_pool(monkeypatch, recording):
    """Else every later capture would fail as well, and all else run on the wrong stream."""
    gpu = Gpu(monkeypatch, recording)

    def fails():
        if gpu.capturing:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        clocks.captured(fails, long)
    assert gpu.current is gpu.default
    # torch 2.12 has ended the recording by itself, and releases the pool too
    assert gpu.log == ([("ended", 0, (0, 7)), ("released", 0, (0, 7))] if recording else [])
    clocks.captured(gpu.work, long)


def test_a_call_that_waits_leaves_the_mode_as_it_was(monkeypatch):
    gpu = Gpu(monkeypatch, recording=False)

    def waits():
        raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(RuntimeError, match="synchronizing"):
        clocks.captured(waits, long)
    assert gpu.waiting == 0 and gpu.current is gpu.default and gpu.log == []


class Counter:
    """An iteration whose state is how often it was called."""

    def __init__(self, gpu):
        self.gpu, self.calls = gpu, 0

    def __call__(self, x):
        self.gpu.work()
        self.calls += 1
        return x + self.calls

    def reset(self):
        self.calls = 0


def test_an_iteration_is_captured_once_from_its_start_and_then_replayed(monkeypatch):
    gpu = Gpu(monkeypatch)
    graphed = Graphed(Counter(gpu))
    x = torch.zeros(1)
    assert graphed(x).item() == 1  # what is captured is the first, whatever was run before
    graphed(x)
    assert gpu.log.count("replay") == 2
    assert [e[1] for e in gpu.log if e != "replay"] == [*["run"] * clocks.WARM_UP, "captured"]
