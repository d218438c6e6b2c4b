"""What both cross-entropies refuse as arguments, and where they refuse to run."""

import pytest
import torch

import kernels
from kernels import _launch
from tests.kernels.test_cross_entropy_calls import NAMES, call

X, T = torch.ones(3, 4), torch.tensor([0, 1, 2])
BAD_LOSSES = {
    "a list of targets": (dict(target=[0, 1, 2]), TypeError, r"target is a list, .* \[rows\]"),
    "probabilities": (dict(target=X), TypeError, "target is torch.float32, expected torch.int64"),
    "32-bit targets": (dict(target=T.int()), TypeError, "target is torch.int32, expected"),
    "two targets": (dict(target=T[:2]), ValueError, r"target has shape \[2\], expected \[3\]"),
    "a column": (dict(target=T[:, None]), ValueError, r"target has shape \[3, 1\], expected"),
    "targets elsewhere": (
        dict(target=T.to("meta")),
        ValueError,
        "input is on cpu and target is on meta, expected one device",
    ),
    "a list of weights": (dict(weight=[1.0]), TypeError, "weight is a list, expected a torch"),
    "double weights": (
        dict(weight=torch.ones(4).double()),
        TypeError,
        "weight is torch.float64, expected one of",
    ),
    "half weights": (
        dict(weight=torch.ones(4).half()),
        TypeError,
        "input is torch.float32 and weight is torch.float16, expected one dtype",
    ),
    "three weights": (
        dict(weight=torch.ones(3)),
        ValueError,
        r"weight has shape \[3\], expected \[4\], one for each class",
    ),
    "learned weights": (
        dict(weight=torch.ones(4, requires_grad=True)),
        ValueError,
        r"weight requires a gradient, expected .* weight.detach\(\)",
    ),
    "ignore_index": (dict(ignore_index=1.5), TypeError, "ignore_index is a float, expected an int"),
    "reduction": (
        dict(reduction="average"),
        ValueError,
        "reduction is 'average', expected one of none, mean, sum",
    ),
    "no reduction": (dict(reduction=None), ValueError, "reduction is None, expected one of none"),
    "smoothing": (
        dict(label_smoothing=1.1),
        ValueError,
        "label_smoothing is 1.1, expected 0 to 1, both included",
    ),
    "negative smoothing": (dict(label_smoothing=-0.1), ValueError, "label_smoothing is -0.1"),
    "NaN smoothing": (dict(label_smoothing=float("nan")), ValueError, "label_smoothing is nan"),
    "words": (dict(label_smoothing="0.1"), TypeError, "label_smoothing is a str, expected a float"),
}


@pytest.mark.parametrize("how", BAD_LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_bad_descriptions_of_a_loss_are_named(name, how):
    options, error, message = BAD_LOSSES[how]
    operands = (X,) if name == "cross_entropy" else (torch.ones(3, 5), torch.ones(4, 5), None)
    with pytest.raises(error, match=f"^{name}: {message}"):
        call(name, operands, **{"target": T, **options})


L, W, B = torch.ones(3, 5), torch.ones(4, 5), torch.ones(4)
BAD_OPERANDS = {
    "a list": (
        ([[1.0]],),
        TypeError,
        r"input is a list, expected a torch.Tensor \[rows, classes\]",
    ),
    "a vector": ((X[0],), ValueError, r"input has shape \[4\], expected \[rows, classes\]"),
    "float64": ((X.double(),), TypeError, "input is torch.float64, expected one of torch.float32"),
    "sparse": ((X.to_sparse(),), TypeError, "input has layout torch.sparse_coo, expected"),
    "tokens": ((L[None], W, B), ValueError, r"input has shape \[1, 3, 5\], expected \[rows, hidd"),
    "a mixture": (
        (L, W.half(), B),
        TypeError,
        "input is torch.float32 and linear_weight is torch.float16, expected one dtype",
    ),
    "two hiddens": (
        (L, W.t(), B),
        ValueError,
        r"input has shape \[3, 5\] and linear_weight has shape \[5, 4\], expected .* one hidden",
    ),
    "a long bias": (
        (L, W, torch.ones(5)),
        ValueError,
        r"linear_bias has shape \[5\], expected \[4\], one for each class",
    ),
    "a matrix as bias": ((L, W, W), ValueError, r"linear_bias has shape \[4, 5\], expected \[cla"),
    "half a bias": ((L, W, B.half()), TypeError, "input is torch.float32 and linear_bias is"),
}


@pytest.mark.parametrize("how", BAD_OPERANDS)
def test_bad_operands_are_named(how):
    operands, error, message = BAD_OPERANDS[how]
    name = NAMES[len(operands) > 1]
    with pytest.raises(error, match=f"^{name}: {message}"):
        call(name, operands, T)


@pytest.mark.parametrize(("name", "operands"), [(NAMES[0], (X,)), (NAMES[1], (L, W, B))])
def test_no_kernel_there(name, operands):
    operands = tuple(t.to("meta") for t in operands)
    with pytest.raises(RuntimeError, match=f"^{name}: Triton kernels do not run on meta"):
        call(name, operands, T.to("meta"))


@pytest.mark.skipif(not _launch.INTERPRETED, reason="about Triton's interpreter")
def test_bfloat16_products_are_refused_by_the_interpreter_rather_than_wrong():
    message = "linear_cross_entropy: Triton's interpreter multiplies bfloat16 matrices wrongly"
    with pytest.raises(RuntimeError, match=message):
        kernels.linear_cross_entropy(L.bfloat16(), W.bfloat16(), T)
