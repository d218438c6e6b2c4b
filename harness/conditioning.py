"""The eigenvalues of a loss's Hessian: the largest, the smallest, and the condition number.

Gradient descent is stable below a learning rate of 2 / lambda_max and needs about kappa steps for
each factor e (Nesterov 2004, "Introductory Lectures on Convex Optimization", section 2.1.5).

With few parameters the matrix is made, in reverse over reverse mode as for Newton's method, and
all its eigenvalues are taken. With many it is only multiplied with: Lanczos 1950 (doi
10.6028/jres.045.026), every vector made orthogonal to all before it, without which eigenvalues
come back as copies of themselves (Golub & Van Loan 2013, "Matrix Computations", section 10.3).
All in float64.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from workloads.spec import Batch

EXACT_UP_TO = 1000  # parameters
ITERATIONS = 300
NULL = 1e-12  # of the largest eigenvalue: what is nearer to 0 is rounding's, and counts as 0
SETTLED = 1e-3  # of an eigenvalue: how near Lanczos surely is; by far nearer mostly
LOOK_EVERY = 10  # iterations between two looks whether it has

Loss = Callable[[nn.Module, Batch], Tensor]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """The ends of a symmetric matrix's spectrum.

    Attributes:
        largest: lambda_max.
        lowest: the other end; below 0 where the matrix is indefinite.
        smallest: the least distance of an eigenvalue from 0. It is 0, up to rounding, where there
            is a direction along which nothing changes: adding a number to all of a softmax's
            logits, the weights of a pixel that is always blank. NaN if Lanczos knows of none.
        smallest_positive: the smallest eigenvalue above 1e-12 of the largest magnitude; NaN if
            there is none.
        kappa: largest / smallest_positive: the condition number with null and negative
            directions left out; NaN if there is none.
        settled: whether there are surely none beyond these. If not, which only Lanczos knows,
            `largest` is a lower bound, the other three are upper ones, and so kappa is a lower
            one.
        largest_settled, lowest_settled: whether that end is known to a thousandth by itself, as
            Lanczos finds the ends long before what is between them.
        method: "exact" or "lanczos".
        iterations: products with the matrix that Lanczos took; 0 for exact.
        size: rows of the matrix.
    """

    largest: float
    lowest: float
    smallest: float
    smallest_positive: float
    kappa: float
    settled: bool
    largest_settled: bool
    lowest_settled: bool
    method: str
    iterations: int
    size: int


def of_hessian(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    exact_up_to: int = EXACT_UP_TO,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> Spectrum:
    """The spectrum of the Hessian of loss(model, batch) in the model's trained parameters.

    Args:
        model: looked at, not changed; a copy in float64 is worked on.
        loss: (model, batch) -> scalar tensor, differentiable twice.
        batch: the samples.
        exact_up_to: parameters; with more, Lanczos.
        iterations: products that Lanczos may take at most. It keeps as many vectors of the
            parameters' size.
        seed: of the vector that Lanczos starts from.

    Raises:
        ValueError: the model has no parameters to train, or the Hessian is not finite.
    """
    twin = copy.deepcopy(model).double()
    parameters = [p for p in twin.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameters to train: there is no Hessian")
    size, device = sum(p.numel() for p in parameters), parameters[0].device
    with _differentiable_twice():
        value = loss(twin, batch.to(device, torch.float64))
        gradient = _derivative(value, parameters, create_graph=True)

    def product(vector: Tensor) -> Tensor:
        if not gradient.requires_grad:  # the loss is linear in the parameters
            return torch.zeros_like(vector)
        return _derivative(gradient, parameters, vector, retain_graph=True)

    if size <= exact_up_to:
        identity = torch.eye(size, dtype=torch.float64, device=device)
        return of_matrix(torch.stack([product(row) for row in identity]))
    start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return lanczos(product, start.to(device), iterations)


def of_inputs(x: Tensor, intercept: bool = True) -> Spectrum:
    """The spectrum of the inputs' second moments, X^T X / n: a linear layer's conditioning.

    The Hessian of the mean squared error is twice this matrix, and that of softmax regression at
    weights of 0 has the same condition number.

    Args:
        x: [n, ...], any floating dtype; all but the first dimension are features.
        intercept: whether X has a column of ones, as a layer with a bias sees it.

    Raises:
        ValueError: no samples, or inputs that are not finite.
    """
    if not len(x):
        raise ValueError("no samples: they have no moments")
    features = x.double().flatten(1)
    if intercept:
        features = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    return of_matrix(features.T @ features / len(features))


def of_matrix(matrix: Tensor) -> Spectrum:
    """The spectrum of a symmetric matrix, float64 [n, n], from all its eigenvalues.

    Raises:
        ValueError: entries that are not finite.
    """
    if not matrix.isfinite().all():
        raise ValueError("the matrix is not finite: the loss or the inputs are not")
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).cpu().numpy()
    return _spectrum(values, np.zeros_like(values), True, "exact", 0, len(matrix))


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, iterations: int = ITERATIONS
) -> Spectrum:
    """The ends of the spectrum of a symmetric matrix that is known by its products only.

    An eigenvalue inside the spectrum counts once it is settled: known to a thousandth of itself
    by the length of the residual, a bound that mostly is far too cautious. Until then its place
    is a compromise between several others'. It ends when the largest has settled, and the lowest
    too if that is above 0, or when nothing of the space is left that `start` reaches, or after
    so many iterations.

    Args:
        product: v -> A v, with v [n].
        start: float64 [n], with a share of every eigenvector, as a random one has.
        iterations: at least 1.

    Raises:
        ValueError: a product that is not finite, or no iterations.
    """
    if iterations < 1:
        raise ValueError(f"{iterations} iterations of Lanczos: 1 is the least")
    size = len(start)
    steps = min(iterations, size)
    basis = torch.empty(steps, size, dtype=start.dtype, device=start.device)
    diagonal, beside = np.empty(steps), np.empty(steps)
    vector, length = start, float(start.norm())
    for k in range(steps):
        basis[k] = vector / length
        vector = product(basis[k])
        diagonal[k] = float(vector @ basis[k])
        for _ in range(2):  # one pass leaves a share of what it takes away (Kahan; Parlett 1980)
            vector = vector - basis[: k + 1].T @ (basis[: k + 1] @ vector)
        beside[k] = length = float(vector.norm())
        if not math.isfinite(diagonal[k] + length):
            raise ValueError("the matrix is not finite: the loss or the inputs are not")
        used_up = bool(
            length <= NULL * max(abs(diagonal[: k + 1]).max(), beside[:k].max(initial=0.0))
        )
        if used_up or k + 1 == steps or (k + 1) % LOOK_EVERY == 0:
            values, vectors = scipy.linalg.eigh_tridiagonal(diagonal[: k + 1], beside[:k])
            # |A y - theta y| for y = basis^T s: some eigenvalue is no further from theta
            residuals = length * abs(vectors[-1])
            ends = residuals[[0, -1]] <= SETTLED * abs(values[[0, -1]])
            settled = used_up or bool(ends.all() and values[0] > NULL * values[-1])
            if settled:
                break
    return _spectrum(values, residuals, settled, "lanczos", k + 1, size)


def _spectrum(
    values: Floats, residuals: Floats, settled: bool, method: str, iterations: int, size: int
) -> Spectrum:
    """From eigenvalues in order, and how far each may be off."""
    rounding = NULL * abs(values).max()
    known = abs(values[residuals <= np.maximum(SETTLED * abs(values), rounding)])
    positive = values[(residuals <= SETTLED * abs(values)) & (values > rounding)]
    smallest_positive = float(positive.min()) if positive.size else math.nan
    return Spectrum(
        largest=float(values[-1]),
        lowest=float(values[0]),
        smallest=float(known.min()) if known.size else math.nan,
        smallest_positive=smallest_positive,
        kappa=float(values[-1]) / smallest_positive,
        settled=settled,
        largest_settled=settled or bool(residuals[-1] <= SETTLED * abs(values[-1])),
        lowest_settled=settled or bool(residuals[0] <= SETTLED * abs(values[0])),
        method=method,
        iterations=iterations,
        size=size,
    )


def _derivative(of: Tensor, parameters: Sequence[Tensor], vector: Any = None, **graph: Any):
    """vector^T times the derivative of `of` in all parameters: [parameters]."""
    parts = torch.autograd.grad(
        of, parameters, vector, allow_unused=True, materialize_grads=True, **graph
    )
    return torch.cat([part.flatten() for part in parts])


@contextlib.contextmanager
def _differentiable_twice() -> Iterator[None]:
    """Only what has a second derivative: neither cuDNN's recurrent layers nor fused attention."""
    with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
        yield
