"""What kernels.linear and bias_activation refuse as arguments."""

import pytest
import torch

import kernels
from kernels import _launch

X, W, B = torch.ones(2, 3, 4), torch.ones(5, 4), torch.ones(5)
ROW = torch.ones(4)
BAD_LINEAR = {
    "not a tensor": (
        ([1.0], W, B), TypeError,
        r"linear: input is a list, expected a torch.Tensor \[..., K\]",
    ),
    "weight is none": (
        (X, None, B), TypeError, r"weight is a NoneType, expected a torch.Tensor \[N, K\]",
    ),
    "no dimension": (
        (X[0, 0, 0], W, B), ValueError, r"linear: input has shape \[\], expected \[..., K\]",
    ),
    "sparse": ((X, W.to_sparse(), B), TypeError, "linear: weight has layout torch.sparse_coo"),
    "integers": ((X.long(), W, B), TypeError, "input is torch.int64, expected one of torch.float"),
    "mixed": (
        (X, W.half(), B), TypeError,
        "linear: input is torch.float32 and weight is torch.float16, expected one dtype",
    ),
    "mixed bias": (
        (X, W, B.half()), TypeError,
        "linear: input is torch.float32 and bias is torch.float16, expected one dtype",
    ),
    "two Ks": (
        (X, W.t(), B), ValueError,
        r"linear: input has shape \[2, 3, 4\] and weight has shape \[4, 5\], "
        r"expected \[..., K\] and \[N, K\] with one K",
    ),
    "long bias": ((X, W, ROW), ValueError, r"linear: bias has shape \[4\], expected \[5\]"),
    "bias of two dimensions": (
        (X, W, B[None]), ValueError, r"linear: bias has shape \[1, 5\], expected \[N\]",
    ),
    "activation": (
        (X, W, B, "swish"), ValueError,
        "linear: activation is 'swish', expected one of identity, threshold, sigmoid, tanh, relu, "
        "gelu, gelu_tanh, silu",
    ),
    "no name": ((X, W, B, None), TypeError, "linear: activation is a NoneType, expected one of"),
    "two devices": (
        (X, W.to("meta"), B), ValueError, "linear: input is on cpu and weight is on meta",
    ),
    "no kernel there": (
        (X.to("meta"), W.to("meta")), RuntimeError, "linear: Triton kernels do not run on meta",
    ),
}  # fmt: skip
BAD_BIAS_ACTIVATION = {
    "not a tensor": (
        (1.0, ROW), TypeError,
        r"bias_activation: input is a float, expected a torch.Tensor \[..., N\]",
    ),
    "no dimension": (
        (X[0, 0, 0],), ValueError, r"bias_activation: input has shape \[\], expected \[..., N\]",
    ),
    "float64": ((X.double(),), TypeError, "bias_activation: input is torch.float64, expected one"),
    "mixed": (
        (X, ROW.half()), TypeError,
        "bias_activation: input is torch.float32 and bias is torch.float16, expected one dtype",
    ),
    "long bias": ((X, B), ValueError, r"bias_activation: bias has shape \[5\], expected \[4\]"),
    "bias of two dimensions": (
        (X, X[0]), ValueError, r"bias_activation: bias has shape \[3, 4\], expected \[N\]",
    ),
    "activation": (
        (X, ROW, "RELU"), ValueError,
        "bias_activation: activation is 'RELU', expected one of identity, threshold, sigmoid,",
    ),
    "two devices": (
        (X, ROW.to("meta")), ValueError, "input is on cpu and bias is on meta, expected one device",
    ),
    "no kernel there": (
        (X.to("meta"),), RuntimeError, "bias_activation: Triton kernels do not run on meta",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD_LINEAR)
def test_bad_operands_of_linear_are_named(how):
    given, error, message = BAD_LINEAR[how]
    with pytest.raises(error, match=message):
        kernels.linear(*given)


@pytest.mark.parametrize("how", BAD_BIAS_ACTIVATION)
def test_bad_operands_of_bias_activation_are_named(how):
    given, error, message = BAD_BIAS_ACTIVATION[how]
    with pytest.raises(error, match=message):
        kernels.bias_activation(*given)


@pytest.mark.skipif(not _launch.INTERPRETED, reason="about Triton's interpreter")
def test_bfloat16_is_refused_by_the_interpreter_rather_than_wrong():
    with pytest.raises(RuntimeError, match="linear: Triton's interpreter multiplies bfloat16"):
        kernels.linear(X.bfloat16(), W.bfloat16())
