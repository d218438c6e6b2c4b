"""What is trained: one PyTorch workload for each model type of the course.

    neuron               w.x + b and an activation, on breast cancer data
    linear_regression    least squares on diabetes, whose optimum is known in closed form
    mlp_regression       a multilayer perceptron on noisy values, with outliers and without
    mlp_classification   a multilayer perceptron on handwritten digits
    cnn                  a small convolutional network on digits, and under translation
    rnn                  tanh RNN, GRU and LSTM on digits, row by row
    char_rnn             a recurrent network that predicts and writes text, character by character
    word2vec             skip-gram word vectors that answer analogies
    pixelcnn             masked convolutions that draw digits, pixel after pixel
    cartpole             an agent that learns to balance a pole: PPO and REINFORCE
    deep_mlp             depth, skip connections, norms, initialisations and conditioning
    transformer_char     a small causal transformer on the texts of char_rnn

    >>> workload = workloads.load("linear_regression")
    >>> model = workload.model(0)  # seed 0
    >>> workload.loss(model, workload.data().train)

`workloads.spec` says what a workload declares, `workloads.data` holds the data sets.

To add one, write a module here that ends in `WORKLOAD = Workload(...)` and put its name into
`NAMES`; tests, benchmarks and trials take it from there. A module may also have `VARIANTS`, a
tuple of Workloads named "module/variant", for what is compared with it. Importing this package
imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.spec import Workload

NAMES: tuple[str, ...] = (
    "neuron",
    "linear_regression",
    "mlp_regression",
    "mlp_classification",
    "cnn",
    "rnn",
    "char_rnn",
    "word2vec",
    "pixelcnn",
    "cartpole",
    "deep_mlp",
    "transformer_char",
)


def load(name: str) -> Workload:
    """The workload of that name, or its variant, e.g. "rnn/gru"; imported on first use.

    Raises:
        ValueError: there is no such workload or variant.
    """
    module, _, variant = name.partition("/") if isinstance(name, str) else (name, "", "")
    if module not in NAMES:
        raise ValueError(f"unknown workload {name!r}: choose one of {', '.join(NAMES)}")
    found = importlib.import_module(f"{__name__}.{module}")
    if not variant:
        return found.WORKLOAD
    by_name = {workload.name: workload for workload in getattr(found, "VARIANTS", ())}
    if name not in by_name:
        known = ", ".join(by_name) or f"none: {module} has no variants"
        raise ValueError(f"unknown workload {name!r}: choose one of {known}")
    return by_name[name]


def variants(name: str) -> tuple[str, ...]:
    """The names of a workload's variants, e.g. ("rnn/gru", "rnn/lstm"); often there are none.

    Raises:
        ValueError: there is no such workload.
    """
    load(name)
    module = importlib.import_module(f"{__name__}.{name}")
    return tuple(workload.name for workload in getattr(module, "VARIANTS", ()))
