"""Exact second-order steps in float64: Newton, natural gradient, and that without its matrix.

Each solves (C + damping I) d = g for the gradient g of the loss on a batch and takes the step
-rate x d. C is

    newton              the Hessian; where it is indefinite |H|, the same eigenvectors with the
                        absolute eigenvalues, which leaves saddles (Dauphin et al. 2014, arXiv
                        1406.2572)
    natural_gradient    J^T L J, with J the Jacobian of the model's outputs and L the loss's
                        Hessian in them. For cross-entropy of a softmax or a sigmoid and for the
                        squared error that is the true Fisher matrix, over the model's own
                        distribution and not over the labels (Amari 1998; Kunstner, Hennig &
                        Balles 2019, arXiv 1905.12558); for other losses the generalised
                        Gauss-Newton matrix (Schraudolph 2002).
    natural_gradient_cg the same, only multiplied with: conjugate gradients (Hestenes & Stiefel
                        1952; Martens 2010, "Deep learning via Hessian-free optimization")

The damping follows Levenberg (1944) and Marquardt (1963): a step that does not lower the loss is
not taken and tried again with ten times as much; one that does as well as its quadratic model said
lowers it. With almost none to begin with, a quadratic takes one step. The comparisons are made in
Python, so each step waits for the device.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.func
from torch import Tensor, nn

from workloads import flops
from workloads.flops import UnknownFlops
from workloads.spec import Batch, Flops

func: Any = torch.func  # its types say that vjp may return three values

LEAST_DAMPING = 1e-10  # of the curvature's mean diagonal: rounding's share, no more
MAX_TRIES = 20
CG_ITERATIONS = 100
CG_TOLERANCE = 1e-4  # of the gradient's length: the residual at which the step is good enough
CHUNK = 32  # columns of the matrix computed at once
MATRICES = 4  # as large as the curvature that a step holds at once: it, a factor, work space

Loss = Callable[[nn.Module, Batch], Tensor]


def make(name: str, model: nn.Module, loss: Loss, learning_rate: float) -> SecondOrder:
    """The second-order optimizer of that name, as workloads.optimizers.make has it.

    Raises:
        ValueError: the model is too large for a matrix of its parameters, with the size needed.
    """
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if name == "natural_gradient_cg":
        return _ConjugateGradients(model, loss, learning_rate)
    needed, available = MATRICES * 8 * count**2, _memory(next(model.parameters()).device)
    if needed > available:
        raise ValueError(
            f"{name}: {count:,} parameters need matrices of {needed / 1e9:,.1f} GB, and "
            f"{available / 1e9:,.1f} GB are to be had; natural_gradient_cg needs no matrix"
        )
    kind = _Newton if name == "newton" else _NaturalGradient
    return kind(model, loss, learning_rate)


class SecondOrder:
    """One damped step after the other. Subclasses say what the curvature is and how to solve."""

    def __init__(self, model: nn.Module, loss: Loss, learning_rate: float):
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._names = [name for name, p in model.named_parameters() if p.requires_grad]
        self._twin = _Objective(copy.deepcopy(model).double(), loss)
        self._loss, self._rate = loss, learning_rate
        self._damping = LEAST_DAMPING
        self._counts: dict[Any, int | UnknownFlops] = {}
        self._spent: list[int | UnknownFlops] = []

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step; the loss before it."""
        # cuDNN's recurrent layers cannot be differentiated twice, torch's own can
        with torch.backends.cudnn.flags(enabled=False):
            return self._stepped(batch)

    def _stepped(self, batch: Batch) -> Tensor:
        self._spent = []
        batch = batch.to(self._parameters[0].device, torch.float64)
        with torch.no_grad():
            theta = torch.cat([p.detach().double().flatten() for p in self._parameters])
        at = (len(batch),)
        gradient, value = self._counted(
            ("gradient", *at), lambda: func.grad_and_value(self._value)(theta, batch)
        )
        self._prepare(theta, batch)
        for _ in range(MAX_TRIES):
            step, predicted = self._solve(gradient)
            new = self._counted(
                ("value", *at),
                functools.partial(self._value, theta - self._rate * step, batch),
            )
            if new < value:
                good = value - new > 0.75 * predicted
                self._damping = max(LEAST_DAMPING, self._damping / 10 if good else self._damping)
                self._set(theta - self._rate * step)
                break
            self._damping *= 10
        return value.detach()

    def flops(self, gradient: Flops | None, size: int) -> int:
        """FLOPs of the last step, counted as it ran; `gradient` is not asked."""
        for spent in self._spent:
            if isinstance(spent, UnknownFlops):
                raise spent
        return sum(spent for spent in self._spent if isinstance(spent, int))

    def counted_by(self, other: SecondOrder) -> None:
        """Take over what another step of the same model has counted: counting takes time."""
        self._counts |= other._counts

    def state(self) -> list[Tensor]:
        """None: what it keeps between steps is one number, the damping."""
        return []

    def _prepare(self, theta: Tensor, batch: Batch) -> None:
        raise NotImplementedError

    def _solve(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The step for the damping as it is, and by how much it ought to lower the loss."""
        raise NotImplementedError

    def _value(self, theta: Tensor, batch: Batch) -> Tensor:
        return func.functional_call(self._twin, self._named(theta), (batch,))

    def _outputs(self, theta: Tensor, batch: Batch) -> Tensor:
        return func.functional_call(self._twin, self._named(theta), (batch, True))

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        parts = theta.split([p.numel() for p in self._parameters])
        shaped = (t.reshape(p.shape) for t, p in zip(parts, self._parameters, strict=True))
        return dict(zip([f"model.{name}" for name in self._names], shaped, strict=True))

    def _gauss_newton(self, theta: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
        """v -> J^T L J v."""
        outputs, back = func.vjp(lambda t: self._outputs(t, batch), theta)
        _, weigh = func.vjp(func.grad(lambda z: self._loss(_Returns(z), batch)), outputs)

        def product(v: Tensor) -> Tensor:
            _, forward = func.jvp(lambda t: self._outputs(t, batch), (theta,), (v,))
            return back(*weigh(forward))[0]

        return product

    @torch.no_grad()
    def _set(self, theta: Tensor) -> None:
        parts = theta.split([p.numel() for p in self._parameters])
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.copy_(part.reshape(parameter.shape))

    def _counted(self, key: Any, work: Callable[[], Any]) -> Any:
        """What `work` returns; its FLOPs, counted the first time, are added to the step's."""
        if key in self._counts:
            result = work()
        else:
            results: list[Any] = []
            try:
                self._counts[key] = flops.count(lambda: results.append(work()))
            except UnknownFlops as unknown:
                self._counts[key] = unknown
                results.append(work())
            result = results[0]
        self._spent.append(self._counts[key])
        return result


class _Dense(SecondOrder):
    """With the matrix itself."""

    def _prepare(self, theta: Tensor, batch: Batch) -> None:
        self._matrix = self._counted(
            ("matrix", len(batch)), lambda: self._curvature(theta, batch)
        ).detach()
        self._scale = self._matrix.diagonal().abs().mean().clamp(min=1e-300)
        self._eigen: tuple[Tensor, Tensor] | None = None

    def _curvature(self, theta: Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def _solve(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        n, damping = len(gradient), self._damping * self._scale
        if self._eigen is None:
            identity = torch.eye(n, dtype=gradient.dtype, device=gradient.device)
            factor, failed = torch.linalg.cholesky_ex(self._matrix + damping * identity)
            self._spent.append(round(n**3 / 3))
            if not failed:
                step = torch.cholesky_solve(gradient[:, None], factor)[:, 0]
                self._spent.append(4 * n * n)
                return step, gradient @ step - step @ (self._matrix @ step) / 2
            self._eigen = torch.linalg.eigh(self._matrix)
            self._spent.append(9 * n**3)
        values, vectors = self._eigen
        inside = vectors.T @ gradient
        step = vectors @ (inside / (values.abs() + damping))
        self._spent.append(6 * n * n)
        return step, gradient @ step - step @ (self._matrix @ step) / 2


class _Newton(_Dense):
    def _curvature(self, theta: Tensor, batch: Batch) -> Tensor:
        # reverse over reverse: forward mode over it fails on losses whose tangents are zeros
        _, product = func.vjp(func.grad(lambda t: self._value(t, batch)), theta)
        (hessian,) = func.vmap(product, chunk_size=CHUNK)(_identity(theta))
        return (hessian + hessian.T) / 2


class _NaturalGradient(_Dense):
    def _curvature(self, theta: Tensor, batch: Batch) -> Tensor:
        product = self._gauss_newton(theta, batch)
        fisher = func.vmap(product, chunk_size=CHUNK)(_identity(theta))
        return (fisher + fisher.T) / 2


class _ConjugateGradients(SecondOrder):
    """Without the matrix. The mean diagonal that scales the damping is estimated once a step
    from one random vector of signs (Hutchinson 1989)."""

    def _prepare(self, theta: Tensor, batch: Batch) -> None:
        self._key = ("product", len(batch))
        self._product = self._counted(
            ("outputs", len(batch)), lambda: self._gauss_newton(theta, batch)
        )
        generator = torch.Generator(theta.device).manual_seed(0)
        signs = torch.randint(2, theta.shape, generator=generator, device=theta.device)
        signs = signs.to(theta.dtype) * 2 - 1
        along = self._counted(self._key, lambda: self._product(signs))
        self._scale = (signs @ along / len(theta)).abs().clamp(min=1e-300).detach()

    def _solve(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        damping = self._damping * self._scale
        step, residual = torch.zeros_like(gradient), gradient.clone()
        direction, square = residual.clone(), residual @ residual
        enough = square * CG_TOLERANCE**2
        for _ in range(CG_ITERATIONS):
            if square <= enough:
                break
            curved = self._multiplied(direction) + damping * direction
            length = square / (direction @ curved)
            step = step + length * direction
            residual = residual - length * curved
            previous, square = square, residual @ residual
            direction = residual + square / previous * direction
            self._spent.append(10 * len(gradient))
        curved = self._multiplied(step)
        return step, gradient @ step - step @ curved / 2

    def _multiplied(self, v: Tensor) -> Tensor:
        return self._counted(self._key, lambda: self._product(v).detach())


class _Objective(nn.Module):
    """The loss, or the model's outputs, as a module's forward: what functional_call can take."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, batch: Batch, outputs: bool = False) -> Tensor:
        return self.model(batch.x) if outputs else self._loss(self.model, batch)


class _Returns(nn.Module):
    """A model whose answer is given: the loss as a function of the outputs.

    A loss that looks at more of the model than its answer raises AttributeError here.
    """

    def __init__(self, answer: Tensor):
        super().__init__()
        self._answer = [answer]  # in a list: no parameter, whatever it is

    def forward(self, x: Tensor) -> Tensor:
        return self._answer[0]


def _identity(like: Tensor) -> Tensor:
    return torch.eye(len(like), dtype=like.dtype, device=like.device)


def _memory(device: torch.device) -> int:
    """Bytes that a matrix may take: free on a GPU, half of a computer's."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
