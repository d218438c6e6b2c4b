"""The rule itself can fail."""

import pytest
import torch

from tests.kernels.rule import assert_close_as_torch

GENERATOR = torch.Generator().manual_seed(0)
TRUE = torch.randn(64, 64, generator=GENERATOR, dtype=torch.float64)
ROUNDED = TRUE.float()


def test_torch_itself_passes():
    assert_close_as_torch(ROUNDED, TRUE, ROUNDED)
    assert_close_as_torch(ROUNDED, TRUE, ROUNDED, TRUE.abs())


@pytest.mark.parametrize("magnitude", [None, TRUE.abs()], ids=["fixed", "scaled"])
def test_a_small_error_fails(magnitude):
    wrong = ROUNDED.clone()
    wrong[3, 5] *= 1 + 1e-5 * float(TRUE.abs().max() / TRUE[3, 5].abs())
    with pytest.raises(AssertionError, match="error"):
        assert_close_as_torch(wrong, TRUE, ROUNDED, magnitude)


def test_scaled_judges_each_output_on_its_own_scale():
    wrong = ROUNDED.clone()
    smallest = TRUE.abs().argmin()
    wrong.view(-1)[smallest] *= 1 + 1e-5
    assert_close_as_torch(wrong, TRUE, ROUNDED)
    with pytest.raises(AssertionError, match="error"):
        assert_close_as_torch(wrong, TRUE, ROUNDED, TRUE.abs())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nonfinite_values_must_be_in_the_same_places(value):
    true, torchs = TRUE.clone(), ROUNDED.clone()
    true[1, 2] = torchs[1, 2] = value
    assert_close_as_torch(torchs, true, torchs, true.abs())
    for wrong in (ROUNDED, torchs.roll(1), torch.where(torchs.isfinite(), torchs, -1e30)):
        with pytest.raises(AssertionError, match="the kernel"):
            assert_close_as_torch(wrong, true, torchs, true.abs())


def test_the_sign_of_an_infinity_matters():
    true, torchs = TRUE.clone(), ROUNDED.clone()
    true[1, 2] = torchs[1, 2] = float("inf")
    wrong = torchs.clone()
    wrong[1, 2] = -float("inf")
    with pytest.raises(AssertionError, match="the kernel"):
        assert_close_as_torch(wrong, true, torchs, TRUE.abs())


def test_shape_and_dtype_must_match():
    with pytest.raises(AssertionError):
        assert_close_as_torch(ROUNDED[:1], TRUE, ROUNDED)
    with pytest.raises(AssertionError):
        assert_close_as_torch(ROUNDED.half(), TRUE, ROUNDED)


def test_few_outputs_need_a_magnitude():
    with pytest.raises(AssertionError, match="magnitude"):
        assert_close_as_torch(ROUNDED[:2], TRUE[:2], ROUNDED[:2])
