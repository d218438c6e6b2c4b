"""Slowdowns that are known are found, and none is found where there is none.

The chain under test is the one of every run: blocks measured in turn, speedup_interval, the noise
floor of the run's own A/A pairs, and the verdict after Holm's correction.
"""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from harness import noise
from harness.statistics import speedup_interval
from harness.timing import BLOCK, Limits, measure
from harness.verdict import FASTER, SLOWER, Ratio, verdicts

PLANTS = (0.0, 0.02, 0.05, 0.10)  # how much slower than the baseline
RUNS = 60
CASES = 4  # of each plant in one run: 16 comparisons are judged together


class Machine:
    """Samples as a shared machine gives them. No number here was measured; each was chosen no
    better than what was seen on two cores that other processes held for 70% of the time.

    Scatter of 2% that remembers itself (rho 0.5), a clock that wanders for both alike, one block
    in eight that lost its core and lasts 1.5 to 5 times as long, and for each build of a
    provider an offset of 0.3% that stays: where its memory lies.
    """

    def __init__(self, rng):
        self.rng = rng

    def blocks(self, *levels, count=40):
        """[blocks][samples] for each level, in seconds, side by side in time."""
        drift = np.exp(np.cumsum(0.003 * self.rng.standard_normal((count, 1)), axis=0))
        return [level * drift * self._one(count) for level in levels]

    def _one(self, count):
        rho = 0.5
        noise = self.rng.standard_normal(count * BLOCK + 50) * math.sqrt(1 - rho**2)
        own = scipy.signal.lfilter([1.0], [1.0, -rho], noise)[50:].reshape(count, BLOCK)
        lost = self.rng.random((count, 1)) < 1 / 8
        late = np.where(lost, self.rng.uniform(1.5, 5, (count, 1)), 1.0)
        return np.exp(0.02 * own + 0.003 * self.rng.standard_normal()) * late


def told(machine):
    """What one run says: (plant, verdict) of each of its comparisons."""
    floor = noise.floor(speedup_interval(*machine.blocks(1, 1)) for _ in range(noise.MOST))
    planted = [plant for plant in PLANTS for _ in range(CASES)]
    found = [speedup_interval(*machine.blocks(1, 1 + plant)) for plant in planted]
    return [*zip(planted, verdicts([Ratio(*f, floor) for f in found]), strict=True)]


def shares(found, word):
    """By plant, how many of the verdicts are this word."""
    return {p: float(np.mean([w == word for plant, w in found if plant == p])) for p in PLANTS}


def test_planted_slowdowns_are_found_and_no_others_on_a_simulated_busy_machine():
    machine = Machine(np.random.default_rng(6))
    found = [pair for _ in range(RUNS) for pair in told(machine)]
    slower, faster = shares(found, SLOWER), shares(found, FASTER)
    assert slower[0.0] + faster[0.0] <= 0.05
    assert slower[0.05] >= 0.9
    assert slower[0.10] >= 0.95
    assert max(faster[p] for p in PLANTS if p) == 0


def work(count):
    """So many small products: a time proportional to count, on one core and in its own cache."""
    a = torch.randn(64, 64)
    out = torch.empty(64, 64)

    def call():
        for _ in range(count):
            torch.mm(a, a, out=out)

    return call


@pytest.fixture
def one_thread():
    """Threads that wait for each other would measure who else wants the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def measured(plant, seed):
    """The speedup of work that has so much more to do, beside the work without.

    Measured until its interval is narrow, whatever it says, or for some seconds: how long that
    takes is the machine's affair.
    """
    limits = Limits(max_samples=150, max_s=0.5, warmup_s=0.03, max_warmup_s=0.1)
    calls = {"baseline": work(100), "planted": work(round(100 * (1 + plant)))}
    blocks = {name: [] for name in calls}
    for round_ in range(5):
        for name, found in measure(calls, limits=limits, seed=6 * seed + round_).items():
            blocks[name] += found.blocks
        ratio, low, high = speedup_interval(blocks["baseline"], blocks["planted"])
        if 0 < high < 1.015 * low:
            break
    return ratio, low, high


@pytest.mark.slow
def test_planted_slowdowns_are_found_and_no_others_on_this_machine(one_thread):
    rng = np.random.default_rng(9)
    floor = noise.floor(measured(0.0, seed) for seed in range(noise.MOST))
    planted = rng.permutation([0.0] * 24 + [0.02] * 4 + [0.05] * 24 + [0.10] * 4)
    ratios = [Ratio(*measured(plant, seed), floor) for seed, plant in enumerate(planted)]
    found = [*zip(planted, verdicts(ratios), strict=True)]
    slower, faster = shares(found, SLOWER), shares(found, FASTER)
    print(f"noise floor {floor}; slower {slower}; faster {faster}")
    assert slower[0.0] + faster[0.0] <= 0.05
    assert slower[0.05] >= 0.95
    assert slower[0.10] >= 0.95
    assert max(faster[p] for p in PLANTS if p) == 0
