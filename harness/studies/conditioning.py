"""Zero-mean, equal-variance inputs train faster: raw and shifted digits against standardised."""

from __future__ import annotations

from harness.report.words import digits, plain
from harness.studies.compare import DEVICES, Side, duel, eased
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "Inputs of zero mean and equal variance train faster."
NEEDS = "The deep MLP of 4 layers on raw, shifted and standardised digits; the probe conditioning."
FIGURE = "currencies"

MLP, SOFTMAX = "deep_mlp/4x64", "deep_mlp/1x64"


def judge(evidence: Evidence) -> Verdict:
    """Standardised inputs against raw ones and against those that are shifted."""
    found = [
        duel(
            evidence,
            Side(f"{worse} inputs", f"{base}-{worse}", optimizer),
            Side("standardised inputs", f"{base}-standardised", optimizer),
        )
        for base, optimizer in ((MLP, "adam"), (SOFTMAX, "sgd"))
        for worse in ("raw", "shifted")
    ]
    duels = [d for d in found if d]
    if not duels:
        why = evidence.why_not(kind="convergence", subject=f"{MLP}-standardised")
        return not_measured(f"no digits were trained on both standardised and otherwise{why}")
    words, effect, n = summary(duels)
    return Verdict(eased(duels), words + _kappas(evidence), effect, n)


def _kappas(evidence: Evidence) -> str:
    """The inputs' condition numbers, where the probe has them."""
    for base in (MLP, SOFTMAX):
        for device in DEVICES:
            known = {
                inputs: (kappa, finding.device_name)
                for inputs in ("raw", "shifted", "standardised")
                for finding in evidence.found("conditioning", f"{base}-{inputs}", device)
                if (kappa := finding.values.get("inputs_kappa")) is not None
            }
            if "standardised" in known and len(known) > 1:
                told = [f"{digits(kappa)} {inputs}" for inputs, (kappa, _) in known.items()]
                name = plain(known["standardised"][1])
                return f" The inputs' condition number is {', '.join(told)} (on {name})."
    return ""
