"""Each option of a deep perceptron against its formula."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

import workloads
from workloads import data, deep_mlp, optimizers
from workloads.spec import Batch

TRAIN = data.digits().train
FEW = Batch(TRAIN.x[:9], TRAIN.y[:9])


def model(depth, width, **options):
    """In float64, with all that begins at 0 or 1 moved, so that leaving it out would show."""
    made = deep_mlp.make(depth, width, **options).model(0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() == 1:
                p += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return made


def textbook(made, x, norm, skip, f):
    """The docstring's formulas, one after the other."""

    def linear(layer, h):
        weight = layer.weight
        if norm == "weight":
            weight = torch.diag(layer.scale / weight.norm(dim=1)) @ weight
        return h @ weight.T + (0 if layer.bias is None else layer.bias)

    h = linear(made.layers[0], x)
    for index, layer in enumerate(made.layers[1:]):
        scaled = made.norms[index]
        if norm == "layer":
            mean, variance = h.mean(1, keepdim=True), h.var(1, keepdim=True, correction=0)
        if norm == "batch":
            mean, variance = h.mean(0), h.var(0, correction=0)
        inner = h
        if norm in ("layer", "batch"):
            inner = (h - mean) / (variance + 1e-5).sqrt() * scaled.weight + scaled.bias
        inner = linear(layer, f(inner))
        last = index == len(made.layers) - 2
        h = h + inner if skip and not last else inner
    return h


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("norm", deep_mlp.NORMS)
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_model_is_its_formula(depth, norm, skip):
    made = model(depth, 7, norm=norm, skip=skip)
    x = FEW.x.double()
    found, expected = made(x), textbook(made, x, norm, skip, F.relu)
    torch.testing.assert_close(found, expected)
    parameters = list(made.parameters())
    gradients = (torch.autograd.grad(z.square().sum(), parameters) for z in (found, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert len(made.layers) == depth


@pytest.mark.parametrize("width", [7, 10])  # 10 is also the number of classes
@pytest.mark.parametrize("norm", deep_mlp.NORMS)
def test_only_biases_that_batch_norm_would_take_away_are_missing(norm, width):
    biased = [layer.bias is not None for layer in model(4, width, norm=norm).layers]
    assert biased == [norm != "batch"] * 3 + [True]


@pytest.mark.parametrize(
    ("activation", "f"),
    [
        ("identity", lambda h: h),
        ("sigmoid", lambda h: 1 / (1 + (-h).exp())),
        ("tanh", lambda h: 1 - 2 / ((2 * h).exp() + 1)),
        ("relu", lambda h: h.clamp(min=0)),
        ("gelu", lambda h: h * (1 + torch.erf(h / math.sqrt(2))) / 2),
        ("silu", lambda h: h / (1 + (-h).exp())),
    ],
)
def test_the_activation_is_the_one_that_was_asked_for(activation, f):
    made = model(3, 7, activation=activation)
    x = FEW.x.double()
    torch.testing.assert_close(made(x), textbook(made, x, "none", False, f))


def test_a_skip_connection_passes_on_what_the_layers_between_do_not_change():
    made = deep_mlp.make(6, 8, skip=True).model(0)
    with torch.no_grad():
        for layer in made.layers[1:-1]:
            layer.weight.zero_()
    first, last = made.layers[0], made.layers[-1]
    assert torch.equal(made(FEW.x), last(F.relu(first(FEW.x))))


@pytest.mark.parametrize("norm", deep_mlp.NORMS)
def test_only_batch_norm_lets_one_sample_see_another(norm):
    made = model(4, 8, norm=norm)
    x = FEW.x.double().requires_grad_()
    made(x)[0].square().sum().backward()
    assert x.grad[0].abs().sum() > 0
    assert (x.grad[1:].abs().sum() > 0) == (norm == "batch")


def test_batch_norm_bears_a_batch_of_one():
    made = deep_mlp.make(4, 8, norm="batch").model(0)
    loss = deep_mlp.loss(made, Batch(FEW.x[:1], FEW.y[:1]))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in made.parameters())


def test_weight_norm_begins_as_the_plain_network():
    plain, normalised = (deep_mlp.make(5, 16, norm=norm).model(3) for norm in ("none", "weight"))
    torch.testing.assert_close(normalised(FEW.x), plain(FEW.x))


def test_weight_norm_turns_a_row_and_leaves_its_length_to_the_scale():
    made = model(4, 8, norm="weight")
    deep_mlp.loss(made, FEW.to("cpu", torch.float64)).backward()
    for layer in made.layers:
        assert layer.weight.grad.abs().max() > 0
        assert (layer.weight * layer.weight.grad).sum(1).abs().max() < 1e-14
        assert layer.scale.grad.abs().max() > 0


@pytest.mark.parametrize("norm", deep_mlp.NORMS)
def test_it_is_the_same_in_training_and_in_evaluation(norm):
    made = deep_mlp.make(4, 8, norm=norm).model(0)
    assert torch.equal(made.train()(FEW.x), made.eval()(FEW.x))
    assert not list(made.buffers())


@pytest.mark.parametrize("norm", deep_mlp.NORMS)
@pytest.mark.parametrize("name", ["newton", "natural_gradient"])
def test_exact_second_order_steps_lower_its_loss(name, norm):
    made = deep_mlp.make(3, 3, norm=norm, skip=True, activation="tanh").model(0)
    batch = Batch(TRAIN.x[:64], TRAIN.y[:64])
    step = optimizers.make(name, made, deep_mlp.loss, 1.0)
    before = step(batch)
    assert deep_mlp.loss(made, batch) < before
    assert step.flops(None, len(batch)) > 0  # every op is one whose FLOPs are known


@pytest.mark.parametrize("norm", deep_mlp.NORMS)
def test_the_loss_is_one_graph(norm):
    made = deep_mlp.make(3, 8, norm=norm, skip=True).model(0)
    compiled = torch.compile(deep_mlp.loss, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(made, FEW), deep_mlp.loss(made, FEW))


def weights(initialisation):
    made = deep_mlp.make(4, 256, initialisation=initialisation).model(0)
    assert all((layer.bias == 0).all() for layer in made.layers)
    return [layer.weight.detach().double() for layer in made.layers]


@pytest.mark.parametrize(
    ("initialisation", "variance"),
    [
        ("normal", lambda outputs, inputs: 1),
        ("xavier", lambda outputs, inputs: 2 / (inputs + outputs)),
        ("he", lambda outputs, inputs: 2 / inputs),
        ("zeros", lambda outputs, inputs: 0),
    ],
)
def test_weights_have_the_variance_of_their_initialisation(initialisation, variance):
    for weight in weights(initialisation):
        expected, error = variance(*weight.shape), 5 * math.sqrt(2 / weight.numel())
        assert weight.square().mean().item() == pytest.approx(expected, rel=error)


def test_orthogonal_weights_are_orthogonal():
    for weight in weights("orthogonal"):
        short = weight if weight.shape[0] <= weight.shape[1] else weight.T
        torch.testing.assert_close(
            short @ short.T, torch.eye(len(short), dtype=torch.float64), rtol=0, atol=1e-5
        )


def test_zero_weights_have_a_gradient_in_the_last_bias_alone():
    made = deep_mlp.make(4, 64, initialisation="zeros").model(0)
    loss = deep_mlp.loss(made, FEW)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(10))
    reached = [name for name, p in made.named_parameters() if p.grad.abs().sum() > 0]
    assert reached == ["layers.3.bias"]


def test_depth_and_width_are_compared_at_equal_parameters():
    counts = {}
    for workload in (deep_mlp.WORKLOAD, *deep_mlp.VARIANTS):
        if workload is deep_mlp.WORKLOAD or workload.name.endswith("-layer-skip"):
            counts[workload.name] = sum(p.numel() for p in workload.model(0).parameters())
    assert list(counts) == [
        "deep_mlp",
        *(f"deep_mlp/{shape}-layer-skip" for shape in ("2x844", "4x161", "8x96")),
    ]
    for ours, others in itertools.pairwise(counts.values()):
        assert abs(ours - others) <= 0.02 * counts["deep_mlp"]
    assert max(counts.values()) - min(counts.values()) <= 0.02 * counts["deep_mlp"]


def test_a_name_says_what_differs_from_the_defaults():
    assert deep_mlp.make(4, 64).name == "deep_mlp/4x64"
    options = dict(norm="batch", initialisation="he", activation="tanh", inputs="raw")
    named = deep_mlp.make(2, 8, skip=True, **options).name
    assert named == "deep_mlp/2x8-batch-skip-he-tanh-raw"
    names = workloads.variants("deep_mlp")
    assert len(set(names)) == len(names) == 30


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 0}, "depth 0: must be an int of at least 1"),
        ({"depth": 2.0}, "depth 2.0: must be an int of at least 1"),
        ({"width": True}, "width True: must be an int of at least 1"),
        ({"width": "64"}, "width '64': must be an int of at least 1"),
        ({"skip": 1}, "skip 1: must be True or False"),
        ({"norm": "group"}, "unknown norm 'group': choose one of none, batch, layer, weight"),
        ({"norm": None}, "unknown norm None: choose one of none, batch, layer, weight"),
        (
            {"initialisation": "lecun"},
            "unknown initialisation 'lecun': choose one of zeros, normal, xavier, he, orthogonal",
        ),
        (
            {"activation": []},
            "unknown activation []: choose one of identity, sigmoid, tanh, relu, gelu, silu",
        ),
        (
            {"inputs": "normalised"},
            "unknown inputs 'normalised': "
            "choose one of raw, scaled, centred, standardised, shifted, whitened",
        ),
        (
            {"norm": "weight", "initialisation": "zeros"},
            "initialisation 'zeros' has no direction for norm 'weight' to keep",
        ),
    ],
)
def test_an_option_that_is_none_is_refused(wrong, message):
    with pytest.raises(ValueError) as caught:
        deep_mlp.make(**{"depth": 4, "width": 64, **wrong})
    assert str(caught.value) == message
