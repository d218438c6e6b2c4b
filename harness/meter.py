"""What training a model took: seconds, joules, and whether it had the CPU's cores to itself.

All are read around each stretch of training, so that evaluation is in none of them. A GPU's
counter of joules advances every 20 to 100 ms only: a stretch may miss a tick or have one too many,
which is nothing over many of them. Imports neither torch nor pynvml.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from harness import contention, energy


class Meter:
    """Sums over the stretches of training, each of which is a `with` of it.

    Args:
        why: the reason is written here, under "joules", where they are not or no longer known.
        counter: of joules; None where there is none.

    Attributes:
        seconds: of all stretches.
    """

    def __init__(self, why: dict[str, str], counter: energy.Counter | None):
        self._why, self._counter = why, counter
        self.seconds, self._joules = 0.0, 0.0
        self._kept_s: list[float | None] = [0.0, 0.0]  # from us: waited, stolen
        self._metered_s = 0.0

    @property
    def joules(self) -> float | None:
        """Of all stretches, gross; None where they are not known."""
        return None if "joules" in self._why else self._joules

    @property
    def state(self) -> list[Any]:
        """What `go_on` takes."""
        return [self._metered_s, *self._kept_s]

    def go_on(self, seconds: float, joules: float | None, state: list[Any]) -> None:
        """Take over the sums of a trial that was cut short."""
        self.seconds, self._joules = seconds, joules or 0.0
        self._metered_s, *self._kept_s = state

    def told(self) -> dict[str, float | None]:
        """The fields of a curve that say whether others had the cores."""
        waited, stolen = (
            kept / self._metered_s if kept is not None and self._metered_s > 0 else None
            for kept in self._kept_s
        )
        return {"waited_share": waited, "stolen_share": stolen}

    def __enter__(self) -> None:
        self._before_j, self._cores = self._read_j(), contention.read()
        self._start = time.perf_counter()

    def __exit__(self, *raised: Any) -> None:
        self.seconds += time.perf_counter() - self._start
        cores, after_j = contention.read(), self._read_j()
        self._joules += after_j - self._before_j
        passed = cores.at - self._cores.at
        self._metered_s += passed
        shares = contention.shares(self._cores, cores)
        self._kept_s = [
            None if kept is None or share is None else kept + share * passed
            for kept, share in zip(self._kept_s, shares, strict=True)
        ]

    def _read_j(self) -> float:
        if self._counter is None or "joules" in self._why:
            return 0.0
        try:
            return self._counter.read_j()
        except energy.Unavailable as error:
            self._why["joules"] = str(error)
            return 0.0


@contextlib.contextmanager
def metering(device: str, why: dict[str, str]) -> Iterator[Meter]:
    """A meter that reads the joules of `device`, unless `why` already says why they are unknown."""
    with contextlib.ExitStack() as stack:
        counter = None
        if "joules" not in why:
            try:
                counter = stack.enter_context(energy.counter(device))
            except energy.Unavailable as error:
                why["joules"] = str(error)
        yield Meter(why, counter)
