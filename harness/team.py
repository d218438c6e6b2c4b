"""The processes that train one trial: what training asks of them, and what one alone answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from workloads import optimizers
from workloads.spec import Batch

T = TypeVar("T")


class Team(Protocol):
    """The processes that train one trial together: `Alone`, or harness.ranks.Ranks.

    Entered for each trial: what goes wrong in all of them ends that trial, and what goes wrong in
    one alone ends that process.
    """

    rank: int

    def __enter__(self) -> object: ...

    def __exit__(self, *raised: Any) -> None: ...

    def spread(self, model: nn.Module, loss: optimizers.Loss) -> optimizers.Loss:
        """The loss whose gradients are those of the whole batch, from a part of it."""
        ...

    def part(self, batch: Batch) -> Batch:
        """What of a batch this process looks at."""
        ...

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Over all processes."""
        ...

    def agreed(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, in all processes; what it raises is raised in all."""
        ...

    def saved(self) -> dict[str, Any] | None:
        """The state in which the trial was left off, or None."""
        ...

    def save(self, make: Callable[[], dict[str, Any]]) -> None:
        """Keep the state that `make` gives, where it is time to."""
        ...

    def communicated_s(self) -> float:
        """Seconds of communication since the last call."""
        ...

    def told(self, communication_s: float, seconds: float) -> dict[str, Any]:
        """The fields of a curve that are about the processes."""
        ...

    def unknown(self) -> dict[str, str]:
        """Why a figure of the curve is not known because there are several processes."""
        ...


class Alone:
    """One process, as usual: the whole batch is its part, and what it makes is agreed."""

    rank = 0

    def __enter__(self) -> None: ...

    def __exit__(self, *raised: Any) -> None: ...

    def spread(self, model: nn.Module, loss: optimizers.Loss) -> optimizers.Loss:
        return loss

    def part(self, batch: Batch) -> Batch:
        return batch

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def agreed(self, make: Callable[[], T]) -> T:
        return make()

    def saved(self) -> None: ...

    def save(self, make: Callable[[], dict[str, Any]]) -> None: ...

    def communicated_s(self) -> float:
        return 0.0

    def told(self, communication_s: float, seconds: float) -> dict[str, Any]:
        return {}

    def unknown(self) -> dict[str, str]:
        return {}


ALONE = Alone()
