"""python -m harness report, compare, check, train, sweep, compile, predict, tune, doctor.

Imports nothing heavy before it must.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from harness import names
from harness.compile import ARCHITECTURES
from harness.datasheet import NAMES as GPUS

RESULTS = Path("results")


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as the commands do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status: 0 done, 1 a kernel is wrong or fails to compile well, a target was not reached
    or a run is slower than the one before, 2 bad input or interrupted, in one line on stderr.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _refuse("interrupted")


def _run(arguments: Sequence[str] | None) -> int:
    # it would tell at length of a home that cannot be written, and does without one
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
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
        "compare", help="what became faster or slower from one run to another; for CI too"
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
    train.add_argument("--corpus", type=Path, metavar="FILE", help="your own text")
    train.add_argument(
        "--questions", type=Path, metavar="FILE", help="word2vec: questions-words.txt"
    )
    train.add_argument("--images", type=Path, metavar="FILE", help="your own images, in IDX form")
    train.add_argument("--labels", type=Path, metavar="FILE", help="and their labels")
    train.add_argument("--mnist", action="store_true", help="MNIST from OpenML, kept for next time")
    sweep = commands.add_parser(
        "sweep", help="train the studies' settings from several seeds each, into a run of its own"
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
        "predict", help="every kernel's time on a GPU that is not here, from its machine code"
    )
    predict.add_argument("gpu", choices=tuple(GPUS), metavar="GPU", help=", ".join(GPUS))
    commands.add_parser("tune", help="time launch configurations on this GPU and keep the best")
    commands.add_parser("doctor", help="what this machine can and cannot measure, and why")
    chosen = parser.parse_args(arguments)
    if why := names.hidden():
        return _refuse(why)
    if chosen.command == "doctor":
        return _doctor()
    if chosen.command == "train":
        return _train(chosen)
    if chosen.command == "check":
        return _check(chosen.file)
    if chosen.command == "sweep":
        return _sweep(chosen)
    if chosen.command == "compare":
        return _compare(chosen)
    if chosen.command == "tune":
        return _tune()
    if chosen.command == "compile":
        return _compile(chosen.arch, chosen.json)
    if chosen.command == "predict":
        return _predict(chosen.gpu)
    return _report(chosen.results, chosen.runs, chosen.format)


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


def _train(chosen: argparse.Namespace) -> int:
    from harness import train

    files = {n: getattr(chosen, n) for n in ("corpus", "questions", "images", "labels")}
    try:
        return train.run(
            train.Options(
                chosen.workload,
                chosen.optimizer,
                chosen.learning_rate,
                chosen.batch,
                chosen.steps,
                chosen.seed,
                chosen.device,
                {name: path for name, path in files.items() if path is not None},
                chosen.mnist,
            )
        )
    except train.CannotTrain as error:
        return _refuse(str(error))


def _check(file: Path) -> int:
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton
    from harness import check, own

    try:
        return check.run(file)
    except own.BadFile as error:
        return _refuse(str(error))


def _sweep(chosen: argparse.Namespace) -> int:
    from harness import cluster, launch, store, sweep

    options = sweep.Options(
        tuple(chosen.patterns), chosen.preset, chosen.device, chosen.results, chosen.resume
    )
    if chosen.cpus_per_trial and chosen.cluster is None:
        return _refuse("--cpus-per-trial goes with --cluster")
    if chosen.cluster is not None and "WORLD_SIZE" in os.environ:
        return _refuse("--cluster spreads many trials, torchrun one: start it without torchrun")
    try:
        if chosen.cluster is not None:
            cpus = chosen.cpus_per_trial or 1
            with cluster.connect(chosen.cluster or None, chosen.device, cpus) as found:
                return sweep.run(options, cluster=found)
        return sweep.over_ranks(options) if launch.launched() else sweep.run(options)
    except (sweep.CannotSweep, cluster.NoCluster, launch.CannotSpread, store.StoreError) as error:
        return _refuse(str(error))


def _report(results: Path, wanted: Sequence[str], form: str) -> int:
    from harness import report, store
    from harness.report import export
    from harness.report.runs import Run, read
    from harness.words import skipped

    runs: Sequence[Run] = ()
    try:
        runs, folder = read(results, wanted)
        path = folder / store.REPORT
        if form == "html":
            report.write_all(runs, path)
        else:
            path = path.with_suffix(export.SUFFIXES[form])
            export.write_all(form, runs, path)
    except (store.StoreError, ValueError) as error:
        return _refuse(f"{error}{skipped([p for run in runs for p in run.problems])}")
    except OSError as error:
        return _refuse(f"cannot write the report to {folder}: {error.strerror or error}")
    for problem in (problem for run in runs for problem in run.problems):
        print(problem, file=sys.stderr)
    print(path)
    return 0


def _compare(chosen: argparse.Namespace) -> int:
    from harness import compare, compare_words, store

    try:
        old, new = (compare.read(chosen.results, name) for name in (chosen.old, chosen.new))
        found = compare.compare(old, new, chosen.any_machine)
    except (store.StoreError, compare.CannotCompare) as error:
        return _refuse(str(error))
    for problem in (*old.problems, *new.problems):
        print(problem, file=sys.stderr)
    told = compare_words.pull_request if chosen.format == "markdown" else compare_words.terminal
    print(told(old, new, found, chosen.threshold))
    return 1 if found.regressions(chosen.threshold) else 0


def _compile(architectures: Sequence[str], json_file: Path | None) -> int:
    from harness import compile

    return _compiling(lambda: compile.run([*dict.fromkeys(architectures)], json_file))


def _predict(gpu: str) -> int:
    from harness import predict

    return _compiling(lambda: predict.run(gpu))


def _compiling(command: Callable[[], int]) -> int:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return command()
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
    import shutil

    from harness import doctor

    print(doctor.render(doctor.diagnose(), shutil.get_terminal_size((100, 24)).columns))
    return 0


def _refuse(why: str) -> int:
    if os.environ.get("RANK", "0") == "0":  # of torchrun's, one says it
        print(f"python -m harness: {why}", file=sys.stderr)
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        from harness import launch

        launch.tell(f"python -m harness: {why}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
