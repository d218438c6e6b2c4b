"""How kernels.matmul may be called: autograd, torch.compile, CUDA graphs, and what it refuses."""

import importlib

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

import kernels
from kernels import _launch

module = importlib.import_module("kernels.matmul")
TWICE = "matmul: differentiating twice is not supported"
FORWARD_MODE = "matmul: forward-mode differentiation .* is not supported"
VMAP = "matmul: vmap is not supported"


@pytest.fixture
def operands(device):
    generator = torch.Generator(device).manual_seed(0)
    return tuple(
        torch.randn(shape, generator=generator, device=device, requires_grad=True)
        for shape in ((19, 23), (23, 17))
    )


def test_inputs_are_never_written(operands):
    a, b = operands
    grad = torch.randn(19, 17, device=a.device)
    before = [t.detach().clone() for t in (a, b, grad)]
    kernels.matmul(a, b).backward(grad)
    assert all(torch.equal(t, was) for t, was in zip((a, b, grad), before, strict=True))


@pytest.mark.parametrize("needed", [(True, False), (False, True), (True, True), (False, False)])
def test_only_the_gradients_needed_are_computed(operands, monkeypatch, needed):
    a, b = (t.detach().requires_grad_(wanted) for t, wanted in zip(operands, needed, strict=True))
    c = kernels.matmul(a, b)
    assert c.requires_grad == any(needed)
    products, product = [], module._product
    monkeypatch.setattr(module, "_product", lambda *args: (products.append(args), product(*args)))
    if c.requires_grad:
        c.sum().backward()
    assert len(products) == sum(needed)
    assert [t.grad is not None for t in (a, b)] == [*needed]


def test_backward_can_be_repeated(operands):
    c = kernels.matmul(*operands).sum()
    first = torch.autograd.grad(c, operands, retain_graph=True)
    again = torch.autograd.grad(c, operands)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


def test_an_operand_changed_before_backward_is_noticed(operands):
    a, b = operands
    c = kernels.matmul(a, b).sum()
    with torch.no_grad():
        b.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        c.backward()


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_differentiating_twice_raises(operands, backend):
    matmul = kernels.matmul
    if backend == "compiled":
        matmul = torch.compile(matmul, fullgraph=True, backend="aot_eager")
    with pytest.raises(RuntimeError, match=f"{TWICE}|does not currently support double backward"):
        (grad,) = torch.autograd.grad(
            matmul(*operands).square().sum(), operands[0], create_graph=True
        )
        grad.sum().backward()


def test_a_hessian_raises(operands):
    a, b = operands
    with pytest.raises(RuntimeError, match=TWICE):
        torch.autograd.functional.hessian(lambda a: kernels.matmul(a, b).square().sum(), a)


def _dual(operands, matmul=kernels.matmul):
    a, b = (t.detach() for t in operands)
    with forward_ad.dual_level():
        return matmul(forward_ad.make_dual(a, a), b)


def _dual_traced(operands):
    # Tracing leaves only the operator, without the checks of the public function.
    return _dual(operands, make_fx(kernels.matmul)(*(t.detach() for t in operands)))


def _dual_gradient(operands):
    c = kernels.matmul(*operands)
    with forward_ad.dual_level():
        grad = forward_ad.make_dual(torch.ones_like(c), torch.ones_like(c))
        return torch.autograd.grad(c, operands, grad)


def _jvp_past_no_grad(operands):
    a, b = (t.detach() for t in operands)

    def unseen(a):
        with torch.no_grad():
            return kernels.matmul(a, b).sum() + a.sum()

    return torch.func.jvp(torch.func.grad(lambda a: unseen(a) + a.sum()), (a,), (a,))


FORWARD_MODES = {
    "dual tensors": _dual,
    "dual tensors in a traced graph": _dual_traced,
    "dual tensors as they reach a backward": _dual_gradient,
    "jvp": lambda ops: torch.func.jvp(kernels.matmul, ops, ops),
    "jvp past no_grad": _jvp_past_no_grad,
    "jacfwd": lambda ops: torch.func.jacfwd(kernels.matmul)(*(t.detach() for t in ops)),
    "jvp of vmap": lambda ops: torch.func.jvp(
        torch.func.vmap(kernels.matmul, (0, None)), (ops[0][None], ops[1]), (ops[0][None], ops[1])
    ),
}


@pytest.mark.parametrize("how", FORWARD_MODES)
def test_forward_mode_raises(operands, how):
    with pytest.raises(RuntimeError, match=FORWARD_MODE):
        FORWARD_MODES[how](operands)


def test_forward_mode_raises_in_a_compiled_function(operands):
    matmul = torch.compile(kernels.matmul, fullgraph=True, backend="aot_eager")
    matmul(*operands)
    with pytest.raises(Exception, match=FORWARD_MODE):
        _dual(operands, matmul)

    @torch.compile(fullgraph=True, backend="aot_eager")
    def jvp(a, b):
        return torch.func.jvp(kernels.matmul, (a, b), (a, b))

    with pytest.raises(Exception, match=FORWARD_MODE):
        jvp(*(t.detach() for t in operands))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_vmap_raises(operands, requires_grad):
    a, b = (t.detach().requires_grad_(requires_grad) for t in operands)
    with pytest.raises(RuntimeError, match=VMAP):
        torch.func.vmap(kernels.matmul, (0, None))(a.expand(2, -1, -1), b)


def test_batched_gradients_raise(operands):
    c = kernels.matmul(*operands)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(c, operands, torch.ones(3, *c.shape), is_grads_batched=True)


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.func.hessian])
def test_other_torch_func_transforms_raise(operands, transform):
    a, b = (t.detach() for t in operands)
    with pytest.raises(RuntimeError):
        transform(lambda a: kernels.matmul(a, b).sum())(a)


def test_operators_are_well_formed(operands):
    a, b = operands
    grad = torch.randn(19, 17, device=a.device)
    torch.library.opcheck(module._forward, (a, b))
    torch.library.opcheck(
        module._forward, (a.detach().t(), b.detach().t().contiguous()[:, :19].t())
    )
    for needs in ((a, b), (a, None), (None, b)):
        saved = tuple(None if t is None else t.detach() for t in needs)
        torch.library.opcheck(module._backward, (grad, *saved))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_graph_break(operands, dynamic):
    @torch.compile(fullgraph=True, backend="aot_eager", dynamic=dynamic)
    def compiled(a, b):
        return kernels.matmul(a, b * 2).relu()

    a, b = operands
    for rows in (19, 7):
        c, expected = compiled(a[:rows], b), kernels.matmul(a[:rows], b * 2).relu()
        assert torch.equal(c, expected)
        for got, wanted in zip(
            torch.autograd.grad(c.sum(), operands),
            torch.autograd.grad(expected.sum(), operands),
            strict=True,
        ):
            assert torch.equal(got, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captures_into_a_cuda_graph(operands):
    a, b = (t.detach() for t in operands)
    kernels.matmul(a, b)  # compiles, which a capture may not
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        c = kernels.matmul(a, b)
    a.normal_()
    c.fill_(torch.nan)
    graph.replay()
    assert torch.equal(c, kernels.matmul(a, b))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_never_waits_for_the_device(operands):
    kernels.matmul(*operands).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        kernels.matmul(*operands).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


A, B = torch.ones(3, 4), torch.ones(4, 5)
BAD = {
    "not a tensor": (
        (A, [1.0]),
        TypeError,
        r"matmul: b is a list, expected a torch.Tensor \[K, N\]",
    ),
    "sparse": (
        (A.to_sparse(), B),
        TypeError,
        "matmul: a has layout torch.sparse_coo, expected torch.strided",
    ),
    "integers": (
        (A.long(), B.long()),
        TypeError,
        "matmul: a is torch.int64, expected one of torch.float32, torch.float16, torch.bfloat16",
    ),
    "float64": ((A, B.double()), TypeError, "matmul: b is torch.float64, expected one of"),
    "mixed": (
        (A, B.half()),
        TypeError,
        "matmul: a is torch.float32 and b is torch.float16, expected one dtype",
    ),
    "batched": (
        (A[None], B),
        ValueError,
        r"matmul: a has shape \[1, 3, 4\], expected \[M, K\]",
    ),
    "vector": ((A, B[0]), ValueError, r"matmul: b has shape \[5\], expected \[K, N\]"),
    "two Ks": (
        (A, A),
        ValueError,
        r"matmul: a has shape \[3, 4\] and b has shape \[3, 4\], expected \[M, K\] and \[K, N\]",
    ),
    "two devices": (
        (A, B.to("meta")),
        ValueError,
        "matmul: a is on cpu and b is on meta, expected one device",
    ),
    "no kernel there": (
        (A.to("meta"), B.to("meta")),
        RuntimeError,
        "matmul: Triton kernels do not run on meta",
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_bad_operands_are_named(how):
    operands, error, message = BAD[how]
    with pytest.raises(error, match=message):
        kernels.matmul(*operands)


@pytest.mark.skipif(not _launch.INTERPRETED, reason="about Triton's interpreter")
def test_bfloat16_is_refused_by_the_interpreter_rather_than_wrong():
    with pytest.raises(RuntimeError, match="interpreter multiplies bfloat16 matrices wrongly"):
        kernels.matmul(A.bfloat16(), B.bfloat16())
