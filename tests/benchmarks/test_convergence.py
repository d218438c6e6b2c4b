"""Training to the target: every workload once, then over batch sizes and optimizers."""

import pytest

from harness import convergence

SETTINGS = {setting.name: setting for setting in convergence.settings()}


def cases():
    marks = {
        name: [] if "quick" in setting.presets else [pytest.mark.preset("full")]
        for name, setting in SETTINGS.items()
    }
    return [pytest.param(name, id=name, marks=marks[name]) for name in SETTINGS]


@pytest.mark.parametrize("setting", cases())
def test_convergence(converge, setting):
    converge(SETTINGS[setting])
