"""Training to the target: every workload once, then over batch sizes and optimizers."""

from harness import benchmarks, convergence

test_convergence = benchmarks.convergence(convergence.settings())
