"""An agent that learns to balance a pole on a cart (workloads.pole) from the games it plays.

One network answers a state with the odds of its two actions and with a value: the return that it
expects from there. 64 carts at once are played for 32 steps, the actions drawn from the odds; then
the network is trained on these 2048 transitions, which are thrown away.

WORKLOAD is proximal policy optimisation, PPO (Schulman et al. 2017, arXiv 1707.06347): four epochs
over each rollout, with a loss that gains nothing from moving the probability of an action further
than a fifth. Games and advantages are workloads.rollout's. Variant "cartpole/reinforce" is
REINFORCE with a learned baseline (Williams 1992, "Simple statistical gradient-following algorithms
for connectionist reinforcement learning"): one step for each rollout, up the gradient of
log-probability times the return that followed, less the value.

The target is the mean return of 256 games played greedily, from the same 256 states for every
model: 475 of 500 is Gymnasium's own mark for "solved". PPO takes about 15 rollouts, 31 thousand
steps of a cart and 450 of the optimizer. REINFORCE takes about 15 rollouts too, of fewer carts for
longer, and so 15 steps of the optimizer.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from workloads import data as datasets
from workloads import optimizers, perceptron, pole
from workloads.rollout import DISCOUNT as DISCOUNT
from workloads.rollout import REWARD as REWARD
from workloads.rollout import Method, play
from workloads.spec import Batch, Data, Flops, Target, Workload

WIDTHS = (4, 64, 64, pole.ACTIONS + 1)
GAMES = 256  # in validation
CLIP = 0.2
VALUE, ENTROPY = 0.5, 0.01  # weights in the loss

LEARNING_RATE = 3e-3
BATCH_SIZE = 256
MAX_STEPS = 50 * 32  # 50 rollouts of 2048 transitions, four times over

PPO = Method(carts=64, steps=32, epochs=4, trace=0.95)
# as many transitions, but with fewer returns cut short: with 32 steps it takes twice the rollouts
REINFORCE = Method(carts=8, steps=256, epochs=1, trace=1.0)


def model(seed: int) -> nn.Sequential:
    """Three linear layers with tanh between, states [n, 4] -> [n, 3]: two logits and the value."""
    return perceptron.model(seed, WIDTHS, nn.Tanh)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """PPO's loss: clipped surrogate, squared error of the value and entropy bonus; scalar.

    Args:
        model: states [n, 4] -> [n, 3].
        batch: x states [n, 4]; y [n, 4]: the action taken, the logarithm of its probability at
            that time, its advantage, and the return that the value is to be; all of one float
            dtype.
    """
    log_probability, rest = _log_probability_and_rest(model, batch)
    _, before, advantage, _ = batch.y.unbind(1)
    ratio = (log_probability - before).exp()
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
    return (rest - gain).mean()


def reinforce_loss(model: nn.Module, batch: Batch) -> Tensor:
    """REINFORCE's loss, whose gradient is that of the expected return; scalar.

    Args:
        model, batch: as of `loss`; the probability at the time of acting is not looked at.
    """
    log_probability, rest = _log_probability_and_rest(model, batch)
    return (rest - log_probability * batch.y[:, 2]).mean()


def _log_probability_and_rest(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the actions taken, and the losses of value and entropy; both [n]."""
    out = model(batch.x)  # [n, 3]
    logs = out[:, :2].log_softmax(1)
    taken = logs.gather(1, batch.y[:, :1].long()).squeeze(1)
    error = (out[:, 2] - batch.y[:, 3]).square()
    negative_entropy = (logs.exp() * logs).sum(1)
    return taken, VALUE * error + ENTROPY * negative_entropy


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Mean return of the games that start in `batch.x`, [n, 4], and are played greedily; scalar.

    It asks at each step whether a game is still on, and so waits for the device.
    """
    state, playing = batch.x, torch.ones_like(batch.x[:, 0], dtype=torch.bool)
    returns = torch.zeros_like(batch.x[:, 0])
    for _ in range(pole.LIMIT):
        returns += playing
        state = pole.step(state, _greedy(model, state))
        playing = playing & ~pole.over(state)
        if not playing.any():
            break
    return returns.mean()


def _greedy(model: nn.Module, state: Tensor) -> Tensor:
    return model(state)[:, :2].argmax(1)


class Games:
    """Mini-batches without end, played by the model as it is when a rollout starts.

    Each rollout is shuffled for each of its epochs, and what does not fill a last batch is
    dropped. A batch larger than a rollout is made by playing more carts.

    Args:
        model: who plays; also what is being trained.
        train: whose device and dtype to play in; its samples are not looked at.
        size: samples in a batch.
        seed: of games, actions and shuffling; on each device a sequence of its own.
        method: how much to play, and how often to go over it.
    """

    def __init__(
        self, model: nn.Module, train: Batch, size: int, seed: int, method: Method = PPO
    ) -> None:
        device = train.x.device
        self._model, self._size, self._method = model, size, method
        self._generator = torch.Generator(device).manual_seed(seed)
        carts = max(method.carts, math.ceil(size / method.steps))
        self._state = pole.start(carts, self._generator, train.x.dtype)
        self._age = torch.zeros(carts, dtype=torch.int64, device=device)
        self._played = Batch(self._state[:0], self._state[:0])
        self._order = self._age[:0]  # of what is played, and has yet to be given

    def __iter__(self) -> Games:
        return self

    def __next__(self) -> Batch:
        if len(self._order) < self._size:
            self._state, self._age, self._played = play(
                self._model, self._state, self._age, self._method, self._generator
            )
            count, device = len(self._played), self._age.device
            epochs = [
                torch.randperm(count, generator=self._generator, device=device)
                for _ in range(self._method.epochs)
            ]
            self._order = torch.cat(epochs)
        index, self._order = self._order[: self._size], self._order[self._size :]
        return Batch(self._played.x[index], self._played.y[index])

    def state_dict(self) -> dict[str, Tensor]:
        """The games as they stand, and what of the last rollout has yet to be given."""
        return {
            "generator": self._generator.get_state(),
            "state": self._state,
            "age": self._age,
            "x": self._played.x,
            "y": self._played.y,
            "order": self._order,
        }

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from there, with the model as it was then."""
        self._generator.set_state(saved["generator"])
        moved = {name: tensor.to(self._state.device) for name, tensor in saved.items()}
        self._state, self._age, self._order = (moved[name] for name in ("state", "age", "order"))
        self._played = Batch(moved["x"], moved["y"])


@functools.cache
def data() -> Data:
    """2048 transitions of an agent that acts at random; 256 states to start validation from.

    The agent trains on games of its own, not on these (`Games`). They are what a step is timed
    on, as they are the same for every model.
    """

    def at_random(state: Tensor) -> Tensor:
        return torch.zeros_like(state[:, :3])

    generator = torch.Generator().manual_seed(0)
    start = pole.start(PPO.carts, generator)
    *_, train = play(at_random, start, torch.zeros(PPO.carts, dtype=torch.int64), PPO, generator)
    games = pole.start(GAMES, generator)
    return Data(train, Batch(games, torch.zeros(GAMES, 4)))


def lengths(workload: Workload, seed: int, steps: int, every: int) -> list[float]:
    """How long the greedy games of validation last, on average, in the course of training.

    Args:
        workload: WORKLOAD or a variant.
        seed: of the model and of the games that it learns from.
        steps: of the optimizer.
        every: so many steps.

    Returns:
        in steps of a cart: before training, and after `every` steps, twice as many, and so on.
    """
    model = workload.model(seed)
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    train, validation = workload.data()
    stream = datasets.stream(workload, model, train, workload.batch_size, seed)
    found = [metric(model, validation).item()]
    for done, batch in enumerate(itertools.islice(stream, steps), start=1):
        step(batch)
        if done % every == 0:
            found.append(metric(model, validation).item())
    return found


@torch.no_grad()
def generate(model: nn.Module, seed: int) -> str:
    """One game played greedily from a seeded start: how long it lasts, and ten pictures of it."""
    weight = next(model.parameters())
    first = pole.start(1, torch.Generator().manual_seed(seed)).to(weight.device, weight.dtype)
    states = [first]
    while len(states) <= pole.LIMIT and not pole.over(states[-1]):
        states.append(pole.step(states[-1], _greedy(model, states[-1])))
    steps = len(states) - 1
    fate = "balanced to the end" if not pole.over(states[-1]) else "lost"
    times = sorted({round(i * steps / 9) for i in range(10)})
    pictures = [f"{t * pole.SECONDS:5.2f} s  {pole.picture(states[t])}" for t in times]
    return "\n".join([f"{steps} of {pole.LIMIT} steps, {fate}", *pictures])


def _flops(method: Method) -> Flops:
    step = perceptron.flops(WIDTHS)
    # acting, and the value of the state after it; once for all epochs
    return replace(step, draw=2 * step.forward // method.epochs)


WORKLOAD = Workload(
    name="cartpole",
    data=data,
    model=model,
    loss=loss,
    metric=metric,
    target=Target("mean greedy return", 475.0, lower_is_better=False),
    flops=_flops(PPO),
    optimizer="adam",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    floor=float(pole.LIMIT),
    batches=Games,
    generate=generate,
)

VARIANTS = (
    replace(
        WORKLOAD,
        name="cartpole/reinforce",
        loss=reinforce_loss,
        flops=_flops(REINFORCE),
        learning_rate=1e-2,
        batch_size=REINFORCE.carts * REINFORCE.steps,  # whole rollouts: their gradient is exact
        max_steps=400,  # rollouts
        batches=functools.partial(Games, method=REINFORCE),
    ),
)
