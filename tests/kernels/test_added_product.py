"""out += a b, the product that adds up the chunks' gradients, in every way it is made."""

import importlib

import pytest
import torch

from tests.kernels.linear_losses import BFLOAT16
from tests.kernels.row_losses import random
from tests.kernels.rule import assert_close_as_torch

added = importlib.import_module("kernels._added_product")


@pytest.mark.parametrize("architecture", added.CONFIGS)
@pytest.mark.parametrize(
    ("key", "out"),
    [(key, torch.float32) for key in added._SM_80]
    + [(key, torch.float16) for key in added._SM_80 if key[0] == "half"],
    ids=str,
)
def test_every_configuration_of_the_added_product_past_its_block(
    device, monkeypatch, architecture, key, out
):
    if device == "cuda" and architecture != added._architecture(torch.empty(0, device=device)):
        pytest.skip("a configuration for another architecture")
    if key[0] == "tf32" and device == "cuda":
        pytest.skip("rounds to TF32: see matmul's test")
    tile = added.CONFIGS[architecture][key]
    monkeypatch.setattr(added, "CONFIGS", {"sm_80": {k: tile for k in added._SM_80}})
    monkeypatch.setattr(added, "_architecture", lambda operand: "sm_80")
    dtype = torch.float16 if key[0] == "half" else torch.float32
    M, N, K = tile.BLOCK_M + 1, tile.BLOCK_N + 1, tile.BLOCK_K + 1
    check_added(
        random(device, dtype, K, M).t(),
        random(device, dtype, K, N, seed=1),
        random(device, out, M, N, seed=2),
    )


@pytest.mark.parametrize("architecture", added.CONFIGS)
def test_the_added_products_tiles_follow_sizes_and_layout(monkeypatch, architecture):
    monkeypatch.setattr(added, "_architecture", lambda operand: architecture)

    def selected(a, b, out):
        return added.select(a, b, out)[0]

    a, b, out = (torch.empty(size) for size in ((64, 48), (48, 32), (64, 32)))
    assert selected(a, b, out) == selected(a.t().contiguous().t(), b, out) == "whole"
    assert selected(a[:63], b, out[:63]) == "ragged"
    # whole sizes, but loads or stores of 4 bytes
    assert selected(torch.empty(64, 49)[:, 1:], b, out) == "ragged"
    assert selected(a, torch.empty(48 * 32 + 1)[1:].view(48, 32), out) == "ragged"
    assert selected(a, b[:1, :1].expand(48, 32), out) == "ragged"
    assert selected(a, b, torch.empty(64 * 32 + 1)[1:].view(64, 32)) == "ragged"


def check_added(a, b, out):
    """out += a b by the rule, in out's dtype."""
    start, own = out.double(), (a.float() @ b.float() + out.float()).to(out.dtype)
    added.add_product(a, b, out)
    true, scale = a.double() @ b.double() + start, a.double().abs() @ b.double().abs() + start.abs()
    assert_close_as_torch(out, true, own, scale)


# One tile, several a program, ragged ends of 8: tiles are 128 x 256 x 64.
@pytest.mark.parametrize("sizes", [(24, 40, 32), (136, 264, 72), (520, 520, 24)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, BFLOAT16], ids=str)
def test_the_added_product_by_descriptors(device, monkeypatch, sizes, dtype):
    if device == "cuda" and added._architecture(torch.empty(0, device=device)) == "sm_80":
        pytest.skip("needs a Hopper or Blackwell GPU")
    elif device == "cpu":
        monkeypatch.setattr(added, "_architecture", lambda operand: "sm_90")
    (M, N, K), shapes, launch = sizes, [], added.launch
    monkeypatch.setattr(added, "launch", lambda *given: (shapes.append(given[3]), launch(*given)))
    for transposed in (False, True):
        a, b = random(device, dtype, K, M).t(), random(device, dtype, K, N, seed=1)
        if transposed:
            a, b = a.contiguous(), b.t().contiguous().t()
        check_added(a, b, random(device, dtype, M, N, seed=2))
    assert shapes == ["tma"] * 2


def test_the_added_product_is_rounded_once_by_descriptors(device, monkeypatch):
    """2049 lies between two float16 numbers: it is 1 above -2048 only if it is added unrounded."""
    if device == "cuda" and added._architecture(torch.empty(0, device=device)) == "sm_80":
        pytest.skip("needs a Hopper or Blackwell GPU")
    elif device == "cpu":
        monkeypatch.setattr(added, "_architecture", lambda operand: "sm_90")
    like = {"dtype": torch.float16, "device": device}
    a, b = torch.ones(24, 32, **like), torch.zeros(32, 40, **like)
    b[0], b[1] = 2048, 1
    out = torch.full((24, 40), -2048.0, **like)
    added.add_product(a, b, out)
    assert (out == 1).all()


# 3 numbers 2^30 apart: the last lies 2^31 past the first. None of the memory between is touched.
@pytest.mark.parametrize("which", ["row of a", "step along K", "column of b"])
def test_offsets_past_32_bits(device, which):
    """Of the added product; the others are matmul's and cross_entropy's, and tested with them."""
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 8e9:
        pytest.skip("needs 8 GB of free device memory")
    a, b = random(device, torch.float16, 3, 3), random(device, torch.float16, 3, 3, seed=1)
    true, scale = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    own, out = a.float() @ b.float(), torch.zeros(3, 3, device=device)
    strides = (2**30, 1) if which == "row of a" else (1, 2**30)
    far = torch.empty(2**31 + 2**10, dtype=torch.float16, device=device).as_strided((3, 3), strides)
    a, b = (a, far.copy_(b)) if which == "column of b" else (far.copy_(a), b)
    added.add_product(a, b, out)
    assert_close_as_torch(out, true, own, scale)
