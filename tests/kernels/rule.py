"""The one rule of correctness: no worse than twice torch, measured against float64."""

from __future__ import annotations

import torch
from torch import Tensor


def assert_close_as_torch(
    actual: Tensor, reference64: Tensor, torch_same_dtype: Tensor, magnitude64: Tensor | None = None
) -> None:
    """Asserts error <= 2 x torch's own error + a floor, torch's error being 0 by chance at times.

    With a magnitude the error of an output is measured in units of its own scale S, and the floor
    is 2 u, u the unit round-off (Higham 2002, "Accuracy and Stability", section 3.1): right for
    small and for generated inputs. Without, errors are absolute and the floor is 1e-6 of the
    largest output: for fixed cases of at least 4096 outputs.

    Args:
        actual: the kernel's output or gradient, any shape and floating dtype.
        reference64: the same computed in float64.
        torch_same_dtype: the same from torch's own operator in actual's dtype.
        magnitude64: S, the formula over absolute values in float64; None for fixed cases.

    Raises:
        AssertionError: shape, dtype, or the positions of NaN and of either infinity differ, or
            the error is larger.
    """
    assert actual.shape == reference64.shape, f"{actual.shape} is not {reference64.shape}"
    assert actual.dtype == torch_same_dtype.dtype, f"{actual.dtype}, not {torch_same_dtype.dtype}"
    limits = torch.finfo(actual.dtype)
    true = reference64.detach().cpu()
    ours, torchs = (t.detach().double().cpu() for t in (actual, torch_same_dtype))

    finite = true.to(actual.dtype).isfinite()  # what overflows the dtype is infinite there
    expected = true.to(actual.dtype).double()
    for who, values in (("the kernel", ours), ("torch", torchs)):
        matches = (values == expected) | (values.isnan() & expected.isnan())
        wrong = torch.where(finite, ~values.isfinite(), ~matches)
        assert not wrong.any(), f"{who}: {wrong.sum()} NaN or infinities missing or out of place"
    if not finite.any():
        return

    if magnitude64 is None:
        assert true.numel() >= 4096, f"{true.numel()} outputs: give the magnitude"
        scale = torch.ones(())
        floor = 1e-6 * true[finite].abs().max()
    else:
        # Below the smallest normal number rounding errors no longer shrink with the value.
        scale = magnitude64.detach().cpu().clamp(min=limits.smallest_normal)[finite]
        floor = torch.tensor(limits.eps)  # 2 u
    error, own = (((t - true)[finite].abs() / scale).max() for t in (ours, torchs))
    bound = 2 * own + floor
    assert error <= bound, f"error {error:.3g} > {bound:.3g} = 2 x torch's {own:.3g} + {floor:.3g}"
