"""Trials that ran beside others: their steps count, and their seconds and joules are no times."""

import dataclasses
import math
import re
import types

import pytest

from harness import fixtures, record, store, studies, trials
from harness.convergence import Setting
from harness.curve import CURRENCIES, OF_DEVICE, SHARED, decode, encode
from harness.record import Row
from harness.report.plots import currencies, learning_rates, profile, survival, time_to_target
from harness.report.trials import points
from harness.report.trials import trials as table_of
from harness.studies.compare import Side, duel
from harness.studies.spec import Evidence
from tests.harness.make_curves import NO_COUNTER, curve, setting
from tests.harness.report_page import page

WHAT = {"workload": "mlp_classification", "optimizer": "sgd"}
STEPS = [currency for currency in CURRENCIES if currency not in OF_DEVICE]


def on(host, shared, curves):
    return [dataclasses.replace(c, host=host, hosts=host, shared_device=shared) for c in curves]


def batches(shared, host="one"):
    return on(host, shared, [c for b in (2, 32, 512) for c in setting(**WHAT, batch=b)])


def outcome(curves):
    return trials.Outcome([c for c in curves if c.role == "final"], [], False)


def fields(curves):
    known = Setting(**WHAT, batch=32, learning_rate=0.4)
    return trials.row_fields(known, outcome(curves), "cpu", "unknown", "quick", "")


def test_seconds_and_joules_of_a_shared_device_are_not_known_and_all_else_is():
    alone = curve(device="cuda")
    beside = decode(encode(dataclasses.replace(alone, shared_device=True)))
    for currency in STEPS:
        assert beside.to_target(currency) == alone.to_target(currency)
        assert beside.spent(currency) == alone.spent(currency)
        assert beside.why_unknown(currency) is None
    for currency in OF_DEVICE:
        assert alone.to_target(currency) > 0 and alone.why_unknown(currency) is None
        assert beside.to_target(currency) is None and beside.spent(currency) is None
        assert beside.why_unknown(currency) == SHARED
    short = curve(limit=3, shared_device=True)  # nor is a time infinite
    assert short.to_target("seconds") is None and short.to_target("steps") == math.inf


def test_the_row_of_a_shared_device_has_no_time_and_says_why(tmp_path):
    curves = on("one", True, setting(**WHAT, batch=32))
    found = fields(curves)
    assert found["status"] == record.OK and found["shared_device"] is True
    assert (found["median_s"], found["median_s_reason"]) == (None, SHARED)
    assert found["joules_to_target_reason"] == NO_COUNTER and found["host"] == "one"
    assert found["steps_to_target"] == fields(on("one", False, curves))["steps_to_target"]
    assert trials.samples(outcome(curves)) == ()
    row = Row("id", "group", "name", {}, found, ())
    assert record.decode(record.encode(row)) == row
    store.write_benchmark_json(tmp_path, {}, [row])
    assert '"benchmarks": []' in (tmp_path / store.BENCHMARK).read_text()


def test_pytest_goes_on_with_such_a_row_and_skips_what_it_cannot_time():
    row = Row("id", "group", "name", {}, fields(on("one", True, setting(**WHAT, batch=32))), ())
    stash = {fixtures.SESSION: None, fixtures.MEMBER: None}
    config = types.SimpleNamespace(stash=stash, pluginmanager=pytest.PytestPluginManager())
    request = types.SimpleNamespace(config=config, node=types.SimpleNamespace(stash=stash))
    with pytest.raises(pytest.skip.Exception, match=f"ok, and no time: {SHARED}"):
        fixtures._hand_in(request, None, lambda session, member: row)


def test_seeds_of_several_hosts_have_no_common_time():
    curves = setting(**WHAT, batch=32)
    parted = [*on("one", False, curves[:-1]), *on("two", False, curves[-1:])]
    found = fields(parted)
    assert (found["host"], found["hosts"]) == (None, "one,two")
    assert (found["median_s"], found["median_s_reason"]) == (None, trials.SEVERAL_HOSTS)
    assert found["steps_to_target"] is not None and trials.samples(outcome(parted)) == ()
    assert len(trials.samples(outcome(on("one", False, curves)))) == 3


def test_the_row_names_the_processors_and_threads_of_its_trials():
    found = fields(on("one", False, setting(**WHAT, batch=32, device_name="SYNTHETIC", threads=7)))
    assert (found["device_name"], found["threads"]) == ("SYNTHETIC", 7)


def sides():
    return Side("a", **WHAT, batch=2), Side("b", **WHAT, batch=32)


def test_no_verdict_on_time_stands_on_a_shared_device():
    for shared in (False, True):
        evidence = Evidence(curves=batches(shared))
        assert (duel(evidence, *sides(), "seconds") is None) is shared
        assert duel(evidence, *sides(), "steps") is not None
        verdict = studies.load("minibatch_progress").judge(Evidence(curves=batches(shared)))
        assert verdict.n and bool(re.search(r"\d m?s\b", verdict.words)) is not shared
        assert (f"No seconds of batch 512: {SHARED}." in verdict.words) is shared


def test_times_are_paired_within_a_host_only():
    curves = batches(False)
    moved = [
        dataclasses.replace(c, host="two") if c.trial.batch == 32 and c.trial.seed == 0 else c
        for c in curves
    ]
    evidence = Evidence(curves=moved)
    assert duel(evidence, *sides(), "seconds").n == 2 and duel(evidence, *sides(), "steps").n == 3


@pytest.mark.parametrize("plot", [time_to_target, survival])
def test_no_figure_of_time_is_drawn_of_a_shared_device(plot):
    assert plot.parts(table_of(batches(False)))
    assert not plot.parts(table_of(batches(True)))
    assert plot.absent(table_of(batches(True)))


def test_the_other_figures_say_why_they_have_no_seconds():
    curves = [*batches(True), *on("one", True, setting("mlp_classification", "adam", 32))]
    table = table_of(curves)
    evaluated = points(curves, table)
    # once, as it is so in all of its figures
    assert f"Without seconds: {SHARED}." in currencies.absent(evaluated)
    assert all(SHARED not in currencies.caption(p.frame) for p in currencies.parts(evaluated))
    assert f"No profile of seconds on CPU: {SHARED}." in profile.absent(table)
    (part,) = learning_rates.parts(table)
    assert f"in all; no seconds: {SHARED}." in learning_rates.caption(part.frame)


def test_a_report_of_them_is_written(tmp_path):
    curves = batches(True)
    row = Row("id", "group", "name", {}, fields([c for c in curves if c.trial.batch == 32]), ())
    shown = page(tmp_path, [row], curves=curves)
    assert "1 row of trials that shared their device" in shown.html
