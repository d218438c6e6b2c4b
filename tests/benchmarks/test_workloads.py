"""Every workload: a training step and inference over batch sizes, by every provider."""

import workloads
from harness import benchmarks

ALL = [workloads.load(name) for name in workloads.NAMES]

# a small and a usual model
test_workloads = benchmarks.workloads(ALL, compiled=("linear_regression", "mlp_classification"))
test_transfers = benchmarks.transfers(ALL)
