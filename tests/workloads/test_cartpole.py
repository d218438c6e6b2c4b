"""PPO and REINFORCE: advantages by hand, gradients that stop where they should, longer games."""

import math
from itertools import islice

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import workloads
from workloads import cartpole, data, pole
from workloads.cartpole import DISCOUNT, PPO, REINFORCE, REWARD, Method
from workloads.spec import Batch

BALANCE = [0.1, 0.3, 1.0, 0.5]  # weights of a hand-made player that stays up
METHODS = {"cartpole": PPO, "cartpole/reinforce": REINFORCE}


def player(state):
    """Balances, most of the time; its value is some function of the state."""
    lean = state @ state.new_tensor(BALANCE)
    return torch.stack([-20 * lean, 20 * lean, 0.5 + lean], dim=1)


def clumsy(state):
    """Pushes right and little else, so that games are lost."""
    return torch.stack([0 * state[:, 0], 3 + 0 * state[:, 0], 0.5 + state[:, 2]], dim=1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rollout(policy, method, age):
    carts = method.carts
    start = pole.start(carts, generator(), torch.float64)
    ages = torch.full((carts,), age)
    state, after, played = cartpole.play(policy, start, ages, method, generator(1))
    # [steps, carts, ...], as it was played
    return start, state, after, *(t.unflatten(0, (method.steps, carts)) for t in played)


@pytest.mark.parametrize("trace", [0.0, 0.9, 1.0])
@pytest.mark.parametrize(("policy", "age"), [(player, 470), (clumsy, 0), (player, 0)])
def test_returns_and_advantages_are_those_summed_by_hand(policy, age, trace):
    method = Method(carts=6, steps=40, epochs=1, trace=trace)
    *_, x, y = rollout(policy, method, age)
    expected = torch.zeros(method.steps, method.carts, dtype=torch.float64)
    lost_games = broken_off = 0
    for cart in range(method.carts):
        surprises, ends, steps = [], [], age
        for t in range(method.steps):
            state, action = x[t, cart][None], y[t, cart, :1]
            after = pole.step(state, action)
            steps += 1
            lost = bool(pole.over(after))
            # a lost game is worth nothing from here on; one that is broken off goes on
            later = 0.0 if lost else policy(after)[0, 2].item()
            surprises.append(REWARD + DISCOUNT * later - policy(state)[0, 2].item())
            ends.append(lost or steps == pole.LIMIT)
            lost_games += lost
            broken_off += ends[-1] and not lost
            if ends[-1]:
                steps = 0
            elif t + 1 < method.steps:
                torch.testing.assert_close(x[t + 1, cart][None], after)
            if ends[-1] and t + 1 < method.steps:
                assert x[t + 1, cart].abs().max() <= 0.05  # a new game
        for t in range(method.steps):
            for later in range(t, method.steps):
                discount = (DISCOUNT * trace) ** (later - t)
                expected[t, cart] += discount * surprises[later]
                if ends[later]:
                    break
    assert {player: {470: broken_off, 0: 1}, clumsy: {0: lost_games}}[policy][age] > 0
    returns = expected + policy(x.flatten(0, 1))[:, 2].unflatten(0, expected.shape)
    torch.testing.assert_close(y[..., 3], returns)
    scaled = (expected - expected.mean()) / expected.std()
    torch.testing.assert_close(y[..., 2], scaled)


def test_with_a_trace_of_one_the_return_of_a_lost_game_is_the_discounted_sum_of_its_rewards():
    method = Method(carts=4, steps=60, epochs=1, trace=1.0)
    *_, x, y = rollout(clumsy, method, 0)
    lost = pole.over(pole.step(x[:, 0], y[:, 0, 0])).nonzero()[0].item()
    for t in range(lost + 1):
        rewards = sum(REWARD * DISCOUNT**later for later in range(lost + 1 - t))
        assert y[t, 0, 3].item() == pytest.approx(rewards, rel=1e-12)


def test_a_rollout_goes_on_where_the_last_one_stopped():
    method = Method(carts=3, steps=10, epochs=1, trace=0.95)
    _, state, age, x, y = rollout(player, method, 0)
    torch.testing.assert_close(state, pole.step(x[-1], y[-1, :, 0]))
    assert age.tolist() == [10, 10, 10]
    *_, (again, _) = cartpole.play(player, state, age, method, generator(2))
    assert torch.equal(again[:3], state)


def test_actions_are_drawn_with_the_odds_that_are_recorded():
    method = Method(carts=4000, steps=1, epochs=1, trace=1.0)

    def policy(state):
        return state.new_tensor([[math.log(0.3), math.log(0.7), 0.0]]).expand(len(state), 3)

    *_, y = rollout(policy, method, 0)
    action, log_probability = y[0, :, 0], y[0, :, 1]
    assert set(action.tolist()) == {0.0, 1.0}
    assert action.mean().item() == pytest.approx(0.7, abs=0.03)  # 4 standard deviations
    torch.testing.assert_close(log_probability.exp(), torch.where(action == 1, 0.7, 0.3).double())


@pytest.mark.parametrize("name", METHODS)
def test_every_batch_is_played_by_the_model_as_it_is_when_the_rollout_starts(name):
    workload, method = workloads.load(name), METHODS[name]
    model, size = workload.model(0), 256
    stream = workload.batches(model, workload.data().train, size, 0)
    per_rollout = method.epochs * method.carts * method.steps // size
    first = list(islice(stream, per_rollout))
    assert len({b.y[:, 0].mean().item() for b in first}) > 1
    assert all(0 < b.y[:, 0].mean() < 1 for b in first)
    with torch.no_grad():
        model[-1].bias[1] += 1000  # from here on always to the right
    second = list(islice(stream, per_rollout))
    assert all((b.y[:, 0] == 1).all() and (b.y[:, 1] == 0).all() for b in second)


@pytest.mark.parametrize("name", METHODS)
def test_a_rollout_is_gone_over_once_an_epoch_and_has_no_graph(name):
    workload, method = workloads.load(name), METHODS[name]
    stream = workload.batches(workload.model(0), workload.data().train, 256, 0)
    seen = list(islice(stream, method.epochs * method.carts * method.steps // 256))
    assert torch.is_grad_enabled()  # acting without gradients ends with the acting
    assert not any(t.requires_grad for b in seen for t in b)
    rows, counts = torch.cat([torch.cat(b, dim=1) for b in seen]).unique(dim=0, return_counts=True)
    assert len(rows) == method.carts * method.steps
    assert (counts == method.epochs).all()


def test_games_go_on_from_one_rollout_to_the_next():
    size = PPO.carts * PPO.steps
    stream = cartpole.Games(player, cartpole.data().train, size, 0)
    first, *_, second = islice(stream, PPO.epochs + 1)
    last = {tuple(row) for row in pole.step(first.x, first.y[:, 0]).tolist()}
    last -= {tuple(row) for row in first.x.tolist()}
    assert len(last) == PPO.carts  # nobody has lost yet
    assert last <= {tuple(row) for row in second.x.tolist()}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("size", [1, 3, 1000, 3000])
def test_batches_have_exactly_the_size_asked_for(name, size):
    workload = workloads.load(name)
    stream = data.stream(workload, workload.model(0), workload.data().train, size, 0)
    for batch in islice(stream, 9):
        assert batch.x.shape == batch.y.shape == (size, 4)
        assert batch.x.dtype == batch.y.dtype == torch.float32


def test_a_model_in_float64_plays_in_float64():
    train = cartpole.data().train.to("cpu", torch.float64)
    batch = next(cartpole.Games(cartpole.model(0).double(), train, 32, 0))
    assert batch.x.dtype == batch.y.dtype == torch.float64


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_in_float64_is_that_in_float32_but_for_rounding(name):
    workload = workloads.load(name)
    model, train = workload.model(0), workload.data().train
    single = workload.loss(model, train)
    double = workload.loss(model.double(), train.to("cpu", torch.float64))
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)


def gradient(loss, out, y):
    out = out.clone().requires_grad_()
    return torch.autograd.grad(loss(lambda x: out, Batch(torch.zeros(len(out), 4), y)), out)[0]


def transitions(out, actions, ratio, advantage):
    """As if `actions` had been taken when their probability was 1/ratio of what it is now."""
    logs = out[:, :2].log_softmax(1).gather(1, actions.unsqueeze(1)).squeeze(1)
    return torch.stack([actions.float(), logs - math.log(ratio), advantage, 0 * logs], dim=1)


OUT = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))
ACTIONS = torch.arange(8) % 2


def test_before_the_first_step_both_methods_go_the_same_way():
    y = transitions(OUT, ACTIONS, 1.0, torch.linspace(-2, 2, 8))
    torch.testing.assert_close(
        gradient(cartpole.loss, OUT, y), gradient(cartpole.reinforce_loss, OUT, y)
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "stops"),
    [(1.3, 1.0, True), (1.3, -1.0, False), (0.7, -1.0, True), (0.7, 1.0, False), (1.1, 1.0, False)],
)
def test_ppo_gains_nothing_by_going_further_and_can_always_come_back(
    monkeypatch, ratio, advantage, stops
):
    monkeypatch.setattr(cartpole, "ENTROPY", 0.0)
    y = transitions(OUT, ACTIONS, ratio, torch.full((8,), advantage))
    found = gradient(cartpole.loss, OUT, y)
    assert bool((found[:, :2] == 0).all()) == stops
    assert (found[:, 2] != 0).all()  # the value learns all the same


@pytest.mark.parametrize("loss", [cartpole.loss, cartpole.reinforce_loss])
def test_a_good_action_becomes_likelier_and_the_value_moves_to_the_return(loss):
    advantage = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]) * 100  # dwarfs the entropy's share
    down = -gradient(loss, OUT, transitions(OUT, ACTIONS, 1.0, advantage))
    taken = down[:, :2].gather(1, ACTIONS.unsqueeze(1)).squeeze(1)
    assert torch.equal(taken.sign(), advantage.sign())
    assert torch.equal(down[:, 2].sign(), -OUT[:, 2].sign())  # the returns are 0


def test_entropy_pulls_towards_even_odds():
    y = transitions(OUT, ACTIONS, 1.0, torch.zeros(8))
    down = -gradient(cartpole.loss, OUT, y)
    assert torch.equal((down[:, 0] - down[:, 1]).sign(), (OUT[:, 1] - OUT[:, 0]).sign())


def test_the_metric_is_the_mean_length_of_games_played_one_by_one():
    validation = cartpole.data().validation
    model = cartpole.model(1)
    counts = []
    for start in validation.x[:20]:
        state, count = start[None], 0
        while count < pole.LIMIT and not pole.over(state):
            state = pole.step(state, model(state)[:, :2].argmax(1))
            count += 1
        counts.append(count)
    found = cartpole.metric(model, Batch(validation.x[:20], validation.y[:20]))
    assert found.item() == pytest.approx(sum(counts) / 20)
    assert len(set(counts)) > 1  # games end one after the other


def test_a_player_that_never_falls_has_the_best_return_there_is():
    assert cartpole.metric(player, cartpole.data().validation).item() == cartpole.WORKLOAD.floor


@pytest.mark.parametrize("name", METHODS)
def test_acting_costs_the_flops_that_are_declared(name):
    workload, method = workloads.load(name), METHODS[name]
    carts = torch.zeros(method.carts, dtype=torch.int64)
    start = pole.start(method.carts, generator())
    with FlopCounterMode(display=False) as counter:
        *_, played = cartpole.play(workload.model(0), start, carts, method, generator())
    assert counter.get_total_flops() == workload.flops.draw * method.epochs * len(played)


def test_a_game_is_told_with_its_length_and_pictures():
    lines = cartpole.generate(cartpole.model(1), seed=0).splitlines()
    steps = int(lines[0].split()[0])
    assert lines[0] == f"{steps} of 500 steps, lost" and 5 < steps < 100
    assert lines[1].split()[0] == "0.00" and float(lines[-1].split()[0]) == pytest.approx(
        steps * 0.02
    )
    assert all(line.count(".") > 40 for line in lines[1:])
    assert cartpole.generate(cartpole.model(1), seed=0).splitlines() == lines


def test_games_become_longer_in_the_course_of_training():
    found = cartpole.lengths(cartpole.WORKLOAD, seed=0, steps=6 * 32, every=32)
    assert len(found) == 7
    assert found[0] < 60 and max(found[4:]) > 150


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_trained_games_last_to_the_end_for_most(name, seed):
    workload = workloads.load(name)
    every = 8 * METHODS[name].epochs if name == "cartpole" else 1
    steps = 25 * every
    assert steps <= workload.max_steps
    found = cartpole.lengths(workload, seed, steps, every)
    print(name, seed, [round(length) for length in found])
    assert found[0] < 100 and workload.target.reached(max(found))
