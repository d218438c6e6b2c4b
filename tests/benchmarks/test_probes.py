"""What the studies need besides time and convergence: every probe, on each device."""

import pytest

from harness import probes


@pytest.mark.parametrize("name", probes.NAMES)
def test_probes(probe, name):
    probe(name)
