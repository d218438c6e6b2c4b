"""What workloads.deep_mlp says was found. Never is not in MAX_STEPS, at the rate of WORKLOAD."""

import pytest

import workloads
from tests.workloads.reach import steps_to_target
from workloads import deep_mlp

SEEDS = pytest.mark.parametrize("seed", [0, 1, 2])


@pytest.mark.slow
@SEEDS
@pytest.mark.parametrize(
    ("name", "within"),
    [
        *((f"4x64{kind}", 80) for kind in ("", "-he", "-orthogonal", "-tanh", "-identity")),
        *((f"4x64-{kind}", 80) for kind in ("gelu", "silu")),
        *((f"4x64-{kind}", 80) for kind in ("raw", "centred", "standardised", "whitened")),
        ("4x64-sigmoid", 200),
        ("1x64-standardised", 150),
        ("1x64-whitened", 200),
    ],
)
def test_shallow_networks_that_get_to_the_target(name, within, seed):
    steps = steps_to_target(workloads.load(f"deep_mlp/{name}"), seed)
    assert steps is not None and steps <= within


@pytest.mark.slow
@SEEDS
@pytest.mark.parametrize("name", ["4x64-normal", "4x64-shifted", "1x64", "1x64-shifted"])
def test_shallow_networks_that_never_do(name, seed):
    assert steps_to_target(workloads.load(f"deep_mlp/{name}"), seed) is None


def test_zero_weights_never_get_there():
    assert steps_to_target(deep_mlp.make(4, 64, initialisation="zeros"), 0) is None


@pytest.mark.slow
@SEEDS
@pytest.mark.parametrize("name", ["16x64", "16x64-layer", "16x64-weight"])
def test_sixteen_layers_without_skip_never_do(name, seed):
    assert steps_to_target(workloads.load(f"deep_mlp/{name}"), seed) is None


@pytest.mark.slow
@SEEDS
@pytest.mark.parametrize(
    ("name", "within"), [("16x64-batch", 150), ("16x64-batch-skip", 50), ("8x96-layer-skip", 100)]
)
def test_sixteen_layers_that_get_there(name, within, seed):
    steps = steps_to_target(workloads.load(f"deep_mlp/{name}"), seed)
    assert steps is not None and steps <= within


@pytest.mark.slow
@SEEDS
def test_skip_connections_alone_take_longer_than_with_layer_norm(seed):
    alone = steps_to_target(workloads.load("deep_mlp/16x64-skip"), seed, max_steps=400)
    both = steps_to_target(deep_mlp.WORKLOAD, seed)
    assert both is not None and (alone is None or 1.3 * both < alone)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["none", "layer", "weight"])
def test_at_a_lower_rate_sixteen_layers_without_skip_do_but_take_twice_as_long(norm):
    def steps(**options):
        workload = deep_mlp.make(16, 64, **options)
        return steps_to_target(workload, 0, learning_rate=3e-3, max_steps=1000)

    without = steps(norm=norm)
    assert without is not None and without > 2 * steps(norm="layer", skip=True)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [1e-3, 3e-3, 3e-2, 0.1])
def test_normal_weights_never_get_there_at_any_rate(learning_rate):
    workload = workloads.load("deep_mlp/4x64-normal")
    assert steps_to_target(workload, 0, learning_rate=learning_rate, max_steps=1000) is None
