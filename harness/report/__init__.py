"""Rows to one HTML file that opens from disk, with nothing outside it. Needs no torch or triton."""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jinja2
import matplotlib
import pandas as pd
from markupsafe import Markup

from harness.report import claims, plots, reproduce, several, summary, svg, table, unmeasured
from harness.report.findings import findings as findings_table
from harness.report.merge import Merged, View, merge
from harness.report.plots import style
from harness.report.runs import Run
from harness.report.trials import points, trials
from harness.report.words import count, plain
from harness.store import write_atomically

MAX_FIGURES = 96  # in all, twice as many of several machines; each takes some 50 ms to draw

_NAMED = 12  # figures that are left out and told by name

_HERE = Path(__file__).parent
_ALL_ROWS = "the table of all rows"
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
    same: str  # what all lines share, in words; "" where nothing is told once
    measure: str  # the command that does it again; "" where there is none


class Section(NamedTuple):
    """A plot with its figures under their headings, and what is absent or left out, and why."""

    name: str
    title: str
    intro: str
    groups: list[tuple[str, list[Figure]]]
    absent: str
    left_out: str


def write_all(runs: Sequence[Run], path: Path) -> Path:
    """Write one report of all these runs; the same arguments give the same bytes.

    Args:
        runs: each with a name of its own; their text is data and shown as such.
        path: the HTML file, replaced whole or not at all.

    Returns:
        `path`.

    Raises:
        ValueError: there are no rows; nothing is written.
        OSError: the file cannot be written; what was there before still is.
    """
    merged = merge(runs)
    where = merged.where
    notes, roof_notes = table.Footnotes(), table.Footnotes()
    every, shown = merged.every, merged.shown
    columns = [table.RUN] * (len(merged.runs) > 1) + [table.MACHINE] * (len(merged.machines) > 1)
    row_columns, roof_columns = (*columns, *table.ROWS), (*columns, *table.ROOFS)
    unmeasured_columns = [*(column.field for column in columns), *unmeasured.COLUMNS]
    script = (_HERE / "report.js").read_text("utf-8")
    sections = _sections(merged)
    there = {section.name for section in sections}
    there |= {"findings"} if any(run.findings for run in merged.runs) else set()
    claimed = claims.by_machine(*merged.evidence)
    page = _template().render(
        css=Markup((_HERE / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        runs=several.runs(merged),
        called=several.called(merged),
        machines=[where(view) for view in merged.machines],
        command=reproduce.report(merged.runs),
        devices=[*shown["device"].drop_duplicates()],
        headline=several.headline(merged, claimed),
        opening=several.opening(merged),
        claims=[(place, claim, claim.section(there)) for place, claim in claimed],
        tally=several.tally(merged, claimed),
        statuses=summary.statuses(shown),
        no_gpu=summary.no_gpu(merged.newest, merged.machines[0].evidence.environment),
        speedups=summary.speedups(shown),
        noise_floors=several.noise_floors(merged),
        crossings=several.crossings(merged),
        missing=summary.missing(shown),
        warnings=several.warnings(merged),
        sections=sections,
        made=several.made_by(merged),
        trained=any(run.curves for run in merged.runs),
        probed=several.probed_on(merged),
        threats=several.threats_by(merged),
        columns=[column.heading for column in row_columns],
        cells=table.cells(unmeasured.others(every), row_columns, notes),
        unmeasured=unmeasured.by_reason(every, unmeasured_columns),
        unmeasured_columns=unmeasured_columns,
        notes=notes.all(),
        roof_columns=[column.heading for column in roof_columns],
        roof_cells=table.cells(every[every["kind"] == "roof"], roof_columns, roof_notes),
        roof_notes=roof_notes.all(),
        problems=[plain(problem) for run in runs for problem in run.problems],
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


def _sections(merged: Merged) -> list[Section]:
    found = []
    views = [(view, _tables(view)) for view in (*merged.machines, *merged.pairs)]
    with style.applied():
        loaded = [(plots.load(name), name) for name in plots.NAMES]
        drawable = [
            (
                plot,
                name,
                [(view, tables[plot.SOURCE]) for view, tables in views if plot.SOURCE in tables],
            )
            for plot, name in loaded
            if any(plot.SOURCE in tables for _, tables in views)
        ]
        split = [
            [pair for view, of in each for pair in _parts(plot, view, of, merged.where(view))]
            for plot, _, each in drawable
        ]
        total = MAX_FIGURES * min(2, len(merged.machines))
        allotted = _allot([len(parts) for parts in split], total)
        for (plot, name, each), parts, most in zip(drawable, split, allotted, strict=True):
            shown, others = _in_turn(parts, most)
            drawn = [
                (part.group, _figure(plot, view, part, f"{name}{number}"))
                for number, (view, part) in enumerate(_together(shown))
            ]
            groups = [
                (heading, [figure for _, figure in group])
                for heading, group in groupby(drawn, key=lambda pair: pair[0])
            ]
            absent = " ".join(
                f"{place}: {why}" if (place := merged.where(view)) else why
                for view, of in each
                if not view.beside and (why := plot.absent(of))
            )
            left_out = _left_out([part for _, part in others], plot.SOURCE)
            found.append(Section(name, plot.TITLE, plot.INTRO, groups, absent, left_out))
    if not any("trials" in tables for _, tables in views):
        found.append(Section(claims.UNTRAINED, "Training", "", [], _UNTRAINED, ""))
    return found


def _tables(view: View) -> dict[str, pd.DataFrame]:
    """By the name of their SOURCE."""
    rows, curves, findings = view.evidence.rows, view.evidence.curves, view.evidence.findings
    tables = {"rows": rows}
    if curves:
        tables["trials"] = trials(curves, findings)
        tables["points"] = points(curves, tables["trials"])
    if len({curve.world_size for curve in view.ranks}) > 1:
        tables["ranks"] = trials(view.ranks)
    if findings:
        tables["findings"] = findings_table(findings)
    if view.history is not None:
        tables["history"] = view.history
    return tables


def _parts(
    plot: plots.Plot, view: View, of: pd.DataFrame, where: str
) -> list[tuple[View, style.Part]]:
    """The figures of a view, headed by its machine; of two machines those that compare them."""
    parts = plot.parts(of)
    if view.beside:
        devices = [{*part.frame["device"]} for part in parts]
        ratios = {""} in devices  # of both, which have no device, and say more than two lines do
        parts = [
            part
            for part, on in zip(parts, devices, strict=True)
            if (on == {""} if ratios else len(on) > 1)
        ]
    if where:
        parts = [part._replace(group=f"{where}: {part.group}") for part in parts]
    return [(view, part) for part in parts]


def _together(parts: Sequence[tuple[View, style.Part]]) -> list[tuple[View, style.Part]]:
    """Those of one heading together, the headings in the order in which they come."""
    headings = dict.fromkeys(part.group for _, part in parts)
    order = {group: number for number, group in enumerate(headings)}
    return sorted(parts, key=lambda pair: order[pair[1].group])


def _in_turn(
    parts: Sequence[tuple[View, style.Part]], most: int
) -> tuple[list[tuple[View, style.Part]], list[tuple[View, style.Part]]]:
    """So many, taken from each view in turn, in the order in which they stand; and the others."""
    views = [view.name for view, _ in parts]
    turns = sorted(range(len(parts)), key=lambda i: views[:i].count(views[i]))
    first, others = ([parts[i] for i in sorted(some)] for some in (turns[:most], turns[most:]))
    return first, others


def _left_out(parts: Sequence[style.Part], source: str) -> str:
    """How many figures there is no room for, which, and where their numbers are."""
    if not parts:
        return ""
    files = {"trials": "curves", "points": "curves", "ranks": "curves", "findings": "findings"}
    where = f"{files[source]}.jsonl, beside the run's rows" if source in files else _ALL_ROWS
    named = [f"{part.group}: {part.title}" for part in parts[:_NAMED]]
    named += [f"and {len(parts) - _NAMED} more"] if len(parts) > _NAMED else []
    return (
        f"{count(len(parts), 'more figure')} left out. Their numbers are in {where}. A report has "
        f"room for so many; not drawn are {'; '.join(named)}."
    )


def _allot(wanted: Sequence[int], total: int) -> list[int]:
    """As many as each wants; where they want more than the total, the small ones come first."""
    allotted = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for done, i in enumerate(order):
        allotted[i] = min(wanted[i], total // (len(wanted) - done))
        total -= allotted[i]
    return allotted


def _figure(plot: plots.Plot, view: View, part: style.Part, prefix: str) -> Figure:
    drawing = plot.figure(part.frame)
    caption = plot.caption(part.frame)
    numbers, same = table.told_once(plot.table(part.frame))
    if view.beside and view.apart not in caption:
        caption = f"{view.apart}. {caption}".rstrip()
    title = f"{part.title} ({part.group})"
    description = f"{plot.TITLE}. {caption} The numbers are in the table below the figure."
    image = svg.inline(drawing, title, description, prefix)
    lines = list(numbers.itertuples(index=False, name=None))
    measure = reproduce.measure(part.frame, view.evidence.rows)
    return Figure(part.title, image, caption, list(numbers.columns), lines, same, measure)
