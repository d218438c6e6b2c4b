"""What training took is read around training alone, and says whether others had the cores."""

import contextlib
import dataclasses
import json
from types import SimpleNamespace

import pytest

from harness import contention, energy, meter, noise, record, training, trials
from harness.contention import BUSY
from harness.convergence import Setting
from harness.curve import CURRENCIES, OF_DEVICE, SHARED, decode, encode
from harness.energy import Counter, Unavailable
from harness.meter import metering
from harness.report.frame import frame
from harness.studies.compare import Side, duel
from harness.studies.spec import Evidence
from tests.harness.make_curves import curve, setting
from tests.harness.make_rows import row
from tests.harness.test_checkpoint import Kept, Killed
from tests.harness.test_training import parabola, trial

WHAT = {"workload": "mlp_classification", "optimizer": "sgd"}
BUSY_CORES = {"waited_share": 3 * BUSY, "stolen_share": 0.0}


@pytest.fixture
def machine(monkeypatch):
    """A machine whose time, joules and waiting are what a test makes them."""
    now = SimpleNamespace(at=0.0, joules=100.0, waited_s=5.0, waiting=0.25)

    def shares(before, after):
        return (after.waited_s - before.waited_s) / (after.at - before.at), None

    @contextlib.contextmanager
    def counter(device):
        yield Counter("made up", lambda: now.joules)

    monkeypatch.setattr(contention, "read", lambda: SimpleNamespace(**vars(now)))
    monkeypatch.setattr(contention, "shares", shares)
    monkeypatch.setattr(energy, "counter", counter)
    clock = SimpleNamespace(perf_counter=lambda: now.at)
    monkeypatch.setattr(meter, "time", clock)
    monkeypatch.setattr(training, "time", clock)
    return now


def costly(machine):
    """A parabola whose steps cost 1 s and 2 J, and whose evaluations 10 s, 50 J and waiting."""

    def loss(model, batch):
        machine.at, machine.joules = machine.at + 1.0, machine.joules + 2.0
        machine.waited_s += machine.waiting
        return model(batch.x).square().mean()

    def metric(model, batch):
        machine.at, machine.joules = machine.at + 10.0, machine.joules + 50.0
        machine.waited_s += 10.0
        return model.weight.detach().abs().sum()

    return parabola(loss=loss, metric=metric)


def test_seconds_joules_and_waiting_are_those_of_training_alone(machine):
    found = training.run(trial(), costly(machine), max_steps=5)
    assert [p.steps for p in found.points] == [0, 1, 2, 3, 4, 5]
    assert [p.seconds for p in found.points] == [0, 1, 2, 3, 4, 5]
    assert [p.joules for p in found.points] == [0, 2, 4, 6, 8, 10]
    assert found.points[-1].seconds_inclusive > 50
    assert (found.waited_share, found.stolen_share) == (0.25, None)
    assert training.run(trial(), costly(machine), budget_s=2.5).points[-1].steps == 3


def test_a_trial_that_goes_on_has_the_sums_of_both_parts(machine, tmp_path):
    def look(point):
        if point.steps == 3:
            raise Killed

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        training.run(trial(), costly(machine), max_steps=5, on_point=look, team=Kept(path))
    machine.joules, machine.waited_s = 0.0, 0.0  # as after a restart
    machine.waiting = 0.5
    found = training.run(trial(), costly(machine), max_steps=5, team=Kept(path))
    assert [(p.seconds, p.joules) for p in found.points] == [(s, 2 * s) for s in range(6)]
    assert found.waited_share == (2 * 0.25 + 3 * 0.5) / 5


def test_a_counter_that_fails_on_the_way_leaves_the_trial_and_no_joules(monkeypatch):
    left = [1.0, 2.0, 3.0]

    def read_j():
        if not left:
            raise Unavailable("it went away")
        return left.pop(0)

    monkeypatch.setattr(energy, "counter", lambda device: contextlib.nullcontext(
        Counter("made up", read_j)))  # fmt: skip
    found = training.run(trial(), parabola(), max_steps=5)
    assert found.status == "censored" and found.why["joules"] == "it went away"
    assert found.points[-1].joules is None and found.points[-1].seconds > 0


def test_what_is_known_not_to_be_counted_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(energy, "counter", None)
    with metering("cpu", {"joules": "of several ranks"}) as of:
        with of:
            pass
        assert of.joules is None


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ({"waited_share": BUSY / 2, "stolen_share": BUSY / 2}, None),
        ({}, None),  # of before they were recorded, or where the system does not tell
        (BUSY_CORES, "contended: a thread waited 6% of the time for a core"),
        ({"stolen_share": 0.3}, "the hypervisor gave the cores to others 30% of the time"),
        (BUSY_CORES | {"shared_device": True}, SHARED),
    ],
)
def test_seconds_and_joules_are_no_timing_where_others_had_the_cores(shares, reason):
    quiet = curve(device="cuda")  # the made-up curves' one that knows its joules
    found = decode(encode(dataclasses.replace(quiet, **shares)))
    for currency in CURRENCIES:
        known = reason is None or currency not in OF_DEVICE
        assert found.to_target(currency) == (quiet.to_target(currency) if known else None)
        assert found.spent(currency) == (quiet.spent(currency) if known else None)
        assert found.why_unknown(currency) == (None if known else reason)
    assert (found.measured() == quiet.points) is (reason is None)


def test_a_curve_of_before_is_read():
    line = json.loads(encode(curve()))
    del line["waited_share"], line["stolen_share"], line["attempt"]
    assert decode(json.dumps(line)) == curve()
    for wrong in ("no", True, 10**400):
        with pytest.raises(ValueError, match="waited_share is"):
            decode(json.dumps(line | {"waited_share": wrong}))


def test_no_row_and_no_verdict_stand_on_contended_seconds():
    finals = [c for c in setting(**WHAT, batch=32) if c.role == "final"]
    loud = [*finals[:-1], dataclasses.replace(finals[-1], **BUSY_CORES)]
    outcome = trials.Outcome(loud, [], False)
    known = Setting(**WHAT, batch=32, learning_rate=0.4)
    info = trials.row_fields(known, outcome, "cpu", "a CPU", "quick", "")
    assert info["status"] == record.OK and info["steps_to_target"] is not None
    assert info["median_s"] is None and info["median_s_reason"].startswith("contended")
    assert (info["throttled"], info["waited_share"]) == (True, 3 * BUSY)
    assert trials.samples(outcome) == ()
    sides = Side("a", **WHAT, batch=2), Side("b", **WHAT, batch=32)
    for others, known in ((finals, True), (loud, False)):
        evidence = Evidence(curves=[*setting(**WHAT, batch=2), *others])
        assert (duel(evidence, *sides, "seconds") is not None) is known
        assert duel(evidence, *sides, "steps") is not None


def test_seconds_of_settings_trained_minutes_apart_have_a_floor_of_their_own():
    evidence = Evidence(curves=[*setting(**WHAT, batch=2), *setting(**WHAT, batch=32)])
    sides = Side("a", **WHAT, batch=2), Side("b", **WHAT, batch=32)
    assert duel(evidence, *sides, "seconds").floor == noise.APART
    rows = frame([row(speedup=1.001, kind="aa", mode="host", provider="torch (again)")])
    quiet = Evidence(rows, evidence.curves)
    assert duel(quiet, *sides, "seconds").floor == noise.APART
    assert duel(quiet, *sides, "steps").floor == 0.0
