"""Every kernel once, forward and backward, at small and ragged sizes, in every dtype.

The other tests show that results are right. This one is short enough for NVIDIA's
compute-sanitizer, under which a kernel takes a hundred times as long and which sees what a right
result hides: a read past the end, a race, a read of what nobody wrote.
"""

import pytest
import torch

import kernels
from kernels import _launch
from kernels.spec import FORWARD_BACKWARD, Case

SHAPES = {
    "matmul": ({"M": 17, "N": 33, "K": 9}, {"M": 136, "N": 264, "K": 72}),
    "linear": ({"M": 17, "N": 33, "K": 9}, {"M": 136, "N": 264, "K": 72}),
    "bias_activation": ({"M": 5, "N": 131}, {"M": 70, "N": 1040}),
    "cross_entropy": ({"R": 5, "C": 131}, {"R": 9, "C": 5003}),
    "linear_cross_entropy": ({"R": 5, "H": 9, "C": 131}, {"R": 136, "H": 72, "C": 264}),
}
PRODUCTS = ("matmul", "linear", "linear_cross_entropy")
DTYPES = ("float32", "float16", "bfloat16")


def test_every_kernel_has_its_sizes():
    assert {*SHAPES} == {*kernels.NAMES}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name, shapes in SHAPES.items() for shape in shapes],
    ids=str,
)
def test_it_runs(device, name, shape, dtype):
    if dtype == "bfloat16" and _launch.INTERPRETED and name in PRODUCTS:
        pytest.skip("Triton's interpreter multiplies bfloat16 wrongly (#11584)")
    operation = kernels.load(name)
    given = operation.inputs(Case(shape, dtype, FORWARD_BACKWARD), device, 0)
    for provider in operation.providers:
        if not provider.startswith("triton") or (provider, dtype) == ("triton ahead", "float16"):
            continue  # the peers', and what is not offered
        output = operation.providers[provider]()(*given)
        wanted = [t for t in given if t.requires_grad]
        gradients = torch.autograd.grad(output, wanted, torch.ones_like(output))
        assert len(gradients) == len(wanted) > 0
        assert all(t.isfinite().all() for t in (output, *gradients))
