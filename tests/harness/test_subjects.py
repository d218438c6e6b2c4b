"""Kernels and workloads as comparisons: right providers pass, the counts are the right ones."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
import triton
from torch.utils.flop_counter import FlopCounterMode

import kernels
import workloads
from harness import case, subjects
from harness.comparison import Checker
from harness.subjects import INFERENCE, INTERPRETER, TRAIN, TRANSFER, of_operation, of_workload
from harness.timing import Limits
from kernels.spec import BACKWARD, FORWARD_BACKWARD, Case

SHORT = Limits(min_sampled_s=0.01, max_samples=30, max_s=0.2, warmup_s=0.01, max_warmup_s=0.05)
SETTING = case.Setting("cpu", "a processor", "host", "quick", limits=SHORT)


@pytest.mark.parametrize("name", workloads.NAMES)
@pytest.mark.parametrize("direction", [TRAIN, INFERENCE])
@pytest.mark.parametrize("batch", [1, 33])
def test_eager_is_right_and_its_flops_are_those_that_run(name, direction, batch):
    comparison = of_workload(workloads.load(name), direction, batch, "cpu")
    provider = comparison.providers["eager"]()
    assert Checker(comparison).check(provider).wrong is None
    with FlopCounterMode(display=False) as counter:
        provider(*comparison.inputs(0))
    assert counter.get_total_flops() == comparison.flops


@pytest.mark.parametrize("name", workloads.NAMES)
def test_a_step_that_skips_its_update_is_refused(name):
    workload = workloads.load(name)
    comparison = of_workload(workload, TRAIN, 8, "cpu")
    step = comparison.providers["eager"]()
    step.step = lambda batch: workload.loss(step.model, batch).detach()
    assert Checker(comparison).check(step).wrong


@pytest.mark.parametrize("name", workloads.NAMES)
def test_a_step_is_set_back_to_where_it_began(name):
    comparison = of_workload(workloads.load(name), TRAIN, 8, "cpu")
    step = comparison.providers["eager"]()
    inputs = comparison.inputs(0)
    first = [t.clone() for t in step(*inputs)]
    for _ in range(3):
        step(*inputs)
    step.reset()
    for again, then in zip(step(*inputs), first, strict=True):
        torch.testing.assert_close(again, then, rtol=0, atol=0)


def test_a_kernels_gradients_are_compared_too():
    operation = kernels.load("matmul")
    small = Case({"M": 5, "N": 6, "K": 7}, "float32", FORWARD_BACKWARD)
    comparison = of_operation(operation, small, "cpu")
    a, b, grad = comparison.inputs(0)
    output, da, db = comparison.providers["torch"]()(a, b, grad)
    torch.testing.assert_close(da, grad @ b.T)
    torch.testing.assert_close(db, a.T @ grad)
    broken = lambda a, b, grad: (output, da, da.T)  # noqa: E731
    assert Checker(comparison).check(broken).wrong


def test_backward_alone_gives_the_gradients_and_does_not_repeat_the_forward_pass():
    operation = kernels.load("matmul")
    calls = []

    def counted(a, b):
        calls.append(1)
        return a @ b

    providers = {"torch": lambda: counted}
    small = Case({"M": 5, "N": 6, "K": 7}, "float32", FORWARD_BACKWARD)
    given = of_operation(operation, small, "cpu").inputs(0)
    backward = dataclasses.replace(small, direction=BACKWARD)
    counting = dataclasses.replace(operation, providers=providers)
    provider = of_operation(counting, backward, "cpu").providers["torch"]()
    for _ in range(3):
        da, db = provider(*given)
    torch.testing.assert_close(da, given[2] @ given[1].T)
    torch.testing.assert_close(db, given[0].T @ given[2])
    assert len(calls) == 1


def test_a_peer_that_is_not_installed_is_a_row_that_says_so():
    def absent():
        raise ModuleNotFoundError("No module named 'peer'", name="peer")

    operation = dataclasses.replace(
        kernels.load("matmul"), providers={"torch": lambda: torch.matmul, "torch peer": absent}
    )
    small = Case({"M": 8, "N": 8, "K": 8}, "float32")
    found = case.run(of_operation(operation, small, "cpu"), ["torch", "torch peer"], SETTING)
    assert found["torch"].fields["status"] == "ok"
    assert found["torch peer"].fields["status"] == "not_measured"
    assert found["torch peer"].fields["reason"] == "peer is not installed"


def test_triton_is_not_timed_on_a_cpu_and_says_why():
    operation = kernels.load("matmul")
    small = Case({"M": 32, "N": 32, "K": 32}, "float32")
    found = case.run(of_operation(operation, small, "cpu"), ["torch", "triton"], SETTING)
    assert found["torch"].fields["status"] == "ok"
    assert found["triton"].fields["status"] == "not_measured"
    assert found["triton"].fields["reason"] == subjects.INTERPRETER
    assert found["triton"].fields["median_s_reason"].startswith("not_measured: see")
    assert found["triton"].samples == ()


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU triton is measured")
def test_on_a_gpu_the_interpreter_is_told_to_be_unset(monkeypatch):
    monkeypatch.setattr(triton.knobs.runtime, "interpret", True)
    assert subjects._interpreted(["a"], "cuda") == {"a": subjects.INTERPRETED}
    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    assert subjects._interpreted(["a"], "cuda") == {}
    assert subjects._interpreted(["a"], "cpu") == {"a": INTERPRETER}


def test_the_interpreter_agrees_that_the_timed_kernel_is_right():
    operation = kernels.load("matmul")
    small = Case({"M": 33, "N": 17, "K": 40}, "float32", FORWARD_BACKWARD)
    comparison = of_operation(operation, small, "cpu")
    assert Checker(comparison).check(comparison.providers["triton"]()).wrong is None


@pytest.mark.parametrize("direction", [TRAIN, INFERENCE])
def test_a_workload_on_our_own_kernels_gives_torchs_answers(direction):
    # in the interpreter without a GPU, so not timed; on a GPU the same kernels are a provider
    device = "cuda" if torch.cuda.is_available() else "cpu"
    comparison = of_workload(workloads.load("mlp_classification"), direction, 3, device)
    assert Checker(comparison).check(comparison.providers["triton"]()).wrong is None
    if device == "cpu":
        assert comparison.not_measured["triton"] == INTERPRETER
        assert "graph" in comparison.not_measured


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", workloads.NAMES)
@pytest.mark.parametrize("direction", [TRAIN, INFERENCE])
def test_a_replayed_graph_gives_eagers_answers_and_starts_anew(name, direction):
    comparison = of_workload(workloads.load(name), direction, 8, "cuda")
    graph, checker = comparison.providers["graph"](), Checker(comparison)
    assert checker.check(graph).wrong is None
    graph.reset()
    assert checker.check(graph).wrong is None


@pytest.mark.parametrize("name", workloads.NAMES)
def test_a_transfer_is_the_batch_on_the_device(name):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    comparison = of_workload(workloads.load(name), TRANSFER, 5, device)
    provider = comparison.providers["pageable"]()
    assert Checker(comparison).check(provider).wrong is None
    assert comparison.bytes == sum(t.nbytes for t in provider(*comparison.inputs(0)))
    if device == "cpu":
        assert set(comparison.not_measured) == set(comparison.providers)
    else:
        assert Checker(comparison).check(comparison.providers["pinned"]()).wrong is None


@pytest.mark.parametrize("direction", [TRAIN, INFERENCE])
def test_a_case_that_was_declared_before_makes_no_model_until_it_is_checked(direction):
    """Hundreds are declared in each mode, and left out under a budget."""
    made = []
    regression = workloads.load("linear_regression")

    def model(seed):
        made.append(seed)
        return regression.model(seed)

    counted = dataclasses.replace(regression, model=model)
    first = of_workload(counted, direction, 8, "cpu")
    made.clear()
    again = of_workload(counted, direction, 8, "cpu")
    assert (again.bytes, made) == (first.bytes, [])
    assert Checker(again).check(again.providers["eager"]()).wrong is None
    assert len(made) == 3  # the reference, the truth and the provider, each once


class OnGpu(torch.Tensor):
    is_cuda = True


def test_a_backward_pass_goes_back_on_the_stream_that_it_is_called_on(monkeypatch):
    """Else a CUDA graph would not hold it: it would run beside the capture, which fails then."""
    streams = ["default"]
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: streams[-1])
    ran_on = []

    def square(x):
        ran_on.append(streams[-1])
        return x * x

    backward = subjects._WRAPPED[BACKWARD](square)
    given = torch.tensor([3.0], requires_grad=True), torch.ones(1).as_subclass(OnGpu)
    backward(*given)
    streams.append("capture")
    for _ in range(3):
        assert backward(*given)[0].item() == 6.0
    assert ran_on == ["default", "capture"]


@pytest.mark.parametrize("direction", [TRAIN, INFERENCE])
def test_a_model_that_is_not_its_seeds_is_refused(direction):
    """Its reference would be as far from the truth as any wrong answer."""
    unseeded = dataclasses.replace(
        workloads.load("linear_regression"), model=lambda seed: torch.nn.Linear(10, 1)
    )
    with pytest.raises(ValueError, match="the same seed gives two different models"):
        of_workload(unseeded, direction, 8, "cpu")


@pytest.mark.slow
def test_a_compiled_function_goes_back_as_often_as_it_is_timed():
    backward = subjects._WRAPPED[BACKWARD](torch.compile(F.cross_entropy, dynamic=False))
    logits = torch.randn(256, 8192, requires_grad=True)  # smaller ones keep nothing to be reused
    target, grad = torch.arange(256), torch.tensor(2.0)
    (first,), (second,) = backward(logits, target, grad), backward(logits, target, grad)
    expected = 2 * (logits.softmax(1) - F.one_hot(target, 8192)) / 256
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, expected)
