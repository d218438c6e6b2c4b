"""What the tests of both cross-entropies share: inputs, and the rule for loss and gradient."""

import torch

import kernels
from kernels._cross_entropy_magnitude import sizes
from kernels.cross_entropy import magnitude, reference
from tests.kernels.rule import assert_close_as_torch

# The interpreter takes no exception to bfloat16 here: there is no product.
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
REDUCTIONS = ("none", "mean", "sum")


def random(device, dtype, *shape, seed=0):
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device, dtype=dtype)


def classes_of(device, rows, classes, seed=0):
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randint(classes, (rows,), generator=generator, device=device)


def logits_magnitude(grad, logits, sizes, target, weight, ignore_index, reduction, label_smoothing):
    """|g| (W p_c sizes_c + q_c): what the gradient of a logit adds up, all in float64.

    sizes is the error of each p_c, and is that of the logits' own exponentials at least.
    """
    rows, classes = logits.shape
    counted = (target != ignore_index) & (target >= 0) & (target < classes)
    w = logits.new_ones(classes) if weight is None else weight.double()
    at = target.where(counted, 0)
    q = torch.zeros_like(logits).scatter_(1, at[:, None], ((1 - label_smoothing) * w[at])[:, None])
    q = q + label_smoothing / classes * w
    g = grad.double().abs().expand(rows)
    if reduction == "mean":
        g = g / w[at].where(counted, 0.0).sum()
    p = q.sum(1, keepdim=True) * logits.softmax(1)
    return (g[:, None] * (p * sizes + q)).where(counted[:, None], 0.0)


def rounded_once(scale, true, dtype):
    """S for an output that is computed in float32 and rounded to dtype at the end."""
    u, u32 = torch.finfo(dtype).eps, torch.finfo(torch.float32).eps
    return scale if dtype == torch.float32 else true.detach().abs() + scale * (u32 / u)


def check(
    input,
    target,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    grad=None,
    own_dtype=None,
):
    """The loss and the gradient by the rule; own_dtype: of torch's own, where it is not input's."""
    if grad is None:
        shape = input.shape[:1] if reduction == "none" else ()
        grad = random(input.device.type, input.dtype, *shape, seed=2)

    def run(function, input, weight, grad):
        input = input.detach().requires_grad_()
        loss = function(input, target, weight, ignore_index, reduction, label_smoothing)
        return loss, *torch.autograd.grad(loss, input, grad)

    actual = run(kernels.cross_entropy, input, weight, grad)

    def in_dtype(dtype):
        cast = None if weight is None else weight.to(dtype)
        return run(reference, input.to(dtype), cast, grad.to(dtype))

    own = [t.to(input.dtype) for t in in_dtype(own_dtype or input.dtype)]
    true = in_dtype(torch.float64)
    options, x = (target, weight, ignore_index, reduction, label_smoothing), input.double()
    scales = (magnitude(input, *options), logits_magnitude(grad, x, sizes(x), *options))
    for got, truth, torchs, scale in zip(actual, true, own, scales, strict=True):
        assert_close_as_torch(got, truth, torchs, rounded_once(scale, truth, input.dtype))
