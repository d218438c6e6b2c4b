"""Processes that compile kernels side by side for a GPU, also where this one interprets them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from harness.cpu import usable_cores

T = TypeVar("T")


@contextmanager
def pool() -> Iterator[ProcessPoolExecutor]:
    """One on each usable core; what has not begun when the block is left is not done.

    Not for `map`, which cancels what is left by itself: an interrupted pool stumbles over that.

    Raises:
        BrokenProcessPool: a process died, as when the compiler crashes.
    """
    # Spawned, not forked: a worker must not inherit a triton that was imported to interpret.
    found = ProcessPoolExecutor(
        usable_cores(), multiprocessing.get_context("spawn"), _compile_not_interpret
    )
    try:
        with _undisturbed():
            # each starts a process
            for _ in range(usable_cores()):
                found.submit(_compile_not_interpret)
        yield found
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.terminate()  # a build may take a while yet
        raise
    finally:
        found.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the block is left, and is never heard by processes started in it: else
    each of them would print a trace of its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def results(tasks: Sequence[Future[T]], title: str, told: Callable[[T], str]) -> list[T]:
    """The tasks' results in their order; on stderr what was done last and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        title,
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        "{task.description}",
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        bar = progress.add_task("", total=len(tasks))
        for task in as_completed(tasks):
            progress.update(bar, advance=1, description=told(task.result()))
    return [task.result() for task in tasks]


def _compile_not_interpret() -> None:
    os.environ.pop("TRITON_INTERPRET", None)
