"""Many small errors are refused as one large error is."""

import pytest
import torch
import torch.nn.functional as F

import kernels
from harness.comparison import Checker
from harness.correctness import Truth
from harness.subjects import of_operation
from kernels.spec import Case

ROWS, CLASSES = 32, 8192


def checker(seed):
    case = Case({"R": ROWS, "C": CLASSES}, "bfloat16", "forward+backward")
    return Checker(of_operation(kernels.load("cross_entropy"), case, "cpu"), seed)


def with_gradient(of_softmax):
    """Cross-entropy whose gradient is made of the float32 softmax and the classes, in bfloat16."""

    def provider(x, target, grad):
        softmax = x.detach().float().softmax(1)
        kept = of_softmax(softmax).scatter_add_(
            1, target[:, None], torch.full((len(target), 1), -1.0)
        )
        return F.cross_entropy(x, target).detach(), (grad * kept / len(target)).to(x.dtype)

    return provider


def two_classes_alone(softmax):
    likeliest, at = softmax.max(1, keepdim=True)
    return torch.zeros_like(softmax).scatter_(1, at, likeliest)


RIGHT = {
    "rounded once": lambda softmax: softmax.clone(),
    "rounded twice": lambda softmax: softmax.bfloat16().float(),
}
WRONG = {
    "zero but for two classes": two_classes_alone,
}


def test_a_bfloat16_gradient_is_judged_by_all_of_its_classes():
    by_sum = dict.fromkeys(WRONG, 0)
    for seed in range(0, 40, 4):
        check = checker(seed).check
        for name, made in RIGHT.items():
            assert check(with_gradient(made)).wrong is None, (name, seed)
        for name, made in WRONG.items():
            found = check(with_gradient(made))
            assert found.wrong, (name, seed)
            by_sum[name] += "add up to" in found.wrong
    assert all(by_sum.values())  # what the largest error alone would have let pass


def test_the_same_error_as_torchs_is_right_where_the_truth_is_zero():
    zero, own = torch.zeros(5000, dtype=torch.float64), torch.full((5000,), 1e-7)
    one = Truth.of(zero, own, None, 0.0)
    assert one.judge(own, Truth.worst([one])).wrong is None
    assert one.judge(own * 3, Truth.worst([one])).wrong


@pytest.mark.parametrize("scale", [None, 8.0])
def test_few_outputs_may_all_err_by_a_rounding(scale):
    truth = torch.linspace(-8, 8, 100, dtype=torch.float64)
    own, rounding = truth.float(), 8.0 * torch.finfo(torch.float32).eps
    sizes = None if scale is None else torch.full_like(truth, scale)
    one = Truth.of(truth, own, sizes, 0.0)
    assert one.judge((truth + rounding).float(), Truth.worst([one])).wrong is None
    assert one.judge((truth + 20 * rounding).float(), Truth.worst([one])).wrong


@pytest.mark.parametrize(
    ("shape", "own", "dtype", "fits"),
    [
        ((), torch.bfloat16, torch.float32, True),
        ((), torch.float32, torch.float64, True),
        ((), torch.float32, torch.bfloat16, False),
        ((), torch.float16, torch.bfloat16, False),
        ((), torch.int32, torch.int64, False),
        ((1,), torch.bfloat16, torch.float32, False),  # of many, more bytes are written
    ],
)
def test_a_number_may_be_of_a_wider_type_than_torchs(shape, own, dtype, fits):
    truth = Truth.of(torch.ones(shape, dtype=torch.float64), torch.ones(shape).to(own), None, 0.0)
    wrong = truth.judge(torch.ones(shape).to(dtype), Truth.worst([truth])).wrong
    assert (wrong is None) == fits, wrong
    assert fits or wrong.startswith(f"it returns {dtype}")
