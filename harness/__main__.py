"""python -m harness report | doctor. Imports nothing heavy before it knows what is asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path("results")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 2 bad input, in one line on stderr."""
    parser = argparse.ArgumentParser(
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
    commands.add_parser("doctor", help="what this machine can and cannot measure, and why")
    chosen = parser.parse_args(arguments)
    return _doctor() if chosen.command == "doctor" else _report(chosen.results, chosen.run)


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


def _doctor() -> int:
    from harness import doctor

    print(doctor.render(doctor.diagnose()))
    return 0


def _refuse(why: str) -> int:
    print(f"python -m harness: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
