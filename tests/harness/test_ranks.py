"""Trials over two real ranks: the numbers of one process, whatever dies on the way."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import workloads
from harness import record, store, sweep, trials

ROOT = Path(__file__).parents[2]
LIMIT_S = 300  # after which a job hangs, however busy the machine
# Rounding in float32 grows as training goes on, to 4e-5 in these hundred steps.
TOLERANCE = 5e-4
TRAINED = ("cnn-adam*", "word2vec-adam*")  # on shuffled epochs, and on pairs drawn anew
PATTERNS = (*TRAINED, "linear_regression-sgd*")
SETTINGS = ("cnn-adam-batch32", "word2vec-adam-batch256")  # that the first two are
MISSED = "traceback : not every target was reached: its line says why"


def torchrun(*command, restarts=0):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         f"--max-restarts={restarts}", *map(str, command)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(process):
    """What the job said; it has ended by itself."""
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return said


def last_line(said):
    """Above the rule that closes what torchrun prints of ranks that failed."""
    *_, last, rule = said.splitlines()
    assert set(rule) == {"="}
    return last.strip()


def curves(run):
    found, problems = store.read_curves(run)
    assert not problems and len({trials.key(curve) for curve in found}) == len(found)
    return {trials.key(curve): curve for curve in found}


def only(results):
    (run,) = Path(results).glob("*/*/")
    return run


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """The run of two ranks."""
    results = tmp_path_factory.mktemp("spread")
    process = torchrun("-m", "harness", "sweep", *PATTERNS, "--results", results)
    said = ended(process)
    # one of the settings cannot be spread, which is what torchrun ends with
    assert process.returncode == 1 and last_line(said) == MISSED, said
    return only(results)


@pytest.mark.slow
def test_two_ranks_have_the_losses_of_one_process(spread, tmp_path, capsys):
    sweep.run(sweep.Options(PATTERNS[:1], "quick", "cpu", tmp_path, None))
    one = curves(only(tmp_path))
    two = {key: curve for key, curve in curves(spread).items() if curve.setting == SETTINGS[0]}
    assert one.keys() == two.keys() and len(one) == 3
    for key, alone in one.items():
        together = two[key]
        assert [(p.steps, p.samples, p.flops) for p in together.points] == [
            (p.steps, p.samples, p.flops) for p in alone.points
        ]
        for what in ("loss", "metric"):
            got, expected = ([getattr(p, what) for p in c.points] for c in (together, alone))
            assert got[0] == expected[0]  # no loss, and the metric of the same first weights
            assert got[1:] == pytest.approx(expected[1:], rel=TOLERANCE)


EXACT = """
import dataclasses, sys, torch, workloads
from harness import ranks, training
from harness.curve import Trial
from workloads.spec import Data

team = ranks.Ranks("cpu")

def double(workload):
    data = Data(*(batch.to("cpu", torch.float64) for batch in workload.data()))
    model = lambda seed: workload.model(seed).to(torch.float64)
    return dataclasses.replace(workload, data=lambda: data, model=model)

for name in [*workloads.NAMES, "deep_mlp/16x64-batch", "cartpole/reinforce"]:
    workload = workloads.load(name)
    even = workload.batch_size // 2 * 2
    trial = Trial(name, workload.optimizer, even, workload.learning_rate, 0)
    of = {"max_steps": 4, "show": False}
    together = training.run(trial, double(workload), team=team, **of)
    if team.rank == 0:
        alone = training.run(trial, double(workload), **of)
        pairs = list(zip(together.points, alone.points, strict=True))
        off = max(
            abs(getattr(p, what) - getattr(q, what)) / abs(getattr(q, what))
            for p, q in pairs for what in ("loss", "metric") if getattr(q, what)
        )
        same = all((p.steps, p.samples, p.flops) == (q.steps, q.samples, q.flops) for p, q in pairs)
        print("worked", name, together.reason, len(pairs), same, f"{off:.1e}", flush=True)
team.leave()
"""


@pytest.mark.slow
def test_in_float64_two_ranks_are_one_process_in_every_workload(tmp_path):
    # batch normalisation too, whose sixteen layers make 1e-2 of float32's rounding in ten steps
    script = tmp_path / "exact.py"
    script.write_text(EXACT)
    process = torchrun(script)
    said = ended(process)
    assert process.returncode == 0, said
    told = re.findall(r"^worked (\S+) (.*) (\d+) (True|False) (\S+)$", said, re.MULTILINE)
    assert [name for name, *_ in told] == [
        *workloads.NAMES, "deep_mlp/16x64-batch", "cartpole/reinforce",
    ]  # fmt: skip
    for name, reason, evaluations, same, off in told:
        assert int(evaluations) == 5 and same == "True", (name, reason)
        assert float(off) < 1e-9, name


@pytest.mark.slow
def test_a_row_says_on_how_many_ranks_and_where(spread):
    rows = {row.extra_info["case"]: row for row in store.read(spread)[0]}
    assert not list(spread.glob("checkpoint*"))
    refused = rows.pop("linear_regression-sgd-batch353")
    assert refused.status == record.NOT_MEASURED
    assert refused.extra_info["reason"] == "2 ranks cannot share a batch of 353 evenly"
    assert set(rows) == set(SETTINGS)
    for row in rows.values():
        info = row.extra_info
        assert (row.status, info["world_size"], info["backend"]) == (record.OK, 2, "gloo")
        assert info["host"] == info["hosts"] == socket.gethostname()
        assert 0 < info["communication_share"] < 1
        assert info["shared_device"] is False
        assert info["joules_to_target"] is None and "2 ranks" in info["joules_to_target_reason"]
    benchmarks = json.loads((spread / store.BENCHMARK).read_text())["benchmarks"]
    timed = [row for row in rows.values() if row.samples]  # the others' cores were taken
    assert len(benchmarks) == len(timed)
    untimed = [row.extra_info for row in rows.values() if row not in timed]
    assert all(info["throttled"] and info["throttle_reasons"] for info in untimed)


def child(process, rank):
    """The process id of a rank."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in found:
        if f"\0RANK={rank}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return int(pid)
    raise AssertionError(f"no rank {rank}")


def in_trial(results, number):
    """Whether so many trials are on disk, and a checkpoint of the next one."""
    try:
        (done,), (checkpoint,) = (
            list(results.glob(f"*/*/{name}")) for name in (store.CURVES, "checkpoint.pt")
        )
        newer = checkpoint.stat().st_mtime_ns > done.stat().st_mtime_ns
        return newer and len(done.read_text().splitlines()) == number
    except (ValueError, FileNotFoundError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the ranks in /proc")
def test_ranks_that_are_killed_are_started_again_and_nothing_counts_twice(spread, tmp_path):
    process = torchrun("-m", "harness", "sweep", *TRAINED, "--results", tmp_path, restarts=2)
    for trial, rank in ((1, 1), (4, 0)):  # in the second trial of each
        while process.poll() is None and not in_trial(tmp_path, trial):
            time.sleep(0.01)
        assert process.poll() is None, ended(process)  # it is over before it could be killed
        os.kill(child(process, rank), signal.SIGKILL)
    said = ended(process)
    assert process.returncode == 0, said
    steps = re.findall(r"going on from the checkpoint at step (\d+)", said)
    assert len(steps) == 2 and "0" not in steps, said
    run = only(tmp_path)
    got = curves(run)
    expected = {k: v for k, v in curves(spread).items() if v.setting in SETTINGS}
    assert got.keys() == expected.keys()
    for key, curve in got.items():
        assert [(p.steps, p.samples, p.flops, p.loss, p.metric) for p in curve.points] == [
            (p.steps, p.samples, p.flops, p.loss, p.metric) for p in expected[key].points
        ]
        seconds = [point.seconds for point in curve.points]
        assert seconds == sorted(seconds)
    rows, _ = store.read(run)
    assert {row.extra_info["case"] for row in rows} == set(SETTINGS)
    assert len((run / store.ROWS).read_text().splitlines()) == 2
    assert not list(run.glob("checkpoint*"))


ERRORS = """
import sys
from harness import ranks, training
from tests.harness.test_training import parabola, trial

alone = sys.argv[1] == "alone"
if alone:
    ranks.GRACE_S = 0.5
team = ranks.Ranks("cpu")
whole = parabola()
asked = 0

def loss(model, batch):
    global asked
    asked += 1
    if asked > 5 and not (alone and team.rank == 0):
        raise ValueError("as bad as can be")
    return whole.loss(model, batch)

def show(curve):
    if team.rank == 0:
        print(curve.status, curve.reason, len(curve.points), flush=True)

show(training.run(trial(), parabola(loss=loss), team=team))
show(training.run(trial(), whole, team=team))
if team.rank == 0:
    def metric(model, batch):
        raise KeyError("rank 0 evaluates")
    whole = parabola(metric=metric)
show(training.run(trial(), whole, team=team))
team.leave()
"""


@pytest.mark.slow
def test_what_goes_wrong_in_all_ranks_ends_that_trial_and_no_other(tmp_path):
    script = tmp_path / "errors.py"
    script.write_text(ERRORS)
    process = torchrun(script, "together")
    said = ended(process)
    assert process.returncode == 0, said
    told = re.findall(r"^(failed|reached) (.*)$", said, re.MULTILINE)
    assert told[0][0] == "failed" and told[0][1].startswith("ValueError: as bad as can be")
    assert told[1] == ("reached", "None 23")
    assert told[2][0] == "failed" and told[2][1].startswith("KeyError: 'rank 0 evaluates'")


@pytest.mark.slow
def test_a_rank_that_goes_wrong_alone_does_not_keep_the_others_waiting(tmp_path):
    script = tmp_path / "errors.py"
    script.write_text(ERRORS)
    process = torchrun(script, "alone")
    said = ended(process)
    assert process.returncode != 0
    assert last_line(said) == "traceback : rank 1 of 2: as bad as can be"
    assert not re.search(r"^(failed|reached)", said, re.MULTILINE), said
