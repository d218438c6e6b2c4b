"""Threats to validity of what was trained: as harness/report/threats.py has those of times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.curve import FINAL, TUNING, Curve
from harness.report.words import count, whole

if TYPE_CHECKING:
    from harness.report.threats import Grounds

FEW_SEEDS = 5  # fewer pairs have no interval
_SHOWN = 4  # settings that are named

# samples in the training sets, which are small ones: tests hold them to the workloads
TRAINED_ON = {
    **{"neuron": 426, "linear_regression": 353, "mlp_regression": 4000},
    **{"mlp_classification": 1437, "cnn": 1437, "rnn": 1437, "pixelcnn": 1437, "deep_mlp": 1437},
    **{"char_rnn": 11754, "transformer_char": 11754, "word2vec": 65536},
}


def small_data(grounds: Grounds) -> str:
    """What helps on a thousand samples may not on a million."""
    names = {curve.trial.workload.partition("/")[0] for curve in grounds.evidence.curves}
    sizes = {name: TRAINED_ON[name] for name in TRAINED_ON if name in names}
    if not sizes:
        return ""
    ends = dict.fromkeys(f(sizes, key=lambda name: sizes[name]) for f in (min, max))
    told = " to ".join(f"{whole(sizes[name])} in {name}" for name in ends)
    return (
        f"The data are small, of training samples {told}: what helps there, of optimizers above "
        "all, may not on larger sets."
    )


def few_seeds(grounds: Grounds) -> str:
    """Trials scatter more than few seeds show."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for curve in grounds.evidence.curves:
        if curve.role == FINAL:
            key = (curve.setting or curve.trial.workload, curve.trial.device)
            seeds.setdefault(key, set()).add(curve.trial.seed)
    few = [len(found) for found in seeds.values() if len(found) < FEW_SEEDS]
    if not few:
        return ""
    return (
        f"Trained from fewer than {FEW_SEEDS} seeds, too few for an interval of what the target "
        f"took: {len(few)} of {count(len(seeds), 'setting')}, from {min(few)} at the fewest."
    )


def rates_not_tuned(grounds: Grounds) -> str:
    """An optimizer that lost may have had the wrong rate."""
    curves = grounds.evidence.curves
    settings = {role: {_setting(c) for c in curves if c.role == role} for role in (FINAL, TUNING)}
    untuned = settings[FINAL] - settings[TUNING]
    if not untuned:
        return ""
    presets = sorted(set(grounds.evidence.rows["preset"]))
    return (
        f"In {len(untuned)} of {count(len(settings[FINAL]), 'setting')} the learning rate was not "
        f"tuned in this run (preset {', '.join(presets)}): which optimizer is ahead may depend on "
        "the rate that it was given."
    )


def rates_on_edge(grounds: Grounds) -> str:
    """A rate beyond those that were tried may have been better, and its setting ahead."""
    rows = grounds.evidence.rows
    tuned = rows[rows["tuning_trials"] > 0]
    edge = tuned[tuned["rate_on_edge"].eq(True)]
    if edge.empty:
        return ""
    named = dict.fromkeys(zip(edge["subject"], edge["provider"], strict=True))
    told = [f"{subject} by {optimizer}" for subject, optimizer in named]
    more = f" and {len(told) - _SHOWN} more" if told[_SHOWN:] else ""
    return (
        f"In {len(edge)} of {count(len(tuned), 'setting')} whose learning rate was tuned the best "
        f"is the first or the last that was tried ({', '.join(told[:_SHOWN])}{more}): one beyond "
        "it may be better, and another setting ahead."
    )


def device_shared(grounds: Grounds) -> str:
    """Trials beside each other are no timing."""
    curves = grounds.evidence.curves
    shared = sum(curve.shared_device for curve in curves)
    told = f"{shared} of {count(len(curves), 'trial')} shared their device with others: their steps"
    return f"{told} hold, their seconds and joules are no timing." if shared else ""


def run_again(grounds: Grounds) -> str:
    """Which attempt counts is a choice, and one should know who made it."""
    curves = [curve for curve in grounds.evidence.curves if curve.role == FINAL]
    again = sum(curve.attempt > 1 for curve in curves)
    told = f"{again} of {count(len(curves), 'trial')} were run again, as others had the cores"
    return f"{told}: the first that they left alone counts, or else the last." if again else ""


def _setting(curve: Curve) -> tuple[str, str, int, str]:
    trial = curve.trial
    return trial.workload, trial.optimizer, trial.batch, trial.device
