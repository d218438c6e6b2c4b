"""Training curves as pandas tables: one line a trial, and one line an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.curve import CURRENCIES, FINAL, Curve, Point
from harness.probes.spec import Finding
from harness.report.frame import drawable
from harness.report.noise_scales import OPTIMIZER, noise_scales
from harness.report.words import NO_REASON, plain, whole
from harness.survival import median

SETTING = ["workload", "optimizer", "batch", "device", "setting"]  # what its seeds share

_LARGEST = 1e24  # 10^24 FLOPs are months of a data centre
_SMALLEST = 1e-15
_TEXTS = (
    *("workload", "optimizer", "device", "setting", "role", "status", "reason"),
    *("metric", "device_name", *(f"{currency}_why" for currency in CURRENCIES)),
    *("backend", "hosts"),
)
_OF_POINTS = ("steps", "samples", "flops", "seconds", "joules", "metric")


class Family(NamedTuple):
    """Settings to be compared: all optimizers at one batch size, or one at several.

    Attributes:
        workload, device: of all of them.
        title: what they share.
        rows: with `series`, what each is called here, and `look`, its number.
    """

    workload: str
    device: str
    title: str
    rows: pd.DataFrame


class Times(NamedTuple):
    """The times-to-target of a setting's seeds, infinite for those that did not get there."""

    median: float
    least: float
    most: float
    reached: int
    n: int


def trials(curves: Sequence[Curve], findings: Sequence[Finding] = ()) -> pd.DataFrame:
    """One line a trial, the last one where a trial is there twice.

    Its columns: what `harness.curve` has of a trial and its curve; `<currency>_to_target`, which
    is infinite where the target was not reached and NaN where the currency is not known, then with
    `<currency>_why`; `<currency>_spent`, up to the trial's end; `title`, what its setting is called
    beside others of the workload; `noise`, the gradient noise scales that were measured on its way,
    a tuple of `noise_scales.Noise`; and `look`, a number for each optimizer. Text is made printable
    here (`words.plain`), escaping is left to who writes it.
    """
    table = pd.DataFrame([_line(curve) for curve in curves], columns=[*_COLUMNS])
    table = table.astype({name: "object" for name in _TEXTS} | {"seed": "object"})
    # the seeds of the result are tuned to one rate, of two the later one
    rate = table["learning_rate"].where(table["role"] != FINAL, 0.0)
    same = [*SETTING, "ranks", "role", "seed", "rate"]
    again = table.assign(rate=rate).duplicated(same, keep="last")
    table = table[~again]
    order = {name: number for number, name in enumerate(dict.fromkeys(table["optimizer"]))}
    scales = noise_scales(findings)
    keys = zip(*(table[name] for name in ("workload", "device", "optimizer")), strict=True)
    noise = [scales.get((w, d), ()) if o == OPTIMIZER else () for w, d, o in keys]
    return table.assign(
        look=table["optimizer"].map(order).astype("int64"),
        noise=pd.Series(noise, index=table.index, dtype="object"),
    )


def points(curves: Sequence[Curve], table: pd.DataFrame) -> pd.DataFrame:
    """One line an evaluation of the trials that are the result: `table`'s line and the numbers.

    Args:
        table: `trials(curves)`.

    Returns:
        steps, samples, flops, seconds, joules and value, the metric, float64 with NaN where they
        are not known; `trial`, the trial's number; and the columns of `table`. A trial that was
        never evaluated has one line, of NaN.
    """
    finals = table[table["role"] == FINAL]
    found = [_numbers(curves[i].measured()) for i in finals.index]
    lines = finals.loc[finals.index.repeat([len(numbers) for numbers in found])]
    numbers = np.concatenate([*found, np.empty((0, len(_OF_POINTS)))])
    names = [*_OF_POINTS[:-1], "value"]
    return lines.assign(trial=lines.index, **dict(zip(names, numbers.T, strict=True)))


def finals(table: pd.DataFrame) -> pd.DataFrame:
    """The trials that are the result."""
    return table[table["role"] == FINAL]


def groups(
    table: pd.DataFrame, columns: str | list[str], sort: bool = False
) -> Iterator[tuple[Any, pd.DataFrame]]:
    """(key, lines) for each value of the columns, in the order of appearance if not sorted."""
    yield from table.groupby(columns, sort=sort)


def families(table: pd.DataFrame) -> list[Family]:
    """The families of two settings or more, by workload and device."""
    found = []
    for (workload, device), rows in groups(table, ["workload", "device"]):
        for optimizer, family in groups(rows, "optimizer"):
            batches = sorted(family["batch"].dropna().unique())
            if len(batches) > 1:
                look = family["batch"].map({batch: number for number, batch in enumerate(batches)})
                named = family.assign(look=look, series=family["batch"].map(batch_name))
                named = named[named["batch"].notna()].sort_values("batch", kind="stable")
                found.append(Family(workload, device, f"{optimizer}, by batch size", named))
        for batch, family in groups(rows, "batch", sort=True):
            if family["optimizer"].nunique() > 1:
                title = f"optimizers at {batch_name(batch)}"
                named = family.assign(series=family["optimizer"])
                found.append(Family(workload, device, title, named))
    return found


def variants(table: pd.DataFrame) -> list[Family]:
    """A workload beside its variants, "deep_mlp" beside "deep_mlp/4x64-he", to the same target.

    They share device, optimizer and batch size. Variants whose names begin alike, up to a dash,
    are a family of their own, so that each has few lines; the workload itself is in all of them.
    """
    found = []
    names = [name.partition("/") for name in table["workload"]]
    named = table.assign(
        base=[base for base, *_ in names],
        series=[variant or base for base, _, variant in names],
        stem=[variant.partition("-")[0] for *_, variant in names],
    )
    shared = ["base", "device", "optimizer", "batch", "metric", "target"]
    for (workload, device, optimizer, batch, _, target), rows in groups(named, shared):
        setting = f"by {optimizer}, {batch_name(batch)}, to {target:.3g}"
        itself, others = rows[rows["workload"] == workload], rows[rows["workload"] != workload]
        alike = others.groupby("stem")["workload"].transform("nunique") > 1
        for stem, family in groups(others.assign(stem=others["stem"].where(alike, "")), "stem"):
            family = pd.concat([itself, family])
            order = {series: i for i, series in enumerate(dict.fromkeys(family["series"]))}
            if len(order) > 1:
                title = f"variants {stem} {setting}" if stem else f"variants {setting}"
                family = family.assign(look=family["series"].map(order), title=family["series"])
                found.append(Family(workload, device, title, family))
    return found


def positive(values: pd.Series) -> pd.Series:
    """Which amounts have a place on a log axis: those of a machine that are not 0 all do."""
    return (values > _SMALLEST) & (values < _LARGEST)


def times(rows: pd.DataFrame, currency: str) -> Times | None:
    """Of one setting's seeds; None where one reached the target and what it took is unknown."""
    values = rows[f"{currency}_to_target"].to_numpy(dtype=float)
    if not len(values) or np.isnan(values).any():
        return None
    reached = int(np.isfinite(values).sum())
    return Times(median(values), float(values.min()), float(values.max()), reached, len(values))


def step_seconds(rows: pd.DataFrame) -> pd.Series:
    """What a step took in each trial that tells."""
    known = rows[(rows["steps_spent"] > 0) & drawable(rows["seconds_spent"])]
    return known["seconds_spent"] / known["steps_spent"]


def why_unknown(rows: pd.DataFrame, currency: str) -> str:
    """Why what a setting took in a currency is not known."""
    reasons = rows[f"{currency}_why"].dropna()
    return str(reasons.iloc[0]) if len(reasons) else NO_REASON


_COLUMNS = (
    *_TEXTS,
    *("batch", "learning_rate", "seed", "threads", "target", "lower_is_better", "title"),
    *("ranks", "communication", "shared"),
    *(f"{currency}_{what}" for currency in CURRENCIES for what in ("to_target", "spent")),
)


def batch_name(batch: float) -> str:
    """e.g. "batch 32"."""
    return f"batch {whole(batch)}" if math.isfinite(batch) else "batch not known"


def _line(curve: Curve) -> dict[str, Any]:
    trial = curve.trial
    line: dict[str, Any] = {
        **{name: plain(str(getattr(trial, name))) for name in ("workload", "optimizer", "device")},
        **{name: plain(getattr(curve, name)) for name in ("setting", "role", "status", "metric")},
        "device_name": plain(curve.device_name),
        "reason": None if curve.reason is None else plain(curve.reason),
        "batch": finite(trial.batch),
        "learning_rate": finite(trial.learning_rate),
        "seed": plain(str(trial.seed)),
        "threads": finite(curve.threads),
        "target": finite(curve.target),
        "lower_is_better": curve.lower_is_better,
        "ranks": finite(curve.world_size),
        "backend": plain(curve.backend or ""),
        "hosts": plain(curve.hosts),
        "communication": finite(curve.communication_share),
        "shared": float(curve.no_timing is not None),
    }
    for currency in CURRENCIES:
        line[f"{currency}_to_target"] = _to_target(curve, currency)
        line[f"{currency}_spent"] = _amount(curve.spent(currency))
        why = curve.why_unknown(currency)
        line[f"{currency}_why"] = None if why is None else plain(why)
    usual = f"{line['workload']}-{line['optimizer']}-batch{trial.batch}"
    line["title"] = plain(f"{line['optimizer']}, batch {trial.batch}")
    if line["setting"] not in ("", usual):  # a study's own, which may share all of these
        line["title"] = line["setting"]
    return line


def _to_target(curve: Curve, currency: str) -> float:
    try:
        taken = curve.to_target(currency)
    except OverflowError:  # files hold integers of any length
        return math.nan
    return math.inf if taken == math.inf else _amount(taken)


def _amount(value: float | None) -> float:
    number = finite(value)
    return number if number >= 0 else math.nan


def _numbers(of: Sequence[Point]) -> np.ndarray:
    """[evaluations, numbers], NaN where one is not known, not finite or too large."""
    names = _OF_POINTS
    rows = [tuple(getattr(point, name) for name in names) for point in of]
    rows = rows or [(math.nan,) * len(names)]
    try:
        values = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    except OverflowError:
        values = np.array([[finite(value) for value in row] for row in rows])
    return np.where(np.abs(values) < _LARGEST, values, np.nan)


def finite(value: float | None) -> float:
    """NaN for None and for what is not finite, or larger than anything that is counted here."""
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:  # files hold integers of any length
        return math.nan
    return number if abs(number) < _LARGEST else math.nan
