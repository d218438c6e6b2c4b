"""The game against Gymnasium's CartPole-v1, step by step, and what is ours alone."""

import math

import pytest
import torch

from workloads import pole


@pytest.fixture
def game():
    gymnasium = pytest.importorskip("gymnasium", reason="Gymnasium is the oracle: pip install it")
    made = gymnasium.make("CartPole-v1")
    yield made
    made.close()


def theirs(game):
    return torch.tensor(game.unwrapped.state, dtype=torch.float64).reshape(1, 4)


def balance(state):
    """A hand-made player that keeps the pole up for a whole game."""
    return (state @ state.new_tensor([0.1, 0.3, 1.0, 0.5]) > 0).long()


def push_right(state):
    return torch.ones(len(state), dtype=torch.int64)


@pytest.mark.parametrize("seed", range(40))
def test_a_game_goes_step_by_step_as_gymnasiums(game, seed):
    generator = torch.Generator().manual_seed(seed)
    game.reset(seed=seed)
    state = theirs(game)
    for _ in range(pole.LIMIT):
        action = torch.randint(2, (1,), generator=generator)
        _, reward, terminated, truncated, _ = game.step(action.item())
        state = pole.step(state, action)
        torch.testing.assert_close(state, theirs(game), rtol=1e-12, atol=1e-12)
        assert pole.over(state).item() == terminated
        assert reward == 1 and not truncated
        if terminated:
            break
    assert terminated


def test_a_game_that_is_not_lost_is_broken_off_at_the_step_where_gymnasium_does(game):
    game.reset(seed=0)
    state = theirs(game)
    for step in range(1, pole.LIMIT + 1):
        action = balance(state)
        _, _, terminated, truncated, _ = game.step(action.item())
        state = pole.step(state, action)
        torch.testing.assert_close(state, theirs(game), rtol=1e-10, atol=1e-10)
        assert not terminated and not pole.over(state)
        assert truncated == (step == pole.LIMIT)


def test_any_state_is_followed_by_gymnasiums_and_over_when_it_says_so(game):
    # wide enough that a fifth of the games ends by the angle and a tenth by the track
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([2.6, 3.0, 0.25, 3.0], dtype=torch.float64)
    states = scale * (2 * torch.rand(500, 4, generator=generator, dtype=torch.float64) - 1)
    actions = torch.randint(2, (500,), generator=generator)
    after = pole.step(states, actions)
    ended = []
    for state, action, found in zip(states, actions, after, strict=True):
        game.reset()
        game.unwrapped.state = state.numpy()
        _, _, terminated, _, _ = game.step(action.item())
        torch.testing.assert_close(found[None], theirs(game), rtol=1e-12, atol=1e-12)
        ended.append(terminated)
    assert pole.over(after).tolist() == ended
    by_track, by_angle = after[:, 0].abs() > pole.TRACK, after[:, 2].abs() > pole.LEAN
    assert min((by_track & ~by_angle).sum(), (by_angle & ~by_track).sum(), sum(ended)) > 20


def test_the_edges_themselves_are_still_in_the_game():
    edge = torch.tensor([[2.4, 0, 0, 0], [-2.4, 0, 0, 0]], dtype=torch.float64)
    lean = math.radians(12)
    lean = torch.tensor([[0, 0, lean, 0], [0, 0, -lean, 0]], dtype=torch.float64)
    states = torch.cat([edge, lean])
    assert pole.over(states).tolist() == [False] * 4
    assert pole.over(states * (1 + 1e-12)).tolist() == [True] * 4


def test_in_float32_a_step_differs_by_a_rounding():
    states = pole.start(1000, torch.Generator().manual_seed(0)) * 20
    actions = torch.arange(1000) % 2
    found, exact = pole.step(states, actions), pole.step(states.double(), actions)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-6)


def test_thousands_of_games_at_once_are_that_many_games():
    states = pole.start(4096, torch.Generator().manual_seed(0), torch.float64)
    actions = torch.arange(4096) % 2
    together = pole.step(states, actions)
    for i in (0, 1, 2047, 4095):
        alone = pole.step(states[i : i + 1], actions[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-14, atol=1e-14)


def test_a_step_leaves_the_state_before_it_alone():
    state = pole.start(5, torch.Generator().manual_seed(0))
    before = state.clone()
    pole.step(state, push_right(state))
    assert torch.equal(state, before)


def test_games_start_as_gymnasiums_do_and_by_their_seed():
    found = pole.start(10000, torch.Generator().manual_seed(3))
    assert -0.05 <= found.min() < -0.0499 and 0.0499 < found.max() <= 0.05
    assert found.mean(0).abs().max() < 0.002
    assert (found.std(0) - 0.1 / math.sqrt(12)).abs().max() < 0.001
    assert torch.equal(found, pole.start(10000, torch.Generator().manual_seed(3)))
    assert not torch.equal(found, pole.start(10000, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize(
    ("position", "angle", "column", "leans"),
    [(0, 0, 20, "|"), (-2.4, -0.1, 0, "\\"), (2.4, 0.1, 40, "/"), (9, 0.1, 40, "/")],
)
def test_a_picture_shows_where_the_cart_is_and_how_the_pole_leans(position, angle, column, leans):
    picture = pole.picture(torch.tensor([[position, 0, angle, 0]]))
    assert picture[:41].index(leans) == column and picture[:41].count(".") == 40
    assert f"{position:+.2f} m" in picture
