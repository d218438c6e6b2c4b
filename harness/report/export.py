"""A run's report in short, as GitHub-flavoured Markdown, and all its rows as one CSV table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness import markdown
from harness.report import claims, several, summary
from harness.report.merge import Merged, merge
from harness.report.runs import Run
from harness.report.words import count
from harness.store import write_atomically

SUFFIXES = {"markdown": ".md", "csv": ".csv"}

# what stays as it is in GitHub's Markdown wherever it stands: no markup, link, name or emoji
_HARMLESS = re.compile(r"(?:[A-Za-z0-9 .,:;'()\[\]%×±–-]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))+")
_OBEYED = re.compile(r"\]\(|\]:|:\w+:|www\.|GH-\d|[0-9a-f]{7}|^\s|\s$", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes a cell that so begins for


def write_all(form: str, runs: Sequence[Run], path: Path) -> Path:
    """Write the runs as a form of SUFFIXES; in all else as `harness.report.write_all`."""
    merged = merge(runs)
    text = _csv(merged.every) if form == "csv" else "\n".join(_markdown(merged))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
    return path


def _csv(data: pd.DataFrame) -> str:
    """A line a row, every column of `frame` but the samples; a quote before what is a formula."""
    shown = data.drop(columns="samples")  # benchmark.json has them
    for column in shown.columns[shown.dtypes != "float64"]:
        shown[column] = shown[column].map(_quoted)
    return shown.to_csv(index=False, lineterminator="\n")


def _quoted(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown(merged: Merged) -> list[str]:
    lines = [f"# {_text(several.opening(merged))}"]
    names = [markdown.code(run.name) for run in merged.runs if run.name]
    if names:
        lines += ["", f"{'Run' if len(names) == 1 else 'Runs'} {', '.join(names)}."]
    no_gpu = summary.no_gpu(merged.newest, merged.machines[0].evidence.environment)
    if no_gpu:
        lines += ["", _text(no_gpu)]
    care = several.warnings(merged)
    if care:
        lines += ["", "To be read with care:", "", *(f"- {_text(line)}" for line in care)]
    return [*lines, *_claims(merged), *_speedups(merged), ""]


def _claims(merged: Merged) -> list[str]:
    lines = ["", "## Claims of the course", ""]
    found = claims.by_machine(*merged.evidence)
    if not found:
        return [*lines, "None was put to the test."]
    machines = len(merged.machines) > 1
    cells = [
        [
            *([_text(place)] if machines else []),
            *(_text(c.claim), f"**{c.verdict}**", _text(c.effect), c.n, _text(c.words)),
        ]
        for place, c in found
    ]
    headings = ["claim", "verdict", "effect, 95 % interval", "n", "what it stands on"]
    headings = ["machine", *headings] if machines else headings
    return [*lines, f"{several.tally(merged, found)}.", "", *markdown.table(headings, cells)]


def _speedups(merged: Merged) -> list[str]:
    lines = ["", "## Speedups worth knowing", ""]
    found, more = summary.speedups(merged.shown)
    if not found:
        return [*lines, "None: no provider was measured beside a baseline in the same case."]
    floors = "; ".join(_text(floor) for floor in several.noise_floors(merged))
    cells = [
        [
            *map(_text, (s.subject, s.speedup)),
            f"**{s.verdict}**",
            *map(_text, (s.provider, s.baseline, s.device, s.mode, s.n, s.case)),
        ]
        for s in found
    ]
    headings = ["subject", "speedup, 95 % interval", "verdict", "provider", "over", "device"]
    headings += ["mode", "n", "middle case"]
    left_out = ["", f"{count(more, 'more line')} left out."] if more else []
    return [*lines, f"Noise floor: {floors}.", "", *markdown.table(headings, cells), *left_out]


def _text(text: str) -> str:
    """As it is where that is harmless, else as code."""
    if _HARMLESS.fullmatch(text) and not _OBEYED.search(text):
        return text
    return markdown.code(text)
