"""The trials of a sweep on a Ray cluster, many at a time: so many CPUs each, or one GPU too.

Each setting is a thread that decides what is tried next as it would alone (harness.trials.Runner),
so that its table is the same. Of these threads one runs at a time and gives way only while its
trials are away: what is on disk, and what is shown, needs to know nothing of threads. Only the
driver writes. A worker that dies is replaced, and its trial run again, by Ray; a driver that dies
is gone on with from what is on disk. Benchmarks of time never come here: they share no device.

Source: Moritz et al. 2018, "Ray: a distributed framework for emerging AI applications"
(arXiv 1712.05889).
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import torch

import harness
import kernels
import workloads
from harness import training
from harness.curve import FAILED, Curve, decode, encode
from harness.report.words import count
from harness.trials import Job

T = TypeVar("T")

ANSWER_S = 20.0  # until which a cluster has to answer
RETRIES = 3  # of a trial whose worker died
_GO_ON = "what is done is kept, go on with --resume last"
_OF = ("CPU", "GPU")
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_IGNORE_UNHANDLED_ERRORS": "1"}
_ADDRESS = re.compile(r"auto|(ray://)?\S+:\d+")
_LOCAL: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 * 2**20}


class NoCluster(Exception):
    """A cluster that cannot be used, or not any more, in one line that says what to do."""


@contextlib.contextmanager
def connect(address: str | None, device: str, cpus: int) -> Iterator[Cluster]:
    """A Ray cluster for as long as the context lasts.

    Args:
        address: "auto", "host:6379" or "ray://host:10001"; None for one on this machine's cores,
            which ends with the context.
        device: "cpu", or "cuda" for a whole GPU a trial.
        cpus: for each trial, and as many threads.

    Raises:
        NoCluster: Ray is not installed, nothing answers at the address, or no machine of the
            cluster has as much as a trial needs.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise NoCluster("Ray is not installed: pip install -e '.[cluster]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address is not None:
        _check(address)
    ours = [str(Path(package.__path__[0])) for package in (kernels, workloads, harness)]
    try:
        ray.init(
            address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"py_modules": ours},  # on all machines the code that is here
            **({} if address else _LOCAL),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        ray.shutdown()
        raise NoCluster(f"no Ray cluster: {_short(str(error))}") from None
    try:
        yield Cluster(ray, device, cpus)
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise NoCluster(f"the Ray cluster is lost: {_short(str(error))}; {_GO_ON}") from None
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Connect in a child first: Ray itself tries for minutes, and cannot be interrupted."""
    if not _ADDRESS.fullmatch(address):
        raise NoCluster(
            f"{address!r} is no address of a Ray cluster: auto, host:6379 or ray://host:10001 "
            "(patterns come before --cluster)"
        )
    code = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"
    try:
        found = subprocess.run(
            [sys.executable, "-c", code, address], capture_output=True, timeout=ANSWER_S
        )
    except subprocess.TimeoutExpired as expired:
        why = f" in {ANSWER_S:g} s ({_short((expired.stderr or b'').decode(errors='replace'))})"
    else:
        if not found.returncode:
            return
        why = f": {_short(found.stderr.decode(errors='replace'))}"
    raise NoCluster(f"no Ray cluster answers at {address}{why}; start one with: ray start --head")


class Cluster:
    """What runs trials, beside each other where there is room.

    Args:
        ray: the module, connected.
        device, cpus: as `connect` takes them.

    Raises:
        NoCluster: no machine has as much as a trial needs.
    """

    def __init__(self, ray: Any, device: str, cpus: int):
        self._ray, self._device, self._cpus = ray, device, cpus
        self._at_once = self._room()
        self._turn, self._stop = threading.Lock(), threading.Event()
        self._run = ray.remote(_trial).options(
            num_cpus=cpus, num_gpus=int(device == "cuda"), max_retries=RETRIES
        )

    def _room(self) -> int:
        """Trials that the cluster can run at once."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = 0
        for has in machines:
            trials = int(has.get("CPU", 0)) // self._cpus
            room += min(trials, int(has.get("GPU", 0))) if self._device == "cuda" else trials
        if not room:
            needs = count(self._cpus, "CPU") + " and a GPU" * (self._device == "cuda")
            most = [max((int(has.get(of, 0)) for has in machines), default=0) for of in _OF]
            raise NoCluster(
                f"no machine of the cluster has {needs} for a trial: the most is "
                f"{count(most[0], 'CPU')} and {count(most[1], 'GPU')}"
            )
        return room

    def map(self, work: Callable[..., T], *of: Iterable[Any]) -> list[T]:
        """As the built-in of that name, the calls beside each other; they may use `engine`.

        Raises:
            NoCluster: the cluster is gone, or its workers cannot run trials.
            Exception: what one of the calls raised, as soon as it does.
        """
        with ThreadPoolExecutor(self._at_once) as threads:
            calls = [threads.submit(self._in_turn, work, *each) for each in zip(*of, strict=True)]
            try:
                ended, _ = wait(calls, return_when=FIRST_EXCEPTION)
                for call in ended:
                    call.result()
            except BaseException:  # Ctrl-C too
                self._stop.set()
                threads.shutdown(cancel_futures=True)
                raise
        return [call.result() for call in calls]

    def _in_turn(self, work: Callable[..., T], *arguments: Any) -> T:
        with self._turn:
            return work(*arguments)

    def engine(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Curve]]:
        """The trials as they end, in any order: a harness.trials.Engine, for use within `map`."""
        waiting = {self._run.remote(job, self._cpus, torch.__version__): job for job in jobs}
        while waiting:
            for ended in self._ended(list(waiting)):
                job = waiting.pop(ended)
                yield job, self._curve(ended, job)

    def _ended(self, trials: list[Any]) -> list[Any]:
        """Those that have ended, one at least; meanwhile it is the turn of other settings."""
        ended: list[Any] = []
        self._turn.release()
        try:
            while not ended and not self._stop.is_set():
                ended, _ = self._ray.wait(trials, timeout=0.5)
        finally:
            self._turn.acquire()
        if not ended:
            raise NoCluster("stopped")
        return ended

    def _curve(self, ended: Any, job: Job) -> Curve:
        errors = self._ray.exceptions
        try:
            line, node = self._ray.get(ended)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            return _lost(job, type(error).__name__)
        except errors.RayTaskError as error:
            why = f"a worker cannot run trials: {_short(str(error))}"
            raise NoCluster(f"{why}; {_GO_ON}") from None
        return dataclasses.replace(decode(line), shared_device=self._shares(node))

    def _shares(self, node: str) -> bool:
        """Whether others may have had the device of a trial: a GPU is one trial's alone, and a
        CPU only where the trial holds all that Ray has of the host."""
        if self._device == "cuda":
            return False
        nodes = self._ray.nodes()
        host = next((n["NodeManagerHostname"] for n in nodes if n["NodeID"] == node), None)
        there = [n for n in nodes if n["Alive"] and n["NodeManagerHostname"] == host]
        return sum(n["Resources"].get("CPU", 0) for n in there) != self._cpus


def _trial(job: Job, cpus: int, version: str) -> tuple[str, str]:
    """In a worker: the curve, as it is on disk, and the id of Ray's node."""
    import ray

    if torch.__version__ != version:
        raise RuntimeError(
            f"torch {torch.__version__} on {socket.gethostname()}, and {version} here"
        )
    torch.set_num_threads(cpus)
    curve = training.run(job.trial, job.own, max_steps=job.max_steps, show=job.show)
    host = socket.gethostname()
    curve = dataclasses.replace(curve, host=host, hosts=host)
    return encode(curve), ray.get_runtime_context().get_node_id()


def _lost(job: Job, error: str) -> Curve:
    """Of a trial that took its worker along each time."""
    target = (job.own or workloads.load(job.trial.workload)).target
    return Curve(
        trial=job.trial,
        metric=target.metric,
        target=target.value,
        lower_is_better=target.lower_is_better,
        status=FAILED,
        reason=f"{error}: its worker died {RETRIES + 1} times",
        points=(),
        device_name="not known: the worker died",
        threads=0,
    )


def _short(text: str) -> str:
    """The last line of what Ray said, without the place in its sources."""
    lines = text.strip().splitlines() or ["no reason given"]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1])
    return re.sub(r"^\[[^]]*\] \S+: ", "", plain)[:200].rstrip(".")
