"""Games of the cart and its pole, played for an agent to learn from: a rollout and its advantages.

How much better an action was than the agent expected is a generalised advantage estimate (Schulman
et al. 2015, "High-dimensional continuous control using generalized advantage estimation", arXiv
1506.02438).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workloads import pole
from workloads.spec import Batch

DISCOUNT = 0.99

# A step's reward in training: a pole that never falls has a value of 1, and the error of the value
# does not drown the gradient of the policy in the layers that they share.
REWARD = 1 - DISCOUNT


@dataclass(frozen=True)
class Method:
    """How much is played, and what is made of it.

    Attributes:
        carts: played at once.
        steps: of each cart in a rollout.
        epochs: of training on a rollout.
        trace: lambda of the generalised advantage; with 1 it is the return that followed, less
            the value. Where a rollout ends in the middle of a game, the value there stands for
            the rest.
    """

    carts: int
    steps: int
    epochs: int
    trace: float


@torch.no_grad()
def play(
    policy: Callable[[Tensor], Tensor],
    state: Tensor,
    age: Tensor,
    method: Method,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Batch]:
    """A rollout: every cart for `method.steps` steps, games that end followed by new ones.

    A game that is broken off at 500 steps is not lost: its return goes on with the value of the
    state that it was left in (Pardo et al. 2018, arXiv 1712.00378).

    Args:
        policy: states [n, 4] -> [n, 3], as a model.
        state: of the carts [n, 4], as of workloads.pole.
        age: the steps of their games so far, int64 [n].
        method: how much to play and how to estimate advantages.
        generator: of actions and new games, on the device of `state`.

    Returns:
        state and age after the rollout, and its transitions as cartpole.loss takes them,
        [steps * n] of them, with advantages of mean 0 and standard deviation 1.
    """
    seen = []
    for _ in range(method.steps):
        out = policy(state)
        logs = out[:, :2].log_softmax(1)
        dice = torch.rand(len(state), generator=generator, device=state.device)
        action = (dice >= logs[:, 0].exp()).long()
        after = pole.step(state, action)
        lost = pole.over(after)
        ended = lost | (age + 1 >= pole.LIMIT)
        log_probability = logs.gather(1, action.unsqueeze(1)).squeeze(1)
        seen.append((state, action, log_probability, out[:, 2], after, lost, ended))
        new = pole.start(len(state), generator, state.dtype)
        state = torch.where(ended.unsqueeze(1), new, after)
        age = torch.where(ended, 0, age + 1)
    states, actions, logs, values, afters, losts, endeds = map(
        torch.stack, zip(*seen, strict=True)
    )  # each [steps, n, ...]

    values_after = policy(afters.flatten(0, 1))[:, 2].unflatten(0, losts.shape)
    surprise = REWARD + DISCOUNT * values_after * ~losts - values
    advantage, backwards = torch.zeros_like(surprise[0]), []
    for t in reversed(range(method.steps)):
        advantage = surprise[t] + DISCOUNT * method.trace * advantage * ~endeds[t]
        backwards.append(advantage)
    advantages = torch.stack(backwards[::-1])
    scaled = (advantages - advantages.mean()) / advantages.std()
    y = torch.stack([actions.to(states.dtype), logs, scaled, advantages + values], dim=2)
    return state, age, Batch(states.flatten(0, 1), y.flatten(0, 1))
