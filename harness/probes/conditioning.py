"""Condition numbers: of the inputs, and of the loss around where training starts.

Every variant of the conditioning study is looked at before its first step. The inputs' matrix is
that of a linear layer with its intercept; the loss's is its Hessian over the training set. What
Lanczos has only a bound of is not known, and the reason gives the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness import conditioning
from harness.conditioning import Spectrum
from harness.convergence import conditioning as settings
from harness.environment import device_name
from harness.probes.spec import Finding
from harness.words import digits
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
            "parameters": float(loss.size),
        }
        why = _bounds(loss)
        known = {key: None if key in why else value for key, value in values.items()}
        how = f"{loss.iterations} iterations of Lanczos" if loss.iterations else "all eigenvalues"
        yield Finding(
            "conditioning", variant, f"start, {how}", device, name, len(train), known, why
        )


def _bounds(loss: Spectrum) -> dict[str, str]:
    """By the name of a value that is not known, what is known of it."""
    if math.isnan(loss.kappa):
        kappa = "no eigenvalue above 0 is known"
    else:
        kappa = f"at least {digits(loss.kappa)}: smaller eigenvalues have not settled"
    ends = f"it has not settled in {loss.iterations} iterations"
    bounds = {
        "hessian_kappa": (loss.settled and not math.isnan(loss.kappa), kappa),
        "hessian_largest": (loss.largest_settled, f"at least {digits(loss.largest)}: {ends}"),
        "hessian_lowest": (loss.lowest_settled, f"at most {digits(loss.lowest)}: {ends}"),
    }
    return {name: bound for name, (known, bound) in bounds.items() if not known}
