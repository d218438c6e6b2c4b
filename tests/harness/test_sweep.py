"""python -m harness sweep: pytest's settings, rows and run folder, without pytest."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import record, store, sweep, trials
from harness.__main__ import main
from harness.convergence import settings

ROOT = Path(__file__).parents[2]
NEURON = "neuron-sgd-batch32"


def run(results):
    (found,) = results.glob("*/*/")
    return found


def test_a_pattern_is_a_part_of_a_name_or_fits_it_whole():
    def names(*patterns):
        return [setting.name for setting in sweep.chosen(patterns, "quick")]

    assert names("neuron-sgd") == [NEURON]
    assert {"cnn-adam-batch32", "pixelcnn-adam-batch32"} <= set(names("cnn-adam"))
    assert names("cnn-adam*") == ["cnn-adam-batch32"]
    assert set(names("neuron-sgd", "cnn-adam*")) == {NEURON, "cnn-adam-batch32"}
    assert names() == [s.name for s in settings() if "quick" in s.presets]


def test_what_fits_nothing_is_one_line(tmp_path, capsys):
    assert main(["sweep", "nonsense", f"--results={tmp_path}"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "no setting of preset quick fits 'nonsense'" in said.err
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("harness.environment.probe_gpu", lambda: (False, "none is installed"))
    assert main(["sweep", "neuron", "--device=cuda", f"--results={tmp_path}"]) == 2
    assert "no CUDA device: none is installed" in capsys.readouterr().err


def test_a_sweep_that_is_interrupted_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.session.Session.converge", interrupt)
    assert main(["sweep", NEURON, f"--results={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"interrupted; go on with --resume {tmp_path}")


def test_a_sweep_is_a_run_and_one_that_is_resumed_does_nothing_twice(tmp_path, capsys, quiet):
    command = ["sweep", NEURON, f"--results={tmp_path}"]
    assert main(command) == 0
    said = capsys.readouterr().out
    found = run(tmp_path)
    assert str(found) in said and "1 ok" in said and "3 of 3 seeds" in said
    assert "(1 setting to train)" in said
    took = re.search(r"([\d,]+) steps \(([\d,]+) to ([\d,]+) over seeds\), .* over seeds\)", said)
    steps = sorted(round(c.to_target("steps")) for c in store.read_curves(found)[0])
    assert [int(n.replace(",", "")) for n in took.groups()] == [steps[1], steps[0], steps[2]]
    rows, problems = store.read(found)
    assert not problems and [row.status for row in rows] == [record.OK]
    info = rows[0].extra_info
    assert (info["kind"], info["world_size"], info["shared_device"]) == ("convergence", 1, False)
    assert info["host"] is None and "one process" in info["host_reason"]
    assert (found / store.BENCHMARK).exists() and (found / store.ENVIRONMENT).exists()
    before = [(found / name).read_bytes() for name in (store.ROWS, store.CURVES)]
    assert main([*command, "--resume=last"]) == 0
    assert "0 settings to train, 1 row kept" in capsys.readouterr().out
    assert before == [(found / name).read_bytes() for name in (store.ROWS, store.CURVES)]


def test_its_rows_have_the_ids_of_pytests(tmp_path):
    command = [*(sys.executable, "-m", "pytest", "--collect-only", "-q", "--devices=cpu")]
    said = subprocess.run(
        [*command, "tests/benchmarks/test_convergence.py"],
        capture_output=True, text=True, cwd=ROOT, check=True,
    ).stdout  # fmt: skip
    members = [sweep._member(setting, "cpu") for setting in settings()]
    assert {member.id for member in members} == {l for l in said.splitlines() if "::" in l}


def test_a_target_that_is_not_reached_is_told_by_the_exit_status(tmp_path, monkeypatch):
    def cut(jobs):
        return trials.here([job._replace(max_steps=2) for job in jobs])

    options = sweep.Options((NEURON,), "quick", "cpu", tmp_path, None)
    assert sweep.run(options, engine=cut) == 1


def test_curves_may_come_in_any_order_and_the_table_is_the_same(tmp_path):
    def backwards(jobs):
        return reversed(list(trials.here(jobs)))

    tables = []
    for engine in (trials.here, backwards):
        results = tmp_path / engine.__name__
        options = sweep.Options((NEURON,), "quick", "cpu", results, None)
        assert sweep.run(options, engine) == 0
        (row,), _ = store.read(run(results))
        tables.append([row.extra_info[f"{what}_to_target"] for what in ("steps", "flops")])
        seeds = [curve.trial.seed for curve in store.read_curves(run(results))[0]]
        assert seeds == ([0, 1, 2] if engine is trials.here else [2, 1, 0])
    assert tables[0] == tables[1]


@pytest.mark.parametrize("keep", [1, 4])
def test_an_engine_that_loses_a_trial_or_invents_one_is_found_out(tmp_path, keep):
    def wrong(jobs):
        found = list(trials.here(jobs))
        return iter((found * 2)[:keep])

    options = sweep.Options((NEURON,), "quick", "cpu", tmp_path, None)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        sweep.run(options, wrong)
