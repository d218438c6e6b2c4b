"""Text to be predicted one character at a time: a planted language, real text, the user's own.

The planted language has 144 invented words, drawn independently of each other by Zipf's law and
separated by spaces. No word's letters and space begin another's, so the text gives back its words
and its entropy is known exactly: the words' entropy over their mean length, space included. Real
text is Python's own documentation topics, which differ from version to version and are told apart
by their hash.

Text is cut into windows of 33 characters: a sample is 32 characters and the one after each of
them. The last part of a text is held out for validation, and no window reaches over the cut.

Source: Zipf 1935, "The Psycho-Biology of Language" (a word's frequency is inverse to its rank, and
frequent words are short); Shannon 1948, "A Mathematical Theory of Communication".
"""

from __future__ import annotations

import functools
import hashlib
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads.spec import Batch, Data

WINDOW = 32  # characters a model sees, and predicts
LARGEST = 2**27  # bytes of a text; a model of characters takes some 25 times that in memory
WRITTEN = 200  # characters of a generated text

# held out is a twentieth, no less than a window and no more than is evaluated in a moment
HELD_OUT_SHARE, HELD_OUT_MOST = 20, 25_000

LEXICON_SIZE = 144
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
SHORTEST, LONGEST = 3, 7  # letters in a word
PLANTED_WORDS = 90_000  # about 420,000 characters, an epoch of 367 steps of 32 windows


class Corpus(NamedTuple):
    """A text, cut.

    Attributes:
        alphabet: the characters that occur, sorted; the model knows each by its place here.
        data: x and y int64 [n, 32], y being one character ahead of x.
        description: what it is, how long, and its sha256.
    """

    alphabet: str
    data: Data
    description: str


@functools.cache
def lexicon() -> Mapping[str, float]:
    """The planted language's words with their probabilities, from frequent to rare.

    Letters alternate between consonants and vowels. The r-th word's probability is inverse to r.
    """
    draw = np.random.RandomState(0)  # the generator whose stream is the same in every version
    words: dict[str, None] = {}  # a set that keeps the order
    while len(words) < LEXICON_SIZE:
        length, first = draw.randint(SHORTEST, LONGEST + 1), draw.randint(2)
        kinds = [(CONSONANTS, VOWELS)[(first + place) % 2] for place in range(length)]
        words["".join(kind[draw.randint(len(kind))] for kind in kinds)] = None
    by_rank = sorted(words, key=len)
    total = sum(1 / rank for rank in range(1, len(by_rank) + 1))
    return {word: 1 / rank / total for rank, word in enumerate(by_rank, 1)}


def entropy_rate(words: Mapping[str, float]) -> float:
    """Entropy of a language of independent words in bits per character, spaces included.

    Args:
        words: each word's probability; no word holds a space.
    """
    entropy = -sum(p * math.log2(p) for p in words.values())
    return entropy / sum(p * (len(word) + 1) for word, p in words.items())


def ideal_bits(words: Mapping[str, float], text: str) -> float:
    """-log2 of a text's probability in a language of independent words; what is best on average.

    Args:
        words: as of `entropy_rate`.
        text: begins with a word, and may end in the middle of one.
    """
    *whole, cut = text.split(" ")
    begun = sum(p for word, p in words.items() if word.startswith(cut))
    return -sum(math.log2(words[word]) for word in whole) - math.log2(begun)


@functools.cache
def planted() -> Corpus:
    """The planted language; each of its windows begins with the space before a word.

    A model so knows where in a word it is from the first character on, and the ideal predictor's
    loss on the windows is known exactly.
    """
    words = lexicon()
    drawn = np.random.RandomState(1).choice(list(words), PLANTED_WORDS, p=list(words.values()))
    text = "".join(f" {word}" for word in drawn)
    cut = text.rindex(" ", 0, len(text) - _held_out(len(text)))
    alphabet, numbers = _encode(text)

    def windows(start: int, end: int) -> Batch:
        starts = [start]
        while 0 <= (space := text.find(" ", starts[-1] + WINDOW, end)) < end - WINDOW:
            starts.append(space)
        index = torch.tensor(starts)[:, None] + torch.arange(WINDOW)
        return Batch(numbers[index], numbers[index + 1])

    data = Data(windows(0, cut), windows(cut, len(text)))
    return Corpus(alphabet, data, _describe("planted language", text))


@functools.cache
def planted_floor() -> float:
    """The ideal predictor's loss on the planted language's held-out windows, in bits a character.

    Above the entropy rate, mostly because windows end in the middle of a word: its first letters
    tell more than its last.
    """
    alphabet, (_, held_out), _ = planted()
    windows = ["".join(alphabet[number] for number in row) for row in held_out.y.tolist()]
    return sum(ideal_bits(lexicon(), window) for window in windows) / held_out.y.numel()


@functools.cache
def topics() -> Corpus:
    """What Python's help() knows about the language itself, in the order of the topics' names."""
    from pydoc_data.topics import topics as by_name

    text = "\n".join(by_name[name] for name in sorted(by_name))
    return _cut(text, f"documentation topics of Python {platform.python_version()}")


def from_file(path: Path) -> Corpus:
    """The user's own text, in UTF-8.

    Raises:
        ValueError: it is missing or cannot be read, empty, not text, too short or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"{path}: more than {LARGEST} bytes; give a part of it")
        text = content.decode("utf-8-sig")  # as UTF-8, and without a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8, byte {error.start} is wrong") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as a text file: {error.strerror}") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise ValueError(f"{path}: empty, must hold text of at least {_LEAST} characters")
    if "\0" in text:
        raise ValueError(f"{path}: not text, it has a zero byte")
    if len(text) < _LEAST:
        raise ValueError(
            f"{path}: {len(text)} characters, must be at least {_LEAST}: "
            f"one sequence of {WINDOW + 1} to train on and one to validate with"
        )
    return _cut(text, path.name)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats per character, scalar; of x and y int64 [n, t]."""
    return F.cross_entropy(model(batch.x).flatten(0, 1), batch.y.flatten())


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Bits per character of `batch`, the held-out windows; a scalar without a graph."""
    return loss(model, batch) / math.log(2)


def counting_bits(corpus: Corpus) -> float:
    """Bits per held-out character when it is predicted by counting what followed the two before.

    Counted in the training windows: p(c | ab) = (n(abc) + p(c | b)) / (n(ab) + 1), p(c | b) in the
    same way from single characters, p(c) from none, and that from all being alike (MacKay & Peto
    1995, "A hierarchical Dirichlet language model", with strength 1). Text of which nothing is
    known has this to be measured against.
    """
    train, held_out = corpus.data
    characters = len(corpus.alphabet)
    chances = torch.full(held_out.y.shape, 1 / characters, dtype=torch.float64)
    for length in range(3):
        first = max(length - 1, 0)  # place in a window that has so many characters up to it
        before, seen = _contexts(held_out.x, length, characters), held_out.y[:, first:]
        before_train = _contexts(train.x, length, characters)
        followed = before_train * characters + train.y[:, first:]
        both = _occurrences(followed, before * characters + seen)
        times = _occurrences(before_train, before)
        chances[:, first:] = (both + chances[:, first:]) / (times + 1)
    return -chances.log2().mean().item()


@torch.no_grad()
def write(corpus: Corpus, model: nn.Module, seed: int) -> str:
    """200 characters drawn one by one from what the model predicts, from a held-out one on."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draws on every device
    text = corpus.data.validation.x[:1, :1].to(device)
    for _ in range(WRITTEN):
        chances = model(text[:, -WINDOW:])[0, -1].double().softmax(0).cpu()
        following = torch.multinomial(chances, 1, generator=generator)
        text = torch.cat([text, following[None].to(device)], dim=1)
    return "".join(corpus.alphabet[number] for number in text[0, 1:].tolist())


_LEAST = 2 * (WINDOW + 1)


def _held_out(length: int) -> int:
    return min(max(length // HELD_OUT_SHARE, WINDOW + 1), HELD_OUT_MOST)


def _cut(text: str, name: str) -> Corpus:
    """Windows side by side: where a word begins is not known in real text."""
    alphabet, numbers = _encode(text)

    def windows(part: Tensor) -> Batch:
        count = (len(part) - 1) // WINDOW
        x, y = (part[shift:][: count * WINDOW].view(count, WINDOW) for shift in (0, 1))
        return Batch(x, y)

    cut = len(text) - _held_out(len(text))
    data = Data(windows(numbers[:cut]), windows(numbers[cut:]))
    return Corpus(alphabet, data, _describe(name, text))


def _encode(text: str) -> tuple[str, Tensor]:
    """The sorted characters that occur, and the text as their places, int64 [len(text)]."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    present = np.flatnonzero(np.bincount(codes))
    places = np.zeros(present[-1] + 1, np.int64)
    places[present] = np.arange(len(present))
    return "".join(map(chr, present)), torch.from_numpy(places[codes])


def _contexts(x: Tensor, length: int, characters: int) -> Tensor:
    """One number for the `length` characters up to each place that has so many; int64."""
    places = x.shape[1] - max(length - 1, 0)
    numbers = torch.zeros(len(x), places, dtype=torch.int64)
    for back in range(length):
        numbers = numbers * characters + x[:, back : back + places]
    return numbers


def _occurrences(among: Tensor, wanted: Tensor) -> Tensor:
    """How often each element of `wanted` is in `among`; int64, of the shape of `wanted`."""
    kinds, counts = among.unique(return_counts=True)  # sorted
    places = torch.searchsorted(kinds, wanted).clamp(max=len(kinds) - 1)
    return torch.where(kinds[places] == wanted, counts[places], 0)


def _describe(name: str, text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{name}, {len(text)} characters, sha256 {digest}"
