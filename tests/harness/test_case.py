"""Providers that are right while they are checked, and something else while they are timed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

import kernels
import workloads
from harness import case, record, settings
from harness.comparison import Checker, Comparison
from harness.subjects import of_operation, of_workload
from harness.timing import Limits

N = 96
LIMITS = Limits(min_sampled_s=0, max_samples=30, max_s=0.2, warmup_s=0.01, max_warmup_s=0.05)
SETTING = case.Setting("cpu", "a CPU", "host", "quick", LIMITS)


def inputs(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, N, generator=generator), torch.randn(N, N, generator=generator)


def run(in_place=(), **providers):
    """The fields of each provider's row, beside torch's."""
    providers = {"torch": lambda: torch.matmul, **providers}
    comparison = Comparison(
        "product", f"{N}", "float32", "forward", inputs, providers, "torch", torch.matmul,
        in_place=in_place,
    )  # fmt: skip
    found = case.run(comparison, tuple(providers), SETTING)
    return {name: result.fields for name, result in found.items()}


def kept_by_address():
    kept = {}

    def call(a, b):
        key = a.data_ptr(), b.data_ptr(), a._version
        if key not in kept:
            kept[key] = a @ b
        return kept[key]

    return call


def zeros_when_asked_again():
    """Right on whatever it is asked for the first time in a row."""
    last = [None]

    def call(a, b):
        again, last[0] = last[0] is a, a
        return torch.zeros_like(a) if again else a @ b

    return call


def left_in_a_thread():
    """Does not wait for its own work where the inputs are those of the call before."""
    pool, last = ThreadPoolExecutor(1), [None]

    def call(a, b):
        out = torch.empty_like(a)
        work = pool.submit(torch.mm, a, b, out=out)
        if last[0] is not a:
            work.result()
        last[0] = a
        return out

    return call


class Later(torch.Tensor):
    """A product that is computed when it is looked at."""

    @staticmethod
    def __new__(cls, a, b):
        made = torch.Tensor._make_wrapper_subclass(cls, (N, N), dtype=a.dtype)
        made.of = (a, b)
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        args = [a.of[0] @ a.of[1] if isinstance(a, Later) else a for a in args]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (kept_by_address, "not after: wrong answer"),
        (zeros_when_asked_again, "not after: wrong answer"),
        (left_in_a_thread, "not after: "),
        (lambda: Later, "it returns a Later and no torch.Tensor"),
    ],
)
def test_a_provider_that_only_checks_see_right_has_no_time(make, words):
    found = run(cheat=make)
    assert found["torch"]["status"] == record.OK
    assert found["cheat"]["status"] == record.FAILED and words in found["cheat"]["reason"]
    assert found["cheat"]["median_s"] is None


@pytest.mark.parametrize("direction", ["train", "backward", "forward", "expanded"])
def test_a_right_provider_is_right_after_it_was_timed_too(direction):
    """A state that goes on, a forward pass that is kept, and inputs that share their memory."""
    if direction == "train":
        comparison = of_workload(workloads.load("mlp_classification"), "train", 4, "cpu")
    elif direction == "expanded":

        def one_row(seed):
            a, b = inputs(seed)
            return a[:1].expand(N, N), b

        comparison = Comparison(
            "product", "x", "float32", "forward", one_row, {"torch": lambda: torch.matmul}, "torch",
            torch.matmul,
        )  # fmt: skip
    else:
        operation = kernels.load("bias_activation")
        of = replace(operation.cases[0], shape={"M": 8, "N": 24}, dtype="float32")
        comparison = of_operation(operation, replace(of, direction=direction), "cpu")
    checker = Checker(comparison)
    provider = comparison.providers[comparison.baseline]()
    before = [t.detach().clone() for t in checker.timed]
    assert checker.check(provider).wrong is None
    for _ in range(3):
        provider(*checker.timed)
    if hasattr(provider, "reset"):
        provider.reset()
    assert checker.check_timed(provider).wrong is None
    assert all(map(torch.equal, before, checker.timed))


def writes():
    """As liger-kernel's cross-entropy, whose gradient is where its logits were."""
    return lambda a, b: a.copy_(a @ b)


def writes_and_raises():
    def call(a, b):
        b.zero_()
        raise RuntimeError("out of shared memory")

    return call


@pytest.mark.parametrize(
    ("make", "words"),
    [(writes, "it writes into its inputs"), (writes_and_raises, "out of shared")],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_a_provider_writes_into_its_inputs_is_its_fault_and_no_others(make, words, first):
    others = {"mine": lambda: torch.mm}
    found = run(**({"writer": make, **others} if first else {**others, "writer": make}))
    assert [found[p]["status"] for p in ("torch", "mine")] == [record.OK] * 2
    assert found["writer"]["status"] == record.FAILED and words in found["writer"]["reason"]


@pytest.mark.parametrize("first", [True, False])
def test_one_that_says_so_is_timed_on_inputs_of_its_own(first):
    others = {"mine": lambda: torch.mm}
    providers = {"writer": writes, **others} if first else {**others, "writer": writes}
    found = run(in_place=("writer",), **providers)
    assert {name: fields["status"] for name, fields in found.items()} == dict.fromkeys(
        ("torch", "writer", "mine"), record.OK
    )
    assert found["writer"]["correctness_error"] <= found["writer"]["correctness_bound"]


def test_one_that_says_so_is_refused_all_the_same_where_it_is_wrong():
    found = run(in_place=("writer",), writer=lambda: lambda a, b: a.copy_(b @ a))
    assert found["writer"]["status"] == record.FAILED and found["torch"]["status"] == record.OK
    assert "wrong answer" in found["writer"]["reason"]


def test_inputs_that_share_their_memory_are_set_back_too():
    def one_row(seed):
        a, b = inputs(seed)
        return a[:1].expand(N, N), b

    def writer(a, b):
        out = a @ b
        a[:1].mul_(2)
        return out

    checker = Checker(
        Comparison("product", "x", "float32", "forward", one_row, {}, "torch", torch.matmul)
    )
    assert checker.check(writer).wrong == "it writes into its inputs"
    assert checker.check(torch.matmul).wrong is None


def test_inputs_that_change_while_a_case_is_timed_leave_none_of_its_times():
    calls = []

    def late():
        def call(a, b):
            calls.append(1)
            out = a @ b
            if len(calls) == 5:
                b.zero_()
            return out

        return call

    for fields in run(late=late, honest=lambda: torch.mm).values():
        assert fields["status"] == record.FAILED
        assert (
            fields["reason"] == "while the case was timed one of its providers changed the inputs"
        )


def with_setting(change):
    def make():
        change()
        return torch.matmul

    return make


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "num_threads"),
        (lambda: torch.set_float32_matmul_precision("medium"), "float32_matmul_precision"),
        (lambda: torch._C._set_grad_enabled(False), "grad_enabled"),
    ],
)
def test_a_setting_that_a_provider_leaves_changed_is_its_fault_and_no_others(change, name):
    before = settings.read()
    try:
        found = run(greedy=with_setting(change), honest=lambda: torch.mm)
        assert settings.read() == before
    finally:
        settings.restore(before)
    assert [found[p]["status"] for p in ("torch", "honest")] == [record.OK] * 2
    assert found["greedy"]["status"] == record.FAILED
    assert f"it changes torch's {name} from" in found["greedy"]["reason"]


def test_a_setting_that_changes_while_a_case_is_timed_leaves_none_of_its_times():
    calls, threads = [], torch.get_num_threads()

    def late():
        def call(a, b):
            calls.append(1)
            if len(calls) == 5:
                torch.set_num_threads(threads + 1)
            return a @ b

        return call

    try:
        found = run(late=late)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads)
    for fields in found.values():
        assert fields["status"] == record.FAILED and "num_threads" in fields["reason"]
