"""Word vectors learnt from the company that words keep: skip-gram with negative sampling.

A word's vector is trained to have a large product with the context vectors of its neighbours, and
a small one with those of words drawn at random, in proportion to their counts to the power of 3/4.
What it ends at factorises how much likelier two words are together than apart (Levy & Goldberg
2014, "Neural word embedding as implicit matrix factorization"), and so the vectors of words that
differ in one respect differ by one direction: man is to woman as king is to queen.

The planted corpus (workloads.analogies) has 208 words and 264 questions, of which 95% answered
rightly is the target; guessing reaches half of one, and trained for long all are right. It takes
200 to 260 steps of 256 pairs.

Source: Mikolov, Chen, Corrado & Dean 2013, arXiv 1301.3781; Mikolov et al. 2013, arXiv 1310.4546.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads import analogies
from workloads.analogies import Corpus
from workloads.seeding import seeded
from workloads.spec import Batch, Data, Flops, Target, Workload

DIMENSIONS = 32
NEGATIVES = 5
PAIRS = 65536  # drawn at a time, so that a step on a GPU does not wait for ten small kernels

SHOWN = 20  # questions in the table

BATCH_SIZE = 256
LEARNING_RATE = 1e-2
MAX_STEPS = 700

# The user's own corpus has a larger vocabulary, and nobody knows how much of it can be answered:
# training ends when all is, or after as many pairs as there are in five epochs, as word2vec has it.
OWN_DIMENSIONS = 100
OWN_BATCH_SIZE = 1024
OWN_LEARNING_RATE = 3e-3
OWN_EPOCHS = 5


class SkipGram(nn.Module):
    """Two vectors for each word: int64 [...] -> its vector as a centre word [..., d].

    Attributes:
        centre: what is looked up and compared when the model is trained.
        context: of a word as somebody's neighbour; only for training.
    """

    def __init__(self, words: int, dimensions: int):
        super().__init__()
        self.centre = nn.Embedding(words, dimensions)
        self.context = nn.Embedding(words, dimensions)
        for table in (self.centre, self.context):
            # as word2vec has it, but for the contexts, which begin at 0 there
            nn.init.uniform_(table.weight, -0.5 / dimensions, 0.5 / dimensions)

    def forward(self, x: Tensor) -> Tensor:
        return self.centre(x)


WORDS = len(analogies.vocabulary())


def model(seed: int, words: int = WORDS, dimensions: int = DIMENSIONS) -> SkipGram:
    """Vectors for `words` words, all small and random."""
    with seeded(seed):
        return SkipGram(words, dimensions)


def loss(model: Any, batch: Batch) -> Tensor:
    """-log sigmoid(true product) - the sum of log sigmoid(-negative product); mean, scalar.

    Args:
        model: a SkipGram.
        batch: x int64 [n], centre words; y int64 [n, 1 + negatives], a neighbour of each and
            then words drawn at random.
    """
    centre, context = model(batch.x), model.context(batch.y)  # [n, d], [n, 1 + negatives, d]
    # a batched matrix product, whose FLOPs torch's counter sees
    product = torch.bmm(context, centre.unsqueeze(2)).squeeze(2)
    return -(F.logsigmoid(product[:, 0]) + F.logsigmoid(-product[:, 1:]).sum(1)).mean()


@torch.no_grad()
def metric(model: Any, batch: Batch) -> Tensor:
    """The share of questions answered rightly, by 3CosAdd; scalar.

    Args:
        model: a SkipGram.
        batch: x int64 [n, 3], the words asked with; y int64 [n], the answers.
    """
    found = analogies.answers(model.centre.weight, batch.x)
    return (found == batch.y).to(model.centre.weight.dtype).mean()


class Draw:
    """Draws centre words, neighbours and negatives from a corpus, without synchronising.

    A neighbour at distance d of a window of w words is drawn with a chance in proportion to
    w - d + 1, as if each window's width were drawn evenly from 1 to w (arXiv 1301.3781). A negative
    may happen to be the neighbour itself.

    Args:
        corpus: what to draw from.
        device: where to.
        seed: of the draws; on each device a sequence of its own.
    """

    def __init__(self, corpus: Corpus, device: torch.device, seed: int):
        self.generator = torch.Generator(device).manual_seed(seed)
        self._window = corpus.window
        self._text = corpus.text.to(device)
        distances = range(1, corpus.window + 1)
        offsets = [d for d in distances for _ in range(corpus.window - d + 1)]
        self._offsets = torch.tensor([*offsets, *(-d for d in offsets)], device=device)
        shares = corpus.counts.double().pow(0.75).cumsum(0)
        self._up_to = (shares / shares[-1]).to(device)  # the last is 1, and nothing drawn is

    def __call__(self, count: int) -> Batch:
        """`count` samples, as of `loss`."""
        device, generator = self._text.device, self.generator
        size, within = (count,), len(self._text) - self._window
        at = torch.randint(self._window, within, size, generator=generator, device=device)
        which = torch.randint(len(self._offsets), size, generator=generator, device=device)
        neighbour = self._text[at + self._offsets[which]]
        dice = torch.rand(
            (count, NEGATIVES), generator=generator, device=device, dtype=torch.float64
        )
        negatives = torch.searchsorted(self._up_to, dice, right=True)
        return Batch(self._text[at], torch.cat([neighbour.unsqueeze(1), negatives], dim=1))


class Pairs:
    """Mini-batches without end, each pair and negative drawn anew from the whole corpus.

    Args:
        model: not looked at.
        train: whose device to draw on; its samples are not looked at.
        size: samples in a batch.
        seed: of the draws.
        corpus: () -> what to draw from.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Batch,
        size: int,
        seed: int,
        corpus: Callable[[], Corpus] = analogies.planted,
    ) -> None:
        self._draw, self._size = Draw(corpus(), train.x.device, seed), size
        self._before = self._draw.generator.get_state()
        self._drawn: list[Batch] = []
        self._given = 0  # of what is drawn

    def __iter__(self) -> Pairs:
        return self

    def __next__(self) -> Batch:
        if self._given == len(self._drawn):
            self._fill()
        self._given += 1
        return self._drawn[self._given - 1]

    def _fill(self) -> None:
        self._before = self._draw.generator.get_state()
        drawn = self._draw(self._size * max(1, PAIRS // self._size))
        parts = zip(drawn.x.split(self._size), drawn.y.split(self._size), strict=True)
        self._drawn, self._given = [Batch(x, y) for x, y in parts], 0

    def state_dict(self) -> dict[str, Any]:
        """From where on to draw, and how much of that is given."""
        return {"generator": self._before, "given": self._given}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._draw.generator.set_state(saved["generator"])
        self._fill()
        self._given = saved["given"]


def generate(model: Any, seed: int, corpus: Callable[[], Corpus] = analogies.planted) -> str:
    """The first question and twenty others with the answers found; the share right of them all."""
    words, questions = corpus().words, corpus().questions
    vectors = model.centre.weight.detach()
    found = analogies.answers(vectors, questions.to(vectors.device)).cpu()
    right = found == questions[:, 3]
    order = torch.randperm(len(questions), generator=torch.Generator().manual_seed(seed))
    lines = []
    for i in sorted({0, *order[:SHOWN].tolist()}):
        a, b, c, expected = (words[j] for j in questions[i].tolist())
        question = f"{a} is to {b} as {c} is to"
        verdict = "right" if right[i] else "wrong"
        lines.append(f"{question:44} {words[found[i]]:12} {expected:12} {verdict}")
    head = f"{'question':44} {'found':12} {'expected':12}"
    share = f"{int(right.sum())} of {len(questions)} right, {right.double().mean():.1%}"
    return "\n".join([head, *lines, share])


def _data(corpus: Corpus) -> Data:
    drawn = Draw(corpus, torch.device("cpu"), seed=0)(PAIRS)
    return Data(drawn, Batch(corpus.questions[:, :3], corpus.questions[:, 3]))


@functools.cache
def data() -> Data:
    """65,536 pairs of the planted corpus, each with its negatives, and the 264 questions.

    A model trains on pairs that are drawn as it goes (`Pairs`). These are what a step is timed
    on.

    Returns:
        train x int64 [n], y int64 [n, 6]; validation x int64 [n, 3], y int64 [n].
    """
    return _data(analogies.planted())


def _flops(dimensions: int) -> Flops:
    product = 2 * dimensions * (1 + NEGATIVES)
    # backward: a gradient for the centre's vector and one for each context's
    return Flops(forward=product, backward=2 * product, answer=0)  # a look-up


WORKLOAD = Workload(
    name="word2vec",
    data=data,
    model=model,
    loss=loss,
    metric=metric,
    target=Target("share of analogies right", 0.95, lower_is_better=False),
    flops=_flops(DIMENSIONS),
    optimizer="adam",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    floor=1.0,
    batches=Pairs,
    generate=generate,
)


def from_files(corpus: Path, questions: Path | None = None) -> Workload:
    """The same on the user's own text and questions, as of `workloads.analogies.from_files`.

    Raises:
        ValueError: as that does.
    """
    own = analogies.from_files(corpus, questions)
    drawn = _data(own)
    pairs = len(own.text) * (own.window + 1)  # half the widest window on average, on both sides
    return replace(
        WORKLOAD,
        data=lambda: drawn,
        model=functools.partial(model, words=len(own.words), dimensions=OWN_DIMENSIONS),
        target=Target("share of analogies right", 1.0, lower_is_better=False),
        flops=_flops(OWN_DIMENSIONS),
        learning_rate=OWN_LEARNING_RATE,
        batch_size=OWN_BATCH_SIZE,
        max_steps=math.ceil(OWN_EPOCHS * pairs / OWN_BATCH_SIZE),
        batches=functools.partial(Pairs, corpus=lambda: own),
        generate=functools.partial(generate, corpus=lambda: own),
    )
