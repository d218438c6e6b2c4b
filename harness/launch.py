"""What torchrun tells the processes that it starts, and how they find each other."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from harness import store

FILE = "launch"  # in the run's folder: which launch of torchrun made it, by its agents


class CannotSpread(Exception):
    """These ranks cannot be used, in one line that says what to do."""


def launched() -> bool:
    """Whether torchrun, or another that speaks its language, started this process."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"))


def tell(why: str) -> None:
    """Make this the last that torchrun prints, below its own trace: it shows in place of one what
    the rank that failed first has left in this file. Elsewhere there is none."""
    if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        message = {"message": why, "extraInfo": {"timestamp": str(int(time.time()))}}
        with contextlib.suppress(OSError):
            Path(path).write_text(json.dumps({"message": message}), "utf-8")


def missed(why: str) -> int:
    """The exit status of a rank where a target was missed, and `why` to tell.

    Returns:
        1, or 0 where the agent may start ranks again: it takes 1 for a death, and would have all
        done again.
    """
    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        return 0
    tell(why)
    return 1


def join(device: str) -> tuple[int, int, Any]:
    """Find the other ranks and join their group.

    Args:
        device: "cpu", for gloo; or "cuda", for NCCL too and the GPU of the local rank's number.

    Returns:
        This rank, how many there are, and a store that they share.

    Raises:
        CannotSpread: this torch has no torch.distributed, or there are fewer GPUs than ranks.
    """
    if not distributed.is_available():
        raise CannotSpread(
            "this torch is built without torch.distributed: start one process without torchrun"
        )
    if device == "cuda":
        local, found = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if local >= found:
            raise CannotSpread(f"local rank {local} has no GPU: there are {found}, one for a rank")
        torch.cuda.set_device(local)
    shared, rank, size = next(distributed.rendezvous("env://"))
    mine = distributed.PrefixStore(_meet(shared, rank, size), shared)
    backends = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(
        backends, store=distributed.PrefixStore("group", mine), rank=rank, world_size=size
    )
    return rank, size, mine


def _meet(shared: Any, rank: int, size: int) -> str:
    """A name for this start of all ranks: the agent's store outlives a restart, and what the ranks
    before have left there would be taken for these ones'. Restarts are not counted alike on all
    hosts, so rank 0 calls the roll until each has answered to its own name."""
    name = uuid.uuid4().hex
    shared.set(f"here/{rank}", name)
    while rank == 0:
        roll = [shared.get(f"here/{other}").decode() for other in range(size)]
        shared.set("roll", json.dumps(roll))
        if all(shared.check([f"{name}/{other}"]) for other in roll[1:]):
            return name
        time.sleep(0.02)
    while name not in (roll := json.loads(shared.get("roll"))):
        time.sleep(0.02)
    shared.set(f"{roll[0]}/{name}", "")
    return roll[0]


def agent() -> str:
    """A name that no other of torchrun's agents has, of the one that started this process and
    starts it again. (It counts only restarts of its own making, and a rendezvous id comes again.)
    """
    pid = os.getppid()
    begun = ""
    with contextlib.suppress(OSError, IndexError):
        begun = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{socket.gethostname()} {pid} {begun}"


def mark(run: Path, agents: Iterable[str]) -> None:
    """Write into a run's folder which agents' ranks made it."""
    store.write_atomically(run / FILE, "".join(f"{name}\n" for name in agents))


def interrupted(results: Path) -> str | None:
    """The run that ranks of this agent had begun before they were started again."""
    for run in store.runs(results):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if agent() in (run / FILE).read_text("utf-8").splitlines():
                return str(run)
    return None
