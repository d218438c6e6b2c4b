"""The losses of long rows with a maximum and a sum for each lane, and the choice of that kernel."""

import pytest
import torch

from kernels import _cross_entropy_builds as builds
from kernels import _cross_entropy_lanes as by_lane
from kernels import _cross_entropy_rows as by_row
from kernels import _cross_entropy_tiles as tiles
from tests.kernels.row_losses import DTYPES, REDUCTIONS, check, classes_of, random

pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")
TILES = pytest.mark.parametrize("tile", by_lane.LANES, ids=str)


@pytest.fixture
def launched(monkeypatch, tile):
    """The tile is chosen for all long rows; the launches of it."""
    found, launch = [], by_lane.launch
    monkeypatch.setattr(by_lane, "launch", lambda *given: (found.append(given), launch(*given)))
    monkeypatch.setattr(tiles, "chosen", lambda *asked: tile)
    return found


@TILES
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_rule(device, launched, tile, dtype, reduction):
    input = 3 * random(device, dtype, 3, tile.BLOCK_C + 48)
    check(input, classes_of(device, *input.shape), reduction=reduction)
    assert launched


@TILES
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("blocks", "more"), [(1, -11), (2, 0), (2, 5)])
def test_losses_and_statistics_are_those_of_the_other_kernel(
    device, launched, tile, dtype, blocks, more
):
    """Rows of one block that is not whole, of whole blocks alone, and of both; columns past them.

    With logits that are no numbers, targets that are no classes, and a largest logit far from 0.
    """
    rows, classes = 7, blocks * tile.BLOCK_C + more
    width = classes + -classes % 16
    around = torch.full((rows, width), torch.nan, device=device, dtype=dtype)
    input = around[:, :classes].copy_(3 * random(device, dtype, rows, classes))
    input[0] -= 1e4
    input[1, classes // 2] = torch.inf
    input[2] = -torch.inf
    input[3, 1:] = -torch.inf  # lanes without a finite logit
    input[4, classes - 1] = torch.nan
    target = classes_of(device, rows, classes)
    target[5:] = torch.tensor([-100, classes], device=device)
    loss, found = by_row.Loss(target, None, -100, 0.0), []
    for chosen in (None, tiles.WIDE):
        losses, statistics = torch.empty(rows, device=device), torch.empty(rows, 3, device=device)
        by_row.losses(input, loss, losses, statistics, width, chosen)
        found += [losses, statistics]
    assert len(launched) == 1
    torch.testing.assert_close(found[:2], found[2:], rtol=1e-6, atol=1e-6, equal_nan=True)


def test_both_kernels_are_offered_and_what_is_kept_is_looked_up(monkeypatch):
    monkeypatch.setattr(builds, "_TYPICAL", (3, 4112))
    launched, asked = [], []
    monkeypatch.setattr(builds, "losses", lambda *given, tile: launched.append((*given, tile)))
    monkeypatch.setattr(tiles, "chosen", lambda *given: (asked.append(given), given[2][0])[1])
    choices = builds.choices(torch.device("cpu"))
    assert [c.key for c in choices] == [
        f"{t} long rows" for t in ("float32", "float16", "bfloat16")
    ]
    for choice in choices:
        default, *others = choice.candidates
        assert default == tiles.WIDE and others == [*by_lane.LANES]
        launch = choice.launches()
        for tile in choice.candidates:
            (build,) = choice.builds(tile)
            kernel = by_row._losses_kernel if tile == default else by_lane._lanes_kernel
            assert build.kernel is kernel
            assert (build.constants["BLOCK_C"], build.num_warps) == (tile.BLOCK_C, tile.num_warps)
            assert {*build.types} | {*build.constants} == {*build.kernel.arg_names}
            launch(tile)
            assert launched[-1][-1] == tile
        input, loss, *_ = launched[-1]
        assert by_row.losses_config(input, loss, 4112) == default
        assert asked.pop() == (choice.kernel, choice.key, choice.candidates, input.device)
