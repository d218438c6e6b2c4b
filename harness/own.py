"""A kernel or a workload in a file of the user's own: an OPERATION, or a WORKLOAD and VARIANTS.

The file is run, as `python FILE` would run it: give only files that you trust.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import kernels
import workloads
from kernels.spec import Case, Operation
from workloads.spec import Flops, Target, Workload

Declared = tuple[Operation | Workload, ...]
KINDS: dict[str, type[Operation] | type[Workload]] = {"OPERATION": Operation, "WORKLOAD": Workload}

# of an operation or a workload, what is called
_FUNCTIONS = {
    Operation: ("reference", "magnitude", "inputs", "cost"),
    Workload: ("data", "model", "loss", "metric"),
}


class BadFile(Exception):
    """What a file lacks, in one line that names it."""


def load(path: str | os.PathLike[str]) -> Declared:
    """What a file declares; it is run for that, under a module name of its own.

    Returns:
        The OPERATION alone, or the WORKLOAD and behind it its VARIANTS, where it has some.

    Raises:
        BadFile: there is no such file, it raises, or it declares nothing that can be measured.
    """
    path = Path(os.path.abspath(path))
    if path.suffix != ".py" or not path.is_file():
        raise BadFile(f"{path}: {'no such file' if path.suffix == '.py' else 'not a .py file'}")
    module = _run(path)
    found = [name for name in KINDS if hasattr(module, name)]
    if len(found) != 1:
        lacks = "declares both, and each needs a file of its own" if found else "declares neither"
        raise BadFile(f"{path}: {lacks}: OPERATION or WORKLOAD, as kernels/ and workloads/ do")
    (name,) = found
    declared = [(name, getattr(module, name))]
    if name == "WORKLOAD":
        declared += [("VARIANTS", variant) for variant in getattr(module, "VARIANTS", ())]
    names: list[str] = []
    for where, subject in declared:
        if lack := _lacks(subject, KINDS[name]):
            raise BadFile(f"{path}: {where} {lack}")
        if subject.name in names:
            raise BadFile(f"{path}: {where} has a second {subject.name!r}: rename it")
        names.append(subject.name)
    return tuple(subject for _, subject in declared)


def load_all(paths: Iterable[str]) -> dict[Path, Declared]:
    """What several files declare, by absolute path.

    Raises:
        BadFile: see `load`; or two files declare the same name, whose rows would be mixed.
    """
    found: dict[Path, Declared] = {}
    by_name: dict[str, Path] = {}
    for path in dict.fromkeys(Path(os.path.abspath(path)) for path in paths):
        found[path] = load(path)
        for name in (subject.name for subject in found[path]):
            if name in by_name:
                raise BadFile(f"{path}: {name!r} is declared in {by_name[name]} too; rename one")
            by_name[name] = path
    return found


def digest(path: Path) -> str:
    """Of a file's text: a run goes on only with the same."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _run(path: Path) -> ModuleType:
    # known by it in sys.modules, where dataclasses and Triton look; not by its stem alone
    name = f"own_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader  # it ends in .py
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for its neighbours; last, so that they hide nothing
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        words = (str(error).strip().splitlines() or ["no message"])[0][:300]
        raise BadFile(f"{path}{_line(error, path)}: {type(error).__name__}: {words}") from None
    return module


def _line(error: BaseException, path: Path) -> str:
    """Where in the file it happened."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f":{lines[-1]}" if lines else ""


def _lacks(subject: Any, kind: type[Operation] | type[Workload]) -> str:
    """What the declaration lacks that its type does not refuse by itself; "" for nothing."""
    if not isinstance(subject, kind):
        return f"is of type {type(subject).__name__}, not {kind.__module__}.{kind.__name__}"
    if not isinstance(subject.name, str) or not subject.name:
        return "has no name"
    if subject.name.partition("/")[0] in (*kernels.NAMES, *workloads.NAMES):
        return f"is named {subject.name!r}, as one of ours is: rename it"
    for what in _FUNCTIONS[kind]:
        if not callable(getattr(subject, what)):
            return f"has a {what} that is no function"
    if isinstance(subject, Operation):
        for case in subject.cases:
            if not isinstance(case, Case):
                return f"has a case of type {type(case).__name__}, not kernels.spec.Case"
            if not isinstance(getattr(torch, case.dtype, None), torch.dtype):
                return f"has a case in {case.dtype!r}, which is none of torch's dtypes"
        for provider, build in subject.providers.items():
            if not callable(build):
                return f"has a provider {provider!r} that is no function returning one"
        return ""
    if not isinstance(subject.target, Target):
        return "has a target that is no workloads.spec.Target"
    if not isinstance(subject.flops, Flops):
        return "has flops that are no workloads.spec.Flops"
    return ""
