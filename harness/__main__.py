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

from harness import names

_OURS = ("harness", "kernels", "workloads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status: 0 done, 1 a kernel is wrong or fails to compile well, a target was not reached
    or a run is slower than the one before, 2 bad input or interrupted, in one line on stderr,
    3 whether it is slower cannot be told.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _refuse("interrupted")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", *_OURS):
            raise
        return _refuse(
            f"{package} is not installed for {sys.executable}: use the .venv that make study and "
            "make test set up, or pip install -e . in flopwise's folder"
        )


def _run(arguments: Sequence[str] | None) -> int:
    from harness.arguments import parse

    # it would tell at length of a home that cannot be written, and does without one
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    chosen = parse(arguments)
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
    if found.regressions(chosen.threshold):
        return 1
    return 3 if found.undecided(chosen.threshold) else 0


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
    # started within this folder, Python would take our statistics.py for its own
    sys.path[:] = [path for path in sys.path if Path(path) != Path(__file__).parent]
    sys.exit(main())
