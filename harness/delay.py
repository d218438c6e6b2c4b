"""A GPU kernel that lasts as long as it is told."""

import triton
import triton.language as tl
from triton.language.extra.cuda import globaltimer


@triton.jit
def wait(waited_ptr, nanoseconds):
    """Wait by the GPU's own clock, which ticks every microsecond or faster whatever the clocks of
    its multiprocessors do."""
    start = globaltimer()
    now = start
    while now - start < nanoseconds:
        now = globaltimer()
    tl.store(waited_ptr, now - start)  # a value that nobody needs might not be computed
