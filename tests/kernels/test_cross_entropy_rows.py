"""The row kernels of cross-entropy: every tile, rows wider than their classes, far offsets."""

import importlib

import pytest
import torch

import kernels
from tests.kernels.row_losses import check, classes_of, random

by_row = importlib.import_module("kernels._cross_entropy_rows")
tiles = importlib.import_module("kernels._cross_entropy_tiles")
pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")


# Each tile for the losses has one class too many, so that the last is a tile of its own.
TILES = [*tiles.CONFIGS, tiles.WIDE, tiles.GRADIENT]


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_every_configuration_past_its_block(device, monkeypatch, tile):
    monkeypatch.setattr(by_row, "losses_config", lambda *anything: tile)
    monkeypatch.setattr(by_row, "gradients_config", lambda *anything: tile)
    rows, classes = tile.BLOCK_R + 1, tile.BLOCK_C + 1
    check(random(device, torch.float32, rows, classes), classes_of(device, rows, classes))


@pytest.mark.parametrize(("classes", "options"), [(32768, {}), (32768, {"label_smoothing": 0.1})])
def test_wide_tiles_are_for_long_plain_rows(device, classes, options):
    input, target = random(device, torch.float32, 2, classes), classes_of(device, 2, classes)
    loss = by_row.Loss(target, None, -100, options.get("label_smoothing", 0.0))
    wide = by_row.losses_config(input, loss, classes) == tiles.WIDE
    assert wide == (not options)
    last = tiles.CONFIGS[-1]
    assert by_row.losses_config(input, loss, classes - 1) == last
    gradient = by_row.gradients_config(input, loss, input, classes)
    assert gradient == (last if options else tiles.GRADIENT)
    assert by_row.gradients_config(input, loss, input, classes - 1) == last
    assert by_row.gradients_config(input[:, :1024], loss, input, classes) == tiles.CONFIGS[1]
    for scattered in (input[:, ::2], input.t().contiguous().t()):
        assert by_row.losses_config(scattered, loss, classes) == last
        assert by_row.gradients_config(scattered, loss, scattered, classes) == last
    check(input, target, **options)


@pytest.mark.parametrize("options", [{}, {"smoothing": 0.1}], ids=str)
@pytest.mark.parametrize("classes", [37, 1029, 4111])
def test_columns_past_the_classes_do_not_count(device, classes, options):
    """Rows that are longer than there are classes: nothing that is there tells."""
    rows, width = 5, classes + -classes % 16
    around = torch.full((rows + 1, width + 16), torch.nan, device=device)
    input = around[:rows, :classes].copy_(random(device, torch.float32, rows, classes))
    loss = by_row.Loss(classes_of(device, rows, classes), None, -100, 0.0)._replace(**options)
    expected = torch.nn.functional.cross_entropy(
        input.double(), loss.target, reduction="none", label_smoothing=loss.smoothing
    )
    losses, statistics = torch.empty(rows, device=device), torch.empty(rows, 3, device=device)
    by_row.losses(input, loss, losses, statistics, width)
    torch.testing.assert_close(losses, expected.float(), rtol=1e-6, atol=1e-6)
    whole = input.contiguous()
    gradient = torch.empty_like(whole)
    by_row.gradients(whole, loss, statistics, gradient)
    around[:, width:] = 7.0
    by_row.gradients(input, loss, statistics, input, width=width)  # in place
    assert torch.equal(input, gradient)
    assert (around[:, width:] == 7.0).all() and around[rows, :width].isnan().all()


# 3 rows of 2^30 numbers apart, or classes 2^24 apart: the last lies past 2^31.
@pytest.mark.parametrize(("shape", "strides"), [((3, 5), (2**30, 1)), ((2, 129), (1, 2**24))])
def test_offsets_past_32_bits(device, shape, strides):
    if device == "cuda" and torch.cuda.mem_get_info()[0] < 6e9:
        pytest.skip("needs 6 GB of free device memory")
    memory = torch.empty(2**31 + 2**25, dtype=torch.float16, device=device)
    input = memory.as_strided(shape, strides).copy_(random(device, torch.float16, *shape))
    target = torch.full(shape[:1], shape[1] - 1, device=device)
    same = input.clone(memory_format=torch.contiguous_format)
    assert torch.equal(kernels.cross_entropy(input, target), kernels.cross_entropy(same, target))
    loss = by_row.Loss(target, None, -100, 0.0)
    statistics = torch.empty(shape[0], 3, device=device)
    by_row.losses(input, loss, torch.empty(shape[0], device=device), statistics)
    grads = [torch.empty(shape, dtype=torch.float16, device=device) for _ in range(2)]
    for logits, grad in zip((input, same), grads, strict=True):
        by_row.gradients(logits, loss, statistics, grad)
    assert torch.equal(*grads)
    assert not grads[0].isnan().any()
