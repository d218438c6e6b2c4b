"""A character model can write, a pixel model can complete an image."""

from __future__ import annotations

from harness.report.words import plain, shorten
from harness.studies.alone import alone, every_seed, made
from harness.studies.spec import SUPPORTED, UNCLEAR, Evidence, Verdict, combined, not_measured

CLAIM = "A model of characters can write, and a model of pixels can complete an image."
NEEDS = "The character RNN or transformer and the PixelCNN, trained, and what they made."
FIGURE = "currencies"

WRITERS, PAINTERS = ("char_rnn", "transformer_char"), ("pixelcnn",)
SHOWN = 60  # characters of a text


def judge(evidence: Evidence) -> Verdict:
    """By the seeds that predict as well as their target asks, where they made something."""
    verdicts, words, effects, n = [], [], [], 0
    for name in (*WRITERS, *PAINTERS):
        curves = alone(evidence, name)
        if not curves:
            continue
        verdict, told, effect = every_seed(curves)
        product = made(curves)
        if not product and verdict == SUPPORTED:
            verdict, told = UNCLEAR, f"{told}, and nothing that it made was kept"
        elif product:
            shown = shorten(" ".join(plain(product).split()), SHOWN)
            told += f", wrote “{shown}”" if name in WRITERS else ", completed digits are shown"
        verdicts.append(verdict)
        words.append(told)
        effects.append(f"{name} {effect}")
        n += len(curves)
    if not verdicts:
        why = evidence.why_not(kind="convergence", subject=WRITERS[0])
        return not_measured(f"neither a model of characters nor one of pixels was trained{why}")
    halves = [any(alone(evidence, name) for name in names) for names in (WRITERS, PAINTERS)]
    found = combined(verdicts)
    if found == SUPPORTED and not all(halves):
        found = UNCLEAR
        words.append("the other half of the claim was not measured")
    return Verdict(found, f"{'; '.join(words)}.", ", ".join(effects), n)
