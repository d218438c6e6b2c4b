"""No pixel looks ahead; the levels, their marginal, and images that are completed."""

from itertools import islice

import pytest
import torch
from torch.nn import functional as F

from workloads import data, optimizers, pixelcnn

TRAIN, VALIDATION = pixelcnn.images()


def seen(pixel, seed=0):
    """bool [8, 8]: the pixels on which the logits of one pixel depend, by gradients."""
    model = pixelcnn.model(seed).double()
    x = VALIDATION.x[:8].double().requires_grad_()
    weights = torch.rand(8, 4, generator=torch.Generator().manual_seed(seed)).double()
    (model(x)[:, :, pixel] * weights).sum().backward()
    return (x.grad != 0).any(0).reshape(8, 8)


def trained(steps, seed=0):
    workload = pixelcnn.WORKLOAD
    model = workload.model(seed)
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    for batch in islice(data.batches(TRAIN, workload.batch_size, seed), steps):
        step(batch)
    return model


@pytest.mark.parametrize("seed", [0, 1])
def test_no_output_depends_on_its_own_pixel_or_a_later_one(seed):
    for pixel in range(64):
        assert not seen(pixel, seed).flatten()[pixel:].any(), pixel


def test_every_output_depends_on_the_pixels_before_it_that_are_near():
    for pixel in range(64):
        found, (row, column) = seen(pixel), divmod(pixel, 8)
        assert found[row, max(0, column - 3) : column].all()
        assert found[max(0, row - 3) : row, max(0, column - 3) : column + 4].all()


def test_the_blind_spot_is_where_the_docstring_says():
    found = seen(3 * 8 + 3)
    assert found[2, 3:7].all() and not found[2, 7]  # before it, to the right, and not seen
    assert found[1, 7]


def test_after_training_nothing_looks_ahead_still():
    # by outputs, not gradients: changing what comes later changes not a bit of what came before
    model = trained(5)
    x = VALIDATION.x[:2]
    logits = model(x)
    for pixel in (0, 17, 40, 63):
        changed = x.clone()
        changed[:, pixel:] = -changed[:, pixel:]
        assert torch.equal(model(changed)[:, :, : pixel + 1], logits[:, :, : pixel + 1])


@pytest.mark.parametrize("centre, count", [(False, 24), (True, 25)])
def test_a_masked_weight_has_no_effect_and_no_gradient(centre, count):
    layer = pixelcnn.MaskedConv2d(2, 3, 7, centre=centre)
    kept = layer.mask.bool().expand_as(layer.weight)
    assert layer.mask.sum() == count
    assert layer.mask.flatten()[:count].all()  # in reading order
    x = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    y = layer(x)
    y.square().sum().backward()
    assert (layer.weight.grad[~kept] == 0).all()
    assert (layer.weight.grad[kept] != 0).all()
    with torch.no_grad():
        layer.weight[~kept] = 1e3
    assert torch.equal(layer(x), y)


def test_mask_a_comes_first_and_then_mask_b():
    masks = [m.mask for m in pixelcnn.model(0).modules() if isinstance(m, pixelcnn.MaskedConv2d)]
    middles = [mask[len(mask) // 2, len(mask) // 2].item() for mask in masks]
    assert middles == [0, 1, 1]


def test_the_mask_is_no_parameter_and_follows_the_dtype():
    layer = pixelcnn.model(0).double()[1]
    assert layer.mask.dtype == torch.float64
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_the_levels_are_the_digits_in_four_steps():
    for batch, source in zip(pixelcnn.images(), data.digits(), strict=True):
        assert batch.y.dtype == torch.int64 and batch.x.dtype == torch.float32
        value = (source.x * 16).long()
        for level, (low, high) in enumerate([(0, 4), (5, 8), (9, 12), (13, 16)]):
            assert torch.equal(batch.y == level, (low <= value) & (value <= high))
        torch.testing.assert_close(batch.x, batch.y.float() * 2 / 3 - 1)
        assert (batch.x.min(), batch.x.max()) == (-1, 1)


def test_the_target_is_three_quarters_of_what_the_marginals_cost():
    shares = F.one_hot(TRAIN.y, 4).double().mean(0)  # [64, 4]
    marginal = -torch.xlogy(shares, shares).sum(1).mean() / torch.tensor(2.0).log()
    assert marginal.item() == pytest.approx(1.128, abs=1e-3)
    assert pixelcnn.WORKLOAD.target.value == pytest.approx(0.75 * 1.128)
    # they cost the same on the validation set, with one count added for a level never seen
    smoothed = (F.one_hot(TRAIN.y, 4).double().sum(0) + 1) / (len(TRAIN) + 4)
    cost = -smoothed.log2().expand(len(VALIDATION), 64, 4).gather(2, VALIDATION.y[..., None])
    assert cost.mean().item() == pytest.approx(1.128, abs=5e-3)


def test_the_metric_is_in_bits_over_all_pixels():
    model = pixelcnn.model(0).double()
    batch = VALIDATION.to("cpu", torch.float64)
    p = model(batch.x).softmax(1).gather(1, batch.y[:, None])
    assert pixelcnn.metric(model, batch).item() == pytest.approx(-p.log2().mean().item(), rel=1e-9)


def test_a_completion_keeps_the_upper_half_and_follows_its_seed_alone():
    model, upper = pixelcnn.model(0), VALIDATION.y[:5, :32]
    given, before = upper.clone(), torch.get_rng_state()
    first, again, other = (pixelcnn.complete(model, upper, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(upper, given)
    assert first.shape == (5, 64) and first.dtype == torch.int64
    assert torch.equal(first[:, :32], upper)
    assert first.min() >= 0 and first.max() <= 3
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_pixel_is_drawn_from_the_models_own_distribution():
    # every weight 0, the last bias log p: pixels are independent, of known frequencies
    model = pixelcnn.model(0)
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model[-2].bias.copy_(p.log())
    drawn = pixelcnn.complete(model, torch.zeros(200, 32, dtype=torch.int64), seed=0)[:, 32:]
    shares = drawn.flatten().bincount(minlength=4) / drawn.numel()
    # 6,400 draws: a share's standard deviation is at most 0.006
    torch.testing.assert_close(shares, p, atol=0.025, rtol=0)


def test_a_pixel_is_drawn_after_those_before_it():
    # a model sure that each pixel is as the one before it: the lower half is all of one level
    class Repeats(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1e3))

        def forward(self, x):
            levels = ((x * 3 + 3) / 2).round().long()
            return self.scale * F.one_hot(levels.roll(1, dims=1), 4).transpose(1, 2)

    upper = torch.randint(4, (6, 32), generator=torch.Generator().manual_seed(0))
    whole = pixelcnn.complete(Repeats(), upper, seed=0)
    assert torch.equal(whole[:, 32:], upper[:, 31:].expand(6, 32))


@pytest.mark.parametrize("shape", [(5, 64), (32,), (1, 31)])
def test_an_upper_half_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError) as caught:
        pixelcnn.complete(pixelcnn.model(0), torch.zeros(shape, dtype=torch.int64), seed=0)
    assert str(caught.value) == f"upper half of shape {list(shape)}: must be [n, 32]"


def test_what_is_generated_shows_original_half_and_completion():
    text = pixelcnn.generate(pixelcnn.model(0), seed=0)
    head, *digits = text.split("\n\n")
    assert head.split("  ")[0] == "original"
    assert len(digits) == 4
    for digit, levels in zip(digits, VALIDATION.y, strict=False):
        lines = [line.ljust(52) for line in digit.split("\n")]
        assert len(lines) == 8
        for row, line in enumerate(lines):
            shown = "".join(2 * pixelcnn.SHADES[level] for level in levels.reshape(8, 8)[row])
            assert line[:16] == shown
            assert line[18:34] == (shown if row < 4 else "·" * 16)
            assert row >= 4 or line[36:] == shown


def test_it_is_differentiated_twice_in_float64():
    model = pixelcnn.model(0).double()
    batch = data.sample(TRAIN, 2, seed=0).to("cpu", torch.float64)
    weight = model[1].weight
    (gradient,) = torch.autograd.grad(pixelcnn.loss(model, batch), weight, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), weight)
    masked = ~model[1].mask.bool().expand_as(weight)
    assert second.abs().sum() > 0
    assert (second[masked] == 0).all()


@pytest.mark.slow
def test_a_trained_model_looks_at_the_upper_half_to_complete_a_digit():
    model = trained(400)
    # levels off, per pixel of the lower half: 0.65, and 0.79 for another digit's. A draw that
    # ignores the upper half is no better than that; the digit's own is one of many that would do
    original = VALIDATION.y
    completed = pixelcnn.complete(model, original[:, :32], seed=0)
    error = (completed - original)[:, 32:].abs().double().mean()
    others = (original.roll(1, dims=0) - original)[:, 32:].abs().double().mean()
    assert error < 0.9 * others
