"""What python -m harness can be asked for, and how it is read. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.compile import ARCHITECTURES
from harness.datasheet import NAMES as GPUS

RESULTS = Path("results")


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as the commands do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command, as `command`, and its options; sys.argv's where none are given.

    Raises:
        SystemExit: 2 after one line on stderr where they are wrong, 0 after --help.
    """
    parser = _Parser(
        prog="python -m harness",
        description="Measuring is done by: pytest --benchmark-only (options: pytest --help, "
        "under flopwise). These commands tell what was measured, and what can be.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report", help="write a run's report.html from its rows, or one of several runs"
    )
    report.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="folder or name of a run, default: the newest; several are told of in one report, "
        "in the results folder, with each machine by itself",
    )  # fmt: skip
    report.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="default: %(default)s"
    )
    report.add_argument(
        "--format", choices=("html", "markdown", "csv"), default="html",
        help="markdown: the verdicts in short; csv: all rows; default: %(default)s",
    )  # fmt: skip
    compare = commands.add_parser(
        "compare",
        help="what became faster or slower from one run to another; for CI too",
        epilog="exit status: 0 no regression, 1 a regression, 2 runs that cannot be compared, "
        "3 cannot tell: rows are slower by more than the threshold, and noise may be why",
    )
    compare.add_argument("old", help="folder or name of a run")
    compare.add_argument("new", help='likewise, or "last", the newest')
    compare.add_argument(
        "--threshold", type=_positive, default=0.05, metavar="SHARE",
        help="exit with 1 where a time is longer by more than this; default: %(default)s",
    )  # fmt: skip
    compare.add_argument(
        "--format", choices=("text", "markdown"), default="text", help="default: %(default)s"
    )
    compare.add_argument(
        "--any-machine", action="store_true",
        help="compare runs of different machines, or numbers of CPU threads, too",
    )  # fmt: skip
    compare.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="default: %(default)s"
    )
    train = commands.add_parser(
        "train", help="train one workload to its target, and see what it writes or draws"
    )
    train.add_argument(
        "workload", help="its name, or a variant's: mlp_classification, rnn/gru; or your FILE.py"
    )
    own = "default: the workload's own"
    train.add_argument("--optimizer", metavar="NAME", help=own)
    train.add_argument("--learning-rate", type=_positive, metavar="RATE", help=own)
    train.add_argument("--batch", type=_whole, metavar="N", help=f"samples a step; {own}")
    train.add_argument("--steps", type=_whole, metavar="N", help=f"give up after so many; {own}")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    train.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s"
    )
    train.add_argument(
        "--corpus", type=Path, metavar="FILE", help="your own text: char_rnn, word2vec ..."
    )
    train.add_argument(
        "--questions", type=Path, metavar="FILE", help="word2vec: questions-words.txt"
    )
    train.add_argument(
        "--images", type=Path, metavar="FILE", help="your own, in IDX form: cnn, mlp_classification"
    )
    train.add_argument("--labels", type=Path, metavar="FILE", help="and their labels")
    train.add_argument("--mnist", action="store_true", help="mlp_classification: from OpenML, kept")
    sweep = commands.add_parser(
        "sweep", help="train what the course's claims are judged by, several seeds each, into a run"
    )
    sweep.add_argument(
        "patterns", nargs="*", metavar="PATTERN",
        help='part of a setting\'s name, or "cnn-*"; default: all of the preset',
    )  # fmt: skip
    sweep.add_argument(
        "--preset", choices=("quick", "full"), default="quick", help="default: %(default)s"
    )
    sweep.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s"
    )
    sweep.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="default: %(default)s"
    )
    sweep.add_argument("--resume", metavar="RUN", help='a run to go on with; "last" is the newest')
    sweep.add_argument(
        "--cluster", nargs="?", const="", metavar="ADDRESS",
        help="many trials at a time on Ray: auto, host:6379 or ray://host:10001; without an "
        "address a cluster of this machine's cores",
    )  # fmt: skip
    sweep.add_argument(
        "--cpus-per-trial", type=_whole, metavar="N",
        help="with --cluster, and as many threads; default: 1, and a whole GPU with --device cuda",
    )  # fmt: skip
    check = commands.add_parser(
        "check", help="whether the OPERATION or WORKLOAD of your own file is right; times nothing"
    )
    check.add_argument("file", type=Path, metavar="FILE", help="it is run: a file that you trust")
    machine = commands.add_parser(
        "compile", help="build every kernel with no GPU; registers, spills, shared memory"
    )
    machine.add_argument(
        "--arch", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES, help="default: all"
    )
    machine.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    predict = commands.add_parser(
        "predict", help="every kernel's least time on a GPU that is not here, by its machine code"
    )
    predict.add_argument("gpu", choices=tuple(GPUS), metavar="GPU", help=", ".join(GPUS))
    commands.add_parser("tune", help="time launch configurations on this GPU and keep the best")
    commands.add_parser("doctor", help="what this machine can and cannot measure, and why")
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:  # refused by the command, whose --help it is that tells more
        commands.choices[chosen.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return chosen


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _whole(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value
