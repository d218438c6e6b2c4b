"""Others on the cores are seen."""

import os
import subprocess
import sys
import time

import pytest

from harness import contention, fields
from harness.contention import BUSY, Reading, read, shares


def busy(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.skipif(read().waited_s is None, reason="this system tells no waiting times")
def test_processes_that_take_the_cores_show():
    """Two on one core with us: all children have the one that this thread is held to."""
    spin = [sys.executable, "-c", "while True: pass"]
    cores, others = os.sched_getaffinity(0), []
    try:
        os.sched_setaffinity(0, {min(cores)})
        others += [subprocess.Popen(spin), subprocess.Popen(spin)]
        time.sleep(0.2)
        before = read()
        busy(1.0)
        waited, _ = shares(before, read())
    finally:
        os.sched_setaffinity(0, cores)
        for other in others:
            other.kill()
            other.wait()
    assert waited > 0.2  # two others leave us a third


def test_shares_are_of_the_time_that_passed():
    before = Reading(0, {"main": 1.0}, {"cpu0": 2.0, "cpu1": 0.0})
    after = Reading(10, {"main": 2.0}, {"cpu0": 2.5, "cpu1": 0.1})
    assert shares(before, after) == (0.1, 0.05)
    assert shares(before, Reading(10, None, None)) == (None, None)


@pytest.mark.parametrize("threads", [1, 2, 32])
def test_one_thread_that_waits_holds_up_all_that_wait_for_it(threads):
    before = Reading(0, dict.fromkeys(map(str, range(threads)), 3.0), None)
    late = Reading(10, {**before.waited_s, "0": 8.0}, None)
    assert shares(before, late) == (0.5, None)


def test_a_thread_that_hardly_ran_waited_for_us_and_not_we_for_it():
    """As the one that draws the progress does, while ours have all cores."""
    before = Reading(0, {"main": 0.0, "bar": 0.0}, None, {"main": 0.0, "bar": 0.0})
    after = Reading(10, {"main": 0.1, "bar": 5.0}, None, {"main": 9.9, "bar": 0.1})
    assert shares(before, after) == (0.01, None)
    starved = Reading(10, {"main": 9.9, "bar": 5.0}, None, {"main": 0.1, "bar": 0.1})
    assert shares(before, starved) == (0.99, None)


def test_threads_that_began_or_ended_in_between_do_not_hide_what_others_waited():
    before = Reading(0, {"ended": 9.0, "stays": 1.0}, None)
    assert shares(before, Reading(10, {"stays": 2.0, "new": 0.5}, None)) == (0.1, None)
    assert shares(before, Reading(10, {"new": 0.5}, None)) == (0.05, None)


def test_a_core_that_this_process_may_not_use_is_nobodys_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(contention, "PROC", tmp_path)
    monkeypatch.setattr(contention.os, "sched_getaffinity", lambda pid: {1})
    lines = ("cpu  0 0 0 0 0 0 0 700 0", "cpu0 0 0 0 0 0 0 0 500 0", "cpu1 0 0 0 0 0 0 0 200 0")
    (tmp_path / "stat").write_text("\n".join((*lines, "intr 1")))
    assert read().stolen_s == {"cpu1": 200 / contention.os.sysconf("SC_CLK_TCK")}


@pytest.mark.parametrize("text", ["", "12", "a b c"])
def test_a_system_that_does_not_tell_is_none(tmp_path, monkeypatch, text):
    monkeypatch.setattr(contention, "PROC", tmp_path)
    (tmp_path / "self" / "task" / "1").mkdir(parents=True)
    (tmp_path / "self" / "task" / "1" / "schedstat").write_text(text)
    (tmp_path / "stat").write_text(text)
    found = read()
    assert (found.waited_s, found.stolen_s) == (None, None)


@pytest.mark.parametrize(
    ("waited", "stolen", "throttled", "reason"),
    [
        (BUSY / 2, 0.0, False, "none"),
        (0.25, 0.0, True, "contended: a thread waited 25% of the time for a core"),
        (0.0, 0.5, True, "the hypervisor gave the cores to others 50% of the time"),
        (0.0, None, False, "none"),
        (None, 0.3, True, "the hypervisor gave the cores to others 30% of the time"),
    ],
)
def test_a_row_says_that_the_cores_were_busy(waited, stolen, throttled, reason):
    found = fields.cores(waited, stolen)
    assert (found["throttled"], found["throttle_reasons"]) == (throttled, reason)
    assert found["waited_share"] == waited


def test_a_row_says_that_nobody_knows():
    for stolen in (None, 0.0):
        found = fields.cores(None, stolen)
        assert "throttled" not in found and found["throttled_reason"]
