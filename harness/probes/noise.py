"""How noisy mini-batches are while the perceptron trains: the noise scale, and 1/B itself.

Plain stochastic gradient descent at batch 32 is stopped at some steps on its way, and there the
gradient is drawn many times. The noise scale is what the critical batch size is held against.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from torch import nn

from harness import gradient_noise
from harness.environment import device_name
from harness.probes.spec import Finding
from workloads import data, load, optimizers

WORKLOAD, BATCH, RATE, SEED = "mlp_classification", 32, 0.5, 0
STEPS = {"quick": (0, 30, 100, 200), "full": (0, 10, 30, 60, 100, 150, 200, 250)}
SMALL, BIG = 16, 512
DRAWS = {"quick": 60, "full": 300}
OF_VARIANCE = {"quick": 200, "full": 300}  # draws, that the slope over batch sizes be told to 0.05
BATCHES = {"quick": (1, 4, 16, 64, 256), "full": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)}
MIDWAY = 100  # the step at which the variance is taken at every batch size


def run(device: str, preset: str) -> Iterator[Finding]:
    """The noise scale at each step, then the variance of the gradient at each batch size."""
    workload, name, draws = load(WORKLOAD), device_name(device), DRAWS[preset]
    train = workload.data().train.to(device)
    for step, model in _trained(device, STEPS[preset]):
        found = gradient_noise.measure(model, workload.loss, train, SMALL, BIG, draws)
        yield Finding(
            "noise", WORKLOAD, f"step {step}", device, name, draws,
            {
                "step": step,
                "noise_scale": found.value,
                "noise_scale_low": found.low,
                "noise_scale_high": found.high,
                "squared_gradient": found.squared_gradient,
                "trace": found.trace,
            },
        )  # fmt: skip
    draws = OF_VARIANCE[preset]
    for _, model in _trained(device, (MIDWAY,)):
        for batch in BATCHES[preset]:
            # a seed of its own: drawn alike, small batches are the first samples of large ones, and
            # the batch sizes err together
            variance, low, high = gradient_noise.variance_of_gradient(
                model, workload.loss, train, batch, draws, seed=batch
            )
            values = {"batch": batch, "variance": variance}
            values |= {"variance_low": low, "variance_high": high}
            yield Finding("noise", WORKLOAD, f"batch {batch}", device, name, draws, values)


def _trained(device: str, steps: tuple[int, ...]) -> Iterator[tuple[int, nn.Module]]:
    """The model after each of these numbers of steps, in order."""
    workload = load(WORKLOAD)
    model = workload.model(SEED).to(device)
    step = optimizers.make("sgd", model, workload.loss, RATE)
    stream = data.stream(workload, model, workload.data().train.to(device), BATCH, SEED)
    done = 0
    for at in steps:
        for batch in islice(stream, at - done):
            step(batch)
        done = at
        yield at, model
