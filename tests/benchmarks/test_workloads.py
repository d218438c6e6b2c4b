"""Every workload: a training step and inference over batch sizes, eager and compiled."""

import pytest

import workloads
from harness.subjects import INFERENCE, TRAIN, of_workload

# the quick preset's first: one sample, a usual batch, a large one
QUICK_BATCHES = (32, 1024, 1)
BATCHES = (*QUICK_BATCHES, 2, 4, 8, 16, 64, 128, 256, 512)
PROVIDERS = ("eager", "compile")


def marks(batch, provider):
    # compiling costs seconds a case: once a workload is enough for a first look
    quick = batch in QUICK_BATCHES and (provider == "eager" or batch == 32)
    return [] if quick else [pytest.mark.preset("full")]


def cases():
    """One batch size of each workload after the other, so that a short budget has them all."""
    return [
        pytest.param(
            name,
            direction,
            batch,
            provider,
            marks=marks(batch, provider),
            id=f"{name}-{direction}-batch{batch}-{provider}",
        )
        for batch in BATCHES
        for direction in (TRAIN, INFERENCE)
        for name in workloads.NAMES
        for provider in PROVIDERS
    ]


@pytest.mark.parametrize(("workload", "direction", "batch", "provider"), cases())
def test_workloads(compare, workload, direction, batch, provider):
    compare(lambda device: of_workload(workloads.load(workload), direction, batch, device))
