"""Settings: tuned on a grid, trained from fresh seeds, each trial on disk, nothing run twice."""

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import convergence, store, training, trials
from harness.convergence import Setting
from harness.curve import CENSORED, DIVERGED, FINAL, REACHED, TUNING, Curve, Point

ROOT = Path(__file__).parents[2]
BOTH = ("quick", "full")
TUNED = Setting("mlp_classification", "sgd", 32, 0.5, tuned=BOTH)


def ended(trial, steps, limit, status=None):
    """A made-up curve that reaches its target after `steps`, if it may go so far."""
    status = status or (REACHED if steps <= limit else CENSORED)
    last = min(steps, limit)
    points = [
        Point(n, 32 * n, 1e6 * n, 0.01 * n, 0.02 * n, None, 1.0, metric)
        for n, metric in ((0, 1.0), (last, 0.05 if status == REACHED else 0.9))
    ]
    reason = None if status == REACHED else f"not reached in {last} steps"
    why = {"joules": "made up"}
    return Curve(trial, "loss", 0.1, True, status, reason, tuple(points), "SYNTHETIC", 1, why)


@pytest.fixture
def ran(monkeypatch):
    """Trials that take no time: best at the rate `best`, twice the steps for each factor of 2."""
    seen = []

    def install(best=0.5, steps=100, seeds=lambda seed: None):
        def run(trial, workload=None, *, max_steps, show):
            seen.append((trial, max_steps, show))
            away = abs(math.log2(trial.learning_rate / best))
            return ended(trial, round(steps * 2**away), max_steps, seeds(trial.seed))

        monkeypatch.setattr(training, "run", run)
        return seen

    return install


def runner(kept=None, **more):
    return trials.Runner("quick", {}, [].append if kept is None else kept.append, **more)


def test_the_best_rate_is_chosen_and_run_from_fresh_seeds(ran):
    ran(best=1.0)
    kept = []
    outcome = runner(kept).run(TUNED, "cpu")
    assert [c.trial.learning_rate for c in outcome.finals] == [1.0] * 3
    assert [c.trial.seed for c in outcome.finals] == [0, 1, 2]
    assert {c.trial.learning_rate for c in outcome.tuning} == {0.125, 0.25, 0.5, 1.0, 2.0}
    assert not {c.trial.seed for c in outcome.tuning} & {0, 1, 2}
    assert not outcome.edge
    assert [c.role for c in kept] == [TUNING] * 5 + [FINAL] * 3
    assert {c.setting for c in kept} == {TUNED.name}


def test_a_rate_far_behind_the_best_is_cut_short(ran):
    seen = ran(best=0.5)
    runner().run(TUNED, "cpu")
    limits = {t.learning_rate: limit for t, limit, _ in seen if t.seed >= 1000}
    assert limits[0.5] > 1000 and limits[0.125] == math.ceil(4 * 100 * 0.9 / 0.95)


@pytest.mark.parametrize(("best", "edge"), [(8.0, False), (64.0, True), (2**-6, True)])
def test_an_optimum_on_the_edge_is_followed_and_then_flagged(ran, best, edge):
    ran(best=best, steps=10)
    outcome = runner().run(TUNED, "cpu")
    assert outcome.edge is edge
    assert len(outcome.tuning) == 5 + convergence.EXTENSIONS


def test_where_no_rate_gets_there_the_result_is_censored(ran):
    ran(steps=10**9)
    outcome = runner().run(TUNED, "cpu")
    assert len(outcome.tuning) == 5
    fields = trials.row_fields(TUNED, outcome, "cpu", "a CPU", "quick", "")
    assert (fields["status"], fields["reached"], fields["n"]) == (CENSORED, 0, 3)
    assert fields["median_s"] is None and "did not reach" in fields["median_s_reason"]
    assert fields["reason"] == "0 of 3 seeds reached the target; not reached in 1350 steps"
    assert trials.samples(outcome) == ()


def test_a_setting_that_is_not_tuned_has_its_own_rate(ran):
    seen = ran()
    outcome = runner().run(dataclasses.replace(TUNED, tuned=()), "cpu")
    assert outcome.tuning == [] and len(seen) == 3
    fields = trials.row_fields(TUNED, outcome, "cpu", "a CPU", "quick", "")
    assert (fields["status"], fields["reached"], fields["learning_rate"]) == ("ok", 3, 0.5)
    # the crossing at 0.1, between 1.0 and 0.05
    assert fields["steps_to_target"] == pytest.approx(100 * 0.9 / 0.95)
    assert fields["flops_to_target"] == pytest.approx(1e6 * fields["steps_to_target"])
    assert fields["joules_to_target"] is None and fields["joules_to_target_reason"] == "made up"
    assert len(trials.samples(outcome)) == 3


def test_seeds_that_failed_count_and_their_mean_is_not_of_the_others(ran):
    ran(seeds=lambda seed: DIVERGED if seed == 1 else None)
    outcome = runner().run(dataclasses.replace(TUNED, tuned=()), "cpu")
    fields = trials.row_fields(TUNED, outcome, "cpu", "a CPU", "quick", "")
    assert (fields["status"], fields["reached"]) == (DIVERGED, 2)
    assert fields["steps_to_target"] is not None  # the median of three, one of them infinite
    assert trials.samples(outcome) == ()


def test_only_the_first_fresh_seed_is_asked_what_it_makes(ran):
    seen = ran()
    runner().run(TUNED, "cpu")
    assert [t.seed for t, _, show in seen if show] == [0]


def test_what_is_on_disk_is_not_run_again(ran):
    seen = ran()
    kept = []
    whole = runner(kept).run(TUNED, "cpu")
    seen.clear()
    half = {trials.key(curve): curve for curve in kept[:4]}
    again = trials.Runner("quick", half, kept.append).run(TUNED, "cpu")
    assert again == whole and len(seen) == 4  # of the eight


def test_a_budget_that_is_spent_stops_before_a_trial(ran):
    ran()
    with pytest.raises(trials.OutOfBudget):
        runner(deadline=time.perf_counter() - 1).run(TUNED, "cpu")


def test_every_setting_can_be_trained_and_has_one_name():
    found = convergence.settings()
    assert len({setting.name for setting in found}) == len(found)
    import workloads
    from workloads import optimizers

    for setting in found:
        assert setting.optimizer in optimizers.NAMES
        assert setting.batch <= len(workloads.load(setting.workload).data().train)
    quick = {setting.workload for setting in found if "quick" in setting.presets}
    assert set(workloads.NAMES) <= quick


COMMAND = (
    *(sys.executable, "-m", "pytest", "--benchmark-only", "--devices=cpu", "-q"),
    *("-k", "convergence and linear_regression and (momentum or nesterov or newton)"),
)


def go(results, *more, until=None):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*COMMAND, f"--results={results}", *more],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while until and process.poll() is None:
        found = list(Path(results).glob("*/*/curves.jsonl"))
        if found and len(found[0].read_text().splitlines()) >= until:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    said, _ = process.communicate()
    (run,) = Path(results).glob("*/*/")
    return run, said


def table(run):
    """All that a study is made of, but for the seconds."""
    rows, _ = store.read(run)
    curves, _ = store.read_curves(run)
    assert len({trials.key(c) for c in curves}) == len(curves)
    steps = {
        trials.key(c): [(p.steps, p.samples, p.flops, p.loss, p.metric) for p in c.points]
        for c in curves
    }
    keys = ("status", "reached", "n", "learning_rate", "steps_to_target", "flops_to_target")
    return {row.id: [row.extra_info[key] for key in keys] for row in rows}, steps


@pytest.fixture
def disturbed(monkeypatch):
    """Trials in which others had the cores for the shares that a test says; those left over."""

    def install(shares):
        left = iter(shares)

        def run(trial, workload=None, *, max_steps, show):
            return dataclasses.replace(ended(trial, 10, max_steps), waited_share=next(left))

        monkeypatch.setattr(training, "run", run)
        return left

    return install


@pytest.mark.parametrize(
    ("shares", "again_until", "counts"),
    [
        ([0.5, 0.0], math.inf, 2),
        ([0.0, 0.5], math.inf, 1),  # what was left alone is not run again, however long it took
        ([0.5, 0.5, 0.0, 0.0], math.inf, 3),
        ([0.5, 0.4, 0.3, 0.0], math.inf, 3),  # the last, and its time is none
        ([0.5, 0.0], 0.0, 1),  # a budget that is spent
    ],
)
def test_a_trial_is_run_again_where_others_had_the_cores(disturbed, shares, again_until, counts):
    left = disturbed(shares)
    job = trials.Job(trials.Trial("neuron", "sgd", 32, 0.1, 0), 50, False, None, again_until)
    ((_, found),) = trials.here([job])
    assert (found.attempt, found.waited_share) == (counts, shares[counts - 1])
    assert len(list(left)) == len(shares) - counts


def test_only_results_are_run_again_and_none_where_one_is_lost(disturbed):
    seen = []
    disturbed(seen.append(1) or 0.5 for _ in range(1000))
    outcome = trials.Runner("full", {}, lambda curve: None).run(TUNED, "cpu")
    assert [c.attempt for c in outcome.finals] == [trials.ATTEMPTS, 1, 1, 1, 1]
    assert {c.attempt for c in outcome.tuning} == {1}
    assert len(seen) == len(outcome.tuning) + trials.ATTEMPTS + 4
    assert all(c.to_target("seconds") is None for c in outcome.finals)


@pytest.mark.slow
def test_a_study_killed_half_way_and_resumed_has_the_same_table(tmp_path):
    whole, _ = go(tmp_path / "whole")
    _, expected = table(whole)
    killed, _ = go(tmp_path / "killed", until=len(expected) // 2)
    _, half = table(killed)
    assert 0 < len(half) < len(expected)
    resumed, said = go(tmp_path / "killed", f"--resume={killed}")
    assert resumed == killed, said
    assert table(resumed) == table(whole)
