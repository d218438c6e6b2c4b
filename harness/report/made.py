"""What trained models made: text, drawings, tables, an episode, as they stand in the curves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from harness.curve import REACHED, Curve
from harness.report.words import count, plain, processor, whole

MOST = 16  # models that are shown
MAX_LINES, MAX_ACROSS = 80, 100  # of one


class Made(NamedTuple):
    """What one model made, and what it had been trained for."""

    title: str
    about: str
    text: str


def made(curves: Sequence[Curve], where: str = "") -> tuple[list[Made], int]:
    """What is shown, of each setting and device one seed's, on which machine; how many more."""
    first: dict[tuple[str, str, str], Curve] = {}
    for curve in curves:
        if curve.generated:
            first.setdefault((curve.setting, curve.trial.workload, curve.trial.device), curve)
    found = list(first.values())
    return [_made(curve, where) for curve in found[:MOST]], max(0, len(found) - MOST)


def _made(curve: Curve, where: str) -> Made:
    trial, lines = curve.trial, []
    for line in (curve.generated or "").split("\n"):
        text = plain(line)
        # text runs on, drawings and tables are narrower than that
        lines += textwrap.wrap(text, MAX_ACROSS) if len(text) > MAX_ACROSS else [text]
    shown = lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        shown.append(f"… {count(len(lines) - MAX_LINES, 'more line')}")
    steps = whole(min(curve.points[-1].steps, 10**15)) if curve.points else "no"
    fate = "its target reached" if curve.status == REACHED else f"its target not ({curve.status})"
    about = (
        f"after {steps} steps of {trial.optimizer} at batch {trial.batch}, seed {trial.seed}, on "
        f"the {processor(trial.device)}; {fate}"
    )
    about = plain(about) + (f"; {where}" if where else "")
    return Made(plain(trial.workload), about, "\n".join(shown))
