"""What is trained for the studies: settings, each from several seeds, the learning rate tuned.

A setting is tuned on a grid of factors of two around a first guess, with seeds of their own; the
winner is run again from fresh seeds, and only those are the result. A rate that was not a winner's
costs as much as it did: the tuning trials are kept beside the others. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.spec import Workload

SEEDS = {"quick": 3, "full": 5}
TUNING_SEEDS = {"quick": 1, "full": 2}
FIRST_TUNING_SEED = 1000  # none of the fresh ones
GRID = {"quick": (0, 1, -1, 2, -2), "full": (0, 1, -1, 2, -2, 3, -3)}  # exponents, middle first
EXTENSIONS = 3  # further rates tried where the best lies on the edge, before it is flagged
PATIENCE = 4  # times the best rate's steps, after which another one has lost


@dataclass(frozen=True)
class Setting:
    """A workload, an optimizer and a batch size.

    Attributes:
        workload: its name or a variant's.
        optimizer: its name in workloads.optimizers.
        batch: samples a step.
        learning_rate: the rate, or the middle of the grid.
        tuned: the presets in which the rate is tuned.
        presets: the presets that have it.
        max_steps: after which a trial is censored; None for the workload's own number.
        own: the workload itself, where it is none of ours.
    """

    workload: str
    optimizer: str
    batch: int
    learning_rate: float
    tuned: tuple[str, ...] = ()
    presets: tuple[str, ...] = ("quick", "full")
    max_steps: int | None = None
    own: Workload | None = field(default=None, compare=False, repr=False)

    def load(self) -> Workload:
        """The workload of that name."""
        import workloads

        return self.own or workloads.load(self.workload)

    @property
    def name(self) -> str:
        """e.g. "mlp_classification-sgd-batch32": stable, fit for a test id."""
        return f"{self.workload}-{self.optimizer}-batch{self.batch}"

    def rates(self, preset: str) -> tuple[float, ...]:
        """The learning rates to try first; one where it is not tuned."""
        if preset not in self.tuned:
            return (self.learning_rate,)
        return tuple(self.learning_rate * 2.0**exponent for exponent in GRID[preset])


def settings() -> list[Setting]:
    """All settings: every workload once, then those of the studies; each once."""
    import workloads

    every = []
    for name in workloads.NAMES:
        workload = workloads.load(name)
        rate, batch = workload.learning_rate, workload.batch_size
        every.append(Setting(name, workload.optimizer, batch, rate, tuned=("full",)))
    found = {s.name: s for s in (*every, *BATCH_SIZES, *_optimizers(), *conditioning(), *_pairs())}
    return list(found.values())


_BOTH, _FULL = ("quick", "full"), ("full",)

# Stochastic gradient descent on the perceptron: steps and samples against the batch size. The
# middle of each grid grows with the batch, as the best rate does while noise prevails.
BATCH_SIZES = tuple(
    Setting(
        "mlp_classification",
        "sgd",
        batch,
        learning_rate=min(0.5, 0.02 * batch),
        tuned=_BOTH,
        presets=_BOTH if batch in (2, 8, 32, 128, 512) else _FULL,
        max_steps=12_000,
    )
    for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1437)
)

# The first guess for each optimizer, on the whole training set where it is meant for that.
_RATES = {
    "linear_regression": {
        **{"gradient_descent": 0.12, "momentum": 0.06, "nesterov": 0.06, "adagrad": 0.5},
        **{"rmsprop": 0.001, "adam": 0.05, "muon": 0.01, "lbfgs": 1.0},
        **{"newton": 1.0, "natural_gradient": 1.0, "natural_gradient_cg": 1.0},
    },
    "mlp_classification": {
        **{"momentum": 0.05, "nesterov": 0.05, "adagrad": 0.03, "rmsprop": 0.002},
        **{"adam": 0.003, "muon": 0.01, "lbfgs": 1.0, "natural_gradient_cg": 1.0},
    },
    # softmax regression, small enough for its Hessian
    "deep_mlp/1x64-standardised": {
        **{"gradient_descent": 1.0, "momentum": 0.2, "nesterov": 0.2, "adagrad": 0.1},
        **{"rmsprop": 0.01, "muon": 0.02, "lbfgs": 1.0},
        **{"newton": 1.0, "natural_gradient": 1.0, "natural_gradient_cg": 1.0},
    },
}
# Steps of a second-order optimizer, seconds each: it is at a target by then, or has overfitted.
_MOST_EXACT = 10


def _optimizers() -> list[Setting]:
    import workloads
    from workloads.optimizers import FULL_BATCH, SECOND_ORDER

    found = []
    for name, rates in _RATES.items():
        workload = workloads.load(name)
        for optimizer, rate in rates.items():
            whole = optimizer in FULL_BATCH
            batch = len(workload.data().train) if whole else workload.batch_size
            most = _MOST_EXACT if optimizer in SECOND_ORDER else None
            quick = name == "linear_regression"
            # the step of a second-order method has a length of its own, a line search finds it
            tuned = () if optimizer in (*SECOND_ORDER, "lbfgs") else _BOTH
            presets = _BOTH if quick else _FULL
            found.append(Setting(name, optimizer, batch, rate, tuned, presets, most))
    return found


# What the claims on conditioning and depth stand on; the other variants are for the full preset.
_TELLING = (
    *("4x64", "4x64-zeros", "4x64-normal", "4x64-he"),
    *("4x64-raw", "4x64-standardised", "4x64-shifted"),
    *("16x64", "16x64-layer", "16x64-skip", "16x64-batch-skip", "2x844-layer-skip"),
)


def conditioning() -> list[Setting]:
    """Every variant of deep_mlp with its own optimizer; of softmax regression with plain SGD too,
    tuned, so that the best rate can be held against the largest eigenvalue."""
    import workloads

    found = []
    for name in workloads.variants("deep_mlp"):
        workload = workloads.load(name)
        presets = _BOTH if name.partition("/")[2] in _TELLING else _FULL
        rate, batch = workload.learning_rate, workload.batch_size
        found.append(Setting(name, workload.optimizer, batch, rate, _FULL, presets))
        if name.startswith("deep_mlp/1x"):
            found.append(Setting(name, "sgd", batch, 0.1, _BOTH, _FULL))
    return found


def _pairs() -> list[Setting]:
    """What is held against a workload: the same with another loss, or without its structure."""
    import workloads

    found = []
    for name in ("neuron", "mlp_regression", "cnn", "rnn", "cartpole"):
        for variant in workloads.variants(name) if name in workloads.NAMES else ():
            workload = workloads.load(variant)
            quick = name == "mlp_regression" or variant.endswith("/mlp")
            rate, batch = workload.learning_rate, workload.batch_size
            presets = _BOTH if quick else _FULL
            found.append(Setting(variant, workload.optimizer, batch, rate, _FULL, presets))
    return found
