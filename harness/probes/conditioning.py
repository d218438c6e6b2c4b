"""Condition numbers: of the inputs, and of the loss around where training starts.

Every variant of the conditioning study is looked at before its first step. The inputs' matrix is
that of a linear layer with its intercept; the loss's is its Hessian over the training set.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import conditioning
from harness.convergence import conditioning as settings
from harness.environment import device_name
from harness.probes.spec import Finding
from workloads import load

SEED = 0
ITERATIONS = {"quick": 60, "full": 300}


def run(device: str, preset: str) -> Iterator[Finding]:
    """One finding a variant of the conditioning study that the preset trains."""
    name = device_name(device)
    wanted = [s.workload for s in settings() if preset in s.presets]
    for variant in dict.fromkeys(wanted):
        workload = load(variant)
        train = workload.data().train.to(device)
        inputs = conditioning.of_inputs(train.x)
        loss = conditioning.of_hessian(
            workload.model(SEED).to(device), workload.loss, train, iterations=ITERATIONS[preset]
        )
        values = {
            "inputs_kappa": inputs.kappa,
            "inputs_largest": inputs.largest,
            "hessian_kappa": loss.kappa,
            "hessian_largest": loss.largest,
            "hessian_lowest": loss.lowest,
            "settled": float(loss.settled),
            "parameters": float(loss.size),
        }
        why = {"hessian_kappa": "no eigenvalue above 0 is known"}
        at = f"start, {loss.method}"
        count = loss.iterations or loss.size
        yield Finding("conditioning", variant, at, device, name, count, values, why)
