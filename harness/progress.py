"""Live progress of a benchmark run: what is running, how many cases are left, how long still."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn


class Terminal(Protocol):
    """What is written to: pytest's terminal reporter, which bypasses its own capture."""

    isatty: bool

    def write(self, content: str, *, flush: bool = False) -> None:
        """Write text as it is."""
        ...


class _File:
    """The terminal as the file that rich writes to."""

    def __init__(self, terminal: Terminal):
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.write(text, flush=True)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self._terminal.isatty


class LiveProgress:
    """A bar on a terminal; a line a case elsewhere.

    Args:
        terminal: where to write.
        total: cases of the run.
        budget_s: seconds after which no case is started, or None.
    """

    def __init__(self, terminal: Terminal, total: int, budget_s: float | None):
        self._live = terminal.isatty
        self._total, self._done, self._measured = total, 0, 0
        self._start, self._budget_s = time.perf_counter(), budget_s
        self._console = Console(
            file=_File(terminal),  # type: ignore[arg-type]  # rich asks for IO[str], and uses this
            force_terminal=self._live,
            width=None if self._live else 200,
            highlight=False,
        )
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=total, left="")
        self._bar.start()

    def begin(self, label: str) -> None:
        """A case starts."""
        self._bar.update(self._task, description=escape(label), left=self.left())

    def end(self, line: str | None, measured: bool = True) -> None:
        """A case ended; `line` says what came out and stays, if there is one."""
        self._done += 1
        self._measured += measured
        self._bar.update(self._task, completed=self._done, left=self.left())
        if line:
            left = f", {self.left()}" if self.left() and not self._live else ""
            self._console.print(
                f"\\[{self._done}/{self._total}{left}] {escape(line)}", soft_wrap=True
            )

    def skip(self, count: int) -> None:
        """So many cases fewer will be measured."""
        self._total -= count
        self._bar.update(self._task, total=self._total)

    def stop(self) -> None:
        """Clear the bar."""
        self._bar.stop()

    def left(self) -> str:
        """The time left at the pace so far, or what the budget still allows; "" at first."""
        if not self._measured:
            return ""
        spent = time.perf_counter() - self._start
        seconds = spent / self._measured * (self._total - self._done)
        if self._budget_s is not None:
            seconds = min(seconds, max(self._budget_s - spent, 0.0))
        minutes, rest = divmod(round(seconds), 60)
        return f"about {minutes} min {rest} s left" if minutes else f"about {rest} s left"
