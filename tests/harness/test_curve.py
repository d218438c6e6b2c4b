"""What a curve says of the target, and that a file cannot make it say otherwise."""

import dataclasses
import json
import math

import pytest

from harness import curve as curves
from harness.curve import CENSORED, CURRENCIES, DIVERGED, REACHED, Curve, Point, Trial

TRIAL = Trial("mlp_classification", "adam", 32, 0.003, 0)


def point(steps, metric, **more):
    values = {
        **{"steps": steps, "samples": 32 * steps, "flops": 1e6 * steps, "seconds": 0.01 * steps},
        **{"seconds_inclusive": 0.02 * steps, "joules": None, "loss": 1.0, "metric": metric},
    }
    return Point(**values | more)


def curve(points, status=REACHED, lower=True, target=0.5, **more):
    reason = None if status == REACHED else "it says why"
    return Curve(
        TRIAL, "loss", target, lower, status, reason, tuple(points), "a CPU", 1,
        {"joules": "no counter"}, **more,
    )  # fmt: skip


def test_the_crossing_is_interpolated_in_every_currency():
    c = curve([point(0, 2.0), point(100, 1.0), point(110, 0.0)])
    assert c.to_target("steps") == pytest.approx(105)
    assert c.to_target("samples") == pytest.approx(32 * 105)
    assert c.to_target("flops") == pytest.approx(105e6)
    assert c.to_target("seconds") == pytest.approx(1.05)
    assert c.to_target("joules") is None


def test_a_metric_that_should_rise_is_interpolated_too():
    c = curve([point(0, 0.0), point(10, 0.4), point(20, 0.6)], lower=False)
    assert c.to_target("steps") == pytest.approx(15)


def test_the_first_crossing_counts_whatever_comes_after():
    c = curve([point(0, 1.0), point(10, 0.0), point(20, 1.0), point(30, 0.0)])
    assert c.to_target("steps") == pytest.approx(5)


def test_a_target_met_from_the_start_took_nothing():
    assert curve([point(0, 0.1)]).to_target("steps") == 0


@pytest.mark.parametrize("status", [CENSORED, DIVERGED, curves.FAILED])
def test_what_did_not_get_there_took_for_ever(status):
    c = curve([point(0, 2.0), point(9, 1.0)], status)
    assert {c.to_target(currency) for currency in CURRENCIES} == {math.inf}
    assert c.spent("steps") == 9 and c.spent("joules") is None


def test_an_unknown_currency_is_refused():
    with pytest.raises(ValueError, match="unknown currency 'euro': one of steps, samples"):
        curve([point(0, 2.0)]).to_target("euro")


def test_a_curve_comes_back_from_its_line():
    c = curve([point(0, 2.0), point(9, None, loss=None)], DIVERGED, generated="line\n\u2588<b>")
    line = curves.encode(c)
    assert "\n" not in line and curves.decode(line) == c


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "not a curve of this version"),
        ({"status": "won"}, "status 'won' is none of"),
        ({"target": "low"}, "target is 'low'"),
        ({"target": True}, "target is 'True'"),
        ({"points": [[0, 0]]}, "not a curve"),
        ({"points": [["a", 0, 0, 0, 0, 0, 0, 0]]}, "steps is 'a'"),
        ({"trial": {"workload": "x"}}, "not a curve"),
        ({"trial": dataclasses.asdict(TRIAL) | {"device": []}}, r"device is '\[\]'"),
        ({"points": [[0, 0, 0, 0, 0, 0, 0, 9.0]]}, "no evaluation met the target"),
        ({"surprise": 1}, "not a curve"),
        ({"points": [[10**400, 0, 0, 0, 0, 0, 0, 0]]}, "steps is '1000"),
    ],
)
def test_a_foreign_line_is_refused_in_one_line(change, message):
    raw = json.loads(curves.encode(curve([point(0, 2.0), point(9, 0.1)])))
    with pytest.raises(ValueError, match=message) as caught:
        curves.decode(json.dumps(raw | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["", "[]", "{", '{"schema": NaN}', "[" * 10000])
def test_what_is_no_curve_at_all_is_refused(line):
    with pytest.raises(ValueError):
        curves.decode(line)


def test_every_field_is_checked():
    assert {f.name for f in dataclasses.fields(Point)} == set(curves._POINT)
    assert {f.name for f in dataclasses.fields(Trial)} == set(curves._TRIAL)
    checked = {"trial", "points", *curves._CURVE}
    assert {f.name for f in dataclasses.fields(Curve)} == checked


@pytest.mark.parametrize("left_out", ["trial", "points", "metric", "status"])
def test_a_curve_without_a_part_is_none(left_out):
    raw = json.loads(curves.encode(curve([point(0, 0.1)])))
    del raw[left_out]
    with pytest.raises(ValueError, match="not a curve"):
        curves.decode(json.dumps(raw))
