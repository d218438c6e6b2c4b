"""Threats to validity: each where there is ground for it, with its figure, and nowhere else."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from typing import Any

import pytest

import workloads
from harness.curve import FINAL
from harness.report import threats_of_trials
from harness.report.frame import frame
from harness.report.runs import Run
from harness.report.threats import THREATS, Grounds, threats
from harness.report.threats_of_trials import TRAINED_ON
from harness.studies.spec import Evidence
from tests.harness.make_curves import curve, setting
from tests.harness.make_rows import row
from tests.harness.make_runs import environment
from tests.harness.report_page import page

module = sys.modules["harness.report.threats"]  # its name in the package is the function's
HOSTILE = "<script>alert(1)</script>"
# of a row and a machine that give no ground for any threat but that there is one run
SOUND: dict[str, Any] = {
    **{"clock_after_hz": 3e9, "energy_j": 0.1, "waited_share": 0.0, "throttled": False},
    **{"correctness_error": 0.0, "correctness_bound": 1.0, "batch": 4},
}
LARGE = {"cpu": {"model": "Large CPU", "usable_cores": 64, "cache_bytes": {"3": 10**8}}}
ONE_RUN = "All of it is of one day, 2026-01-01, in 1 run"


def sound(median=1e-2, **known):
    return row(median, spread=0.001, **(SOUND | known))


def found(rows=None, curves=(), environment=None, runs=None):
    rows = [sound(device="cuda"), sound()] if rows is None else rows
    environment = LARGE if environment is None else environment
    evidence = Evidence(frame(rows), curves, (), environment)
    return threats(Grounds(evidence, runs or [Run("a", rows, environment)]))


def told(*given, **known):
    """The one threat besides that of one run."""
    first, *rest = found(*given, **known)
    assert first.startswith(ONE_RUN)
    (words,) = rest
    return words


def test_a_sound_run_has_the_threat_of_one_run_alone():
    (words,) = found()
    assert words.startswith(ONE_RUN)


def test_runs_of_several_days_may_be_of_two_machines():
    later = replace(sound(), extra_info=sound().extra_info | {"started_at": "2026-02-01T00:00:00"})
    (words,) = found(runs=[Run("a", [sound()], LARGE), Run("b", [later], LARGE)])
    assert words.startswith("That these 2 runs are of one machine is told by the names")


def test_changes_that_no_commit_has():
    dirty = LARGE | {"git": {"commit": "0", "dirty": True}}
    assert told(environment=dirty).startswith("In 1 of 1 run the code had changes")
    assert len(found(environment=environment("a") | LARGE)) == 1


def test_without_a_gpu_the_kernels_that_wait_are_counted():
    missing = [row(None, provider="triton", device="cuda", batch=i) for i in (1, 2, 3)]
    words = told([sound(), *missing])
    assert words.startswith("No GPU was measured, 3 rows of Triton kernels among what is missing")


@pytest.mark.parametrize(("cores", "few"), [(1, True), (4, True), (5, False), (0, False)])
def test_few_cores(cores, few):
    machine = {"cpu": LARGE["cpu"] | {"usable_cores": cores}}
    assert any("that may be used" in words for words in found(environment=machine)) == few


def test_cores_that_others_had():
    taken = sound(waited_share=0.25, throttled=True, throttle_reasons="the hypervisor took them")
    words = [w for w in found([sound(device="cuda"), sound(), taken]) if "had the CPU's" in w]
    assert words == [
        "Others had the CPU's cores: threads waited for one 25.0% of the time at worst, 12.5% in "
        "the middle of 2 rows. 1 row without a verdict for that, most often so: the hypervisor "
        "took them."
    ]


@pytest.mark.parametrize(
    ("field", "what"), [("clock_after_hz", "the clock"), ("energy_j", "the energy")]
)
def test_what_was_not_read_is_told_with_its_reason(field, what):
    rows = [sound(device=device, **{field: None}) for device in ("cpu", "cuda")]
    assert told(rows).startswith(f"None of 2 timed rows has {what} beside it (made up for a test):")


def test_a_cache_larger_than_what_is_overwritten():
    cold = {"mode": "cold", "flush_bytes": 2**20}
    assert "Mode cold overwrites 1.05 MB before each sample, and the largest cache has 100 MB" in (
        told([sound(device="cuda"), sound(**cold)])
    )
    assert len(found([sound(device="cuda"), sound(mode="cold", flush_bytes=10**9)])) == 1


def test_a_noise_floor_that_is_wide_or_assumed():
    compared = {"provider": "triton", "baseline": "torch"}
    pair = row(kind="aa", provider="torch (again)", speedup=1.1, spread=0.001, batch=4)
    rows = [sound(device="cuda"), sound(speedup=1.5, **compared)]
    assert "on CPU in mode warm 2.0 % (assumed: no A/A pair was measured)" in told(rows)
    wide = told([*rows, replace(pair, id="pair")])
    assert "on CPU in mode warm" in wide and "(1 A/A pair)" in wide
    close = row(kind="aa", provider="torch (again)", speedup=1.0001, spread=1e-4, batch=4)
    assert len(found([*rows, replace(close, id="pair")])) == 1


def test_rows_of_low_trust_or_cut_short_or_short():
    rows = [sound(device="cuda"), sound()]
    assert told([*rows, sound(correctness_error=None)]) == (
        "Low trust, or none: 1 of 3 timed rows, most often like this: its correctness was not "
        "checked."
    )
    assert told([*rows, sound(stop_reason="maximum time")]).startswith("In 1 of 3 timed rows samp")
    assert told([*rows, sound(5e-5)]).startswith("In 1 of 3 timed rows an iteration takes less")


def test_data_seeds_and_rates_of_trials():
    alone = [curve("cnn", seed=seed) for seed in range(5)]
    words = found(curves=alone)
    assert words[1].startswith("The data are small, of training samples 1,437 in cnn: what")
    assert words[2].startswith("In 1 of 1 setting the learning rate was not tuned in this run")
    assert len(words) == 3
    tuned = setting("made_up", "sgd", 32, seeds=3)
    assert told(curves=tuned).startswith(
        "Trained from fewer than 5 seeds, too few for an interval of what the target took: 1 of 1 "
    )
    shared = [replace(c, shared_device=True) for c in setting("made_up", "sgd", 32, seeds=5)]
    assert told(curves=shared).startswith(f"{len(shared)} of {len(shared)} trials shared their")
    of_seeds = [c for c in tuned if c.role == FINAL]
    again = [replace(of_seeds[0], attempt=2), *of_seeds[1:]]
    assert any(
        words.startswith("1 of 3 trials were run again, as others had the cores: the first that")
        for words in found(curves=again)
    )


def test_a_best_rate_at_the_edge_of_the_grid_is_told():
    def tuned(subject, edge, **more):
        more = {"tuning_trials": 10} | more
        return sound(kind="convergence", subject=subject, provider="sgd", rate_on_edge=edge, **more)

    inside, beyond = tuned("cnn", False), tuned("rnn", True)
    untuned = tuned("neuron", False, tuning_trials=0)  # and so on no edge, nor off it
    assert not any("learning rate was tuned" in words for words in found([sound(), inside]))
    words = " ".join(found([sound(), inside, beyond, untuned]))
    assert "In 1 of 2 settings whose learning rate was tuned the best is the first or" in words
    assert "(rnn by sgd): one beyond it may be better" in words


def test_sizes_of_data_sets_are_those_of_the_workloads():
    own = {"cartpole"}  # an agent makes its own
    assert set(TRAINED_ON) == set(workloads.NAMES) - own
    for name, size in TRAINED_ON.items():
        assert len(workloads.load(name).data().train) == size, name


def test_no_threat_is_forgotten():
    public = {
        f
        for room in (module, threats_of_trials)
        for name, f in inspect.getmembers(room, inspect.isfunction)
        if name[0] != "_" and f.__module__ == room.__name__
    }
    assert public == {*THREATS, threats}


def test_what_a_file_may_hold_breaks_none(tmp_path):
    for odd in (None, [], 3, HOSTILE, {"cache_bytes": {"3": 10**400}, "usable_cores": True}):
        found(environment={"cpu": odd, "git": odd})
    rows = [row(batch=4, why=HOSTILE, started_at=f"{HOSTILE}")]
    shown = page(tmp_path, rows, {"run_id": HOSTILE})
    assert f"has the energy beside it ({HOSTILE})" in shown.text
    assert shown.count("script") == 1
