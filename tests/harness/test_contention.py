"""Others on the cores are seen."""

import subprocess
import sys
import time

import pytest

from harness import contention, fields
from harness.contention import BUSY, Reading, read, shares
from harness.environment import usable_cores


def busy(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.skipif(read().waited_s is None, reason="this system tells no waiting times")
def test_processes_that_take_the_cores_show():
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(2 * usable_cores())]
    try:
        time.sleep(0.2)
        before = read()
        busy(1.0)
        waited, _ = shares(before, read(), 1)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert waited > 0.2  # two others a core leave us a third


def test_shares_are_of_the_time_that_passed():
    assert shares(Reading(0, 1.0, 2.0), Reading(10, 2.0, 2.5), 2) == (0.05, 0.025)
    assert shares(Reading(0, 1.0, None), Reading(10, 0.5, None), 1) == (0.0, None)


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
    ],
)
def test_a_row_says_that_the_cores_were_busy(waited, stolen, throttled, reason):
    found = fields.cores(waited, stolen)
    assert (found["throttled"], found["throttle_reasons"]) == (throttled, reason)
    assert found["waited_share"] == waited


def test_a_row_says_that_nobody_knows():
    found = fields.cores(None, None)
    assert "throttled" not in found and found["throttled_reason"]
