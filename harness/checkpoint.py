"""Where a trial stands, in a file, so that a run that dies goes on from there.

One file in the run's folder, replaced whole at an evaluation and gone when the trial has ended.
It holds the model, the optimizer, the sums so far and the evaluations, and the state of batches
that have one; shuffled epochs need only the number of steps. It is read with weights_only: nothing
in it can run.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

import torch

from harness.store import write_atomically

FILE = "checkpoint.pt"
SHARE = 0.05  # of the time at most, for saving


class Checkpoint:
    """The checkpoint of one trial.

    Args:
        path: the file.
        of: what tells the trial apart from all others that may have left one there.
    """

    def __init__(self, path: Path, of: str):
        self._path, self._of = path, of
        self._saved, self._cost_s = time.perf_counter(), 0.0

    def load(self) -> dict[str, Any] | None:
        """What was saved of this trial, on the CPU; None where there is nothing, or it is another's
        or cut short: then the trial starts over."""
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # of what is no checkpoint the reader raises anything
            self._tell("read", error)
            return None
        return state if isinstance(state, dict) and state.get("of") == self._of else None

    @property
    def due(self) -> bool:
        """Whether the last one is old enough for another, by what it cost."""
        return (time.perf_counter() - self._saved) * SHARE >= self._cost_s

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file. Where it cannot be written the trial goes on without."""
        start = time.perf_counter()
        buffer = io.BytesIO()
        torch.save(state | {"of": self._of}, buffer)
        try:
            write_atomically(self._path, buffer.getvalue())
        except OSError as error:
            self._tell("write", error)
        self._saved = time.perf_counter()
        self._cost_s = self._saved - start

    def discard(self) -> None:
        """The trial has ended."""
        self._path.unlink(missing_ok=True)

    def _tell(self, what: str, error: Exception) -> None:
        words = (str(error).strip().splitlines() or ["no message"])[0]
        print(f"cannot {what} {self._path.name}: {words[:200]}", file=sys.stderr)
