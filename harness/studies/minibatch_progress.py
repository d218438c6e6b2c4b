"""Progress per compute is faster on mini-batches: FLOPs and seconds to the target."""

from __future__ import annotations

import math

from harness import batch_size
from harness.report.words import plain, whole
from harness.studies.compare import DEVICES, Side, duel_on, took, untimed
from harness.studies.duel import Duel, no_interval
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, combined, not_measured

CLAIM = "Per compute, training on mini-batches progresses faster than on large batches."
NEEDS = "The batch-size study: stochastic gradient descent tuned at several batch sizes."
FIGURE = "batch_size"

WORKLOAD, OPTIMIZER = "mlp_classification", "sgd"


def judge(evidence: Evidence) -> Verdict:
    """The largest batch against the middle one of those trained, whichever is the quickest."""
    duels: list[Duel] = []
    steps: list[str] = []
    untold: list[str] = []
    for device in DEVICES:
        batches = _batches(evidence, device)
        if len(batches) < 2:
            continue
        middle = batches[(len(batches) - 1) // 2]
        large, mini = (
            Side(f"batch {whole(batch)}", WORKLOAD, OPTIMIZER, batch)
            for batch in (batches[-1], middle)
        )
        untold.append(untimed(evidence, device, (large, mini)))
        for currency in ("flops", "seconds"):
            if found := duel_on(device, evidence, large, mini, currency):
                duels.append(found)
        if per_step := duel_on(device, evidence, mini, large, "steps"):
            times = f"{per_step.times}{no_interval([per_step])}"
            steps.append(f"in steps, {per_step.brief}: {times}")
    if not duels:
        why = evidence.why_not(kind="convergence", subject=WORKLOAD, provider=OPTIMIZER)
        return not_measured(f"{WORKLOAD} was not trained at two batch sizes{why}")
    words, effect, n = summary(duels)
    words += "".join(dict.fromkeys(untold))
    extra = "; ".join([*steps[:1], *_critical(evidence)])
    words = f"{words} {extra[0].upper()}{extra[1:]}." if extra else words
    return Verdict(combined([d.verdict for d in duels]), words, effect, n)


def _batches(evidence: Evidence, device: str) -> list[int]:
    found = {
        c.trial.batch
        for c in evidence.curves
        if (c.trial.workload, c.trial.optimizer) == (WORKLOAD, OPTIMIZER)
    }
    return sorted(
        b for b in found if 0 < b < 2**53 and evidence.finals(WORKLOAD, OPTIMIZER, b, device)
    )


def _critical(evidence: Evidence) -> list[str]:
    """The critical batch size beside the noise scale, which is to predict it."""
    for device in DEVICES:
        values = {
            batch: [
                took(curve, "steps") or math.inf
                for curve in evidence.finals(WORKLOAD, OPTIMIZER, batch, device)
            ]
            for batch in _batches(evidence, device)
        }
        try:
            fit = batch_size.fit(values)
        except (ValueError, OverflowError):
            continue
        scales = [
            scale
            for finding in evidence.found("noise", WORKLOAD, device)
            if (scale := finding.values.get("noise_scale")) is not None
        ]
        critical = f"{fit.critical.value:.0f} [{fit.critical.low:.0f}, {fit.critical.high:.0f}]"
        noise = f", a noise scale of {min(scales):.0f} to {max(scales):.0f}" if scales else ""
        flagged = f" ({plain('; '.join(fit.flags))})" if fit.flags else ""
        return [f"the critical batch size is {critical}{flagged}{noise}"]
    return []
