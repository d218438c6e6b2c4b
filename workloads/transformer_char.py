"""A small causal transformer that predicts the next character: what came after char_rnn.

It learns the same texts to the same targets. Where a recurrent network has to carry in its state
what it has seen, here each position looks at all the earlier ones at once: two blocks of attention
and perceptron, each normalised before and added to what it was given (pre-norm), with learned
positions and no dropout. The target is reached in about 390 steps, twice as many as the recurrent
network's and each twice as long, that of real text in 300; 5 seconds on one core. Where both go on,
the transformer is ahead on real text: 1.8 bits per character after 3000 steps against 2.0.

Attention is written out, product by product, rather than by F.scaled_dot_product_attention: so
it can be differentiated twice on every device.

Source: Vaswani et al. 2017, arXiv 1706.03762; pre-norm: Xiong et al. 2020, arXiv 2002.04745.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from workloads import char_rnn, text
from workloads.seeding import seeded
from workloads.spec import Flops, Workload

WIDTH, HEADS, BLOCKS = 64, 4, 2
HIDDEN = 2 * WIDTH  # the perceptrons'; 4 times the width is usual and saves no steps here
MAX_STEPS = 1200  # a trial that takes longer is censored
LEARNING_RATE = 4e-3  # half of it takes over 500 steps, twice of it as many as this

# Of the embeddings: large models' 0.02 takes about 180 steps more, torch's own 1 about 100.
INITIAL_STD = 0.3


class Attention(nn.Module):
    """[n, t, width] -> [n, t, width]: softmax(q k / sqrt(width of a head)) v, nothing later."""

    def __init__(self) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        split = self.queries_keys_values(x).view(n, t, 3, HEADS, WIDTH // HEADS)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each [n, heads, t, width of a head]
        scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)  # [n, heads, t, t]
        later = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
        mixed = scores.masked_fill(later, -math.inf).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, t, WIDTH))


class Block(nn.Module):
    """[n, t, width] -> [n, t, width]: what attention and then the perceptron add."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(WIDTH), Attention())
        self.perceptron = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.perceptron(x)


class Transformer(nn.Module):
    """int64 [n, t <= 32] -> logits [n, t, characters], each from the characters up to it."""

    def __init__(self, characters: int):
        super().__init__()
        self.embedding = nn.Embedding(characters, WIDTH)
        self.position = nn.Embedding(text.WINDOW, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, characters)
        for table in (self.embedding, self.position):
            nn.init.normal_(table.weight, std=INITIAL_STD)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        inputs = self.embedding(x) + self.position(places)
        return self.head(self.norm(self.blocks(inputs)))


def model(seed: int, characters: int) -> Transformer:
    """The network for an alphabet of that size; all but the embeddings initialised by torch."""
    with seeded(seed):
        return Transformer(characters)


def from_files(corpus: Path) -> Workload:
    """The workload on the user's own text; its target is what counting gets to.

    Raises:
        ValueError: as `workloads.text.from_file` does.
    """
    own = text.from_file(corpus)
    return _workload("transformer_char/corpus", own, text.counting_bits(own))


def _flops(characters: int) -> Flops:
    # queries, keys, values and out; the perceptron's two; of each character
    layers = 2 * text.WINDOW * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN)
    # scores and mixing, all heads together; the masked half is computed as well
    attention = 2 * 2 * text.WINDOW * text.WINDOW * WIDTH
    forward = BLOCKS * (layers + attention) + 2 * text.WINDOW * WIDTH * characters
    # backward: a gradient for both factors of every product, as the embeddings are learned
    return Flops(forward, 2 * forward)


def _workload(name: str, corpus: text.Corpus, target: float) -> Workload:
    """char_rnn's on that corpus, but for the network and what suits it."""
    characters = len(corpus.alphabet)
    return dataclasses.replace(
        char_rnn.workload(name, corpus, target),
        model=functools.partial(model, characters=characters),
        flops=_flops(characters),
        learning_rate=LEARNING_RATE,
        max_steps=MAX_STEPS,
    )


WORKLOAD = _workload("transformer_char", text.planted(), char_rnn.TARGET)
VARIANTS = (_workload("transformer_char/topics", text.topics(), char_rnn.TARGET_TOPICS),)
