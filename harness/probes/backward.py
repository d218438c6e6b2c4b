"""What backpropagation costs: time beside the forward pass, and the bytes that it holds.

Held are the tensors that the forward pass keeps for the backward one, each storage once, without
the parameters and the batch, which are there anyway. With checkpointing (Chen, Xu, Zhang & Guestrin
2016, arXiv 1604.06174) only what enters a segment is kept, and the segment is computed again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import workloads
from harness import contention
from harness.environment import device_name
from harness.probes.spec import Finding
from harness.statistics import speedup_interval
from harness.timing import Limits, Measurement, measure
from workloads import data
from workloads.spec import Batch, Workload

SUBJECTS = ("deep_mlp", "transformer_char")
LIMITS = {
    "quick": Limits(min_sampled_s=0.2, max_samples=200, max_s=1.0, warmup_s=0.1, max_warmup_s=0.5),
    "full": Limits(max_samples=500, max_s=5.0),
}
SEED = 0


class Segment(nn.Module):
    """Modules or functions in turn, computed again in the backward pass instead of kept."""

    def __init__(self, *parts: Callable[[Tensor], Tensor]):
        super().__init__()
        self._parts = parts

    def forward(self, h: Tensor) -> Tensor:
        """Any shape to what the last part makes of it."""
        return checkpoint(self._run, h, use_reentrant=False)

    def _run(self, h: Tensor) -> Tensor:
        for part in self._parts:
            h = part(h)
        return h


def run(device: str, preset: str) -> Iterator[Finding]:
    """One finding a model, at its workload's batch size."""
    for name in SUBJECTS:
        yield of(workloads.load(name), device, LIMITS[preset])


def of(workload: Workload, device: str, limits: Limits) -> Finding:
    """Forward, forward and backward, and the same with checkpointing, measured in turn."""
    model = workload.model(SEED).to(device)
    batch = data.sample(workload.data().train, workload.batch_size, SEED).to(device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    twin = checkpointed(model)

    def both(of: nn.Module) -> Callable[[], object]:
        return lambda: torch.autograd.grad(workload.loss(of, batch), parameters)

    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: workload.loss(model, batch),
        "forward+backward": both(model),
        "checkpointed": both(twin),
    }
    before = contention.read()
    timed = measure(calls, device=device, mode="host", limits=limits)
    disturbed = contention.reasons(*contention.shares(before, contention.read()))
    values: dict[str, float | None] = {}
    why: dict[str, str] = {}
    runs: dict[str, Measurement] = {}
    for name, found in timed.items():
        if isinstance(found, Exception):
            raise found
        runs[name] = found
        values[f"{name.replace('+', '_')}_s"] = found.median
    forward, plain, again = (runs[name] for name in calls)
    # over the forward pass: both passes, of which one is the forward pass itself
    _ratios(values, "backward_over_forward", plain, forward, less=1)
    _ratios(values, "checkpointed_over_plain", again, plain)
    if device == "cpu" and disturbed:
        for name in [name for name in values if name.endswith(("_low", "_high"))]:
            values[name] = None
            why[name] = f"not to be trusted: {'; '.join(disturbed)}"
    for name, of_model in (("", model), ("_checkpointed", twin)):
        values[f"saved_bytes{name}"] = float(saved_bytes(workload, of_model, batch))
        values[f"peak_bytes{name}"] = _peak_bytes(both(of_model), device)
        if device == "cpu":
            why[f"peak_bytes{name}"] = "torch keeps no peak of its memory on the CPU"
    at, n = f"batch {workload.batch_size}", len(plain.samples)
    return Finding("backward", workload.name, at, device, device_name(device), n, values, why)


def checkpointed(model: Any) -> nn.Module:
    """The same model on the same parameters, in segments: a transformer's blocks, or each of a
    deep perceptron's layers with the norm and the activation before it.

    Raises:
        ValueError: a model that is neither.
    """
    twin = copy.copy(model)
    twin._modules = dict(model._modules)  # the copy is shallow: its parts are the model's own
    if hasattr(model, "blocks"):
        twin.blocks = nn.Sequential(*(Segment(block) for block in model.blocks))
        return twin
    if not hasattr(model, "norms"):
        raise ValueError(f"{type(model).__name__} has no blocks or layers to checkpoint")
    first, *others = model.layers
    segments = (Segment(n, model.activation, o) for n, o in zip(model.norms, others, strict=True))
    twin.layers = nn.ModuleList([first, *segments])
    twin.norms = nn.ModuleList(nn.Identity() for _ in others)
    twin.activation = nn.Identity()
    return twin


def saved_bytes(workload: Workload, model: nn.Module, batch: Batch) -> int:
    """What the forward pass keeps for the backward one."""
    there = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *batch)}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor  # alive with the graph, so that no other storage takes its place

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = workload.loss(model, batch)
    del loss
    return sum(held.values())


def _ratios(
    values: dict[str, float | None], name: str, a: Measurement, b: Measurement, less: int = 0
) -> None:
    """a's time over b's with its interval, less a whole number; None for an end not known."""
    # a speedup is the baseline over the provider
    value, low, high = speedup_interval(a.blocks, b.blocks)
    values[name] = value - less
    known = low > 0 and math.isfinite(high)
    values[f"{name}_low"] = low - less if known else None
    values[f"{name}_high"] = high - less if known else None


def _peak_bytes(call: Callable[[], object], device: str) -> float | None:
    if device != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - held)
