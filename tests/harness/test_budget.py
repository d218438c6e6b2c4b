"""A budget is shared, so that nothing waits for ever behind what there is most of."""

import math
from types import SimpleNamespace

import pytest

from harness import budget, order
from harness import session as session_of
from harness.budget import COMPARE, CONVERGE, PROBE
from harness.session import Member, Session
from harness.timing import MODES


def test_each_has_its_share_and_what_those_before_it_left():
    ends = budget.ends(100, {PROBE, COMPARE, CONVERGE})
    assert list(ends) == [CONVERGE, COMPARE, PROBE]
    assert list(ends.values()) == pytest.approx([35, 85, 100])


def test_those_that_are_there_share_what_the_others_would_have_had():
    assert budget.ends(60, {COMPARE}) == {COMPARE: 60}
    found = budget.ends(65, {CONVERGE, PROBE})
    assert found == {CONVERGE: pytest.approx(45.5), PROBE: pytest.approx(65)}
    assert budget.ends(10, set()) == {}


def test_without_a_budget_nothing_ends():
    assert budget.ends(None, {COMPARE, PROBE}) == {COMPARE: math.inf, PROBE: math.inf}


def members():
    made = [
        ("timed-1", MODES[1], COMPARE, True),
        ("timed-2", MODES[1], COMPARE, True),
        ("left-out", MODES[0], COMPARE, False),
        ("probed", MODES[0], PROBE, True),
        ("trained", MODES[0], CONVERGE, True),
    ]
    return [
        Member(n, n, f"f{fixture}[{n}]", "", "cuda", mode, {}, wanted, fixture)
        for n, mode, fixture, wanted in made
    ]


@pytest.mark.parametrize(
    ("shared", "first"),
    [
        (True, ["trained", "timed-1", "timed-2", "probed", "left-out"]),
        (False, ["probed", "trained", "timed-1", "timed-2", "left-out"]),
    ],
)
def test_under_a_budget_it_is_one_fixture_after_the_other_else_mode_by_mode(shared, first):
    turns = order.ranks(members(), shared)
    assert [m.id for m in sorted(members(), key=lambda m: turns[m.group])] == first


def test_a_benchmark_knows_its_fixture():
    item = SimpleNamespace(
        callspec=SimpleNamespace(params={"bench_device": "cpu"}),
        fixturenames=["converge", "benchmark"],
        nodeid="f[cpu]", name="f[cpu]", iter_markers=lambda name: [],
    )  # fmt: skip
    assert order.member(item, "quick").fixture == CONVERGE


def test_a_probe_does_not_outlast_the_budget(monkeypatch):
    session = Session.__new__(Session)
    kept: list[str] = []
    session.start, session.progress, session.gpu_usable, session.probed = 0.0, None, False, {}
    session.options = SimpleNamespace(budget_s=480.0, preset="full")
    session.folder = SimpleNamespace(store=SimpleNamespace(append_finding=kept.append))

    def run(device, preset):
        session._ends = {PROBE: math.inf}
        yield "first"
        session._ends = {PROBE: 480.0}  # long ago
        yield "second"
        yield "third"

    session._ends = {PROBE: math.inf}
    monkeypatch.setattr(session_of.probes, "load", lambda name: SimpleNamespace(run=run))
    member = Member("p", "p", "p", "", "cpu", "host", {}, True, PROBE)
    why = session.probe(member, "noise")
    assert why == "budget: the 480 s were spent after 2 of its findings"
    assert kept == ["first", "second"] and session.probed == {"p": why}
