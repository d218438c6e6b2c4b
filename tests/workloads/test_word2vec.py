"""Skip-gram with negative sampling: what is drawn, the loss by hand, and the user's own corpus."""

import dataclasses
from itertools import islice

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from workloads import analogies, data, optimizers, word2vec
from workloads.analogies import Corpus, planted
from workloads.spec import Batch
from workloads.word2vec import NEGATIVES, WORKLOAD, Draw

CPU = torch.device("cpu")


def corpus(text, counts, window):
    return Corpus((), torch.tensor(counts), text, torch.empty(0, 4, dtype=torch.int64), window)


def train(workload, seed, steps):
    model = workload.model(seed)
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    drawn = data.stream(workload, model, workload.data().train, workload.batch_size, seed)
    for batch in islice(drawn, steps):
        step(batch)
    return model


def test_neighbours_are_as_often_at_a_distance_as_windows_of_all_widths_reach_it():
    counted = corpus(torch.arange(1000), [1] * 1000, 4)  # a word tells its place
    x, y = Draw(counted, CPU, 0)(200_000)
    offset = y[:, 0] - x
    assert offset.abs().min() == 1 and offset.abs().max() == 4
    shares = torch.bincount(offset + 4, minlength=9) / len(x)
    expected = torch.tensor([1.0, 2, 3, 4, 0, 4, 3, 2, 1]) / 20
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.004)  # 4 standard deviations


def test_centres_come_from_all_of_the_text_that_has_a_window():
    counted = corpus(torch.arange(20), [1] * 20, 3)
    x, y = Draw(counted, CPU, 0)(10_000)
    assert x.unique().tolist() == list(range(3, 17))
    assert y[:, 0].unique().tolist() == list(range(20))


def test_the_shortest_text_is_one_window():
    x, y = Draw(corpus(torch.arange(7), [1] * 7, 3), CPU, 0)(1000)
    assert x.unique().tolist() == [3]
    assert y[:, 0].unique().tolist() == [0, 1, 2, 4, 5, 6]


def test_negatives_are_drawn_by_their_counts_to_the_power_of_three_quarters():
    counts = [10_000, 1000, 100, 10, 1]
    _, y = Draw(corpus(torch.zeros(50, dtype=torch.int64), counts, 2), CPU, 0)(100_000)
    assert y.shape == (100_000, 1 + NEGATIVES) and y.dtype == torch.int64
    found = torch.bincount(y[:, 1:].flatten(), minlength=5).double()
    weights = torch.tensor(counts).double() ** 0.75
    expected = weights / weights.sum() * y[:, 1:].numel()
    assert ((found - expected).abs() < 4 * expected.sqrt()).all()


def test_negatives_have_nothing_to_do_with_the_centre():
    x, y = Draw(planted(), CPU, 0)(200_000)
    he = planted().words.index("he")
    his = y[x == he, 1:]
    shares = [
        torch.bincount(part.flatten(), minlength=208) / part.numel() for part in (y[:, 1:], his)
    ]
    assert (shares[0] - shares[1]).abs().max() < 0.002


def test_each_batch_is_drawn_anew_and_by_its_seed(monkeypatch):
    monkeypatch.setattr(word2vec, "PAIRS", 64)
    pairs = WORKLOAD.data().train

    def some(seed):
        return [
            torch.cat([b.x, b.y.flatten()])
            for b in islice(word2vec.Pairs(None, pairs, 32, seed), 6)
        ]

    first, again, other = some(0), some(0), some(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({tuple(b.tolist()) for b in first + other}) == 12


@pytest.mark.parametrize("size", [1, 3, 1024, 70_000])
def test_batches_have_exactly_the_size_asked_for(size):
    for batch in islice(word2vec.Pairs(None, WORKLOAD.data().train, size, 0), 3):
        assert batch.x.shape == (size,) and batch.y.shape == (size, 1 + NEGATIVES)


def test_the_loss_is_that_of_the_paper():
    model = word2vec.model(0).double()
    with torch.no_grad():
        for table in model.parameters():
            table.mul_(100)
    batch = data.sample(WORKLOAD.data().train, 5, seed=0)
    total = 0.0
    for x, (true, *negatives) in zip(batch.x.tolist(), batch.y.tolist(), strict=True):
        centre, context = model.centre.weight[x], model.context.weight
        total -= torch.sigmoid(context[true] @ centre).log()
        for negative in negatives:
            total -= torch.sigmoid(-context[negative] @ centre).log()
    torch.testing.assert_close(word2vec.loss(model, batch), total / 5)


def test_gradients_reach_the_words_of_a_batch_and_no_others():
    model = word2vec.model(0)
    batch = Batch(torch.tensor([3, 3, 8]), torch.tensor([[5, 1, 2, 2, 7, 9]] * 3))
    word2vec.loss(model, batch).backward()
    for table, words in ((model.centre, [3, 8]), (model.context, [1, 2, 5, 7, 9])):
        assert table.weight.grad.abs().sum(1).nonzero().flatten().tolist() == words


def test_a_step_brings_a_neighbour_closer_and_moves_negatives_away():
    model = word2vec.model(0)
    batch = Batch(torch.tensor([3]), torch.tensor([[5, 1, 2, 4, 7, 9]]))

    def products():
        return (model.context(batch.y[0]) @ model.centre(batch.x[0])).detach()

    before = products()
    optimizers.make("sgd", model, word2vec.loss, 0.1)(batch)
    moved = products() - before
    assert moved[0] > 0 and (moved[1:] < 0).all()


def test_vectors_that_are_not_trained_answer_by_chance():
    validation = WORKLOAD.data().validation
    found = [word2vec.metric(word2vec.model(seed), validation).item() for seed in range(20)]
    assert sum(found) / 20 < 3 / 205  # 205 words could be the answer


def test_neither_do_vectors_trained_on_the_same_words_in_random_order(monkeypatch):
    made = planted()
    order = torch.randperm(len(made.text), generator=torch.Generator().manual_seed(0))
    shuffled = made._replace(text=made.text[order])
    workload = dataclasses.replace(
        WORKLOAD, batches=lambda *given: word2vec.Pairs(*given, corpus=lambda: shuffled)
    )
    model = train(workload, 0, WORKLOAD.max_steps)
    assert word2vec.metric(model, WORKLOAD.data().validation) < 0.05


def test_the_table_shows_questions_with_what_was_found_and_expected():
    validation = WORKLOAD.data().validation
    model = train(WORKLOAD, 0, 400)
    assert WORKLOAD.target.reached(word2vec.metric(model, validation).item())
    head, first, *lines, share = WORKLOAD.generate(model, 0).splitlines()
    assert head.split() == ["question", "found", "expected"]
    assert " ".join(first.split()) == "man is to woman as king is to queen queen right"
    assert 19 <= len(lines) <= 20
    right = round(264 * word2vec.metric(model, validation).item())
    assert share == f"{right} of 264 right, {right / 264:.1%}"
    untrained = WORKLOAD.generate(word2vec.model(0), 0).splitlines()
    assert sum(line.endswith("wrong") for line in untrained) >= 19
    assert [line[:44] for line in untrained[1:-1]] == [line[:44] for line in (first, *lines)]
    for seed in (1, 2):  # others, but for the first
        _, famous, *others, _ = WORKLOAD.generate(model, seed).splitlines()
        assert famous == first and others != lines


@pytest.fixture
def own(tmp_path):
    """The planted corpus as if it were the user's: in text8's form, with a file of questions."""
    words = planted().words
    path, questions = tmp_path / "text8", tmp_path / "questions-words.txt"
    path.write_text(" " + " ".join(words[i] for i in planted().text.tolist()))
    asked = [" ".join(question) for question in analogies.planted_questions()]
    questions.write_text("\n".join([": gram5-family", *asked, "Athens Greece Oslo Norway"]))
    return word2vec.from_files(path, questions)


def test_a_workload_on_the_users_own_files(own):
    model, (pairs, asked) = own.model(0), own.data()
    assert model.centre.weight.shape == model.context.weight.shape == (208, 100)
    assert asked.x.shape == (264, 3) and asked.y.shape == (264,)
    batch = data.sample(pairs, 3, seed=0)
    with FlopCounterMode(display=False) as counter:
        own.loss(model, batch).backward()
    assert counter.get_total_flops() == 3 * own.flops.step
    assert "of 264 right" in own.generate(model, 0)
    assert len(next(own.batches(model, pairs, 7, 0))) == 7


def test_a_file_that_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(ValueError, match="text8: cannot be read"):
        word2vec.from_files(tmp_path / "text8")


@pytest.mark.slow
def test_the_users_own_corpus_is_learnt(own):
    # frequent words are thinned out and windows reach over sentences: harder than the planted one
    assert own.max_steps > 1500
    model = train(own, 0, 1500)
    assert own.metric(model, own.data().validation) >= 0.95
