"""python -m harness report | compile | tune | doctor. Imports nothing heavy before it must."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.compile import ARCHITECTURES

RESULTS = Path("results")


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as the commands do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status: 0 done, 1 a kernel fails to compile well, 2 bad input, in one line on stderr.
    """
    parser = _Parser(
        prog="python -m harness",
        description="Measuring is done by: pytest --benchmark-only (options: pytest --help, "
        "under flopwise). These commands tell what was measured, and what can be.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="write a run's report.html from its rows")
    report.add_argument(
        "run", nargs="?", default="last", help="folder or name of a run; default: the newest"
    )
    report.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="default: %(default)s"
    )
    machine = commands.add_parser(
        "compile", help="build every kernel with no GPU; registers, spills, shared memory"
    )
    machine.add_argument(
        "--arch", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES, help="default: all"
    )
    machine.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    commands.add_parser("tune", help="time launch configurations on this GPU and keep the best")
    commands.add_parser("doctor", help="what this machine can and cannot measure, and why")
    chosen = parser.parse_args(arguments)
    if chosen.command == "doctor":
        return _doctor()
    if chosen.command == "tune":
        return _tune()
    if chosen.command == "compile":
        return _compile(chosen.arch, chosen.json)
    return _report(chosen.results, chosen.run)


def _report(results: Path, wanted: str) -> int:
    from harness import report, store

    try:
        run = store.find(results, wanted)
        rows, problems = store.read(run)
        environment, more = store.read_environment(run)
        path = report.write(rows, environment, run / store.REPORT, [*problems, *more])
    except (store.StoreError, ValueError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot write the report to {run}: {error.strerror or error}")
    for problem in (*problems, *more):
        print(problem, file=sys.stderr)
    print(path)
    return 0


def _compile(architectures: Sequence[str], json_file: Path | None) -> int:
    from concurrent.futures.process import BrokenProcessPool

    from harness import compile

    try:
        return compile.run([*dict.fromkeys(architectures)], json_file)
    except ModuleNotFoundError as error:
        return _refuse(f"cannot compile: {error.name} is not installed")
    except OSError as error:
        return _refuse(str(error))
    except BrokenProcessPool:
        print("python -m harness: the compiler crashed; see which --arch does it", file=sys.stderr)
        return 1


def _tune() -> int:
    from harness import tune

    try:
        tune.run()
    except tune.CannotTune as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot keep the configurations: {error}")
    return 0


def _doctor() -> int:
    from harness import doctor

    print(doctor.render(doctor.diagnose()))
    return 0


def _refuse(why: str) -> int:
    print(f"python -m harness: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
