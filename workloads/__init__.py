"""What is trained: one PyTorch workload for each model type of the course.

    linear_regression    least squares on diabetes, whose optimum is known in closed form
    mlp_classification   a multilayer perceptron on handwritten digits

    >>> workload = workloads.load("linear_regression")
    >>> model = workload.model(0)  # seed 0
    >>> workload.loss(model, workload.data().train)

`workloads.spec` says what a workload declares, `workloads.data` holds the data sets.

To add one, write a module here that ends in `WORKLOAD = Workload(...)` and put its name into
`NAMES`; tests and benchmarks take it from there. Importing this package imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.spec import Workload

NAMES: tuple[str, ...] = ("linear_regression", "mlp_classification")


def load(name: str) -> Workload:
    """The workload of that name; its module is imported on first use.

    Raises:
        ValueError: `name` is not in NAMES.
    """
    if name not in NAMES:
        raise ValueError(f"unknown workload {name!r}: choose one of {', '.join(NAMES)}")
    return importlib.import_module(f"{__name__}.{name}").WORKLOAD
