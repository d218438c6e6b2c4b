"""The README's figure and table, from a committed run.

python -m harness.report.front RUN OUT.svg [README.md]

writes the figure, and the table into the README or, without one, to standard output.
"""

from __future__ import annotations

import io
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from harness import markdown, store
from harness.curve import Curve
from harness.record import Row
from harness.report import claims
from harness.report.frame import frame
from harness.report.front_kernels import kernels
from harness.report.front_panels import OPTIMIZER, STUDY, Panel, gpu_over_cpu, learning, step_times
from harness.report.plots import style
from harness.report.trials import trials
from harness.studies import spec as studies
from harness.studies.effects import NOT_TUNED

_PLACE = re.compile(r"(<!-- claims.*?-->)\n.*?\n(<!-- end.*?-->)", re.DOTALL)
_FEW = re.compile(r" ?\(no interval from (\d+) seeds\)")

_WIDTH = 560.0  # points, 747 pixels: a phone shows half of it, where its text has to be read too
_TEXT, _TEXT_LINE = 11.5, 15.0  # points
_LINE, _AROUND = 17.0, 84.0  # points: a row of marks; a panel's axis, its titles and its legend
_LEAST = 12  # rows that a panel is high at least
_COLUMNS = 90  # characters in a line of the caption


def svg(rows: Sequence[Row], curves: Sequence[Curve]) -> str:
    """What the run has of three panels; the same arguments give the same text.

    Above, on a GPU, the speedup of our kernels and their peers; left, that of the GPU over the CPU
    in a training step or, where it was not timed on both, the time of a sample in it; right, the
    steps and the samples to the target over batch sizes. Speedups are of rows on which a verdict
    may stand (`frame.judgeable`): none is of a disturbed row, or one above the roof.

    Raises:
        ValueError: the run has nothing of it.
    """
    measured = frame(rows)
    upper, lower = (
        [panel for panel in found if panel]
        for found in (
            [kernels(measured)],
            [gpu_over_cpu(measured) or step_times(measured), learning(trials(curves))],
        )
    )
    if not upper and not lower:
        raise ValueError(
            "nothing to draw: the run has no kernel compared on a GPU, no training step timed "
            f"undisturbed and no {STUDY} trained by {OPTIMIZER} at two batch sizes; measure it "
            "again with make study"
        )
    places = [*["Above"] * len(upper), *(("Left", "Right") if len(lower) > 1 else ("Below",))]
    placed = dict(zip(places, [*upper, *lower], strict=False))
    caption = _caption(placed if len(placed) > 1 else {"": next(iter(placed.values()))})
    bands = [row for row in (upper, lower) if row]
    high = [_AROUND + _LINE * max(_LEAST, *(panel.lines for panel in row)) for row in bands]
    top = _TEXT_LINE * (1 + caption.count("\n")) + 8
    with style.applied(), matplotlib.rc_context({"font.size": _TEXT}):
        figure = Figure(figsize=(_WIDTH / 72, (top + sum(high)) / 72), facecolor="white")
        figure.set_layout_engine("constrained", w_pad=6 / 72, h_pad=4 / 72)
        figure.suptitle(caption, x=0.01, ha="left", fontsize=_TEXT)
        grid = figure.add_gridspec(len(bands), 1, height_ratios=high)
        for line, row in enumerate(bands):
            across = grid[line].subgridspec(1, len(row), width_ratios=(1.25, 1)[: len(row)])
            for column, panel in enumerate(row):
                panel.draw(figure.add_subplot(across[column]))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def table(evidence: studies.Evidence) -> str:
    """Every claim of the course with its verdict and effect, in GitHub-flavoured Markdown."""
    found = claims.claims(evidence)
    cells = [
        [c.claim, f"**{c.verdict}**", _FEW.sub("†", c.effect) + "‡" * (NOT_TUNED in c.words), c.n]
        for c in found
    ]
    headings = ["claim of the course", "verdict", "effect, 95 % interval", "n"]
    few = sorted({seeds for c in found for seeds in _FEW.findall(c.effect)})
    notes = ["n counts what the claim is judged by: workloads, cases, seeds, draws or samples."]
    if few:
        notes += [f"† from {' or '.join(few)} seeds: too few for an interval."]
    if any(NOT_TUNED in c.words for c in found):
        notes += [
            "‡ with one learning rate for each side, not tuned: another may decide otherwise."
        ]
    if any(">" in c.effect for c in found):
        notes += [
            # no line begins with ">": that would be a quotation
            "Behind > is the interval's lower end: the other side did not get there in the steps "
            "that it had."
        ]
    lines = [f"{claims.tally(found)}.", "", *markdown.table(headings, cells), "", *notes]
    return "\n".join(lines)


def _caption(placed: Mapping[str, Panel]) -> str:
    """The devices, then for each panel its mode, n and intervals."""
    on = dict.fromkeys(name for panel in placed.values() for name in panel.on)
    sentences = [f"{'; '.join(on)}."]
    for place, panel in placed.items():
        sentences.append(f"{place}: {panel.words}." if place else f"{panel.words.capitalize()}.")
    return "\n".join(textwrap.fill(words, _COLUMNS) for words in sentences)


def fill(page: str, words: str) -> str:
    """A page with `words` between the two comments that the table stands between.

    Raises:
        ValueError: the page has not one such place.
    """
    parts = _PLACE.split(page)
    if len(parts) != 4:
        raise ValueError("the page has no one place between <!-- claims... --> and <!-- end... -->")
    before, opening, closing, after = parts
    return f"{before}{opening}\n{words}\n{closing}{after}"


def write(run: Path, out: Path, page: Path | None = None) -> str:
    """Write the figure of a run, and its table into a page; without one, the table comes back.

    Raises:
        ValueError: the run has nothing of the figure, or the page no place for the table.
        StoreError: the run cannot be read.
        OSError: a file cannot be.
    """
    measured, trained = store.read(run)[0], store.read_curves(run)[0]
    probed, described = store.read_findings(run)[0], store.read_environment(run)[0]
    words = table(studies.Evidence(frame(measured), trained, probed, described))
    filled = fill(page.read_text("utf-8"), words) if page else ""
    out.write_text(svg(measured, trained), "utf-8")
    if page:
        page.write_text(filled, "utf-8")
    return "" if page else words


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m harness.report.front RUN OUT.svg [README.md]")
    try:
        if told := write(*map(Path, sys.argv[1:])):
            print(told)
    except (ValueError, OSError, store.StoreError) as error:
        sys.exit(str(error))
