"""What a run says of each case while it goes on."""

import math

import pytest

from harness import progress_words
from tests.harness.make_rows import row


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.45004, 0.44996, 0.45012), "(speedup 0.4500 [0.4500, 0.4501])"),
        ((1.42, 1.38, 1.47), "(speedup 1.42 [1.38, 1.47])"),
    ],
)
def test_the_ends_of_an_interval_are_told_apart(ends, words):
    known = dict(zip(("speedup", "speedup_low", "speedup_high"), ends, strict=True))
    made = row(1e-3, provider="mine", spread=0.0003, **known)
    told = progress_words.timed([made])
    assert told.startswith("mine 1 ms ±0.0") and "±0.0%" not in told and told.endswith(words)


def test_of_few_seeds_the_least_and_the_most_are_told():
    info = {
        "reached": 2, "n": 3, "steps_to_target": 120, "median_s": 0.5, "learning_rate": 0.1,
        "rate_on_edge": False,
    }  # fmt: skip
    finals = [Took(100, 0.4), Took(120, 0.5), Took(math.inf, math.inf)]
    assert progress_words.trained(info, finals) == (
        "120 steps (100 to never over seeds), 500 ms (400 ms to never over seeds), 2 of 3 seeds, "
        "rate 0.1"
    )
    one = progress_words.trained(info | {"n": 1, "reached": 1}, finals[:1])
    assert one == "120 steps, 500 ms, 1 of 1 seed, rate 0.1"


class Took:
    """A trial, as far as it is told."""

    def __init__(self, steps, seconds):
        self._took = {"steps": steps, "seconds": seconds}

    def to_target(self, currency):
        return self._took[currency]
