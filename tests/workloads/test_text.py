"""Windows that keep apart, the user's own text, counting what follows, and writing."""

import hashlib
import math
import pydoc_data.topics
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from workloads import text
from workloads.spec import Batch, Data


def decoded(corpus, numbers):
    return ["".join(corpus.alphabet[n] for n in row) for row in numbers.tolist()]


def whole(corpus, batch):
    """Each window's 33 characters."""
    return decoded(corpus, torch.cat([batch.x, batch.y[:, -1:]], dim=1))


def own(tmp_path, content):
    path = tmp_path / "mine.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("corpus", [text.planted, text.topics])
def test_y_is_one_character_ahead_of_x(corpus):
    for batch in corpus().data:
        assert batch.x.shape == batch.y.shape == (len(batch), text.WINDOW)
        assert batch.x.dtype == batch.y.dtype == torch.int64
        assert torch.equal(batch.x[:, 1:], batch.y[:, :-1])
        assert batch.x.min() >= 0 and batch.y.max() < len(corpus().alphabet)


def test_held_out_text_is_the_tail_and_no_window_reaches_over_the_cut(tmp_path):
    # each character occurs once and its number is its place in the text
    content = "".join(chr(0x4E00 + place) for place in range(2000))
    corpus = text.from_file(own(tmp_path, content))
    assert corpus.alphabet == content
    train, held_out = (torch.cat([batch.x.flatten(), batch.y.flatten()]) for batch in corpus.data)
    assert torch.equal(train.unique(), torch.arange(59 * 32 + 1))
    assert torch.equal(held_out.unique(), 1900 + torch.arange(3 * 32 + 1))
    assert len(train) == 2 * 59 * 32  # and none is trained on twice


def test_a_large_text_has_no_more_held_out_than_is_quick_to_evaluate(tmp_path):
    corpus = text.from_file(own(tmp_path, "some text " * 100_000))
    assert text.HELD_OUT_MOST - text.WINDOW <= corpus.data.validation.y.numel() < 25_000


def test_the_topics_are_pythons_whatever_the_version(monkeypatch):
    joined = "\n".join(body for _, body in sorted(pydoc_data.topics.topics.items()))
    assert hashlib.sha256(joined.encode()).hexdigest() in text.topics().description
    assert "documentation topics of Python 3." in text.topics().description
    assert text.topics().alphabet == "".join(sorted(set(joined)))

    other = {"with": "ünïcode ✓ " * 30, "assert": "\n    another version's text" * 30}
    monkeypatch.setattr(pydoc_data.topics, "topics", other)
    corpus = text.topics.__wrapped__()
    assert "".join(whole(corpus, corpus.data.train)).startswith("\n    another version's text")
    assert "ü" in corpus.alphabet and "✓" in corpus.alphabet
    assert corpus.description != text.topics().description


def test_a_users_text_is_read_as_it_is(tmp_path):
    content = "Zwölf Boxkämpfer\tjagen Viktor\n" * 40
    corpus = text.from_file(own(tmp_path, content))
    digest = hashlib.sha256(content.encode()).hexdigest()
    assert corpus.description == f"mine.txt, 1200 characters, sha256 {digest}"
    assert corpus.alphabet == "".join(sorted(set(content)))
    assert whole(corpus, corpus.data.train)[0] == content[:33]
    marked = text.from_file(own(tmp_path, b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode()))
    assert marked.description == corpus.description  # no byte order mark, lines as everywhere


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty, must hold text of at least 66 characters"),
        (b"x" * 65, "65 characters, must be at least 66: one sequence of 33 to train on and one"),
        ("ä".encode() * 65, "65 characters, must be at least 66"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "not text in UTF-8, byte 0 is wrong"),
        ("täglich ".encode("latin-1") * 40, "not text in UTF-8, byte 1 is wrong"),
        ("text ".encode("utf-16") * 40, "not text in UTF-8, byte 0 is wrong"),
        (b"text \0" * 40, "not text, it has a zero byte"),
    ],
)
def test_a_text_that_is_none_is_refused_in_one_line(tmp_path, content, words):
    path = own(tmp_path, content)
    with pytest.raises(ValueError) as caught:
        text.from_file(path)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert "\n" not in str(caught.value)
    assert type(caught.value) is ValueError


def test_a_text_without_an_end_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "LARGEST", 200)
    text.from_file(own(tmp_path, "text " * 40))
    for path in (own(tmp_path, "text " * 40 + "."), Path("/dev/zero")):
        with pytest.raises(ValueError, match=f"^{path}: more than 200 bytes; give a part of it$"):
            text.from_file(path)


@pytest.mark.parametrize(
    ("name", "words"), [("missing.txt", "No such file or directory"), ("", "Is a directory")]
)
def test_a_text_that_cannot_be_read_is_refused_in_one_line(tmp_path, name, words):
    path = tmp_path / name
    with pytest.raises(ValueError) as caught:
        text.from_file(path)
    assert str(caught.value) == f"{path}: cannot be read as a text file: {words}"


def test_the_shortest_text_has_one_window_on_either_side(tmp_path):
    content = "".join(chr(0x4E00 + place) for place in range(66))
    corpus = text.from_file(own(tmp_path, content))
    assert [whole(corpus, batch) for batch in corpus.data] == [[content[:33]], [content[33:]]]


def test_counting_is_what_it_says_on_a_text_small_enough_to_count():
    def batch(window):
        numbers = torch.tensor([["ab".index(c) for c in window]])
        return Batch(numbers[:, :-1], numbers[:, 1:])

    corpus = text.Corpus("ab", Data(batch("aabab"), batch("abbab")), "")
    # training has a a b a b: after none a 2, b 2; after a: a 1, b 2; after b: a 1;
    # after aa: b 1; after ab: a 1; after ba: b 1
    a = b = (2 + 1 / 2) / 5
    a_a, a_b, b_a, b_b = (1 + a) / 4, (2 + b) / 4, (1 + a) / 2, (0 + b) / 2
    assert a_a + a_b == b_a + b_b == 1
    ab_b, bb_a, ba_b = (0 + b_b) / 2, (0 + b_a) / 1, (1 + a_b) / 2
    expected = -sum(map(math.log2, (a_b, ab_b, bb_a, ba_b))) / 4
    assert text.counting_bits(corpus) == pytest.approx(expected, rel=1e-12)


def test_counting_finds_what_two_characters_tell(tmp_path):
    assert text.counting_bits(text.from_file(own(tmp_path, "abc" * 5000))) < 1e-3
    # of the letters x, y and z at random nothing is told
    letters = "".join(np.random.default_rng(0).choice(list("xyz"), 60_000))
    bits = text.counting_bits(text.from_file(own(tmp_path, letters)))
    assert bits == pytest.approx(math.log2(3), abs=0.01)
    assert text.counting_bits(text.planted()) > text.planted_floor() + 0.4


class Alternating(torch.nn.Module):
    """Sure that x is followed by y and y by x, whatever came before; records what it is shown."""

    def __init__(self):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(()))
        self.shown = []

    def forward(self, x):
        self.shown.append(x.shape)
        return F.one_hot(1 - x, 2).double() * 1000


def test_writing_follows_the_model_and_shows_it_no_more_than_a_window(tmp_path):
    corpus = text.from_file(own(tmp_path, "xy" * 200))
    model = Alternating()
    assert text.write(corpus, model, seed=0) in ("xy" * 100, "yx" * 100)
    assert model.shown == [(1, min(n, text.WINDOW)) for n in range(1, text.WRITTEN + 1)]


def test_writing_draws_as_often_as_the_model_says(tmp_path):
    corpus = text.from_file(own(tmp_path, "xy" * 200))
    model = Alternating()
    model.forward = lambda x: torch.tensor([math.log(0.25), math.log(0.75)]).expand(*x.shape, 2)
    before = torch.get_rng_state()
    written = [text.write(corpus, model, seed) for seed in range(10)]
    assert torch.equal(torch.get_rng_state(), before)
    assert abs("".join(written).count("y") / 2000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 2000)
    assert len(set(written)) == 10
    assert written[3] == text.write(corpus, model, 3)
