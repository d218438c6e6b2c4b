"""python -m harness: the report of a run, and one clear line for whatever is asked wrongly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import store
from harness.__main__ import main
from tests.harness.make_curves import curve
from tests.harness.make_rows import row


@pytest.fixture
def results(tmp_path):
    """A results folder with one run of two rows, called "first"."""
    rows = [row(1e-3, name="a"), row(None, name="b")]
    store.Store(tmp_path / "results" / "machine" / "first", {"run_id": "first"}).append(rows)
    return tmp_path / "results"


def said(capsys):
    out, err = capsys.readouterr()
    return out.strip(), err.strip()


@pytest.mark.parametrize("wanted", [[], ["last"], ["first"]])
def test_a_report_is_written_beside_its_rows_and_its_path_is_printed(results, capsys, wanted):
    assert main(["report", "--results", str(results), *wanted]) == 0
    path = results / "machine" / "first" / store.REPORT
    assert said(capsys) == (str(path), "")
    assert "run first" in path.read_text("utf-8")


def test_a_line_that_is_skipped_is_named(results, capsys):
    with (results / "machine" / "first" / store.ROWS).open("a") as file:
        file.write("{\n")
    assert main(["report", "--results", str(results)]) == 0
    assert said(capsys)[1].startswith("first/rows.jsonl, line 3: skipped: not JSON")


def test_the_curves_of_a_run_are_in_its_report(results, capsys):
    run = results / "machine" / "first"
    for seed in range(3):
        store.Store(run, {}).append_curve(curve("a_workload", seed=seed))
    with (run / store.CURVES).open("a") as file:
        file.write("{\n")
    assert main(["report", "--results", str(results)]) == 0
    assert said(capsys)[1].startswith("first/curves.jsonl, line 4: skipped: not JSON")
    assert "a_workload" in (run / store.REPORT).read_text("utf-8")


def test_a_run_that_is_not_there_is_one_line(results, capsys):
    assert main(["report", "--results", str(results), "lost"]) == 2
    assert "no run 'lost'" in said(capsys)[1]
    assert main(["report", "--results", str(results / "nowhere")]) == 2
    assert "there are none before pytest --benchmark-only" in said(capsys)[1]


def test_in_a_fresh_clone_the_committed_run_is_named(results, capsys):
    reference = results.rename(results.parent / "reference")
    assert main(["report", "--results", str(reference.parent)]) == 2
    assert said(capsys)[1].endswith(f"the committed one is {reference}/machine/first")


def test_a_run_without_rows_is_one_line(results, capsys):
    (results / "machine" / "first" / store.ROWS).write_text("")
    assert main(["report", "--results", str(results)]) == 2
    assert "no rows to report" in said(capsys)[1]


@pytest.mark.parametrize(
    ("content", "more"), [("{\n", ")"), ("{\n\xff\n{}\n", ", and 2 more lines)")]
)
def test_a_run_of_garbage_is_one_line_that_names_it(results, capsys, content, more):
    (results / "machine" / "first" / store.ROWS).write_text(content, "latin-1")
    for command in (["report"], ["compare", "first", "first"]):
        assert main([*command, "--results", str(results)]) == 2
        (line,) = said(capsys)[1].splitlines()
        assert "(first/rows.jsonl, line 1: skipped: not JSON" in line and line.endswith(more)


@pytest.mark.parametrize(
    ("inside", "command"),
    [
        ("harness.train.run", ["train", "neuron"]),
        ("harness.check.run", ["check", "x.py"]),
        ("harness.compile.run", ["compile"]),
        ("harness.report.write_all", ["report"]),
        ("harness.compare.compare", ["compare", "first", "first"]),
        ("harness.sweep.chosen", ["sweep"]),
        ("harness.doctor.diagnose", ["doctor"]),
    ],
)
def test_an_interrupt_is_one_line(results, capsys, monkeypatch, inside, command):
    def interrupt(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(inside, interrupt)
    where = ["--results", str(results)] if command[0] in ("report", "compare") else []
    assert main([*command, *where]) == 2
    assert said(capsys) == ("", "python -m harness: interrupted")


def test_a_report_that_cannot_be_written_is_one_line(results, capsys):
    (results / "machine" / "first" / store.REPORT).mkdir()
    assert main(["report", "--results", str(results)]) == 2
    assert "cannot write the report" in said(capsys)[1]


def test_the_doctor_speaks(capsys):
    assert main(["doctor"]) == 0
    assert "GPU timings" in said(capsys)[0]


@pytest.mark.parametrize("arguments", [[], ["reprot"], ["report", "--colour"]])
def test_an_unknown_command_or_option_is_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "Traceback" not in said(capsys)[1]


def test_an_unknown_option_is_refused_by_the_command_that_has_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["train", "neuron", "--lr", "1"])
    assert said(capsys)[1].startswith("python -m harness train: unrecognized arguments: --lr 1;")


def test_a_package_that_is_not_installed_is_one_line_and_one_of_ours_is_not_hidden(
    results, capsys, monkeypatch
):
    def missing(name):
        def read(*arguments):
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr("harness.report.runs.read", read)

    missing("torch.cuda")
    assert main(["report", "--results", str(results)]) == 2
    (line,) = said(capsys)[1].splitlines()
    assert line.startswith(f"python -m harness: torch is not installed for {sys.executable}: use")
    missing("harness.lost")
    with pytest.raises(ModuleNotFoundError):
        main(["report", "--results", str(results)])


def test_a_command_runs_from_within_the_packages_own_folder(results):
    folder = Path(store.__file__).parent
    command = [sys.executable, "-m", "harness", "report", "--results", str(results)]
    environment = os.environ | {"PYTHONPATH": str(folder.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_home_that_cannot_be_written_is_not_told_of(results):
    home = {"HOME": "/proc/nowhere", "OMP_NUM_THREADS": "1"}
    kept = {k: v for k, v in os.environ.items() if k not in ("MPLCONFIGDIR", "XDG_CONFIG_HOME")}
    command = [sys.executable, "-m", "harness", "report", "--results", str(results)]
    done = subprocess.run(command, env=kept | home, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
