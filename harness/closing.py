"""The last words of a run: where its rows are, what is missing, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from harness import noise
from harness.failure import GPU_DOWN
from harness.faults import faults
from harness.session import Session
from harness.store import REPORT
from harness.words import count


def lines(run: Session, counts: Mapping[str, int], arguments: Sequence[str]) -> Iterator[str]:
    """Line by line.

    Args:
        run: the run, at its end.
        counts: its rows by status; empty where they could not be counted.
        arguments: what pytest was given, to be given again.
    """
    told = ", ".join(f"{n} {status}" for status, n in counts.items() if n) or "no rows"
    yield f"{told} in {run.run}"
    floors = noise.floors(row.extra_info for row in run.rows.values())
    for (device, mode), floor in floors.items():
        yield f"noise floor, {device} {mode}: {floor}"
    yield from run.problems
    done = run.rows.keys() | run.probed.keys()
    missing = [m for group in run.members.values() for m in group if m.id not in done]
    why_not = [*(r.extra_info["reason"] for r in run.rows.values()), *run.probed.values()]
    signs = ("budget:", *(("no CUDA device:", GPU_DOWN) if run.gpu_lost else ()))
    late = [why for why in why_not if any(sign in (why or "") for sign in signs)]
    if missing or late:
        why = "the GPU was brought down" if run.gpu_lost else "the budget was spent"
        why = "interrupted" if missing else why
        given = [
            a
            for before, a in zip(["", *arguments], arguments, strict=False)
            if not a.startswith("--resume") and before != "--resume"
        ]
        again = " ".join(shlex.quote(a) for a in [*given, f"--resume={run.run}"])
        many = len(missing) + len(late)
        are = "are" if many > 1 else "is"
        yield f"{count(many, 'row')} {are} missing ({why}); go on with: pytest {again}"
    if "cuda" in run.options.devices and not run.gpu_usable:
        what = "was brought down" if run.gpu_lost else "was asked for, and there is none"
        yield f"cuda {what}: {run.gpu_reason}"
    yield f"{REPORT}: python -m harness report {shlex.quote(str(run.run))}"
    for device, wrong in faults(run.rows.values()).items():
        yield f"!! {'; '.join(wrong)}: nothing of {device} in this run counts; measure it again"
