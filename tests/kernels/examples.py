"""How many random examples a property test draws: its share of 500, FLOPWISE_EXAMPLES times.

    FLOPWISE_EXAMPLES=20 pytest tests/kernels -k "any_shape or anything"

draws ten thousand. The same ones each time, so that a failure can be met again.
"""

import os

from hypothesis import settings


def examples(share: int) -> settings:
    """Decorates a test of what hypothesis draws; the interpreter is slow, so there is no deadline.

    Args:
        share: of the examples over all kernels, more of those that cost less.
    """
    times = int(os.environ.get("FLOPWISE_EXAMPLES", "1"))
    return settings(max_examples=share * times, deadline=None, derandomize=True)
