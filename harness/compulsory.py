"""What bytes an operation can declare for the tensors of its case.

Each input is read once and each output written once: less is too few. Backward reads inputs again,
which makes at most twice as much; a slip, such as a factor that is in there twice, is further off.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kernels.spec import BACKWARD

MOST = 3  # times what inputs and outputs have: nothing has to move more


def span(direction: str, inputs: Sequence[Tensor], outputs: int) -> tuple[int, int]:
    """The fewest and the most bytes that can be right.

    Args:
        direction: of kernels.spec.DIRECTIONS. Gradients alone need not look at every input again,
            as those of a sum, but for the last one, the gradient of the output.
        inputs: of one call.
        outputs: bytes of what it returns.
    """
    stored: dict[int, list[Tensor]] = {}  # what is expanded, or given twice, is read once
    for t in inputs[-1:] if direction == BACKWARD else inputs:
        stored.setdefault(t.untyped_storage().data_ptr(), []).append(t)
    read = sum(
        min(sum(t.nbytes for t in views), views[0].untyped_storage().nbytes())
        for views in stored.values()
    )
    return read + outputs, MOST * (sum(t.nbytes for t in inputs) + outputs)


def indexed(inputs: Sequence[Tensor]) -> bool:
    """Whether one of them may say which elements of another are read: then fewer can be right."""
    return not all(t.is_floating_point() or t.is_complex() for t in inputs)
