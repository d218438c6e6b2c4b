"""Every kernel against its peers: one test a case and provider, in each device and mode."""

import itertools

import pytest

import kernels
from harness.subjects import of_operation


def cases():
    """One case of each kernel after the other, so that a short budget has all kernels."""
    operations = [kernels.load(name) for name in kernels.NAMES]
    for row in itertools.zip_longest(*([(op, case) for case in op.cases] for op in operations)):
        for operation, case in filter(None, row):
            marks = [] if "quick" in case.presets else [pytest.mark.preset("full")]
            for provider in operation.providers:
                name = f"{operation.name}-{case.name}"
                yield pytest.param(
                    operation.name, case.name, provider, marks=marks, id=f"{name}-{provider}"
                )


@pytest.mark.parametrize(("operation", "case", "provider"), cases())
def test_kernels(compare, operation, case, provider):
    operation = kernels.load(operation)
    case = next(c for c in operation.cases if c.name == case)
    compare(lambda device: of_operation(operation, case, device))
