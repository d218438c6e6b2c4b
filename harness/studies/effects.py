"""What a verdict says of the duels that it stands on: their words and their effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.studies.duel import Duel, all_of, no_interval

NOT_TUNED = "learning rates not tuned"  # a verdict may hang on them
_SHOWN = 3  # effects that are listed; of more only the least and the most
_BOTH = "ba"  # sides: that of which a claim is, and the other
_NAMES = {"flops": "FLOPs"}  # of currencies, where they are not their own


class Summary(NamedTuple):
    """Of several duels: in words with the device, the range of their effects, and pairs."""

    words: str
    effect: str
    n: int


def summary(duels: Sequence[Duel]) -> Summary:
    """What a verdict says of the duels that it stands on, one at least."""
    every = all(duel.every_seed for duel in duels)
    words = "; ".join(f"{d.brief if every else d.words}: {d.times}" for d in duels)
    return Summary(f"{words}{where(duels)}.", effects(duels), min(d.n for d in duels))


def where(duels: Sequence[Duel]) -> str:
    """In brackets what holds for all of them: device, seeds, and what the judgement stands on."""
    told = [f"on {', '.join(sorted({duel.device_name for duel in duels}))}"]
    counts = sorted({duel.n for duel in duels})
    seeds = {t.seeds for duel in duels for t in (duel.of_a, duel.of_b)} - {""}
    if seeds and all(duel.every_seed for duel in duels):
        told.append(f"{' or '.join(map(all_of, counts))} of each got there")
    if any(duel.few for duel in duels):
        told.append("too few seeds for an interval, judged by the order of all seeds")
    if floor := max(duel.floor for duel in duels):
        told.append(f"seconds judged beyond a noise floor of {100 * floor:.1f} %")
    if not all(duel.tuned for duel in duels):
        told.append(NOT_TUNED)
    if edges := dict.fromkeys(label for duel in duels for label in duel.on_edge):
        told.append(f"the best learning rate tried of {', '.join(edges)} is on its grid's edge")
    if any(duel.given_up_sooner for duel in duels):
        told.append("what was given up had spent less than the other took")
    told += dict.fromkeys(duel.doubt for duel in duels if duel.doubt)
    return f" ({', '.join(told)})"


def effects(duels: Sequence[Duel]) -> str:
    """Their ratios, each with what tells it from the others; of many the least and the most."""
    told = [duel for duel in duels if not duel.neither]
    common = {_in(duel) for duel in duels}
    unit, neither = common.pop() if len(common) == 1 else "", ""
    if len(duels) <= _SHOWN or len({duel.times for duel in duels}) == 1 or not told:
        text = ", ".join(_labelled(duels, duels, _names(duels) or _BOTH))
    else:
        order = sorted(told, key=lambda duel: (math.isnan(duel.ratio[0]), duel.ratio))
        text = " to ".join(_labelled([order[0], order[-1]], told, _names(told)))
        if len(told) < len(duels):
            neither = f", in {len(duels) - len(told)} of {len(duels)} neither got there"
    return f"{text}{unit}{neither}{no_interval(duels)}"


def _names(duels: Sequence[Duel]) -> str:
    """The one side by whose label each is told from those in the same currency; "" for none."""
    for side in _BOTH:
        labels = {(getattr(duel, f"of_{side}").label, duel.currency) for duel in duels}
        if len(labels) == len(duels):
            return side
    return ""


def _labelled(shown: Sequence[Duel], duels: Sequence[Duel], names: str) -> list[str]:
    """e.g. "against raw inputs: 1.58×", "2.23× in seconds"; each once."""
    if len({duel.times for duel in duels}) == 1:
        return [duels[0].times]
    sides = {(duel.of_a.label, duel.of_b.label) for duel in duels}
    units = len({duel.currency for duel in duels}) > 1
    found = []
    for duel in shown:
        labels = {"b": duel.of_b.label, "a": f"against {duel.of_a.label}"}
        told = [label for side, label in labels.items() if side in names and len(sides) > 1]
        name = f"{' '.join(told)}: " if told else ""
        found.append(f"{name}{duel.times}{_in(duel) * units}")
    return list(dict.fromkeys(found))


def _in(duel: Duel) -> str:
    return f" in {_NAMES.get(duel.currency, duel.currency)}"
