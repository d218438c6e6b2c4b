"""How kernels.linear and bias_activation may be called: autograd and its limits, torch.compile."""

import functools
import importlib

import pytest
import torch
import torch.autograd.forward_ad as forward_ad

import kernels
from kernels import _activation_rows, _activations

linear = importlib.import_module("kernels.linear")
bias_activation = importlib.import_module("kernels.bias_activation")
ALL = pytest.mark.parametrize("file", [linear, bias_activation], ids=["linear", "bias_activation"])


def operands(file, device, requires_grad=True):
    generator = torch.Generator(device).manual_seed(0)
    shapes = [(2, 9, 7), (5, 7), (5,)] if file is linear else [(2, 9, 5), (5,)]
    return tuple(
        torch.randn(shape, generator=generator, device=device, requires_grad=requires_grad)
        for shape in shapes
    )


def function(file, activation="gelu"):
    return functools.partial(getattr(kernels, file.OPERATION.name), activation=activation)


@ALL
def test_inputs_are_never_written(file, device):
    given = operands(file, device)
    grad = torch.randn(2, 9, 5, device=device)
    before = [t.detach().clone() for t in (*given, grad)]
    function(file)(*given).backward(grad)
    assert all(torch.equal(t, was) for t, was in zip((*given, grad), before, strict=True))


@ALL
@pytest.mark.parametrize("activation", _activations.NAMES)
def test_only_the_gradients_needed_are_computed(file, device, monkeypatch, activation):
    given = operands(file, device, requires_grad=False)
    full = [t.clone().requires_grad_() for t in given]
    expected = torch.autograd.grad(function(file, activation)(*full).sum(), full)
    products, product = [], linear.product
    monkeypatch.setattr(linear, "product", lambda *args: (products.append(args), product(*args)))
    rows, write = [], _activation_rows.write_gradients
    monkeypatch.setattr(
        _activation_rows, "write_gradients", lambda *args: (rows.append(args), write(*args))
    )
    for wanted in range(1, 2 ** len(given)):
        needed = [wanted >> place & 1 == 1 for place in range(len(given))]
        some = [t.clone().requires_grad_(need) for t, need in zip(given, needed, strict=True)]
        products.clear(), rows.clear()
        function(file, activation)(*some).sum().backward()
        for t, need, grad in zip(some, needed, expected, strict=True):
            assert t.grad is None if not need else torch.equal(t.grad, grad)
        if file is linear and activation != "threshold":
            assert len(products) == sum(needed[:2])
        for *_, grad_rows, grad_bias in rows:
            assert (grad_bias is not None) == needed[-1]
            if file is bias_activation:
                assert (grad_rows is not None) == needed[0]


@ALL
def test_backward_can_be_repeated(file, device):
    given = operands(file, device)
    output = function(file)(*given).sum()
    first = torch.autograd.grad(output, given, retain_graph=True)
    again = torch.autograd.grad(output, given)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


@ALL
def test_an_operand_changed_before_backward_is_noticed(file, device):
    given = operands(file, device)
    output = function(file)(*given).sum()
    with torch.no_grad():
        given[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


@ALL
@pytest.mark.parametrize("activation", ["identity", "threshold", "gelu"])
@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_differentiating_twice_raises(file, device, backend, activation):
    called, given = function(file, activation), operands(file, device)
    if backend == "compiled":
        torch._dynamo.reset()  # each parameter is a recompilation, and their number is limited
        called = torch.compile(called, fullgraph=True, backend="aot_eager")
    name = file.OPERATION.name
    refused = f"{name}: differentiating twice is not|does not currently support double backward"
    with pytest.raises(RuntimeError, match=refused):
        (grad,) = torch.autograd.grad(called(*given).square().sum(), given[0], create_graph=True)
        grad.sum().backward()


def _dual(called, given):
    with forward_ad.dual_level():
        return called(forward_ad.make_dual(given[0], given[0]), *given[1:])


def _dual_gradient(called, given):
    given = [t.clone().requires_grad_() for t in given]
    output = called(*given)
    with forward_ad.dual_level():
        grad = forward_ad.make_dual(torch.ones_like(output), torch.ones_like(output))
        return torch.autograd.grad(output, given, grad)


FORWARD_MODES = {
    "dual tensors": _dual,
    "dual tensors as they reach a backward": _dual_gradient,
    "jvp": lambda called, given: torch.func.jvp(called, given, given),
    "jacfwd": lambda called, given: torch.func.jacfwd(called)(*given),
}


@ALL
@pytest.mark.parametrize("how", FORWARD_MODES)
def test_forward_mode_raises(file, device, how):
    given = operands(file, device, requires_grad=False)
    with pytest.raises(RuntimeError, match=r"forward-mode differentiation .* is not supported"):
        FORWARD_MODES[how](function(file), given)


@ALL
@pytest.mark.parametrize("requires_grad", [False, True])
def test_vmap_raises(file, device, requires_grad):
    first, *rest = operands(file, device, requires_grad)
    with pytest.raises(RuntimeError, match=f"{file.OPERATION.name}: vmap is not supported"):
        torch.func.vmap(function(file), (0, *[None] * len(rest)))(first, *rest)


@ALL
@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.func.hessian])
def test_other_torch_func_transforms_raise(file, device, transform):
    first, *rest = operands(file, device, requires_grad=False)
    with pytest.raises(RuntimeError):
        transform(lambda first: function(file)(first, *rest).sum())(first)


@ALL
@pytest.mark.parametrize("activation", ["identity", "threshold", "silu"])
def test_operators_are_well_formed(file, device, activation):
    given = operands(file, device)
    grad = torch.randn(2, 9, 5, device=device)
    first, *rest = (t.detach() for t in given)
    if file is linear:
        torch.library.opcheck(file._forward, (*given, activation, False))
        torch.library.opcheck(
            file._forward, (first.transpose(0, 1), rest[0], None, activation, True)
        )
        for input, weight, bias in (
            (first, rest[0], True),
            (first, None, False),
            (None, None, True),
        ):
            args = (grad, torch.randn_like(grad), input, weight, activation, bias)
            torch.library.opcheck(file._backward, args)
    else:
        torch.library.opcheck(file._forward, (*given, activation))
        torch.library.opcheck(file._forward, (first.transpose(0, 1), None, activation))
        for needs in ((True, True), (True, False), (False, True)):
            torch.library.opcheck(file._backward, (grad, first, *rest, activation, *needs))


@ALL
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_graph_break(file, device, dynamic):
    torch._dynamo.reset()  # each parameter is a recompilation, and their number is limited
    layer = function(file)

    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=dynamic)
    def compiled(first, *rest):
        return layer(first * 2, *rest).sin()

    first, *rest = given = operands(file, device)
    for size in (9, 4):
        output = compiled(first[:, :size], *rest)
        expected = function(file)(first[:, :size] * 2, *rest).sin()
        assert torch.equal(output, expected)
        for got, wanted in zip(
            torch.autograd.grad(output.sum(), given),
            torch.autograd.grad(expected.sum(), given),
            strict=True,
        ):
            assert torch.equal(got, wanted)
    with torch.no_grad():
        assert torch.equal(compiled(*given), function(file)(first * 2, *rest).sin())


@ALL
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captures_into_a_cuda_graph(file, device):
    given = operands(file, device, requires_grad=False)
    function(file)(*given)  # compiles, which a capture may not
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function(file)(*given)
    given[0].normal_()
    output.fill_(torch.nan)
    graph.replay()
    assert torch.equal(output, function(file)(*given))


@ALL
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_never_waits_for_the_device(file, device):
    given = operands(file, device)
    function(file)(*given).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        function(file)(*given).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
