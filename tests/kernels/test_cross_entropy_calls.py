"""How both cross-entropies may be called: autograd and its limits, torch.compile, CUDA graphs."""

import importlib

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

import kernels
from kernels import _launch

module = importlib.import_module("kernels.cross_entropy")
linear_module = importlib.import_module("kernels._linear_cross_entropy_autograd")
chunks = importlib.import_module("kernels._linear_cross_entropy_chunks")
NAMES = ("cross_entropy", "linear_cross_entropy")
LOGITS, TOKENS = ((19, 23),), ((19, 11), (23, 11), (23,))
REDUCTIONS = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(autouse=True)
def three_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "tokens", lambda *_: 8)


@pytest.fixture
def operands(name, device):
    """The floating operands of the function: logits, or tokens, linear weight and linear bias."""
    generator = torch.Generator(device).manual_seed(0)
    return tuple(
        torch.randn(shape, generator=generator, device=device, requires_grad=True)
        for shape in (LOGITS if name == "cross_entropy" else TOKENS)
    )


@pytest.fixture
def target(device):
    target = torch.arange(19, device=device)
    target[3] = -100
    return target


def call(name, operands, target, **options):
    """The public function `name` of its floating operands."""
    if name == "cross_entropy":
        return kernels.cross_entropy(*operands, target, **options)
    input, linear_weight, linear_bias = operands
    return kernels.linear_cross_entropy(
        input, linear_weight, target, linear_bias=linear_bias, **options
    )


def detached(operands):
    return tuple(t.detach() for t in operands)


@REDUCTIONS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_inputs_are_never_written(name, operands, target, reduction, dtype):
    operands = tuple(t.detach().to(dtype).requires_grad_() for t in operands)
    weight = torch.rand(23, device=target.device, dtype=dtype)
    given = (*operands, target, weight)
    before = [t.detach().clone() for t in given]
    loss = call(name, operands, target, weight=weight, reduction=reduction, label_smoothing=0.1)
    grad = torch.randn_like(loss)
    grad_before = grad.clone()
    loss.backward(grad)
    assert torch.equal(grad, grad_before)
    assert all(torch.equal(t, was) for t, was in zip(given, before, strict=True))


@REDUCTIONS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_backward_can_be_repeated(name, operands, target, reduction, dtype):
    operands = tuple(t.detach().to(dtype).requires_grad_() for t in operands)
    loss = call(name, operands, target, reduction=reduction)
    grad = torch.full_like(loss, 3.0)
    first = torch.autograd.grad(loss, operands, grad, retain_graph=True)
    doubled = torch.autograd.grad(loss, operands, 2 * grad, retain_graph=True)
    again = torch.autograd.grad(loss, operands, grad)
    for a, b, c in zip(first, again, doubled, strict=True):
        assert torch.equal(a, b)
        if dtype == torch.float32:  # float16's smallest numbers are not exact when doubled
            assert torch.equal(2 * a, c)


def test_an_operand_changed_before_backward_is_noticed(name, operands, target):
    loss = call(name, operands, target, reduction="none").sum()
    with torch.no_grad():
        operands[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@REDUCTIONS
@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("after", [torch.square, torch.clone], ids=["square", "itself"])
def test_differentiating_twice_raises(name, operands, target, reduction, backend, after):
    """Also where the upstream gradient is a constant, which alone would hide the dependence."""

    def function(*operands):
        return after(call(name, operands, target, reduction=reduction)).sum()

    if backend == "compiled":
        torch.compiler.reset()
        function = torch.compile(function, fullgraph=True, backend="aot_eager")
    twice = f"{name}: differentiating twice is not supported"
    with pytest.raises(RuntimeError, match=f"{twice}|does not currently support double backward"):
        grads = torch.autograd.grad(function(*operands), operands, create_graph=True)
        # A term beside it that can be differentiated must not hide that this one cannot.
        (grads[-1].sum() + operands[0].sum()).backward()


@REDUCTIONS
def test_a_hessian_raises(name, operands, target, reduction):
    first, *rest = detached(operands)
    with pytest.raises(RuntimeError, match=f"{name}: differentiating twice is not supported"):
        torch.autograd.functional.hessian(
            lambda t: call(name, (t, *rest), target, reduction=reduction).square().sum(), first
        )


def _dual(name, operands, target):
    first, *rest = detached(operands)
    with forward_ad.dual_level():
        return call(name, (forward_ad.make_dual(first, first), *rest), target)


def _dual_traced(name, operands, target):
    first, *rest = detached(operands)
    traced = make_fx(lambda *operands: call(name, operands, target))(first, *rest)
    with forward_ad.dual_level():
        return traced(forward_ad.make_dual(first, first), *rest)


def _dual_gradient(name, operands, target):
    loss = call(name, operands, target)
    with forward_ad.dual_level():
        one = torch.ones_like(loss)
        return torch.autograd.grad(loss, operands, forward_ad.make_dual(one, one))


def _jvp(name, operands, target):
    operands = detached(operands)
    return torch.func.jvp(lambda *t: call(name, t, target), operands, operands)


def _jacfwd(name, operands, target):
    first, *rest = detached(operands)
    return torch.func.jacfwd(lambda t: call(name, (t, *rest), target))(first)


@pytest.mark.parametrize("how", [_dual, _dual_traced, _dual_gradient, _jvp, _jacfwd])
def test_forward_mode_raises(name, operands, target, how):
    with pytest.raises(RuntimeError, match=f"{name}: forward-mode differentiation .* is not"):
        how(name, operands, target)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_vmap_raises(name, operands, target, requires_grad):
    first, *rest = (t.detach().requires_grad_(requires_grad) for t in operands)
    with pytest.raises(RuntimeError, match=f"{name}: vmap is not supported"):
        torch.func.vmap(lambda t: call(name, (t, *rest), target))(first.expand(2, -1, -1))


@pytest.mark.parametrize("retain_graph", [False, True])
def test_batched_gradients_are_right_or_raise(name, operands, target, retain_graph):
    loss = call(name, operands, target)
    grads = torch.tensor([1.0, -2.0], device=loss.device)
    try:
        batched = torch.autograd.grad(
            loss, operands, grads, is_grads_batched=True, retain_graph=retain_graph
        )
    except RuntimeError:
        return
    loss = call(name, operands, target)
    for i, grad in enumerate(grads):
        single = torch.autograd.grad(loss, operands, grad, retain_graph=True)
        assert all(torch.equal(b[i], s) for b, s in zip(batched, single, strict=True))


@REDUCTIONS
@pytest.mark.parametrize("weighted", [False, True])
def test_the_operators_are_well_formed(operands, name, target, monkeypatch, reduction, weighted):
    # opcheck looks again at outputs that only autograd should have, and may give away
    monkeypatch.setattr(_launch, "asked_once", lambda grad: False)
    weight = torch.rand(23, device=target.device) if weighted else None
    options = (-100, reduction, 0.1)
    grad = torch.randn((19,) if reduction == "none" else (), device=target.device)
    plain = detached(operands)
    if name == "cross_entropy":
        torch.library.opcheck(module._forward, (*operands, target, weight, *options))
        _, statistics, denominator = module._forward(*plain, target, weight, *options)
        saved = (*plain, target, weight, statistics, denominator, -100, 0.1)
        torch.library.opcheck(module._backward, (grad, *saved))
        return
    for needs in ([reduction != "none"] * 3, [False] * 3):
        used = operands if needs[0] or reduction == "none" else plain
        arguments = (*used[:2], target, used[2], weight, *options, needs)
        torch.library.opcheck(linear_module.forward, arguments)
    made = linear_module.forward(*plain[:2], target, plain[2], weight, *options, needs)
    _, statistics, denominator = made
    saved = (*plain[:2], target, plain[2], weight, statistics, denominator, -100, 0.1)
    for needs in ([True] * 3, [False, True, False]):
        torch.library.opcheck(linear_module.backward_again, (grad, *saved, needs))
    if reduction != "none":
        torch.library.opcheck(linear_module.backward, (grad, denominator, [*plain], [*plain]))
        kept = [t.clone() for t in plain]
        torch.library.opcheck(linear_module.backward_in_place, (grad, denominator, kept))


@REDUCTIONS
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_graph_break(name, operands, target, reduction, dynamic):
    def function(target, first, *rest):
        operands = (first * 2, *rest)
        return call(name, operands, target, reduction=reduction, label_smoothing=0.1).sin()

    torch.compiler.reset()  # of the other parameters, which count as recompilations
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    first, *rest = operands
    for rows in (19, 7):
        given = (target[:rows], first[:rows], *rest)
        loss, expected = compiled(*given), function(*given)
        assert torch.equal(loss, expected)
        for got, wanted in zip(
            torch.autograd.grad(loss.sum(), operands),
            torch.autograd.grad(expected.sum(), operands),
            strict=True,
        ):
            assert torch.equal(got, wanted)


@needs_gpu
@REDUCTIONS
def test_captures_into_a_cuda_graph(name, operands, target, reduction):
    def run():
        loss = call(name, operands, target, reduction=reduction)
        return loss, *torch.autograd.grad(loss.sum(), operands)

    run()  # compiles, which a capture may not
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    with torch.no_grad():
        operands[0].normal_()
        for t in captured:
            t.fill_(torch.nan)
    graph.replay()
    assert all(torch.equal(a, b) for a, b in zip(captured, run(), strict=True))


@needs_gpu
@REDUCTIONS
def test_never_waits_for_the_device(name, operands, target, reduction):
    call(name, operands, target, reduction=reduction).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call(name, operands, target, reduction=reduction).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
