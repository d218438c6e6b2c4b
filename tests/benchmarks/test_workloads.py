"""Every workload: a training step and inference over batch sizes, by every provider."""

import pytest

import workloads
from harness.subjects import INFERENCE, TRAIN, TRANSFER, of_workload

# the quick preset's first: a usual batch, one sample, a large one
QUICK_BATCHES = (32, 1, 1024)
BATCHES = (*QUICK_BATCHES, 2, 4, 8, 16, 64, 128, 256, 512)
PROVIDERS = ("eager", "compile", "graph", "triton")
# compiling costs 5 to 30 s a case: once, for a small and a usual model, is enough for a first look
QUICK_COMPILED = ("linear_regression", "mlp_classification")
QUICK_FLOPS = 2e9  # of an iteration: more takes a CPU too long for a first look


def marks(name, direction, batch, provider):
    workload = workloads.load(name)
    flops = batch * (workload.flops.step if direction == TRAIN else workload.flops.inference)
    quick = batch in QUICK_BATCHES and flops <= QUICK_FLOPS
    if provider == "compile":
        quick = name in QUICK_COMPILED and batch == 32
    only = [pytest.mark.devices("cuda")] if provider in ("graph", "triton") else []
    return [*only, *([] if quick else [pytest.mark.preset("full")])]


def cases():
    """One batch size of each workload after the other, so that a short budget has them all."""
    return [
        pytest.param(
            name,
            direction,
            batch,
            provider,
            marks=marks(name, direction, batch, provider),
            id=f"{name}-{direction}-batch{batch}-{provider}",
        )
        for batch in BATCHES
        for direction in (TRAIN, INFERENCE)
        for name in workloads.NAMES
        for provider in PROVIDERS
        if provider != "triton" or workloads.load(name).own_kernels
    ]


def transfers():
    return [
        pytest.param(name, batch, provider, id=f"{name}-batch{batch}-{provider}", marks=quick)
        for batch in BATCHES
        for quick in [[] if batch in QUICK_BATCHES else [pytest.mark.preset("full")]]
        for name in workloads.NAMES
        for provider in ("pageable", "pinned")
    ]


# models this small stay in a cache whatever is done: cold is a second look, not the first
@pytest.mark.preset("full", mode="cold")
@pytest.mark.parametrize(("workload", "direction", "batch", "provider"), cases())
def test_workloads(compare, workload, direction, batch, provider):
    compare(lambda device: of_workload(workloads.load(workload), direction, batch, device))


@pytest.mark.devices("cuda")
@pytest.mark.parametrize(("workload", "batch", "provider"), transfers())
def test_transfers(compare, workload, batch, provider):
    compare(lambda device: of_workload(workloads.load(workload), TRANSFER, batch, device))
