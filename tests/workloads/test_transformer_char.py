"""The transformer looks back only, attends as torch's attention does, and learns both texts."""

import functools

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import workloads
from tests.workloads.test_char_rnn import share_of_words, train
from workloads import char_rnn, data, text, transformer_char
from workloads.spec import Batch

WORKLOAD = transformer_char.WORKLOAD
BATCH = data.sample(WORKLOAD.data().train, 2, seed=0)


class TorchsAttention(transformer_char.Attention):
    """The same by F.scaled_dot_product_attention."""

    def forward(self, x):
        heads = self.queries_keys_values(x).unflatten(2, (3, transformer_char.HEADS, -1))
        q, k, v = (part.transpose(1, 2) for part in heads.unbind(2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


def with_torchs_attention(model):
    for block in model.blocks:
        block.attention[1].__class__ = TorchsAttention
    return model


def seen_embeddings(model):
    """What the blocks are given, recorded as leaves when the model is called."""
    inputs = []
    model.blocks.register_forward_pre_hook(
        lambda _, given: inputs.append(given[0].detach().requires_grad_()) or inputs[-1]
    )
    return inputs


@pytest.mark.parametrize("place", [0, 7, text.WINDOW - 1])
def test_a_prediction_follows_from_the_characters_up_to_it_and_from_no_later_one(place):
    model = WORKLOAD.model(0)
    inputs = seen_embeddings(model)
    model(BATCH.x)[:, place].square().sum().backward()
    reached = inputs[0].grad.abs().sum((0, 2))  # [32]
    assert (reached[: place + 1] > 0).all()
    assert (reached[place + 1 :] == 0).all()


def test_that_test_would_see_a_mask_that_is_off_by_one(monkeypatch):
    triu = torch.Tensor.triu
    monkeypatch.setattr(torch.Tensor, "triu", lambda mask, diagonal: triu(mask, diagonal + 1))
    with pytest.raises(AssertionError):
        test_a_prediction_follows_from_the_characters_up_to_it_and_from_no_later_one(7)


def test_changed_later_characters_change_no_bit_of_a_prediction():
    model = WORKLOAD.model(0)
    changed = BATCH.x.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % model.head.out_features
    before, after = model(BATCH.x), model(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert (before[:, 20:] != after[:, 20:]).any(-1).all()


def test_attention_is_torchs_causal_one():
    model, twin = (WORKLOAD.model(0).double() for _ in range(2))
    losses = [WORKLOAD.loss(m, BATCH) for m in (model, with_torchs_attention(twin))]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    for loss in losses:
        loss.backward()
    for ours, torchs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, torchs.grad, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", ["transformer_char", "transformer_char/topics"])
def test_its_flops_are_those_of_torchs_attention_where_torch_counts_it(name):
    workload = workloads.load(name)
    model = with_torchs_attention(workload.model(0))
    batch = data.sample(workload.data().train, 3, seed=0)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            loss = workload.loss(model, batch)
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    assert forward.get_total_flops() == 3 * workload.flops.forward
    assert backward.get_total_flops() == 3 * workload.flops.backward


def test_where_a_character_stands_matters():
    model = WORKLOAD.model(0).double()
    x = BATCH.x[:1, :3]
    swapped = x[:, [1, 0, 2]]
    assert x[0, 0] != x[0, 1]
    assert not torch.allclose(model(x)[:, 2], model(swapped)[:, 2])
    with torch.no_grad():
        model.position.weight.zero_()  # attention itself takes what is before as a set
    # one block's answer at the end, as in two the others' answers depend on their order
    del model.blocks[1]
    torch.testing.assert_close(model(x)[:, 2], model(swapped)[:, 2], rtol=1e-12, atol=1e-12)


def test_shorter_texts_are_predicted_as_the_beginnings_of_longer_ones():
    model = WORKLOAD.model(0).double()
    short = model(BATCH.x[:, :5])
    torch.testing.assert_close(short, model(BATCH.x)[:, :5], rtol=1e-12, atol=1e-12)


def test_only_what_was_seen_gets_a_gradient():
    model = WORKLOAD.model(0)
    x = torch.full((2, 4), 5)
    WORKLOAD.loss(model, Batch(x, torch.full_like(x, 7))).backward()
    rows = model.embedding.weight.grad.abs().sum(1)
    assert rows.nonzero().flatten().tolist() == [5]
    places = model.position.weight.grad.abs().sum(1)
    assert places.nonzero().flatten().tolist() == [0, 1, 2, 3]


def test_it_is_differentiated_twice():
    model = WORKLOAD.model(0).double()
    parameters = dict(model.named_parameters())

    def loss(values):
        logits = torch.func.functional_call(model, values, (BATCH.x,))
        return F.cross_entropy(logits.flatten(0, 1), BATCH.y.flatten())

    generator = torch.Generator().manual_seed(0)
    along = {
        name: torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in parameters.items()
    }

    def slope(values):
        """The loss's derivative along `along`."""
        gradient = torch.func.grad(loss)(values)
        return sum((gradient[name] * along[name]).sum() for name in values)

    _, curvature = torch.func.jvp(slope, (parameters,), (along,))
    h = 1e-5
    ahead, behind = (
        slope({name: p + sign * h * along[name] for name, p in parameters.items()}).item()
        for sign in (1, -1)
    )
    assert curvature.item() == pytest.approx((ahead - behind) / (2 * h), rel=1e-5)


def test_its_texts_and_targets_are_the_recurrent_networks():
    for own, other in zip(
        (WORKLOAD, *transformer_char.VARIANTS),
        (char_rnn.WORKLOAD, *char_rnn.VARIANTS),
        strict=True,
    ):
        assert own.data() is other.data()
        assert own.target == other.target
        assert own.floor == other.floor


@functools.cache
def trained():
    return train(WORKLOAD, 0, transformer_char.MAX_STEPS)[0]


@pytest.mark.slow
def test_it_writes_words_once_it_is_trained_and_none_before():
    written = [WORKLOAD.generate(trained(), seed) for seed in range(3)]
    assert min(map(share_of_words, written)) > 0.6
    assert share_of_words(WORKLOAD.generate(WORKLOAD.model(0), 0)) < 0.1


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(0, marks=pytest.mark.slow),
        *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (1, 2)),
    ],
)
def test_it_learns_pythons_documentation(seed):
    workload = workloads.load("transformer_char/topics")
    model, _ = train(workload, seed, workload.max_steps)
    assert "the " in "".join(workload.generate(model, draw) for draw in range(5))
