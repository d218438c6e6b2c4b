"""Every kernel against its peers: one test a case and provider, in each device and mode."""

import kernels
from harness import benchmarks

test_kernels = benchmarks.kernels(kernels.load(name) for name in kernels.NAMES)
