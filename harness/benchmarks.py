"""What `pytest --benchmark-only` measures of operations, workloads and settings: its tests.

Each function here makes a parametrised test; tests/benchmarks/ makes them of all that is ours,
and `of` of what a file of the user's own declares. An id names a row for good: a run is resumed
and compared by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from harness.convergence import Setting
from kernels.spec import Case, Operation

if TYPE_CHECKING:
    from workloads.spec import Workload

Test = Callable[..., None]

# the quick preset's first: a usual batch, one sample, a large one
QUICK_BATCHES = (32, 1, 1024)
BATCHES = (*QUICK_BATCHES, 2, 4, 8, 16, 64, 128, 256, 512)
COMPILED_BATCH = 32  # compiling costs 5 to 30 s a case: once is enough for a first look
QUICK_FLOPS = 2e9  # of an iteration: more takes a CPU too long for a first look
PROVIDERS = ("eager", "compile", "graph", "triton")

_FULL = pytest.mark.preset("full")
_CUDA = pytest.mark.devices("cuda")


def of(declared: Sequence[Operation | Workload]) -> dict[str, Test]:
    """All benchmarks of operations, or of workloads, by the test's name."""
    operations = [one for one in declared if isinstance(one, Operation)]
    if operations:
        return {"test_kernels": kernels(operations)}
    given = [one for one in declared if not isinstance(one, Operation)]
    settings = [
        Setting(w.name, w.optimizer, w.batch_size, w.learning_rate, tuned=("full",), own=w)
        for w in given
    ]
    return {
        "test_workloads": workloads(given, compiled=[given[0].name]),
        "test_transfers": transfers(given),
        "test_convergence": convergence(settings),
    }


def kernels(operations: Iterable[Operation]) -> Test:
    """One test a case and provider. One case of each operation after the other, so that a short
    budget has all of them."""
    by_name = {operation.name: operation for operation in operations}
    rows = itertools.zip_longest(*([(op, case) for case in op.cases] for op in by_name.values()))
    cases = [
        pytest.param(
            operation.name,
            case.name,
            provider,
            marks=_kernel_marks(case, provider),
            id=f"{operation.name}-{case.name}-{provider}",
        )
        for row in rows
        for operation, case in filter(None, row)
        for provider in operation.providers
    ]

    @pytest.mark.parametrize(("operation", "case", "provider"), cases)
    def test_kernels(compare: Any, operation: str, case: str, provider: str) -> None:
        from harness.subjects import of_operation

        declared = by_name[operation]
        chosen = next(c for c in declared.cases if c.name == case)
        compare(lambda device: of_operation(declared, chosen, device))

    return test_kernels


def _kernel_marks(case: Case, provider: str) -> list[Any]:
    # tuning for minutes, before it is timed, is not for a first look
    tunes = "max-autotune" in provider
    quick = "quick" in case.presets and not tunes
    marks = [pytest.mark.devices(*case.devices), *([] if quick else [_FULL])]
    return [*marks, *([pytest.mark.unhurried] if tunes else [])]


def workloads(given: Iterable[Workload], compiled: Collection[str]) -> Test:
    """A training step and inference over batch sizes, by every provider. One batch size of each
    workload after the other, so that a short budget has them all.

    Args:
        given: the workloads.
        compiled: the names of those that the quick preset has compiled.
    """
    by_name = {workload.name: workload for workload in given}
    cases = [
        pytest.param(
            name,
            direction,
            batch,
            provider,
            marks=_workload_marks(workload, direction, batch, provider, compiled),
            id=f"{name}-{direction}-batch{batch}-{provider}",
        )
        for batch in BATCHES
        for direction in ("train", "inference")
        for name, workload in by_name.items()
        for provider in PROVIDERS
        if provider != "triton" or workload.own_kernels
    ]

    # models this small stay in a cache whatever is done: cold is a second look, not the first
    @pytest.mark.preset("full", mode="cold")
    @pytest.mark.parametrize(("workload", "direction", "batch", "provider"), cases)
    def test_workloads(
        compare: Any, workload: str, direction: str, batch: int, provider: str
    ) -> None:
        from harness.subjects import of_workload

        compare(lambda device: of_workload(by_name[workload], direction, batch, device))

    return test_workloads


def _workload_marks(
    workload: Workload, direction: str, batch: int, provider: str, compiled: Collection[str]
) -> list[Any]:
    one = workload.flops.step if direction == "train" else workload.flops.inference
    quick = batch in QUICK_BATCHES and batch * one <= QUICK_FLOPS
    if provider == "compile":
        quick = workload.name in compiled and batch == COMPILED_BATCH
    only = [_CUDA] if provider in ("graph", "triton") else []
    return [*only, *([] if quick else [_FULL])]


def transfers(given: Iterable[Workload]) -> Test:
    """A batch from the host's memory to a GPU's, which a speedup on that GPU leaves out."""
    by_name = {workload.name: workload for workload in given}
    cases = [
        pytest.param(name, batch, provider, id=f"{name}-batch{batch}-{provider}", marks=marks)
        for batch in BATCHES
        for marks in [[] if batch in QUICK_BATCHES else [_FULL]]
        for name in by_name
        for provider in ("pageable", "pinned")
    ]

    @_CUDA
    @pytest.mark.parametrize(("workload", "batch", "provider"), cases)
    def test_transfers(compare: Any, workload: str, batch: int, provider: str) -> None:
        from harness.subjects import TRANSFER, of_workload

        compare(lambda device: of_workload(by_name[workload], TRANSFER, batch, device))

    return test_transfers


def convergence(settings: Iterable[Setting]) -> Test:
    """Training to the target, one test a setting."""
    by_name = {setting.name: setting for setting in settings}
    cases = [
        pytest.param(name, id=name, marks=[] if "quick" in setting.presets else [_FULL])
        for name, setting in by_name.items()
    ]

    @pytest.mark.parametrize("setting", cases)
    def test_convergence(converge: Any, setting: str) -> None:
        converge(by_name[setting])

    return test_convergence
