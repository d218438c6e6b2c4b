"""Runs the kernel tests against deliberately wrong kernels.

    python -m tests.kernels.mutants [NAME ...]

prints a JSON object: by mutant's name, "caught" or what else became of it. A mutant is the source
of a real kernel with one thing changed. It replaces the kernel in a forked child of this process,
which then runs that operation's tests; no module is imported a second time, since operators can be
registered but once.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parent
PATIENCE_S = 300  # of a processor; a mutant that loops for ever is caught by that


class Mutant(NamedTuple):
    """One fault.

    Attributes:
        fault: what is wrong, in words; its name.
        tests: the test file that ought to see it, without test_ and .py.
        module, function: where the fault is.
        old, new: source text; `old` must stand there exactly once.
    """

    fault: str
    tests: str
    module: str
    function: str
    old: str
    new: str


def faulty_source(mutant: Mutant) -> str:
    """The real function's source with the fault in it.

    Raises:
        LookupError: the text to change is not there exactly once: the mutant is out of date.
    """
    real = getattr(importlib.import_module(mutant.module), mutant.function)
    source = inspect.getsource(getattr(real, "fn", real))
    if source.count(mutant.old) != 1:
        raise LookupError(f"{mutant.old!r} stands {source.count(mutant.old)} times in it")
    return source.replace(mutant.old, mutant.new)


def mutate(mutant: Mutant) -> None:
    """Put the faulty function in the place of the real one, in this process.

    Raises:
        LookupError: the mutant is out of date.
    """
    real = getattr(importlib.import_module(mutant.module), mutant.function)
    source = faulty_source(mutant)
    # a file, because triton reads a kernel's source from where it was defined
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(source)
    scope: dict[str, Any] = sys.modules[getattr(real, "fn", real).__module__].__dict__
    exec(compile(Path(file.name).read_text(), file.name, "exec"), scope)
    faulty = scope[mutant.function]
    for name, other in list(sys.modules.items()):
        if name.startswith("kernels"):  # those that imported it have it by name
            for key in [k for k, value in vars(other).items() if value is real]:
                setattr(other, key, faulty)


def run(mutants: Sequence[Mutant], processes: int) -> dict[str, str]:
    """What became of each: "caught", "survived", or why it could not be made."""
    running: dict[int, Mutant] = {}
    waiting, results = list(mutants), {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutant = waiting.pop(0)
            sys.stdout.flush()
            child = os.fork()
            if child == 0:
                os._exit(_child(mutant))
            running[child] = mutant
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            results[running.pop(child).fault] = _said(status)
        time.sleep(0.01)
    return results


def _child(mutant: Mutant) -> int:
    import pytest

    # Not of the wall's clock: on a busy machine the tests of a right kernel would be "caught".
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_S, PATIENCE_S))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        mutate(mutant)
    except LookupError:
        return 99
    file = TESTS / f"test_{mutant.tests}.py"
    if not file.exists():
        return 98
    quick = [
        "-x",
        "-q",
        "-m",
        "not slow and not exhaustive",
        "-p",
        "no:cacheprovider",
        "-k",
        "not build",
    ]
    return int(pytest.main([str(file), *quick]))


def _said(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "caught"  # it read or wrote where there is no memory, or would not end
    code = os.waitstatus_to_exitcode(status)
    return {0: "survived", 1: "caught", 98: "no tests", 99: "out of date"}.get(
        code, f"pytest ended with {code}"
    )


def main(names: Sequence[str]) -> None:
    """Run the mutants whose names begin so, or all."""
    import pytest  # noqa: F401  what the tests import, once here instead of in every child
    import scipy.stats  # noqa: F401
    import torch
    from hypothesis import Phase, settings

    # A failing example is enough: the search for the least one took minutes of some mutants.
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutants")
    torch.set_num_threads(1)  # a thread pool does not survive a fork
    from tests.kernels.faults import CONTROLS, MUTANTS

    chosen = [m for m in (*CONTROLS, *MUTANTS) if not names or m.fault.startswith(tuple(names))]
    for module in {mutant.module for mutant in chosen}:
        importlib.import_module(module)
    print(json.dumps(run(chosen, os.cpu_count() or 1)))


if __name__ == "__main__":
    # The tests of a GPU cannot be run by the interpreter: each mutant would be "caught" by them.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("TRITON_INTERPRET", "1")
    main(sys.argv[1:])
