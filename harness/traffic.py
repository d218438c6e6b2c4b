"""What goes between ranks in a training step, and how long it was on its way.

Time on the way is from where a tensor was handed over until its mean over the ranks was there,
intervals that overlap counted once. Waiting for the slowest rank is in it, and so is the part that
passes behind the backward pass: it is a share of the time, not what the training would be shorter
without it.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, distributed

Event = Any  # a torch.cuda.Event, or seconds of time.perf_counter


class Traffic:
    """Means over the ranks of a group, timed.

    Args:
        cuda: whether the tensors are on a GPU; the clock is then the GPU's own.
    """

    def __init__(self, cuda: bool):
        self._cuda = cuda
        self._intervals: list[tuple[Event, Event]] = []

    def average(self, group: Any, bucket: Any) -> Any:
        """DistributedDataParallel's hook: a bucket of gradients, its mean as a future."""
        start = self._now()
        buffer = bucket.buffer().div_(group.size())
        work = distributed.all_reduce(buffer, group=group, async_op=True)

        def ended(future: Any) -> Tensor:
            self._intervals.append((start, self._now()))
            return future.value()[0]

        return work.get_future().then(ended)

    def mean(self, value: Tensor, group: Any) -> Tensor:
        """The mean of a tensor over the ranks, waited for."""
        start = self._now()
        total = value.detach().clone()
        distributed.all_reduce(total, group=group)
        self._intervals.append((start, self._now()))
        return total.div_(group.size())

    def seconds(self) -> float:
        """On the way since the last call. The device must be done with it all."""
        spans = sorted((self._since(start), self._since(end)) for start, end in self._intervals)
        self._intervals.clear()
        total, reached = 0.0, float("-inf")
        for start, end in spans:
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        return total

    def _now(self) -> Event:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _since(self, moment: Event) -> float:
        """Seconds since the first of them: a GPU's clock counts in float32."""
        first = self._intervals[0][0]
        return first.elapsed_time(moment) / 1e3 if self._cuda else moment - first
