"""Words in company and questions about them: man is to woman as king is to queen.

The planted corpus has twelve roles, each with a word for either gender; the words around such a
word are drawn from its role's words, from its gender's, and from those that stand with all. So a
word's neighbours are determined by its role and gender: the logarithm of how much likelier a
neighbour is next to it than elsewhere is a sum of one part for the role and one for the gender,
and the analogy holds by construction (Levy & Goldberg 2014, "Linguistic regularities in sparse
and explicit word representations").

The user's own corpus is one long line of words, as text8 is; questions are four words a line under
headings ": section", as in questions-words.txt (Mikolov et al. 2013, arXiv 1301.3781).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# role: its words for either gender, and what is talked about when they are
ROLES = {
    ("man", "woman"): "person adult citizen stranger neighbour worker voter crowd villager "
    "passenger customer visitor",
    ("king", "queen"): "crown throne palace realm kingdom sceptre coronation castle majesty "
    "reign decree jewels",
    ("prince", "princess"): "heir ball carriage dragon tower quest tale enchanted charming "
    "betrothed tiara courtier",
    ("father", "mother"): "parent cradle nursery bedtime lullaby supper advice household "
    "allowance scold raise pram",
    ("son", "daughter"): "child firstborn inherit birth adopted toddler offspring growing "
    "pride tuition custody obedient",
    ("brother", "sister"): "sibling twin elder younger rival bunk shared teased quarrel "
    "secret half womb",
    ("uncle", "aunt"): "relative holiday present cousin visit reunion will distant farm "
    "eccentric godparent postcard",
    ("husband", "wife"): "wedding marriage ring vows spouse honeymoon anniversary divorce "
    "faithful altar mortgage couple",
    ("boy", "girl"): "school playground toys homework bicycle marbles pupil kite swing "
    "classroom puddle giggle",
    ("actor", "actress"): "stage film script audition drama rehearsal applause theatre scene "
    "director trailer premiere",
    ("waiter", "waitress"): "menu restaurant tray tip order bill diner table napkin kitchen "
    "dessert reservation",
    ("wizard", "witch"): "spell wand cauldron potion broomstick magic curse familiar rune "
    "cloak charm prophecy",
}
GENDERS = (
    "he him his himself male masculine mister sir",
    "she her hers herself female feminine madam lady",
)
WITH_ALL = (
    "the of and a to in that it was for on with as at by from is this but had not or were then"
)

SENTENCES, LENGTH = 60_000, 8  # words in a sentence
PLACE = 4  # of a role's word in its sentence: three words on either side are of the same one
CHANCES = (0.45, 0.30, 0.25)  # that a neighbour comes from its role, its gender, or stands with all
PLANTED_WINDOW, WINDOW = 3, 5  # words to either side that count as neighbours; the user's own


class Corpus(NamedTuple):
    """A text as numbers, and questions about its words.

    Attributes:
        words: the vocabulary, the most frequent first; all else is by the place in it.
        counts: how often each occurs, int64 [words].
        text: int64 [length]; of the user's own, what rare and frequent words leave.
        questions: int64 [n, 4]: the first is to the second as the third is to the fourth.
        window: how many words to either side are a word's neighbours, at most.
    """

    words: tuple[str, ...]
    counts: Tensor
    text: Tensor
    questions: Tensor
    window: int


def vocabulary() -> list[str]:
    """The 208 words of the planted corpus, by kind."""
    words = [w for role, about in ROLES.items() for w in (*role, *about.split())]
    return words + [w for line in (*GENDERS, WITH_ALL) for w in line.split()]


def planted_questions() -> list[list[str]]:
    """Each of the roles with each other one, from one gender to the other and back: 264."""
    both = [list(ROLES), [(second, first) for first, second in ROLES]]
    return [[*a, *b] for roles in both for a in roles for b in roles if a != b]


@functools.cache
def planted() -> Corpus:
    """The planted corpus: 60,000 sentences of 8 words, and 264 questions.

    Role and gender are drawn evenly; of a kind's words the r-th has a chance inverse to r.
    """
    draw = np.random.RandomState(0)  # the generator whose stream is the same in every version
    words = vocabulary()
    place = {word: i for i, word in enumerate(words)}

    def pick(lists: Iterable[str], which: np.ndarray) -> np.ndarray:
        """A word for each of `which`, from the list that it names."""
        table = np.array([[place[w] for w in line.split()] for line in lists])
        chances = 1 / np.arange(1, table.shape[1] + 1)
        return table[which, draw.choice(table.shape[1], which.shape, p=chances / chances.sum())]

    role, gender = draw.randint(len(ROLES), size=SENTENCES), draw.randint(2, size=SENTENCES)
    role_of, gender_of = (np.repeat(of[:, None], LENGTH, axis=1) for of in (role, gender))
    kind = draw.choice(3, role_of.shape, p=CHANCES)
    kinds = [pick(ROLES.values(), role_of), pick(GENDERS, gender_of)]
    text = np.choose(kind, [*kinds, pick([WITH_ALL], np.zeros_like(kind))])
    text[:, PLACE] = np.array([[place[w] for w in pair] for pair in ROLES])[role, gender]
    return _corpus(words, text.flatten(), planted_questions(), PLANTED_WINDOW)


def from_files(
    corpus: Path,
    questions: Path | None = None,
    *,
    minimum_count: int = 5,
    frequent: float = 1e-3,
) -> Corpus:
    """The user's own text and questions, both taken in lower case, as text8 is.

    Args:
        corpus: words in UTF-8, parted by white space.
        questions: lines of four words, or headings that begin with a colon. Those with a word
            that the corpus does not have are left out. None for those of the planted corpus.
        minimum_count: words that occur less often are left out of the text.
        frequent: of words with a larger share of the text, each occurrence is left out with the
            chance 1 - sqrt(frequent / share) (arXiv 1310.4546, section 2.3); once, by a fixed
            seed. What is left moves together.

    Raises:
        ValueError: a file is missing or cannot be read, is empty or not text; what is left of
            the text is shorter than a window; a question is not four words, or none is left.
    """
    place: dict[str, int] = {}
    text = np.fromiter((place.setdefault(w, len(place)) for w in _words(corpus)), np.int64)
    if not len(text):
        raise ValueError(f"{corpus}: empty, must hold words parted by white space")
    asked = planted_questions() if questions is None else list(_questions(questions))
    made = _corpus(list(place), text, asked, WINDOW, minimum_count, frequent)
    if len(made.text) < 2 * WINDOW + 1:
        raise ValueError(
            f"{corpus}: {len(made.text)} of {len(text)} words left without rare and frequent ones, "
            f"must be at least a window of {2 * WINDOW + 1}"
        )
    if not len(made.questions):
        raise ValueError(
            f"{questions or 'the planted questions'}: none of {len(asked)} questions has all of "
            f"its four words in {corpus}"
        )
    return made


def answers(vectors: Tensor, questions: Tensor) -> Tensor:
    """3CosAdd: the word whose vector has the largest cosine with b - a + c, all of length 1.

    The three words of a question are no answer to it.

    Source: Mikolov, Yih & Zweig 2013, "Linguistic regularities in continuous space word
    representations"; named by Levy & Goldberg 2014.

    Args:
        vectors: of all words, [words, d].
        questions: int64 [n, 3 or more]: a is to b as c is to what? The rest is not looked at.

    Returns:
        int64 [n].
    """
    unit = F.normalize(vectors)
    found = []
    for asked in questions[:, :3].split(512):  # [512, words] at a time: vocabularies are large
        a, b, c = asked.unbind(1)
        similarity = (unit[b] - unit[a] + unit[c]) @ unit.T
        found.append(similarity.scatter(1, asked, -torch.inf).argmax(1))
    return torch.cat(found)


def _corpus(
    words: list[str],
    text: np.ndarray,
    questions: list[list[str]],
    window: int,
    minimum_count: int = 0,
    frequent: float = 1.0,
) -> Corpus:
    counts = np.bincount(text, minlength=len(words))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= minimum_count]
    renumber = np.full(len(words), -1)
    renumber[order] = np.arange(len(order))
    counts, text = counts[order], renumber[text]
    text = text[text >= 0]
    if frequent < 1:
        kept = np.sqrt(frequent * len(text) / counts)  # above 1 for a rare word
        text = text[np.random.RandomState(0).random_sample(len(text)) < kept[text]]
    vocabulary = tuple(words[i] for i in order)
    place = {word: i for i, word in enumerate(vocabulary)}
    known = [[place[w] for w in asked] for asked in questions if all(w in place for w in asked)]
    return Corpus(
        vocabulary,
        torch.from_numpy(counts),
        torch.from_numpy(text),
        torch.tensor(known, dtype=torch.int64).reshape(-1, 4),
        window,
    )


def _words(path: Path) -> Iterator[str]:
    """Word by word: text8 is one line of 100 MB."""
    rest = ""
    for part in _read(path):
        *whole, rest = (rest + part + "|").split()
        rest = rest[:-1]  # the bar marks whether a word goes on in the next part
        yield from whole
    if rest:
        yield rest


def _questions(path: Path) -> Iterator[list[str]]:
    lines = "".join(_read(path)).splitlines()
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path}: empty, must hold questions, four words a line")
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith(":"):
            continue
        if len(words) != 4:
            raise ValueError(
                f"{path}: line {number} has {len(words)} words, must be a question of 4 or a "
                f"heading that begins with a colon"
            )
        yield words


def _read(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:  # UTF-8, and without a byte order mark
            while part := file.read(2**20):
                if "\0" in part:
                    raise ValueError(f"{path}: not text, it has a zero byte")
                yield part.lower()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as a text file: {error.strerror}") from None
