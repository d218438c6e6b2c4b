"""Every kernel against its peers: one test a case and provider, in each device and mode."""

import itertools

import pytest

import kernels
from harness.subjects import of_operation


def marks(case, provider):
    """Tuning for minutes, before it is timed, is not for a first look."""
    quick = "quick" in case.presets and "max-autotune" not in provider
    return [pytest.mark.devices(*case.devices), *([] if quick else [pytest.mark.preset("full")])]


def cases():
    """One case of each kernel after the other, so that a short budget has all kernels."""
    operations = [kernels.load(name) for name in kernels.NAMES]
    rows = itertools.zip_longest(*([(op, case) for case in op.cases] for op in operations))
    return [
        pytest.param(
            operation.name,
            case.name,
            provider,
            marks=marks(case, provider),
            id=f"{operation.name}-{case.name}-{provider}",
        )
        for row in rows
        for operation, case in filter(None, row)
        for provider in operation.providers
    ]


@pytest.mark.parametrize(("operation", "case", "provider"), cases())
def test_kernels(compare, operation, case, provider):
    operation = kernels.load(operation)
    case = next(c for c in operation.cases if c.name == case)
    compare(lambda device: of_operation(operation, case, device))
