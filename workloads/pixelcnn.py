"""PixelCNN: an image as a sequence of pixels, each predicted from those above it and to its left.

p(image) = prod_i p(pixel_i | pixels before i), in reading order; one pass of masked convolutions
gives all 64 factors at once, each a softmax over 4 grey levels. On the handwritten digits, without
their labels. Van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel recurrent neural networks",
arXiv 1601.06759: a first convolution with mask A, residual blocks with mask B (figure 5), two 1 x 1
layers at the end. Stacked masks have a blind spot above and to the right, pixels that come before
but are not seen (van den Oord et al. 2016, arXiv 1606.05328, section 2.2, mends it with a second
stack); it is left as it is.

Judged by bits per dimension, the mean of -log2 p over pixels, on the validation set: 0.846, three
quarters of the 1.128 that knowing each pixel's own frequencies costs. Takes about 300 steps of 32
with Adam, 7 epochs, some five seconds on one core.

A trained model writes images one pixel at a time; `complete` does it for the lower half of a digit.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads import data
from workloads.seeding import seeded
from workloads.spec import Batch, Data, Flops, Target, Workload

SIDE, LEVELS = 8, 4  # pixels, grey levels
PIXELS = SIDE * SIDE
HALF = PIXELS // 2
HIDDEN = 24  # channels inside a block; twice as many between blocks
BLOCKS = 2
FIRST, INNER = 7, 3  # the convolutions' widths
BATCH_SIZE = 32
LEARNING_RATE = 5e-3
MAX_STEPS = 25 * 45  # 25 epochs; a trial that takes longer is censored

SHADES = " ░▓█"  # one for each level


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees only pixels before its own, in reading order.

    The mask multiplies the weight in the forward pass, so that a masked weight has no effect and
    its gradient is zero, whatever an optimizer makes of it.

    Args:
        inputs, outputs: channels.
        size: width of the filter, odd.
        centre: whether the pixel itself is seen: mask B; without it mask A.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, centre: bool):
        super().__init__(inputs, outputs, size, padding=size // 2)
        mask = torch.zeros(size, size)
        mask[: size // 2] = 1  # the rows above
        mask[size // 2, : size // 2 + centre] = 1  # to the left
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.padding)


class ResidualBlock(nn.Module):
    """ReLU, 1 x 1 to half the channels; ReLU, masked; ReLU, 1 x 1 back; added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * HIDDEN, HIDDEN, 1)
        self.look = MaskedConv2d(HIDDEN, HIDDEN, INNER, centre=True)
        self.expand = nn.Conv2d(HIDDEN, 2 * HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.look(F.relu(self.reduce(F.relu(x))))
        return x + self.expand(F.relu(inside))


@functools.cache
def images() -> Data:
    """workloads.data.digits in 4 levels, floor(4 v / 17) for v from 0 to 16, unlabelled.

    Returns:
        x float32 [n, 64], the levels as -1, -1/3, 1/3 and 1: none is 0, so that a pixel is told
        from the padding around the image. y int64 [n, 64], the same levels as 0 to 3.
    """

    def quantise(batch: Batch) -> Batch:
        levels = (batch.x * 16).long() * LEVELS // 17
        return Batch(_as_input(levels, batch.x.dtype), levels)

    return Data(*map(quantise, data.digits()))


def _as_input(levels: Tensor, dtype: torch.dtype) -> Tensor:
    return (2 * levels - (LEVELS - 1)).to(dtype) / (LEVELS - 1)  # -1 to 1


def model(seed: int) -> nn.Sequential:
    """[n, 64] images -> logits [n, 4, 64], a level's for each pixel; initialised by torch."""
    with seeded(seed):
        return nn.Sequential(
            nn.Unflatten(1, (1, SIDE, SIDE)),
            MaskedConv2d(1, 2 * HIDDEN, FIRST, centre=False),
            *(ResidualBlock() for _ in range(BLOCKS)),
            nn.ReLU(),
            nn.Conv2d(2 * HIDDEN, 2 * HIDDEN, 1),
            nn.ReLU(),
            nn.Conv2d(2 * HIDDEN, LEVELS, 1),
            nn.Flatten(2),
        )


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of a pixel in nats, scalar; of x float and levels y int64, [n, 64]."""
    return F.cross_entropy(model(batch.x), batch.y)


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Bits per dimension of `batch`, the validation set; scalar."""
    return loss(model, batch) / math.log(2)


@torch.no_grad()
def complete(model: nn.Module, upper: Tensor, seed: int) -> Tensor:
    """Images whose lower half is drawn from the model, pixel after pixel.

    Args:
        model: a trained one.
        upper: int64 [n, 32], the levels of the upper half, on the model's device.
        seed: of the draws, which are made on the CPU, the same for every device.

    Returns:
        int64 [n, 64], the upper half as given.

    Raises:
        ValueError: `upper` has another shape.
    """
    if upper.dim() != 2 or upper.shape[1] != HALF:
        raise ValueError(f"upper half of shape {list(upper.shape)}: must be [n, {HALF}]")
    dtype = next(model.parameters()).dtype
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(len(upper), HALF, generator=generator).to(upper.device)
    levels = F.pad(upper, (0, HALF))  # what is not drawn yet has no influence on what is
    for pixel in range(HALF, PIXELS):
        logits = model(_as_input(levels, dtype))[:, :, pixel]  # [n, 4]
        # the level in whose share of [0, 1) the uniform number falls; the last share needs no end
        ends = logits.softmax(1).cumsum(1)[:, :-1]
        levels[:, pixel] = (uniform[:, pixel - HALF, None] >= ends).sum(1)
    return levels


def generate(model: nn.Module, seed: int, count: int = 4) -> str:
    """`count` validation digits: the original, its upper half, and that completed by the model."""
    device = next(model.parameters()).device
    originals = images().validation.y[:count].to(device)
    completed = complete(model, originals[:, :HALF], seed)
    blocks = ["original".ljust(2 * SIDE + 2) + "upper half".ljust(2 * SIDE + 2) + "completed"]
    for original, whole in zip(originals, completed, strict=True):
        rows = _draw(original)
        upper = [*rows[: SIDE // 2], *["·" * 2 * SIDE] * (SIDE // 2)]
        lines = map("  ".join, zip(rows, upper, _draw(whole), strict=True))
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


def _draw(levels: Tensor) -> list[str]:
    rows = levels.unflatten(0, (SIDE, SIDE)).tolist()
    return ["".join(2 * SHADES[level] for level in row) for row in rows]  # 2: about square


def _flops() -> Flops:
    # a masked weight is multiplied with all the same
    wide, narrow = 2 * HIDDEN, HIDDEN
    first = FIRST**2 * wide
    block = 2 * wide * narrow + INNER**2 * narrow**2
    head = wide**2 + wide * LEVELS
    forward = 2 * PIXELS * (first + BLOCKS * block + head)
    # backward: a gradient for each weight and each layer's input, but not for the image
    return Flops(forward=forward, backward=2 * forward - 2 * PIXELS * first)


WORKLOAD = Workload(
    name="pixelcnn",
    data=images,
    model=model,
    loss=loss,
    metric=metric,
    target=Target("validation bits per dimension", 0.846),
    flops=_flops(),
    optimizer="adam",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    generate=generate,
)
