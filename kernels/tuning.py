"""Which launch configuration a kernel takes: its default, or the one that was timed best here.

Nothing is ever timed during a call. `tune` is asked for by name (python -m harness tune), drops
the candidates that the compiler already shows to be bad, times the rest on the GPU and keeps the
best in a JSON file for this GPU and version of Triton. `chosen` looks there. Without such a file
the default holds, which is the first candidate.

The file can do no more than pick one of the candidates of the code: whatever else it says is named
in a warning and ignored.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
import triton
from triton.errors import TritonError

from kernels import _launch
from kernels.spec import Build

_MOST_BYTES = 1 << 20  # a file of ours has a few thousand


class Candidate(Protocol):
    """A NamedTuple of what a kernel is launched with: its constants, and num_warps."""

    def _asdict(self) -> dict[str, Any]: ...


C = TypeVar("C", bound=Candidate)


class Config(NamedTuple):
    """A tile, and how many warps and pipeline stages work on it; named as the launch names them."""

    BLOCK_M: int
    BLOCK_N: int
    BLOCK_K: int
    num_warps: int
    num_stages: int
    GROUP_M: int = 8


@dataclass(frozen=True)
class Choice:
    """One kernel, shape class and dtype, for which a configuration is to be chosen.

    Attributes:
        kernel: the operation's name.
        key: the dtype and shape class, e.g. "bfloat16 small".
        candidates: the default first.
        builds: candidate -> the machine code it needs.
        launches: () -> (candidate -> one launch or more, on operands typical of the class); called
            once, so that a class's operands are in memory only while it is timed.
    """

    kernel: str
    key: str
    candidates: tuple[Any, ...]  # of one Candidate's type, which its functions take
    builds: Callable[[Any], Sequence[Build]]
    launches: Callable[[], Callable[[Any], None]]


def chosen(kernel: str, key: str, candidates: tuple[C, ...], device: torch.device) -> C:
    """The candidate that was timed best on a GPU of this name, or the first; reads a file once."""
    if device.type != "cuda" or len(candidates) == 1:
        return candidates[0]
    return _kept(_launch.properties(device).name, kernel, key, candidates)


@cache
def _kept(gpu: str, kernel: str, key: str, candidates: tuple[Any, ...]) -> Any:
    figures = _read(_file(gpu)).get(kernel, {}).get(key)
    if figures is None:
        return candidates[0]
    for candidate in candidates:
        if candidate._asdict() == figures:
            return candidate
    warnings.warn(
        f"{_file(gpu)}: {kernel}, {key}: no candidate of this version; the default is used until "
        "python -m harness tune",
        stacklevel=2,
    )
    return candidates[0]


def _file(gpu: str) -> Path:
    """Where the choices for this GPU and version of Triton are kept."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory Specification has relative paths ignored.
    folder = Path(root if os.path.isabs(root) else os.path.expanduser("~/.cache"))
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{gpu} triton {triton.__version__}")
    return folder / "flopwise" / "tuning" / f"{name}.json"


@cache
def _read(path: Path) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    """kernel -> key -> configuration; empty where there is no file, or a bad one, which is said."""
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES} bytes")
        found = json.loads(path.read_text())
        tables = isinstance(found, dict) and all(isinstance(v, dict) for v in found.values())
        if not tables:
            raise ValueError("not a table of kernels")
    except (OSError, ValueError, RecursionError) as error:
        warnings.warn(
            f"{path}: cannot be read ({error}); default configurations are used; "
            "delete it or run python -m harness tune",
            stacklevel=2,
        )
        return {}
    return found


def tune(
    choices: Sequence[Choice],
    gpu: str,
    flaws: Callable[[str, Build], Sequence[str]],
    time_s: Callable[[Callable[[], None]], float] | None = None,
) -> Iterator[tuple[Choice, Candidate, Mapping[Candidate, float]]]:
    """Times the candidates of each choice and keeps the best, one choice after the other.

    Args:
        choices: what to choose.
        gpu: the GPU's name, as torch gives it.
        flaws: (operation, build) -> what the compiler shows to be wrong with a build, such as
            spilled registers or too much shared memory; such a candidate is not timed. Called by
            several threads at once.
        time_s: a function -> its seconds; default: Triton's median on the GPU, L2 overwritten
            before each launch.

    Yields:
        The choice, the best configuration, and the seconds of each that was timed. Where every
        candidate has flaws or is refused, the default holds and nothing was timed.

    Raises:
        OSError: the file cannot be written.
    """
    time_s = time_s or _median_s
    for choice in choices:
        with ThreadPoolExecutor() as pool:  # the compiler takes a second for each, without the GIL
            bad = [*pool.map(partial(_is_bad, flaws, choice), choice.candidates)]
        sound = [c for c, is_bad in zip(choice.candidates, bad, strict=True) if not is_bad]
        seconds: dict[Candidate, float] = {}
        if sound:
            launch = choice.launches()
            taken = {candidate: _taken(time_s, launch, candidate) for candidate in sound}
            seconds = {c: s for c, s in taken.items() if math.isfinite(s)}
        best = min(seconds, key=seconds.__getitem__) if seconds else choice.candidates[0]
        if seconds:
            _keep(_file(gpu), choice, best)
        yield choice, best, seconds


def _taken(
    time_s: Callable[[Callable[[], None]], float],
    launch: Callable[[Candidate], None],
    candidate: Candidate,
) -> float:
    """Infinite where the GPU refuses the launch, for want of shared memory, say: others go on."""
    try:
        return time_s(partial(launch, candidate))
    except TritonError as error:
        warnings.warn(f"{candidate} is not timed: {str(error)[:200]}", stacklevel=2)
        return math.inf


def _is_bad(
    flaws: Callable[[str, Build], Sequence[str]], choice: Choice, candidate: Candidate
) -> bool:
    return any(flaws(choice.kernel, build) for build in choice.builds(candidate))


def _median_s(launch: Callable[[], None]) -> float:
    return triton.testing.do_bench(launch, return_mode="median") / 1e3


def _keep(path: Path, choice: Choice, best: Candidate) -> None:
    """Adds one choice to the file; a reader sees the old or the new one, never a part."""
    _read.cache_clear()
    tables = {kernel: dict(table) for kernel, table in _read(path).items()}
    tables.setdefault(choice.kernel, {})[choice.key] = best._asdict()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(tables, file, indent=1)
    os.replace(file.name, path)
    _read.cache_clear()
    _kept.cache_clear()
