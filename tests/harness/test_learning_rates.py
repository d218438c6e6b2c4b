"""The winner of a grid, the edges where a better one may lie beyond, and what the grid cost."""

import math

import pytest

from harness.curve import CENSORED, DIVERGED, REACHED, Curve, Point, Trial
from harness.learning_rates import Grid, edges, grid, rates, winner

INF = math.inf


def curve(rate, seed, steps, *, reached=True, joules=None, batch=32, end=0.0):
    """A trial that took `steps`, of 4 samples, 8 FLOPs and half a second each."""
    points = [
        Point(0, 0, 0.0, 0.0, 0.0, joules and 0.0, None, 1.0),
        Point(
            *(steps, 4 * steps, 8.0 * steps, 0.5 * steps, steps, joules, 0.1),
            end if reached else 1.0,
        ),
    ]
    return Curve(
        trial=Trial("w", "sgd", batch, rate, seed),
        metric="m",
        target=0.0,
        lower_is_better=True,
        status=REACHED if reached else CENSORED,
        reason=None if reached else "not reached",
        points=tuple(points),
        device_name="d",
        threads=1,
    )


def plain(times):
    """The same trials' costs, a failed one's being 100."""
    return {rate: tuple(min(t, 100.0) for t in of_rate) for rate, of_rate in times.items()}


@pytest.mark.parametrize(
    ("times", "best", "ends"),
    [
        ({1: (9, 8), 2: (5, 6), 4: (7, 7)}, 2, ()),
        ({1: (9, 8), 2: (5, 6), 4: (3, 3)}, 4, ("high",)),
        ({1: (3, 3), 2: (5, 6), 4: (7, 7)}, 1, ("low",)),
        # the quickest once is not the quickest mostly
        ({1: (9, 9, 9), 2: (8, 8, 8), 4: (1, INF, INF)}, 2, ()),
        # a failure counts, and no more than as one
        ({1: (9, 9, 9), 2: (6, 6, INF), 4: (7, 7, 7)}, 2, ()),
        # all medians infinite: (100 + 100 + 1) / 1 against (100 + 100 + 50) / 1
        ({1: (INF,) * 3, 2: (INF, INF, 1), 4: (INF, INF, 50)}, 2, ()),
        # equal to the last: the middle; of two middles the lower
        ({1: (9, 9), 2: (5, 5), 4: (5, 5), 8: (5, 5), 16: (9, 9)}, 4, ()),
        ({1: (9, 9), 2: (5, 5), 4: (5, 5), 8: (9, 9)}, 2, ()),
        # nothing reached the target: it may lie on either side
        ({1: (INF,), 2: (INF,), 4: (INF,)}, 2, ("low", "high")),
        ({2: (5,)}, 2, ("low", "high")),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_winner_and_edges(times, best, ends, turned):
    if turned:  # the order in which rates were tried is none of the winner's business
        times = dict(reversed(times.items()))
    assert winner(times, plain(times)) == best
    assert edges(times, plain(times)) == ends


def test_expected_running_time_breaks_ties_of_the_median():
    times = {1: (4.0, 6.0, INF), 2: (4.0, 6.0, 6.0)}
    assert winner(times, plain(times)) == 2
    # a trial that is known to have failed after 3 is cheaper than one that took 200 to fail
    times = {1: (INF, INF, 10.0), 2: (INF, INF, 10.0)}
    assert winner(times, {1: (200, 200, 10.0), 2: (3, 3, 10.0)}) == 2


def test_a_grid_is_extended_by_one_rate_at_each_edge():
    times = {0.1: (3.0,), 0.2: (5.0,), 0.4: (7.0,)}
    found = Grid(times, plain(times), {})
    assert found.winner == 0.1 and found.edges == ("low",) and found.extension == (0.05,)
    times = {0.1: (INF,), 0.2: (INF,)}
    assert Grid(times, plain(times), {}).extension == (0.05, 0.4)
    times = {0.1: (5.0,), 0.2: (3.0,), 0.4: (7.0,)}
    assert Grid(times, plain(times), {}).extension == ()


def test_rates_double():
    assert rates(0.5, 2) == (0.125, 0.25, 0.5, 1.0, 2.0)
    assert rates(0.3, 0) == (0.3,)
    for middle, each_side in ((0.0, 2), (INF, 2), (1.0, -1)):
        with pytest.raises(ValueError, match="no grid of"):
            rates(middle, each_side)


def test_a_grid_of_curves_has_times_and_its_cost():
    curves = [
        curve(0.2, 1, 50),
        curve(0.1, 0, 80),
        curve(0.2, 0, 40),
        curve(0.1, 1, 200, reached=False),
    ]
    found = grid(curves)
    # the target is 0 and is met at the last evaluation
    assert found.times == {0.1: (80, INF), 0.2: (40, 50)}
    assert found.spent == {0.1: (80, 200), 0.2: (40, 50)}
    assert found.winner == 0.2
    assert found.cost == {
        "steps": 370,
        "samples": 4 * 370,
        "flops": 8 * 370,
        "seconds": 370 / 2,
        "joules": None,
    }
    assert grid(curves, "seconds").times == {0.1: (40, INF), 0.2: (20, 25)}


def test_a_trial_that_reached_its_target_is_charged_up_to_there():
    # from 1 to -1, with the target of 0 half-way; the rest is the schedule's doing, not the rate's
    found = grid([curve(0.1, 0, 80, end=-1.0)])
    assert found.times == found.spent == {0.1: (40,)}
    assert found.cost["steps"] == 80


def test_what_is_not_known_of_one_trial_is_not_known_of_the_grid():
    curves = [curve(0.1, 0, 80, joules=7.0), curve(0.1, 1, 80, joules=5.0)]
    assert grid(curves).cost["joules"] == 12
    assert grid([*curves, curve(0.2, 0, 80)]).cost["joules"] is None
    with pytest.raises(ValueError, match=r"joules are not known of learning rate 0\.2"):
        grid([*curves, curve(0.2, 0, 80)], "joules")


def test_a_diverged_trial_has_a_cost_and_no_time():
    gone = curve(0.4, 0, 3, reached=False)
    gone = Curve(**(vars(gone) | {"status": DIVERGED}))
    found = grid([curve(0.2, 0, 40), gone])
    assert found.times[0.4] == (INF,) and found.spent[0.4] == (3,)


def test_a_rate_that_was_given_up_sooner_is_no_better_for_it():
    first = [curve(0.1, 0, 100), curve(0.1, 1, 3000, reached=False)]
    later = [curve(0.2, 0, 390), curve(0.2, 1, 400, reached=False)]  # cut short at four times 100
    found = grid([*first, *later])
    assert found.spent == {0.1: (100, 400), 0.2: (390, 400)} and found.winner == 0.1
    assert found.cost["steps"] == 3890
    gone = Curve(**(vars(curve(0.4, 0, 3, reached=False)) | {"status": DIVERGED}))
    assert grid([*first, gone]).spent == {0.1: (100, 3000), 0.4: (3,)}


def test_what_is_no_grid_is_refused():
    with pytest.raises(ValueError, match="0 curves of 0 settings"):
        grid([])
    with pytest.raises(ValueError, match="2 curves of 2 settings"):
        grid([curve(0.1, 0, 1), curve(0.1, 0, 1, batch=64)])
    with pytest.raises(ValueError, match="1 of them different trials"):
        grid([curve(0.1, 0, 1), curve(0.1, 0, 1)])
    with pytest.raises(ValueError, match="unknown currency"):
        grid([curve(0.1, 0, 1)], "euros")
    with pytest.raises(ValueError, match="have times, and"):
        winner({}, {})
    with pytest.raises(ValueError, match="have times, and"):
        winner({1: (2.0,)}, {2: (2.0,)})
