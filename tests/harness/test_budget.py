"""A budget is shared, so that nothing waits for ever behind what there is most of."""

import math
import time
from types import SimpleNamespace

import pytest

import kernels
from harness import benchmarks, budget, closing, order
from harness import session as session_of
from harness.budget import COMPARE, CONVERGE, PROBE
from harness.case import Result
from harness.session import Member, Session
from harness.timing import MODES
from tests.harness.make_rows import row


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


def test_what_is_meant_for_a_device_alone_comes_first_there():
    """The first cases of a kernel are small enough for a CPU, and tell the least of a GPU."""
    made = [
        Member(n, n, f"{function}[{n}]", "", "cuda", MODES[0], {}, True, COMPARE, native)
        for n, function, native in [
            ("small-1", "kernels", False), ("small-2", "kernels", False), ("net", "models", False),
            ("large-1", "kernels", True), ("large-2", "kernels", True),
        ]
    ]  # fmt: skip
    turns = order.ranks(made, shared=True)
    first = [m.id for m in sorted(made, key=lambda m: turns[m.group])]
    assert first == ["large-1", "net", "large-2", "small-1", "small-2"]


@pytest.mark.parametrize(
    ("meant", "native"), [((), False), (("cpu", "cuda"), False), (("cuda",), True)]
)
def test_a_benchmark_knows_whether_it_is_meant_for_its_device_alone(meant, native):
    marks = {"devices": [SimpleNamespace(args=meant)] if meant else []}
    item = SimpleNamespace(
        callspec=SimpleNamespace(params={"bench_device": "cuda", "provider": "mine"}),
        fixturenames=["compare"], nodeid="f[cuda]", name="f[cuda]",
        iter_markers=lambda name: marks.get(name, []),
    )  # fmt: skip
    assert order.member(item, "quick").native is native


def test_rows_of_what_was_left_out_go_to_disk_with_the_next_that_was_measured():
    """Each waited for by itself, thousands of them would last for a minute after the budget."""
    session = Session.__new__(Session)
    puts: list[list[str]] = []
    session.rows, session._waiting = {}, []
    session.folder = SimpleNamespace(
        put=lambda rows: puts.append([r.id for r in rows]), finish=lambda: {"ok": 1}
    )

    def keep(name, **how):
        member = Member(name, name, name, "", "cpu", "host", {}, True)
        session._keep([member], {name: Result(row(**how).extra_info)}, name)

    keep("left out 1", median=None, status="not_measured", reason="budget: spent")
    keep("left out 2", median=None, status="not_measured", reason="budget: spent")
    assert puts == [] and set(session.rows) == {"left out 1", "left out 2"}
    keep("measured", median=1e-3)
    assert puts == [["left out 1", "left out 2", "measured"]]
    keep("left out 3", median=None, status="not_measured", reason="budget: spent")
    assert session.finish() == {"ok": 1} and puts[1:] == [["left out 3"]]


def test_a_gpu_that_a_kernel_brought_down_is_asked_no_more(monkeypatch):
    """What would fail on it is left for --resume, which does not measure what failed again."""
    session = Session.__new__(Session)
    session.gpu_usable, session.options = True, SimpleNamespace(preset="quick")
    lost = (False, "CUDA fails: CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(session_of.environment, "probe_gpu", lambda: lost)
    member = Member("m", "m", "m", "", "cuda", "host", {}, True)
    session._look_again([row(1e-3, device="cuda"), row(None, device="cpu", status="failed")])
    assert session.gpu_usable
    session._look_again([row(1e-3, device="cuda"), row(None, device="cuda", status="failed")])
    assert session._why_not(member, session.gpu_usable) == f"no CUDA device: {lost[1]}"
    assert session.gpu_lost


@pytest.mark.parametrize("lost", [True, False])
def test_the_last_words_say_whether_a_gpu_was_lost_or_never_there(lost):
    reasons = ["no CUDA device: why", "triton brought the GPU down: go on", "preset: quick"]
    rows = {why: row(None, device="cuda", status="not_measured", reason=why) for why in reasons}
    run = SimpleNamespace(run="RUN", rows=rows, problems=[], members={}, probed={}, gpu_lost=lost)
    run.options, run.gpu_usable, run.gpu_reason = SimpleNamespace(devices=("cuda",)), False, "why"
    told = [*closing.lines(run, {}, ["--resume", "last", "-k", "x"])]
    again = "2 rows are missing (the GPU was brought down); go on with: pytest -k x --resume=RUN"
    assert (again in told) is lost
    assert f"cuda {'was brought down' if lost else 'was asked for, and there is none'}: why" in told


@pytest.mark.parametrize(("budget_s", "left_out"), [(480.0, True), (None, False)])
def test_what_takes_minutes_to_start_is_not_started_under_a_budget(budget_s, left_out):
    session = Session.__new__(Session)
    session.options = SimpleNamespace(preset="full", budget_s=budget_s)
    session.start, session._ends = time.perf_counter(), {COMPARE: 480.0}
    tuned = Member("m", "m", "m", "", "cuda", "host", {}, True, unhurried=True)
    why = session._why_not(tuned, True)
    assert why.startswith("it takes minutes to start") if left_out else why == ""


def test_of_our_kernels_providers_only_those_that_tune_are_unhurried():
    test = benchmarks.kernels([kernels.load("matmul")])
    (cases,) = [mark.args[1] for mark in test.pytestmark if mark.name == "parametrize"]
    marked = {c.values[2] for c in cases if any(mark.name == "unhurried" for mark in c.marks)}
    assert marked == {"torch.compile max-autotune"}
    item = SimpleNamespace(
        callspec=SimpleNamespace(params={"bench_device": "cuda", "provider": "mine"}),
        fixturenames=["compare"], nodeid="f[cuda]", name="f[cuda]",
        iter_markers=lambda name: [SimpleNamespace(args=())] if name == "unhurried" else [],
    )  # fmt: skip
    assert order.member(item, "full").unhurried


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
    session.start = time.perf_counter() - 1000  # not 0: the clock may have begun a minute ago
    session.progress, session.gpu_usable, session.probed = None, False, {}
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
