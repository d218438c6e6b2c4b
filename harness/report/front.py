"""The figure on the README's first screen, drawn from a committed run's rows.

python -m harness.report.front RUN OUT.svg
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from harness import store
from harness.record import OK, Row

COLORS = {"eager": "#0072b2", "compile": "#d55e00"}  # Okabe and Ito 2008
MARKERS = {"eager": "o", "compile": "s"}


def svg(rows: Sequence[Row]) -> str:
    """Time of one iteration against batch size, eager and compiled, a panel for each workload and
    direction, in mode host on the CPU; the same rows give the same text.

    Raises:
        ValueError: no row has such a time.
    """
    infos = [row.extra_info for row in rows]
    infos = [
        info
        for info in infos
        if (info["status"], info["kind"], info["device"], info["mode"])
        == (OK, "workload", "cpu", "host")
    ]
    panels = list(dict.fromkeys((info["subject"], info["direction"]) for info in infos))
    if not panels:
        raise ValueError("no workload was measured on the CPU in mode host")
    with matplotlib.rc_context(
        {"svg.hashsalt": "flopwise", "svg.fonttype": "none", "font.size": 9}
    ):
        figure = Figure(figsize=(2.6 * len(panels), 2.7), layout="constrained")
        for axes, (subject, direction) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            for provider, color in COLORS.items():
                points = sorted(
                    (i["batch"], i["median_s"], i["median_low_s"], i["median_high_s"])
                    for i in infos
                    if (i["subject"], i["direction"], i["provider"])
                    == (subject, direction, provider)
                    and i["median_low_s"] is not None
                )
                if points:
                    batch, median, low, high = zip(*points, strict=True)
                    below = [m - x for m, x in zip(median, low, strict=True)]
                    above = [x - m for m, x in zip(median, high, strict=True)]
                    axes.errorbar(
                        batch, median, (below, above), label=provider, color=color,
                        marker=MARKERS[provider], markersize=4, capsize=2, linewidth=1.3,
                    )  # fmt: skip
            axes.set(xscale="log", yscale="log", title=f"{subject}\n{direction}")
            axes.title.set_size(9)
            axes.set_xlabel("batch size (samples)")
            batches = sorted({info["batch"] for info in infos})
            axes.set_xticks(batches, [str(batch) for batch in batches])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
            axes.minorticks_off()
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        first = figure.axes[0]
        first.set_ylabel("time of an iteration")
        first.legend(frameon=False)
        names = ", ".join(dict.fromkeys(info["device_name"] for info in infos))
        n = [info["n"] for info in infos]
        threads = ", ".join(str(t) for t in dict.fromkeys(info["threads"] for info in infos))
        figure.suptitle(
            f"{names}, {threads} threads, mode host: medians with 95 % intervals, "
            f"n = {min(n)} to {max(n)} samples; lower is faster",
            fontsize=9,
        )
        text = io.StringIO()
        figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None})
    return text.getvalue()


if __name__ == "__main__":
    run, out = sys.argv[1:]
    Path(out).write_text(svg(store.read(Path(run))[0]), "utf-8")
