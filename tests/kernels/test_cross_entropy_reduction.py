"""The sum and the mean of the rows' losses, of fewer rows than a block and of several blocks."""

import pytest
import torch

from kernels._cross_entropy_loss import Loss
from kernels._cross_entropy_reduction import BLOCKS, block, reduce


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 1024, 1025, 8192, 8193, 20000])
def test_every_row_counts_once(device, rows, weighted):
    generator = torch.Generator().manual_seed(rows)
    target = torch.randint(-2, 7, (rows,), generator=generator).to(device)  # 5 classes
    weight = torch.rand(5, generator=generator).to(device) + 0.5 if weighted else None
    losses = torch.rand(rows, generator=generator).to(device)
    out, denominator = torch.empty((), device=device), torch.empty(1, device=device)
    loss = Loss(target, weight, -1, 0.0)
    counted = (target >= 0) & (target < 5)
    each = torch.ones(5, device=device) if weight is None else weight
    divisor = each.double()[target[counted]].sum()
    reduce(losses, loss, 5, False, out, denominator)
    assert out.item() == pytest.approx(losses.double().sum().item(), rel=1e-6)
    assert denominator.item() == 1
    reduce(losses, loss, 5, True, out, denominator)
    if rows == 0:
        assert out.isnan() and denominator.isinf()
        return
    if counted.any():
        assert denominator.item() == pytest.approx(divisor.item(), rel=1e-6)
        mean = losses.double().sum() / divisor
        assert out.item() == pytest.approx(mean.item(), rel=1e-6)


def test_many_rows_are_added_in_large_blocks():
    assert [block(rows) for rows in (0, 1024)] == [BLOCKS[0]] * 2
    assert [block(rows) for rows in (1025, 8192, 65536)] == [BLOCKS[1]] * 3
