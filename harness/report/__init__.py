"""Rows to one HTML file that opens from disk, with nothing outside it. Needs no torch or triton."""

from __future__ import annotations

import base64
import hashlib
import platform
import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib
import pandas as pd
from markupsafe import Markup

from harness.curve import Curve
from harness.faults import faults
from harness.probes.spec import Finding
from harness.record import Row
from harness.report import claims, plots, summary, svg, table
from harness.report.frame import frame
from harness.report.made import made
from harness.report.plots import style
from harness.report.probed import probed
from harness.report.trials import points, trials
from harness.report.words import count, plain, whole
from harness.store import write_atomically
from harness.studies import spec as studies

MAX_FIGURES = 80  # in all; each takes some 50 ms to draw

_HERE = Path(__file__).parent
_DEEPEST = 8  # levels of the environment that are shown
_UNTRAINED = (
    "This run has no training curves: no workload was trained to its target, which "
    "pytest --benchmark-only -k convergence does."
)


class Figure(NamedTuple):
    """A drawn part of a plot."""

    title: str
    svg: Markup
    caption: str
    columns: list[str]
    lines: list[tuple[str, ...]]


class Section(NamedTuple):
    """A plot with its figures under their headings, and what is absent or left out, and why."""

    name: str
    title: str
    intro: str
    groups: list[tuple[str, list[Figure]]]
    absent: str
    left_out: str


def write(
    rows: Sequence[Row],
    environment: Mapping[str, Any],
    path: Path,
    problems: Sequence[str] = (),
    curves: Sequence[Curve] = (),
    findings: Sequence[Finding] = (),
) -> Path:
    """Write the report of one run; the same arguments give the same bytes.

    Args:
        rows: of one run; their text is data and shown as such.
        environment: what `harness.environment.describe` found, nested mappings and lists; its
            "run_id", if there is one, names the run.
        path: the HTML file, replaced whole or not at all.
        problems: one line for each file or line that was skipped.
        curves: of the run's trials; their text, too, is data.
        findings: of the run's probes; likewise.

    Returns:
        `path`.

    Raises:
        ValueError: there are no rows; nothing is written.
        OSError: the file cannot be written; what was there before still is.
    """
    if not rows:
        raise ValueError("no rows to report: the run measured nothing yet, or all was skipped")
    data = frame(rows)
    notes, roof_notes = table.Footnotes(), table.Footnotes()
    roofs = data[data["kind"] == "roof"]
    script = (_HERE / "report.js").read_text("utf-8")
    run = environment.get("run_id")
    sections = _sections(data, curves, findings)
    there = {section.name for section in sections} | ({"findings"} if findings else set())
    claimed = claims.claims(studies.Evidence(data, curves, findings, environment))
    page = _template().render(
        css=Markup((_HERE / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        run=plain(run) if isinstance(run, str) else None,
        command=f"python -m harness report {shlex.quote(run) if isinstance(run, str) else 'RUN'}",
        devices=[*data["device"].drop_duplicates()],
        opening=summary.opening(data),
        claims=[(claim, claim.section(there)) for claim in claimed],
        tally=claims.tally(claimed),
        statuses=summary.statuses(data),
        no_gpu=summary.no_gpu(data, environment),
        speedups=summary.speedups(data),
        noise_floors=summary.noise_floors(data),
        crossings=summary.crossings(data),
        missing=summary.missing(data),
        warnings=[*summary.void(faults(rows)), *summary.warnings(data)],
        sections=sections,
        made=made(curves),
        trained=bool(curves),
        probed=probed(findings),
        columns=[column.heading for column in table.ROWS],
        cells=table.cells(data, table.ROWS, notes),
        notes=notes.all(),
        roof_columns=[column.heading for column in table.ROOFS],
        roof_cells=table.cells(roofs, table.ROOFS, roof_notes),
        roof_notes=roof_notes.all(),
        environment=_tree(environment),
        problems=[plain(problem) for problem in problems],
        started=sorted(data["started_at"]),
        presets=sorted(data["preset"].unique()),
        threads=[whole(number) for number in sorted(data["threads"].unique())],
        drawn_with=(
            f"Python {platform.python_version()}, matplotlib {matplotlib.__version__}, "
            f"pandas {pd.__version__}"
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html")


def _sections(
    data: pd.DataFrame, curves: Sequence[Curve], findings: Sequence[Finding]
) -> list[Section]:
    tables = {"rows": data}
    if curves:
        tables["trials"] = trials(curves, findings)
        tables["points"] = points(curves, tables["trials"])
    found = []
    with style.applied():
        loaded = [(plots.load(name), name) for name in plots.NAMES]
        drawable = [
            (plot, name, tables[plot.SOURCE]) for plot, name in loaded if plot.SOURCE in tables
        ]
        split = [_together(plot.parts(of)) for plot, _, of in drawable]
        allotted = _allot([len(parts) for parts in split], MAX_FIGURES)
        for (plot, name, of), parts, most in zip(drawable, split, allotted, strict=True):
            drawn = [
                (part.group, _figure(plot, part, f"{name}{number}"))
                for number, part in enumerate(parts[:most])
            ]
            groups = [
                (heading, [figure for _, figure in group])
                for heading, group in groupby(drawn, key=lambda pair: pair[0])
            ]
            left_out = _left_out(len(parts) - len(drawn), plot.SOURCE)
            found.append(Section(name, plot.TITLE, plot.INTRO, groups, plot.absent(of), left_out))
    if not curves:
        found.append(Section(claims.UNTRAINED, "Training", "", [], _UNTRAINED, ""))
    return found


def _together(parts: Sequence[style.Part]) -> list[style.Part]:
    """Those of one heading together, the headings in the order in which they come."""
    order = {group: number for number, group in enumerate(dict.fromkeys(p.group for p in parts))}
    return sorted(parts, key=lambda part: order[part.group])


def _left_out(figures: int, source: str) -> str:
    if not figures:
        return ""
    where = "the table of all rows" if source == "rows" else "curves.jsonl, beside the run's rows"
    return f"{count(figures, 'more figure')} left out. Their numbers are in {where}."


def _allot(wanted: Sequence[int], total: int) -> list[int]:
    """As many as each wants; where they want more than the total, the small ones come first."""
    allotted = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for done, i in enumerate(order):
        allotted[i] = min(wanted[i], total // (len(wanted) - done))
        total -= allotted[i]
    return allotted


def _figure(plot: plots.Plot, part: style.Part, prefix: str) -> Figure:
    drawing = plot.figure(part.frame)
    assert drawing is not None  # parts() gives only what can be drawn
    caption, numbers = plot.caption(part.frame), plot.table(part.frame)
    title = f"{part.title} ({part.group})"
    description = f"{plot.TITLE}. {caption} The numbers are in the table below the figure."
    image = svg.inline(drawing, title, description, prefix)
    lines = list(numbers.itertuples(index=False, name=None))
    return Figure(part.title, image, caption, list(numbers.columns), lines)


def _tree(value: object, depth: int = 0) -> Any:
    """Nested mappings and lists as lists of (name, text or such a list).

    None is shown as its reason, which stands beside it as `<name>_reason`.
    """
    if isinstance(value, Mapping | list | tuple) and depth >= _DEEPEST:
        return "nested too deep to show"
    if isinstance(value, Mapping):
        unknown = {key for key, child in value.items() if child is None}
        told = {f"{key}_reason" for key in unknown} & value.keys()
        return [
            (
                plain(str(key)),
                f"not known: {plain(str(value[f'{key}_reason']))}"
                if child is None and f"{key}_reason" in told
                else _tree(child, depth + 1),
            )
            for key, child in value.items()
            if key not in told
        ] or "none"
    if isinstance(value, list | tuple):
        return [(str(i), _tree(child, depth + 1)) for i, child in enumerate(value, 1)] or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not known" if value is None else plain(str(value))
