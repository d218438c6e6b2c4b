"""The README's figure and table, from a committed run.

python -m harness.report.front RUN OUT.svg

writes the figure and prints the table.
"""

from __future__ import annotations

import io
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from harness import markdown, store
from harness.curve import FINAL, REACHED, Curve
from harness.record import OK, Row
from harness.report import claims
from harness.report.frame import frame
from harness.studies import spec as studies

STUDY = "mlp_classification"  # whose steps and samples to the target are drawn over batch sizes
OPTIMIZER = "sgd"
_FEW = re.compile(r" ?\(no interval from (\d+) seeds\)")
# Okabe and Ito 2008; by batch size, and for the two curves
COLORS, MARKERS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7"), ("o", "s", "^", "D")


def svg(rows: Sequence[Row], curves: Sequence[Curve]) -> str:
    """Left, the time of a sample in a training step of every workload at each batch size; right,
    the steps and the samples to the target over batch sizes. On the CPU, mode host, eager; the
    same arguments give the same text.

    Raises:
        ValueError: there is no such time, or no such trial.
    """
    times = [row.extra_info for row in rows if _is_step(row.extra_info)]
    trials = [c for c in curves if _is_studied(c)]
    if not times or not trials:
        raise ValueError("no training step was timed on the CPU, or none was trained by SGD")
    with matplotlib.rc_context(
        {"svg.hashsalt": "flopwise", "svg.fonttype": "none", "font.size": 9}
    ):
        figure = Figure(figsize=(9.2, 4.1), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _draw_times(left, times)
        _draw_trials(right, trials)
        for axes in (left, right):
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(_where(times, trials), fontsize=9)
        text = io.StringIO()
        figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None})
    return text.getvalue()


def table(evidence: studies.Evidence) -> str:
    """Every claim of the course with its verdict and effect, in GitHub-flavoured Markdown."""
    found = claims.claims(evidence)
    cells = [[c.claim, f"**{c.verdict}**", _FEW.sub("†", c.effect), c.n] for c in found]
    headings = ["claim of the course", "verdict", "effect, 95 % interval", "n"]
    few = sorted({seeds for c in found for seeds in _FEW.findall(c.effect)})
    notes = ["n counts what the claim is judged by: workloads, cases, seeds, draws or samples."]
    if few:
        notes += [f"† from {' or '.join(few)} seeds: too few for an interval."]
    if any("∞" in c.effect for c in found):
        notes += ["∞: what it is compared with did not get there in the steps that it had."]
    lines = [f"{claims.tally(found)}.", "", *markdown.table(headings, cells), "", *notes]
    return "\n".join(lines)


def _is_step(info: Mapping[str, Any]) -> bool:
    wanted = (OK, "workload", "train", "eager", "cpu", "host")
    keys = ("status", "kind", "direction", "provider", "device", "mode")
    return tuple(info[key] for key in keys) == wanted and info["median_low_s"] is not None


def _is_studied(curve: Curve) -> bool:
    trial = curve.trial
    return (trial.workload, trial.optimizer, curve.role) == (STUDY, OPTIMIZER, FINAL)


def _draw_times(axes: Axes, times: Sequence[Mapping[str, Any]]) -> None:
    """A line a workload, a mark a batch size; the fastest sample furthest to the left."""
    batches = sorted({info["batch"] for info in times})
    names = list(dict.fromkeys(info["subject"] for info in times))
    for number, batch in enumerate(batches):
        at = [info for info in times if info["batch"] == batch]
        y = [-names.index(info["subject"]) for info in at]
        x, low, high = (
            [info[key] / batch for info in at]
            for key in ("median_s", "median_low_s", "median_high_s")
        )
        below = [m - end for m, end in zip(x, low, strict=True)]
        above = [end - m for m, end in zip(x, high, strict=True)]
        axes.errorbar(
            x, y, xerr=(below, above), label=f"batch {batch:,}", linestyle="none", capsize=2,
            color=COLORS[number % len(COLORS)], marker=MARKERS[number % len(MARKERS)], markersize=5,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks([-i for i in range(len(names))], names)
    axes.xaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("time of one sample in a training step; lower is faster")
    axes.legend(frameon=False, loc="lower left", fontsize=8)


def _draw_trials(axes: Axes, trials: Sequence[Curve]) -> None:
    """The median over seeds, and a dot a seed."""
    batches = sorted({curve.trial.batch for curve in trials})
    for number, currency in enumerate(("samples", "steps")):
        color = COLORS[number]
        middle = []
        for batch in batches:
            found = [c.to_target(currency) for c in trials if c.trial.batch == batch]
            there = [value for value in found if value is not None]
            middle.append(statistics.median(there) if len(there) == len(found) else None)
            axes.plot([batch] * len(there), there, ".", color=color, markersize=4, alpha=0.7)
        known = [(b, m) for b, m in zip(batches, middle, strict=True) if m is not None]
        axes.plot(
            *zip(*known, strict=True), color=color, marker=MARKERS[number], markersize=5,
            linestyle=("-", "--")[number], label=f"{currency} to the target",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="batch size (samples)")
    axes.set_xticks(batches, [f"{batch:,}" for batch in batches])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator())
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(f"{STUDY} by {OPTIMIZER}, rate tuned", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _where(times: Sequence[Mapping[str, Any]], trials: Sequence[Curve]) -> str:
    names = ", ".join(dict.fromkeys(info["device_name"] for info in times))
    threads = ", ".join(str(t) for t in dict.fromkeys(info["threads"] for info in times))
    n = [info["n"] for info in times]
    seeds = len({curve.trial.seed for curve in trials})
    reached = sum(curve.status == REACHED for curve in trials)
    return (
        f"{names}, {threads} threads. Left: mode host, medians with 95 % intervals, "
        f"n = {min(n)} to {max(n)} samples.\nRight: {seeds} seeds a batch size and their median, "
        f"{reached} of {len(trials)} trials at the target."
    )


if __name__ == "__main__":
    try:
        run, out = map(Path, sys.argv[1:])
        measured, trained = store.read(run)[0], store.read_curves(run)[0]
        probed, described = store.read_findings(run)[0], store.read_environment(run)[0]
        out.write_text(svg(measured, trained), "utf-8")
    except (ValueError, OSError, store.StoreError) as error:
        usage = "usage: python -m harness.report.front RUN OUT.svg"
        sys.exit(usage if len(sys.argv) != 3 else str(error))
    print(table(studies.Evidence(frame(measured), trained, probed, described)))
