"""What every case takes at least on a GPU that is not here: from machine code and datasheet."""

from __future__ import annotations

from typing import NamedTuple

import kernels
from harness import datasheet, workers
from harness.columns import columns
from harness.prediction import NARROW, predicted_s

HEADING = ("case", "provider", "launches", "spill", "roof", "at least", "at least / roof", "")


class Predicted(NamedTuple):
    """One provider of one case.

    Attributes:
        subject, case, provider: as a row has them.
        launches: kernels of an iteration; spilling: those of them whose registers spill.
        roof_s: its FLOPs or its compulsory bytes at the GPU's peaks, the longer of the two.
        predicted_s: what it takes at least, by harness.prediction.
        narrow: whether a launch loads narrowly, so that it must take longer.
        why_not: why there is no prediction, or "".
        failed: whether that is a fault, and not what the provider does not do.
    """

    subject: str
    case: str
    provider: str
    launches: int = 0
    spilling: int = 0
    roof_s: float = 0.0
    predicted_s: float = 0.0
    narrow: bool = False
    why_not: str = ""
    failed: bool = False


def run(name: str) -> int:
    """Prints a line for each case that the GPU would time.

    Args:
        name: one of datasheet.NAMES.

    Returns:
        The exit status: 0 every case can be launched there, 1 one cannot.

    Raises:
        ModuleNotFoundError: torch or triton is not installed.
        BrokenProcessPool: the compiler crashed.
    """
    found = predict(name)
    device = datasheet.NAMES[name]
    known = datasheet.peaks(device)
    assert known is not None
    print(
        f"At least so long on an {device} ({known.multiprocessors} multiprocessors), by the peaks "
        f"of its datasheet, {known.byte_per_s / 1e12:g} TB/s and "
        f"{known.flop_per_s['bfloat16'] / 1e12:g} bfloat16 TFLOP/s, which nothing reaches: "
        "a bound, no forecast.\nNothing here was measured, and no GPU was used."
    )
    print(columns([HEADING, *map(_line, found)], right=range(2, 7)))
    for one in found:
        if one.why_not:
            print(f"{one.subject} {one.case} {one.provider}: {one.why_not}")
    return 1 if any(one.failed for one in found) else 0


def predict(name: str) -> list[Predicted]:
    """Every case of every operation that a GPU has, compiled side by side on the usable cores."""
    with workers.pool() as pool:
        listed = [pool.submit(_cases, name) for name in kernels.NAMES]
        tasks = [
            pool.submit(_predict, subject, case, provider, name)
            for subject, cases in zip(kernels.NAMES, listed, strict=True)
            for case, provider in cases.result()
        ]
        return workers.results(tasks, "compiling", lambda one: f"{one.subject} {one.case}")


def _cases(subject: str) -> list[tuple[int, str]]:
    """Each of an operation's cases on a GPU by its number, with each Triton provider of ours."""
    operation = kernels.load(subject)
    return [
        (number, provider)
        for number, case in enumerate(operation.cases)
        if "cuda" in case.devices
        for provider in operation.providers
        if provider.startswith("triton")
    ]


def _predict(subject: str, number: int, provider: str, name: str) -> Predicted:
    from harness import dry_run
    from kernels._launch import Gpu

    gpu = datasheet.peaks(datasheet.NAMES[name])
    assert gpu is not None
    operation = kernels.load(subject)
    case = operation.cases[number]
    told = Predicted(subject, case.name, provider)
    try:
        found = dry_run.run(operation, case, provider, Gpu(gpu.capability, gpu.multiprocessors))
    except NotImplementedError as error:
        return told._replace(why_not=f"not done by it: {error}")
    except Exception as error:  # whatever a provider or the compiler raises
        words = (str(error).strip().splitlines() or [""])[0]
        return told._replace(why_not=f"{type(error).__name__}: {words}", failed=True)
    cost, peak = operation.cost(case), gpu.flop_per_s[case.dtype]
    return told._replace(
        launches=len(found),
        spilling=sum(one.spilled for one in found),
        roof_s=max(cost.flops / peak, cost.bytes / gpu.byte_per_s),
        predicted_s=predicted_s(found, gpu.multiprocessors, peak, gpu.byte_per_s),
        narrow=any(one.narrow for one in found),
    )


def _line(one: Predicted) -> tuple[str, ...]:
    case = f"{one.subject} {one.case}"
    if one.why_not:
        return (case, one.provider, "-", "-", "-", "-", "-", "")
    return (
        case,
        one.provider,
        f"{one.launches}",
        f"{one.spilling}" if one.spilling else "-",
        f"{one.roof_s * 1e6:,.1f} us",
        f"{one.predicted_s * 1e6:,.1f} us",
        f"{one.predicted_s / one.roof_s:.2f}",
        NARROW if one.narrow else "",
    )
