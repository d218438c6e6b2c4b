"""What `check` holds a workload's parts to: what workloads/spec.py says of each of them.

Each function says in words what it saw, or asserts it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from workloads import data as datasets
from workloads.flops import count
from workloads.spec import Batch, Workload

# validation samples that training has too, beyond the share that is repeated within training: of
# ours only a text that repeats itself has any, 8 % of its windows
SHARED = 0.1
BROADCAST = ".*due to broadcasting"  # torch's warning of a loss of [n, 1] against [n]


def _data(workload: Workload) -> str:
    sizes = []
    for name, first, again in zip(
        ("training", "validation"), workload.data(), workload.data(), strict=True
    ):
        assert len(first.x) == len(first.y) > 0, f"x and y of {name} are not equally many samples"
        assert first.x.device.type == first.y.device.type == "cpu", f"{name} is not on the CPU"
        same = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert same, f"{name} differs from one call to the next"
        sizes.append(f"{len(first)} samples for {name}")
    return f"{', '.join(sizes)}, the same at every call{_apart(*workload.data())}"


def _apart(train: Batch, validation: Batch) -> str:
    """What else is to be said of a split: the validation samples that training has too.

    By their x, as a target may be noisy. Where few values make samples that repeat within training,
    as many may repeat in validation.
    """
    trained, held = Counter(_hashes(train.x)), _hashes(validation.x)
    shared = sum(sample in trained for sample in held)
    repeated = sum(n for n in trained.values() if n > 1) / len(train)
    told = f"{shared} of {len(held)} validation samples are training samples too"
    assert shared / len(held) <= SHARED + repeated, f"{told}: the metric is to be of unseen ones"
    return f"; {told}" if shared else ""


def _hashes(x: Tensor) -> list[int]:
    """Of each sample's values."""
    return [hash(sample.numpy().tobytes()) for sample in x.reshape(len(x), -1)]


@contextlib.contextmanager
def _no_broadcast() -> Iterator[None]:
    """Raises torch's warning that a loss broadcasts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=BROADCAST, category=UserWarning)
        yield


def _model(workload: Workload) -> str:
    first, again = (list(workload.model(seed).parameters()) for seed in (3, 3))
    assert first, "it has no parameters"
    kinds = {(p.dtype, p.device.type) for p in first}
    assert kinds == {(torch.float32, "cpu")}, "it is not in float32 on the CPU"
    same = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert same, "the same seed gives two different models"
    return f"{sum(p.numel() for p in first):,} parameters, the same from the same seed"


def _loss(workload: Workload) -> str:
    model = workload.model(0)
    with _no_broadcast():
        loss = workload.loss(model, datasets.sample(workload.data().train, 7, seed=0))
    assert loss.shape == (), f"its shape is {list(loss.shape)}, and it is to be a scalar"
    loss.backward()
    left = [name for name, p in model.named_parameters() if p.grad is None]
    assert not left, f"it does not reach {', '.join(left)}"
    return "a scalar that reaches every parameter"


@torch.no_grad()
def _metric(workload: Workload) -> str:
    with _no_broadcast():
        value = workload.metric(workload.model(0), workload.data().validation)
    assert value.shape == (), f"its shape is {list(value.shape)}, and it is to be a scalar"
    target = workload.target
    told = f"{target.metric} {float(value):.4g} before training, target {target.value:g}"
    assert not target.reached(float(value)), f"{told}: there is nothing to reach"
    return told


def _flops(workload: Workload) -> str:
    for size in (1, 7):
        for name, found in _counted(workload, size).items():
            declared = getattr(workload.flops, name) * size
            words = f"{name}, {declared:,} declared and {found:,} counted at batch {size}"
            assert declared == found, words
    flops = workload.flops
    return f"{flops.forward:,} forward and {flops.backward:,} backward a sample, as counted"


def _counted(workload: Workload, size: int) -> dict[str, int]:
    model, batch = workload.model(0), datasets.sample(workload.data().train, size, seed=0)
    losses: list[Tensor] = []
    return {
        "forward": count(lambda: losses.append(workload.loss(model, batch))),
        "backward": count(lambda: losses[0].backward()),
        "inference": count(lambda: model(batch.x)),
    }


def generate(workload: Workload) -> str:
    """What `generate` writes, where there is one."""
    assert workload.generate
    written = workload.generate(workload.model(0), 0)
    assert isinstance(written, str), f"it gives {type(written).__name__}, and not text"
    return f"{len(written)} characters from an untrained model"


PARTS: dict[str, Callable[[Workload], str]] = {
    "data": _data,
    "model": _model,
    "loss": _loss,
    "metric": _metric,
    "FLOPs": _flops,
}
