"""The planted language of workloads.text: its entropy in several ways, its windows."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch

from tests.workloads.test_text import decoded, whole
from workloads import text
from workloads.spec import Batch

WORDS = text.lexicon()
PLANTED = "5d9198538b2aff4fca1a46af6b573cd48b342969ccd86bd4e9f5930c5d61ab86"


class Ideal(torch.nn.Module):
    """The ideal predictor of the planted language as a model, from the lexicon alone."""

    def forward(self, x):
        corpus = text.planted()
        chances = torch.zeros(*x.shape, len(corpus.alphabet), dtype=torch.float64)
        for row, window in enumerate(decoded(corpus, x)):
            for place in range(len(window)):
                begun = window[: place + 1].rpartition(" ")[2]
                for word, p in WORDS.items():
                    if word.startswith(begun):
                        following = f"{word} "[len(begun)]
                        chances[row, place, corpus.alphabet.index(following)] += p
        return chances.log()


def test_the_lexicon_is_zipfs():
    ranks = np.arange(1, text.LEXICON_SIZE + 1)
    assert list(WORDS.values()) == pytest.approx(list(1 / ranks / (1 / ranks).sum()), rel=1e-12)
    lengths = [len(word) for word in WORDS]
    assert lengths == sorted(lengths)
    assert set(lengths) == set(range(text.SHORTEST, text.LONGEST + 1))
    assert all(word.isalpha() for word in WORDS)


@pytest.mark.parametrize(
    ("words", "bits"),
    [
        ({"a": 0.5, "b": 0.5}, 1 / 2),  # a bit a word of two characters
        ({"a": 0.25, "b": 0.25, "ccc": 0.5}, 1.5 / 3),
        ({"abc": 1.0}, 0),
        ({"": 0.5, "a": 0.5}, 1 / 1.5),  # two spaces in a row are a word without letters
    ],
)
def test_the_entropy_of_languages_small_enough_to_see_it(words, bits):
    assert text.entropy_rate(words) == bits


def test_the_entropy_rate_is_that_of_its_next_characters():
    """By the chain rule: over all beginnings of words, the entropy of what may follow."""
    beginnings = {word[:end] for word in WORDS for end in range(len(word) + 1)}
    entropy = visits = 0.0
    for begun in beginnings:
        following: dict[str, float] = {}
        for word, p in WORDS.items():
            if word.startswith(begun):
                character = f"{word} "[len(begun)]
                following[character] = following.get(character, 0) + p
        visited = sum(following.values())  # times a word
        visits += visited
        entropy -= sum(p * math.log2(p / visited) for p in following.values())
    assert entropy / visits == pytest.approx(text.entropy_rate(WORDS), rel=1e-12)


def test_an_ideal_coder_needs_the_entropy_rate():
    # words in other draws than the corpus's; the ratio's standard error by the delta method
    drawn = np.random.default_rng(5).choice(list(WORDS), 200_000, p=list(WORDS.values()))
    bits = np.array([-math.log2(WORDS[word]) for word in drawn])
    lengths = np.array([len(word) + 1 for word in drawn])
    rate = text.entropy_rate(WORDS)
    error = (bits - rate * lengths).std() / math.sqrt(len(drawn)) / lengths.mean()
    coded = text.ideal_bits(WORDS, " ".join(drawn) + " ") / lengths.sum()
    assert coded == pytest.approx(bits.sum() / lengths.sum(), rel=1e-9)
    assert abs(coded - rate) < 4 * error < 0.01


@pytest.mark.parametrize("begun", ["", "i", "iko", "iko d", "dur tor ", "obaruk"])
def test_what_may_follow_a_text_has_its_probability_together(begun):
    probability = 2 ** -text.ideal_bits(WORDS, begun)
    total = 0.0
    for character in text.planted().alphabet:
        try:
            total += 2 ** -text.ideal_bits(WORDS, begun + character)
        except (KeyError, ValueError):  # a word that is none; a beginning of none
            continue
    assert total == pytest.approx(probability, rel=1e-12)


def test_the_floor_is_the_loss_of_the_ideal_predictor():
    data = text.planted().data
    few = Batch(*(t[:20] for t in data.validation))
    bits = [text.ideal_bits(WORDS, window) for window in decoded(text.planted(), few.y)]
    assert text.metric(Ideal(), few).item() == pytest.approx(sum(bits) / few.y.numel(), rel=1e-12)
    assert text.entropy_rate(WORDS) < text.planted_floor() < text.entropy_rate(WORDS) + 0.1


def test_no_other_predictor_does_better_on_average():
    def expected(q):
        """Bits a word and its space, predicting with q what is distributed as WORDS."""
        return sum(p * text.ideal_bits(q, f"{word} ") for word, p in WORDS.items())

    alike = dict.fromkeys(WORDS, 1 / len(WORDS))
    flatter = {word: p**0.9 for word, p in WORDS.items()}
    flatter = {word: p / sum(flatter.values()) for word, p in flatter.items()}
    assert expected(WORDS) < expected(flatter) < expected(alike) == pytest.approx(math.log2(144))


def test_the_planted_text_is_the_one_the_targets_were_set_on():
    assert text.planted().description == f"planted language, 419216 characters, sha256 {PLANTED}"
    train, held_out = text.planted().data
    assert (len(train), len(held_out)) == (11754, 618)
    assert text.planted().alphabet == " abdefgiklmnoprstuvz"


def test_planted_windows_begin_at_words_one_after_the_other_and_keep_apart():
    corpus = text.planted()
    drawn = np.random.RandomState(1).choice(list(WORDS), text.PLANTED_WORDS, p=list(WORDS.values()))
    rest = "".join(f" {word}" for word in drawn)
    assert hashlib.sha256(rest.encode()).hexdigest() == PLANTED
    reached = 0  # characters before it are used up; the last of a window may begin the next
    gaps = []
    windows = [whole(corpus, batch) for batch in corpus.data]
    for window in itertools.chain(*windows):
        assert window[0] == " "
        start = rest.index(window, reached)
        gaps.append(start - reached)
        reached = start + text.WINDOW
    # no more is left out than the end of a word, but for the window that the cut takes
    assert sorted(gaps)[-2] <= text.LONGEST
    # where held-out text begins, the last training window has ended
    assert gaps[len(windows[0])] >= 1
    assert len(rest) - reached < text.WINDOW + text.LONGEST + 2


def test_the_shares_of_words_in_training_are_the_lexicons():
    counted: dict[str, int] = {}
    for window in whole(text.planted(), text.planted().data.train):
        first = window[1:].partition(" ")[0]
        counted[first] = counted.get(first, 0) + 1
    total = sum(counted.values())
    for word, p in WORDS.items():
        assert abs(counted[word] / total - p) < 5 * math.sqrt(p / total)
