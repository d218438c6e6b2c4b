"""Optimizers by name: torch.optim's own, and exact second-order ones (workloads.second_order).

    step = optimizers.make("adam", model, loss, learning_rate=1e-3)
    value = step(batch)  # the loss before the update

    gradient_descent   the gradient itself, over the whole training set (Cauchy 1847)
    sgd                the same on mini-batches (Robbins & Monro 1951)
    momentum           heavy ball, 0.9 (Polyak 1964)
    nesterov           looking ahead, 0.9 (Nesterov 1983; Sutskever et al. 2013)
    adagrad            divided by the root of summed squares (Duchi, Hazan & Singer 2011)
    rmsprop            by that of their moving average (Tieleman & Hinton 2012)
    adam, adamw        with momentum too (Kingma & Ba 2014, arXiv 1412.6980; Loshchilov & Hutter
                       2017, arXiv 1711.05101)
    muon               momentum made orthogonal, for matrices; AdamW for the rest (Jordan 2024;
                       Liu et al. 2025, arXiv 2502.16982)
    lbfgs              quasi-Newton with a line search (Liu & Nocedal 1989)
    newton             the exact Hessian, damped, saddle-free where it is indefinite
    natural_gradient   the true Fisher matrix, damped (Amari 1998)
    natural_gradient_cg  the same without the matrix, by conjugate gradients

To add one of torch.optim's, write one line in `_GRADIENT` and its name in NAMES.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from workloads.spec import Batch, Flops

NAMES = (
    *("gradient_descent", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"),
    *("muon", "lbfgs", "newton", "natural_gradient", "natural_gradient_cg"),
)
SECOND_ORDER = ("newton", "natural_gradient", "natural_gradient_cg")
# meant for the whole training set: a curvature or a line search would fit one mini-batch alone
FULL_BATCH = ("gradient_descent", "lbfgs", *SECOND_ORDER)

Loss = Callable[[nn.Module, Batch], Tensor]


class Step(Protocol):
    """One update of a model's parameters after the other."""

    def __call__(self, batch: Batch) -> Tensor:
        """Update the parameters in place; the loss on `batch` before that, without a graph."""

    def flops(self, gradient: Flops | None, size: int) -> int:
        """FLOPs of the last call, linear algebra included, drawing samples left out.

        Args:
            gradient: of one sample, where a formula is known.
            size: samples in the batch.

        Raises:
            workloads.flops.UnknownFlops: they cannot be counted, naming the op.
        """

    def state(self) -> list[Tensor]:
        """The tensors that it keeps from one call to the next."""


def make(
    name: str,
    model: nn.Module,
    loss: Loss,
    learning_rate: float,
    *,
    capturable: bool = False,
) -> Step:
    """The optimizer of that name on a model's parameters.

    Args:
        name: one of NAMES.
        model: whose parameters are updated in place.
        loss: (model, batch) -> scalar tensor.
        learning_rate: above 0; of a second-order optimizer the share of its step that is
            taken, 1 for the whole.
        capturable: keep step counts on the device, so that a CUDA graph can hold a step.

    Raises:
        ValueError: an unknown name, a learning rate that is none, a model without parameters,
            or one too large for a second-order optimizer's matrix, with the size it would need.
    """
    if name not in NAMES:
        raise ValueError(f"unknown optimizer {name!r}: choose one of {', '.join(NAMES)}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning rate {learning_rate!r}: must be a number above 0")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"{name}: the model has no parameters to train")
    if name in SECOND_ORDER:
        from workloads import second_order

        return second_order.make(name, model, loss, learning_rate)
    if name == "lbfgs":
        return _LineSearch(model, loss, learning_rate)
    return Gradient(model, loss, _GRADIENT[name](model, lr=learning_rate), capturable)


class Gradient:
    """Loss, gradients, update: every optimizer that looks at one gradient a step."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizers: list[torch.optim.Optimizer],
        capturable: bool,
    ):
        self._model, self._loss, self._optimizers = model, loss, optimizers
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = capturable

    def __call__(self, batch: Batch) -> Tensor:
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss = self._loss(self._model, batch)
        loss.backward()
        for optimizer in self._optimizers:
            optimizer.step()
        return loss.detach()

    def flops(self, gradient: Flops | None, size: int) -> int:
        return _known(gradient).step * size

    def state(self) -> list[Tensor]:
        kept = (s for optimizer in self._optimizers for s in optimizer.state.values())
        return [value for state in kept for value in state.values() if isinstance(value, Tensor)]

    def state_dicts(self) -> list[dict[str, Any]]:
        """All that it needs to go on, for a checkpoint."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Go on from what `state_dicts` gave."""
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)


class _LineSearch:
    """L-BFGS with strong Wolfe conditions: as many gradients a step as its line search takes.

    Its line search compares losses in Python, and so waits for the device.
    """

    HISTORY = 10

    def __init__(self, model: nn.Module, loss: Loss, learning_rate: float):
        self._model, self._loss = model, loss
        self._optimizer = torch.optim.LBFGS(
            [p for p in model.parameters() if p.requires_grad],
            lr=learning_rate,
            max_iter=1,
            max_eval=25,
            history_size=self.HISTORY,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        self._gradients = 0

    def __call__(self, batch: Batch) -> Tensor:
        self._gradients = 0

        def gradient() -> Tensor:
            self._gradients += 1
            self._optimizer.zero_grad()
            loss = self._loss(self._model, batch)
            loss.backward()
            return loss

        loss = self._optimizer.step(gradient)
        return torch.as_tensor(loss).detach()

    def flops(self, gradient: Flops | None, size: int) -> int:
        # two loops over the history, each a dot product and an update: 4 P a pair and loop
        parameters = sum(p.numel() for p in self._model.parameters() if p.requires_grad)
        return self._gradients * _known(gradient).step * size + 8 * self.HISTORY * parameters

    def state(self) -> list[Tensor]:
        kept = [v for state in self._optimizer.state.values() for v in state.values()]
        flat = [t for v in kept for t in (v if isinstance(v, list) else [v])]
        return [t for t in flat if isinstance(t, Tensor)]


def _known(gradient: Flops | None) -> Flops:
    from workloads.flops import UnknownFlops

    if gradient is None:
        raise UnknownFlops("the workload declares no FLOPs")
    return gradient


def _plain(kind: Callable[..., torch.optim.Optimizer], **options: Any) -> Any:
    def optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
        return [kind([p for p in model.parameters() if p.requires_grad], lr=lr, **options)]

    return optimizers


def _muon(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of linear layers, AdamW for all else, at one learning rate.

    Its step is scaled to the root mean square of AdamW's (Liu et al. 2025, section 2.2). An
    embedding is a table, not a map between vectors, and is left to AdamW, as Jordan has it.
    """
    tables = {p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.dim() == 2 and p not in tables]
    others = [p for p in trained if p.dim() != 2 or p in tables]
    muon = functools.partial(torch.optim.Muon, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    adamw = functools.partial(torch.optim.AdamW, weight_decay=0.0)
    return [make(group, lr=lr) for make, group in ((muon, matrices), (adamw, others)) if group]


_GRADIENT: Mapping[str, Callable[..., list[torch.optim.Optimizer]]] = {
    "gradient_descent": _plain(torch.optim.SGD),
    "sgd": _plain(torch.optim.SGD),
    "momentum": _plain(torch.optim.SGD, momentum=0.9),
    "nesterov": _plain(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": _plain(torch.optim.Adagrad),
    "rmsprop": _plain(torch.optim.RMSprop),
    "adam": _plain(torch.optim.Adam),
    "adamw": _plain(torch.optim.AdamW),
    "muon": _muon,
}
