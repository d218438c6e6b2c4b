"""Random inputs on which a wrong cross-entropy shows, for both operations."""

from __future__ import annotations

import torch
from torch import Tensor

HIGHEST = 40.0


def peaks(rows: int, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each row the class whose logit stands out, and by how much: evenly drawn, to HIGHEST.

    Without one every class has the same small part in a loss of many, and it can be left out
    unseen; in a mean of bfloat16 even all logits can. Models that are trained are sure of some.

    Returns:
        [rows] int64, the last rows' being the last classes, where loops end; [rows] float32.
    """
    device = generator.device
    at = torch.randint(max(classes, 1), (rows,), generator=generator, device=device)
    last = torch.arange(min(rows // 4, 64, classes), device=device)
    at[rows - len(last) :] = classes - 1 - last
    return at, HIGHEST * torch.rand(rows, generator=generator, device=device)
