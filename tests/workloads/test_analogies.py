"""The planted corpus is what it is said to be; 3CosAdd answers questions; files are read."""

import hashlib
import re

import pytest
import torch

from workloads import analogies
from workloads.analogies import GENDERS, PLACE, ROLES, WITH_ALL, planted

DIGEST = "3967fb3cc82fb694ba6edfc175990b5c05c7b2f6de97e1855aeacc1ec0a8259e"


def test_the_planted_corpus_is_the_one_the_target_was_set_on():
    corpus = planted()
    assert len(corpus.words) == len(set(corpus.words)) == len(corpus.counts) == 208
    assert len(corpus.text) == corpus.counts.sum() == 480_000
    assert corpus.questions.shape == (264, 4)
    text = " ".join(corpus.words[i] for i in corpus.text.tolist())
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_words_are_numbered_by_how_often_they_occur():
    corpus = planted()
    assert torch.equal(corpus.counts, torch.bincount(corpus.text))
    assert torch.equal(corpus.counts, corpus.counts.sort(descending=True).values)


def test_a_words_neighbours_are_determined_by_its_role_and_gender():
    corpus = planted()
    place = {word: i for i, word in enumerate(corpus.words)}
    sentences = corpus.text.unflatten(0, (-1, analogies.LENGTH))
    # no sentence but its own is within the window of a role's word
    assert PLACE - corpus.window >= 0 and PLACE + corpus.window < analogies.LENGTH
    for pair, about in ROLES.items():
        for word, gender in zip(pair, GENDERS, strict=True):
            where = corpus.text == place[word]
            assert where.unflatten(0, sentences.shape).nonzero()[:, 1].unique().tolist() == [PLACE]
            around = sentences[sentences[:, PLACE] == place[word]]
            beside = torch.cat([around[:, :PLACE], around[:, PLACE + 1 :]], dim=1).unique()
            expected = f"{about} {gender} {WITH_ALL}".split()
            assert {corpus.words[i] for i in beside.tolist()} == set(expected)


def test_the_questions_are_all_pairs_of_roles_both_ways_and_have_each_one_answer():
    asked = analogies.planted_questions()
    assert asked[0] == ["man", "woman", "king", "queen"]
    assert ["queen", "king", "woman", "man"] in asked
    assert len(asked) == len({tuple(q) for q in asked}) == 12 * 11 * 2
    partner = {a: b for first, second in ROLES for a, b in ((first, second), (second, first))}
    men = {first for first, _ in ROLES}
    for a, b, c, d in asked:
        assert partner[a] == b and partner[c] == d and len({a, b, c, d}) == 4
        assert (a in men) == (c in men)
    words = planted().words
    assert [[words[i] for i in q] for q in planted().questions.tolist()] == asked


def test_the_analogy_holds_by_construction():
    # from the very logarithms that training approaches; nothing is trained here
    corpus = planted()
    together = torch.zeros(208, 208, dtype=torch.float64)
    for distance in range(1, corpus.window + 1):
        for a, b in (
            (corpus.text[:-distance], corpus.text[distance:]),
            (corpus.text[distance:], corpus.text[:-distance]),
        ):
            together.index_put_((a, b), torch.ones(1, dtype=torch.float64), accumulate=True)
    of_one = together.sum(1, keepdim=True)
    ratio = (together * together.sum() / (of_one @ of_one.T)).clamp(min=1e-2).log()
    found = analogies.answers(ratio, corpus.questions)
    assert (found == corpus.questions[:, 3]).double().mean() > 0.99


def test_untrained_vectors_answer_by_chance():
    questions = planted().questions
    right = 0.0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        vectors = torch.randn(208, 32, generator=generator)
        right += (analogies.answers(vectors, questions) == questions[:, 3]).double().mean().item()
    assert 0 < right / 20 < 3 / 205


VECTORS = torch.tensor(
    # man, woman, king, queen, and a word close to king
    [[1.0, 0, 0, 0.1], [0, 1, 0, 0.1], [1, 0, 1, 0], [0, 1, 1, 0], [0.9, 0.1, 1, 0]]
)


def test_man_is_to_woman_as_king_is_to_queen():
    questions = torch.tensor([[0, 1, 2], [2, 3, 0], [1, 0, 3], [0, 2, 1]])
    assert analogies.answers(VECTORS, questions).tolist() == [3, 1, 2, 3]


def test_the_words_of_a_question_are_not_its_answer():
    # a is to a as c is to: c itself, were it allowed
    assert analogies.answers(VECTORS, torch.tensor([[0, 0, 2]])).tolist() == [4]
    vectors = VECTORS.clone()
    vectors[1] = vectors[0] * 2  # b - a is nothing: c again
    assert analogies.answers(vectors, torch.tensor([[0, 1, 2]])).tolist() == [4]


def test_only_the_direction_of_a_vector_matters():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(50, 8, generator=generator)
    questions = torch.randint(50, (600, 4), generator=generator)  # more than are done at a time
    scaled = vectors * (0.1 + 10 * torch.rand(50, 1, generator=generator))
    found = analogies.answers(vectors, questions)
    assert torch.equal(analogies.answers(scaled, questions), found)
    alone = torch.cat([analogies.answers(vectors, question[None]) for question in questions])
    assert torch.equal(alone, found)


QUESTIONS = """: family
Man Woman King Queen
king queen man woman

: capital-common-countries
Athens Greece Oslo Norway
"""


@pytest.fixture
def files(tmp_path):
    """A corpus in text8's form with all words of the family, and questions."""
    corpus, questions = tmp_path / "corpus", tmp_path / "questions.txt"
    corpus.write_text(" man met woman the king met the queen" * 5)
    questions.write_text(QUESTIONS)
    return corpus, questions


def test_a_text_and_questions_of_the_users_own(files):
    corpus = analogies.from_files(*files, frequent=1.0)
    text = files[0].read_text().split()
    assert [corpus.words[i] for i in corpus.text.tolist()] == text
    assert corpus.counts.tolist() == [10, 10, 5, 5, 5, 5]
    asked = [[corpus.words[i] for i in q] for q in corpus.questions.tolist()]
    assert asked == [["man", "woman", "king", "queen"], ["king", "queen", "man", "woman"]]


def test_without_questions_those_of_the_planted_corpus_are_asked(files):
    corpus = analogies.from_files(files[0], frequent=1.0)
    asked = [[corpus.words[i] for i in q] for q in corpus.questions.tolist()]
    assert len(asked) == 4  # two roles, one after the other and both ways
    assert all(q in analogies.planted_questions() for q in asked)


def test_rare_words_are_left_out_and_the_rest_moves_together(files):
    path, _ = files
    path.write_text("rare " + path.read_text() + " Rare seldom rare the")
    corpus = analogies.from_files(path, frequent=1.0)
    assert not {"rare", "seldom"} & set(corpus.words)
    assert len(corpus.text) == 41 and corpus.text.min() == 0
    corpus = analogies.from_files(path, minimum_count=3, frequent=1.0)
    assert "rare" in corpus.words and "seldom" not in corpus.words


def test_frequent_words_are_thinned_out_and_others_are_not(tmp_path):
    path = tmp_path / "corpus"
    family = "man woman king queen"
    rest = " ".join(f"word{i}" for i in range(16))
    path.write_text(f"{family} {rest} the the the the the the the the the the\n" * 4000)
    corpus = analogies.from_files(path, frequent=1 / 27)  # above the share of all but "the"
    kept = torch.bincount(corpus.text) / corpus.counts
    assert corpus.words[0] == "the" and corpus.counts[0] == 40_000
    # 1/3 of the text: sqrt(1/9) is kept
    assert kept[0].item() == pytest.approx(1 / 3, abs=0.01)
    assert (kept[1:] == 1).all()
    again = analogies.from_files(path, frequent=1 / 27)
    assert torch.equal(corpus.text, again.text)


def test_words_are_whole_wherever_the_file_is_read_in_parts(tmp_path):
    path = tmp_path / "corpus"
    for shift in range(6):  # the end of a part falls on each place of a word, and on white space
        text = "x" * shift + "\n" + "man woman \t king\nqueen née " * 50_000
        path.write_text(text, encoding="utf-8")
        corpus = analogies.from_files(path, minimum_count=1, frequent=1.0)
        assert [corpus.words[i] for i in corpus.text.tolist()] == text.split()


def test_a_last_word_without_white_space_counts(tmp_path):
    path = tmp_path / "corpus"
    path.write_text("man woman king queen " * 4 + "end")
    corpus = analogies.from_files(path, minimum_count=1, frequent=1.0)
    assert corpus.words[corpus.text[-1]] == "end" and len(corpus.text) == 17


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read as a text file: No such file or directory"),
        ("folder", "cannot be read as a text file: Is a directory"),
        (b"", "empty, must hold "),
        (b" \n\t ", "empty, must hold "),
        (b"man woman \xff\xfe king queen", "not text in UTF-8"),
        (b"man\0woman king queen", "not text, it has a zero byte"),
    ],
)
def test_a_file_that_is_no_text_is_refused_in_one_line(files, which, content, says):
    path = files[which]
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        analogies.from_files(*files)
    message = str(caught.value)
    assert message.startswith(f"{path}: {says}") and "\n" not in message


@pytest.mark.parametrize(
    ("questions", "says"),
    [
        ("man woman king\n", "line 1 has 3 words, must be a question of 4 or a heading"),
        (": family\n\nman woman king queen man\n", "line 3 has 5 words"),
        ("athens greece oslo norway\n", "none of 1 questions has all of its four words in "),
        (": family\n: capitals\n", "none of 0 questions has all of its four words in "),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_in_one_line(files, questions, says):
    files[1].write_text(questions)
    with pytest.raises(ValueError) as caught:
        analogies.from_files(*files, frequent=1.0)
    message = str(caught.value)
    assert message.startswith(f"{files[1]}: {says}") and "\n" not in message


def test_a_corpus_that_knows_none_of_the_planted_questions_is_refused(files):
    files[0].write_text("nothing of the kind " * 10)
    with pytest.raises(ValueError, match=r"^the planted questions: none of 264 questions"):
        analogies.from_files(files[0], frequent=1.0)


@pytest.mark.parametrize(
    ("text", "left"), [("man woman king queen", False), ("man woman king queen " * 5, True)]
)
def test_a_corpus_shorter_than_a_window_is_refused_with_what_is_left_of_it(files, text, left):
    files[0].write_text(text)
    with pytest.raises(ValueError) as caught:
        analogies.from_files(*files, frequent=1e-4)
    found = r"\d" if left else "0"  # of the few, most are frequent
    pattern = rf"{re.escape(str(files[0]))}: {found} of {len(text.split())} words left .*"
    assert re.fullmatch(pattern + ", must be at least a window of 11", str(caught.value))
