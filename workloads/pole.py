"""A pole that stands on a cart: the game of `cartpole`, for thousands of carts at once, on tensors.

The cart is pushed left or right with a force of 10 N every 0.02 s. The game is over when the pole
leans more than 12 degrees or the cart is more than 2.4 m from the middle, and is broken off after
500 steps; each step is worth 1. The same as Gymnasium's CartPole-v1, step by step.

Source: Barto, Sutton & Anderson 1983, "Neuronlike adaptive elements that can solve difficult
learning control problems"; Gymnasium, Towers et al. 2024, arXiv 2407.17032.

A state is [cart's position in m, its velocity in m/s, pole's angle in rad, its velocity in rad/s].
Every function takes states [n, 4] in any floating dtype, and works where they are, without
synchronising.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LIMIT = 500  # steps
TRACK = 2.4  # m to either side
LEAN = math.radians(12)
ACTIONS = 2  # push left, push right

GRAVITY = 9.8  # m/s^2
FORCE = 10.0  # N
CART, POLE = 1.0, 0.1  # kg
HALF = 0.5  # m, half the pole's length: to its centre of mass
SECONDS = 0.02  # a step


def start(count: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """`count` states of new games, each number uniform in [-0.05, 0.05); on the generator's device.

    Returns:
        [count, 4].
    """
    drawn = torch.rand(count, 4, generator=generator, device=generator.device, dtype=dtype)
    return 0.1 * drawn - 0.05


def step(state: Tensor, action: Tensor) -> Tensor:
    """The states one step later, by Euler's method.

    Args:
        state: [n, 4].
        action: [n], 0 to push left and 1 to push right; of any dtype.

    Returns:
        [n, 4]; `state` is left as it is.
    """
    _, velocity, angle, spin = state.unbind(1)
    cos, sin = angle.cos(), angle.sin()
    force = FORCE * (2 * action.to(state.dtype) - 1)
    mass = CART + POLE
    push = (force + POLE * HALF * spin.square() * sin) / mass
    angular = (GRAVITY * sin - cos * push) / (HALF * (4 / 3 - POLE * cos.square() / mass))
    linear = push - POLE * HALF * angular * cos / mass
    return state + SECONDS * torch.stack([velocity, linear, spin, angular], dim=1)


def over(state: Tensor) -> Tensor:
    """Whether the pole has fallen or the cart has left its track, bool [n]."""
    return (state[:, 0].abs() > TRACK) | (state[:, 2].abs() > LEAN)


def picture(state: Tensor) -> str:
    """The cart's place on its track and the way the pole leans, as a line of text.

    Args:
        state: of one cart, [1, 4].
    """
    position, _, angle, _ = state[0].tolist()
    ends = 20
    place = round(max(-1, min(1, position / TRACK)) * ends) + ends
    degrees = math.degrees(angle)
    leans = "|" if abs(degrees) < 1 else "/" if degrees > 0 else "\\"
    track = "." * place + leans + "." * (2 * ends - place)
    return f"{track}  {position:+.2f} m  {degrees:+5.1f} degrees"
