"""The recurrent network looks back only, learns the planted words and real text, and writes."""

import functools
import importlib
import math
from itertools import islice

import pytest
import torch
from torch import nn

import workloads
from workloads import char_rnn, data, optimizers, text
from workloads.spec import Batch

WORDS = text.lexicon()


def train(workload, seed, steps):
    """The model after `steps`, or after the first of every 20 that finds it at its target."""
    model = workload.model(seed)
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    stream = data.batches(workload.data().train, workload.batch_size, seed)
    for count, batch in enumerate(islice(stream, steps), 1):
        step(batch)
        if count % 20 == 0:
            value = workload.metric(model, workload.data().validation).item()
            if workload.target.reached(value):
                return model, value
    pytest.fail(f"{workload.name} is at {value} after {steps} steps from seed {seed}")


@functools.cache
def trained():
    return train(char_rnn.WORKLOAD, 0, char_rnn.MAX_STEPS)[0]


def share_of_words(written):
    """Of the words between two spaces, those that are in the lexicon."""
    words = written.split(" ")[1:-1]
    return sum(word in WORDS for word in words) / len(words)


class Unrolled(nn.Module):
    """The gated recurrent unit's equations, character after character."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        layer = self.model.recurrence
        h = torch.zeros(len(x), layer.hidden_size, dtype=layer.weight_hh_l0.dtype)
        logits = []
        for inputs in self.model.embedding(x).unbind(1):
            given = inputs @ layer.weight_ih_l0.T + layer.bias_ih_l0
            kept = h @ layer.weight_hh_l0.T + layer.bias_hh_l0
            (reset, update, new), (reset_h, update_h, new_h) = given.chunk(3, 1), kept.chunk(3, 1)
            update = torch.sigmoid(update + update_h)
            new = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
            h = update * h + (1 - update) * new
            logits.append(self.model.head(h))
        return torch.stack(logits, 1)


@pytest.mark.parametrize("name", ["char_rnn", "char_rnn/topics"])
def test_it_is_a_gated_recurrent_unit_between_an_embedding_and_a_linear_layer(name):
    workload = workloads.load(name)
    model = workload.model(0).double()
    batch = data.sample(workload.data().train, 3, seed=0)
    assert model(batch.x).shape == (3, text.WINDOW, model.head.out_features)
    torch.testing.assert_close(model(batch.x), Unrolled(model)(batch.x), rtol=1e-12, atol=1e-12)


def test_its_loss_is_the_mean_of_what_each_character_costs():
    workload = char_rnn.WORKLOAD
    model = workload.model(0).double()
    batch = data.sample(workload.data().train, 3, seed=0)
    chances = model(batch.x).softmax(-1)
    costs = [
        -math.log(chances[n, t, batch.y[n, t]].item()) for n in range(3) for t in range(text.WINDOW)
    ]
    loss = workload.loss(model, batch).item()
    assert loss == pytest.approx(sum(costs) / len(costs), rel=1e-12)
    assert workload.metric(model, batch).item() == pytest.approx(loss / math.log(2), rel=1e-12)


@pytest.mark.parametrize("place", [0, 7, text.WINDOW - 1])
def test_a_prediction_follows_from_the_characters_up_to_it_and_from_no_later_one(place):
    model = char_rnn.WORKLOAD.model(0)
    inputs = []
    model.embedding.register_forward_hook(
        lambda *call: inputs.append(call[-1].detach().requires_grad_()) or inputs[-1]
    )
    model(data.sample(char_rnn.WORKLOAD.data().train, 2, seed=0).x)[:, place].sum().backward()
    reached = inputs[0].grad.abs().sum((0, 2))  # [32]
    assert (reached[: place + 1] > 0).all()
    assert (reached[place + 1 :] == 0).all()


def test_only_characters_that_were_seen_get_a_gradient():
    workload = char_rnn.WORKLOAD
    model = workload.model(0)
    x = torch.full((2, text.WINDOW), 5)
    workload.loss(model, Batch(x, torch.full_like(x, 7))).backward()
    rows = model.embedding.weight.grad.abs().sum(1)
    assert rows.nonzero().flatten().tolist() == [5]


def test_it_writes_words_once_it_is_trained_and_none_before():
    workload = char_rnn.WORKLOAD
    written = [workload.generate(trained(), seed) for seed in range(3)]
    assert all(len(one) == text.WRITTEN for one in written)
    # at 1.35 bits per character rare words are still made up now and then
    assert min(map(share_of_words, written)) > 0.6
    untrained = workload.generate(workload.model(0), 0)
    assert share_of_words(untrained) < 0.1


def test_the_trained_model_has_not_learnt_the_training_text_by_heart():
    split = char_rnn.WORKLOAD.data()
    seen = Batch(*(t[: len(split.validation)] for t in split.train))
    on_seen, held_out = (char_rnn.WORKLOAD.metric(trained(), b) for b in (seen, split.validation))
    assert abs(on_seen - held_out) < 0.05


def test_its_target_is_beyond_what_counting_two_characters_tells():
    assert text.counting_bits(text.planted()) > char_rnn.TARGET


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_pythons_documentation(seed):
    workload = workloads.load("char_rnn/topics")
    assert workload.floor is None
    model, _ = train(workload, seed, workload.max_steps)
    # the commonest of its characters come out as common as they are
    written = "".join(workload.generate(model, draw) for draw in range(5))
    assert abs(written.count(" ") / len(written) - 0.22) < 0.08
    assert "the " in written


@pytest.mark.parametrize("module", ["char_rnn", "transformer_char"])
def test_the_users_own_text_is_learnt_and_written(tmp_path, module):
    path = tmp_path / "mine.txt"
    path.write_text("to be, or not to be: ü\n" * 40, "utf-8")
    workload = importlib.import_module(f"workloads.{module}").from_files(path)
    assert workload.name == f"{module}/corpus"
    assert workload.batch_size == len(workload.data().train) == 27 and workload.floor is None
    assert workload.target.value == text.counting_bits(text.from_file(path)) < 1
    model, _ = train(workload, 0, 400)
    written = workload.generate(model, 0)
    assert set(written) <= set(path.read_text("utf-8"))
    assert "to be" in written


@pytest.mark.parametrize("module", ["char_rnn", "transformer_char"])
def test_a_users_text_that_is_none_is_refused(tmp_path, module):
    from_files = importlib.import_module(f"workloads.{module}").from_files
    with pytest.raises(ValueError) as caught:
        from_files(tmp_path / "missing.txt")
    assert "missing.txt: cannot be read as a text file" in str(caught.value)
    assert "\n" not in str(caught.value)
