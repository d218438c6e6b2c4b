"""python -m harness check FILE: whether what it declares is right, and no word on how fast.

A kernel's providers are held against the float64 reference by the rule that comes before every
timing (harness/comparison.py): on a GPU, else in Triton's interpreter, which multiplies bfloat16
wrongly; and to the one that comes after it, when they were called often. Its cost is held to the
tensors of its cases. A workload's step and inference are held to the same rules, and its data,
seeds, FLOPs, loss and metric to what workloads/spec.py says of them (harness/check_workload.py).
"""

from __future__ import annotations

import contextlib
import functools
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness import check_workload, compulsory, own, settings
from harness.benchmarks import COMPILED_BATCH
from harness.comparison import Checker, Comparison
from harness.subjects import INFERENCE, INTERPRETER, TRAIN, of_operation, of_workload
from kernels.spec import Case, Cost, Operation
from workloads.flops import UnknownFlops
from workloads.spec import Workload

RIGHT, WRONG, UNKNOWN = "right", "WRONG", "not checked"
CALLS = 30  # between the two checks: an answer may be kept, and go stale only after some
CALLS_S = 5  # an interpreter has time for fewer
LIMIT_S = 60  # for one provider of one case: an interpreter may take days for what a GPU does in ms
BFLOAT16 = "the interpreter multiplies bfloat16 wrongly, so this needs a GPU"


@dataclass(frozen=True)
class Finding:
    """One line: a case and its provider, or a part of a workload, with the verdict and why."""

    verdict: str
    what: str
    words: str


class TooLong(BaseException):
    """The time is up. No Exception, so that whoever catches all of them lets it pass."""


def run(path: Path) -> int:
    """Check what a file declares and print it, line by line.

    Returns:
        0 where something was checked and nothing is wrong, else 1.

    Raises:
        own.BadFile: it declares nothing that can be checked.
    """
    declared = own.load(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    where = "a GPU" if device == "cuda" else "a CPU: Triton is interpreted"
    counts = dict.fromkeys((RIGHT, WRONG, UNKNOWN), 0)
    for subject in declared:
        print(f"{subject.name}, on {where}")
        with warnings.catch_warnings():
            # a line of ours says it
            warnings.filterwarnings("ignore", check_workload.BROADCAST, UserWarning)
            for finding in findings(subject, device):
                counts[finding.verdict] += 1
                print(f"{finding.verdict:11}  {finding.what}: {finding.words}", flush=True)
    print(", ".join(f"{n} {verdict.lower()}" for verdict, n in counts.items()))
    return 0 if counts[RIGHT] and not counts[WRONG] else 1


def findings(subject: Operation | Workload, device: str) -> Iterator[Finding]:
    """What is right and wrong with it, one after the other."""
    if isinstance(subject, Operation):
        yield from _operation(subject, device)
        return
    for what, look in check_workload.PARTS.items():
        yield _judged(what, look, subject)
    if subject.generate:
        yield _judged("generate", check_workload.generate, subject)
    for direction in (TRAIN, INFERENCE):
        what = f"{direction} at batch {COMPILED_BATCH}"
        try:
            with _within():
                comparison = of_workload(subject, direction, COMPILED_BATCH, device)
                checker = Checker(comparison)
        except (Exception, TooLong) as error:
            yield _raised(what, error)
            continue
        for provider in comparison.providers:
            yield _provider(f"{what} {provider}", comparison, checker, provider)


def _operation(operation: Operation, device: str) -> Iterator[Finding]:
    late: dict[str, Case] = {}  # by provider, a case that took too long
    for case in operation.cases:
        torch.compiler.reset()  # past 8 variants of a function torch falls back to eager unasked
        cost = _judged(f"{case.name} cost", functools.partial(_cost, case), operation)
        if cost.verdict != RIGHT:
            yield cost
            continue
        if device not in case.devices:
            yield Finding(UNKNOWN, case.name, f"it is meant for {', '.join(case.devices)} alone")
            continue
        try:
            with _within():
                comparison = of_operation(operation, case, device)
                checker = Checker(comparison)
        except (Exception, TooLong) as error:
            yield _raised(f"{case.name} reference", error)
            continue
        yield from _bytes(f"{case.name} cost", comparison, checker)
        for provider in operation.providers:
            what = f"{case.name} {provider}"
            if provider in late and _no_smaller(operation, case, late[provider]):
                words = f"as large as {late[provider].name}, which took too long"
                yield Finding(UNKNOWN, what, words)
                continue
            found = _provider(what, comparison, checker, provider)
            if found.words == _late():
                late[provider] = case
            yield found


def _cost(case: Case, operation: Operation) -> str:
    cost = operation.cost(case)
    kind = type(cost).__name__
    assert isinstance(cost, Cost), f"it gives {kind}, and is to give a kernels.spec.Cost"
    return f"{cost.flops:,} FLOPs and {cost.bytes:,} bytes"


def _bytes(what: str, comparison: Comparison, checker: Checker) -> Iterator[Finding]:
    """Told where they do not fit the tensors that the case has."""
    inputs, truths = checker.draws[0]
    outputs = sum(truth.value.numel() * truth.dtype.itemsize for truth in truths)
    least, most = compulsory.span(comparison.direction, inputs, outputs)
    declared = comparison.bytes or 0
    told = f"{declared:,} bytes declared"
    if declared > most:
        words = f"{told}, over {compulsory.MOST} times what its inputs and outputs have: at most "
        yield Finding(WRONG, what, f"{words}{most:,} can be right")
    elif declared < least and compulsory.indexed(inputs):
        words = f"{told}, and its inputs and outputs have {least:,}: right where not all are read"
        yield Finding(UNKNOWN, what, words)
    elif declared < least:
        words = f"{told}, fewer than the {least:,} of its inputs, each read once, and outputs"
        yield Finding(WRONG, what, words)


def _no_smaller(operation: Operation, case: Case, than: Case) -> bool:
    cost, other = operation.cost(case), operation.cost(than)
    return cost.flops >= other.flops and cost.bytes >= other.bytes


def _provider(what: str, comparison: Comparison, checker: Checker, provider: str) -> Finding:
    why_not = comparison.not_measured.get(provider, "")
    interpreted = why_not == INTERPRETER  # where it is right is seen there all the same
    if why_not and not interpreted:
        return Finding(UNKNOWN, what, why_not)
    as_found, in_place = settings.read(), provider in comparison.in_place
    try:
        with _within():
            call = comparison.providers[provider]()
            verdict = checker.check(call, in_place)
    except (Exception, TooLong) as error:
        settings.restore(as_found)
        return _raised(what, error)
    if verdict.wrong and interpreted and comparison.dtype == "bfloat16":
        settings.restore(as_found)
        return Finding(UNKNOWN, what, BFLOAT16)
    told = f"error {verdict.error:.3g}, allowed {verdict.bound:.3g}"
    if not (wrong := verdict.wrong):
        try:
            with _within():
                wrong = _wrong_after(checker, call, in_place)
        except TooLong:
            told += "; too slow here to be called often"
        except Exception as error:
            wrong = f"after some calls {_raised(what, error).words}"
    if changed := settings.restore(as_found):
        wrong = wrong or f"it changes {changed}, for all others too"
    return Finding(WRONG, what, wrong) if wrong else Finding(RIGHT, what, told)


def _wrong_after(checker: Checker, call: Callable[..., Any], in_place: bool) -> str | None:
    """What is wrong with a provider that was right, when it has been called as timing calls it."""
    until, calls = time.perf_counter() + CALLS_S, 0
    inputs = checker.own_timed() if in_place else checker.timed
    while calls < CALLS and time.perf_counter() < until:
        call(*inputs)
        calls += 1
    if checker.restore_timed():
        return f"it writes into its inputs, of {calls} calls in one"
    if hasattr(call, "reset"):
        call.reset()  # the truth begins where it began
    wrong = checker.check_timed(call, in_place).wrong
    return wrong and f"right at first, and not after {calls} calls: {wrong}"


def _judged(what: str, look: Callable[[Any], str], subject: Operation | Workload) -> Finding:
    """`look` says what it saw, or asserts it."""
    try:
        with _within():
            return Finding(RIGHT, what, look(subject))
    except AssertionError as error:
        return Finding(WRONG, what, str(error))
    except (Exception, TooLong) as error:
        return _raised(what, error)


def _raised(what: str, error: BaseException) -> Finding:
    if isinstance(error, TooLong):
        return Finding(UNKNOWN, what, _late())
    if isinstance(error, ModuleNotFoundError):
        return Finding(UNKNOWN, what, f"{error.name} is not installed")
    words = (str(error).strip().splitlines() or ["no message"])[0][:300]
    unknown = isinstance(error, UnknownFlops | torch.OutOfMemoryError | MemoryError)
    return Finding(UNKNOWN if unknown else WRONG, what, f"{type(error).__name__}: {words}")


def _late() -> str:
    return f"over {LIMIT_S:g} s here: a smaller case or a GPU tells"


@contextlib.contextmanager
def _within() -> Iterator[None]:
    """Raises TooLong in the middle of what takes longer than LIMIT_S."""

    def stop(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
