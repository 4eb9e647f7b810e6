"""Which steps mattered: how an output changes with what was read at each step. Imports torch.

`f` maps vectors x [T, B, E] to one number a row, [B]. Contributions are in the units of f, one a step, for the change of f
from a baseline, which says nothing at any step, to x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ParameterError
from .trace import Method

Scalar = Callable[[Tensor], Tensor]

MOST_ROWS = 64  # that go through the network together
FEWEST_POINTS, MOST_POINTS = 16, 512  # of the integral
CLOSE = 1e-3  # of the change: so near the contributions' sum is to come
FAR = 0.05  # of the change: contributions whose sum is further off say little


@dataclass(frozen=True)
class Attribution:
    """What each step contributed to an output.

    Attributes:
        method: how it was found, see `METHODS`.
        of: what was explained, in words.
        steps: contributions [T]; positive ones raised the output.
        output: f of the input. baseline: f of the baseline.
    """

    method: Method
    of: str
    steps: np.ndarray
    output: float
    baseline: float

    @property
    def change(self) -> float:
        """How the output differs from the baseline's."""
        return self.output - self.baseline

    @property
    def gap(self) -> float:
        """What the contributions' sum lacks of the change: 0 where nothing is left unexplained."""
        return self.change - float(self.steps.sum())

    @property
    def doubt(self) -> str:
        """Why not to believe the contributions, in words; empty where nothing speaks against them."""
        if self.method != "integrated" or abs(self.gap) <= FAR * max(abs(self.change), CLOSE):
            return ""
        return (
            "they do not add up to the change. Between no input and this one gradients are too wild to be integrated, as "
            "where they explode; occlusion, or a shorter input, says more"
        )

    def __str__(self) -> str:
        return (
            f"{self.of}: {self.output:.4g}, without any input {self.baseline:.4g}; the steps' sum by {self.method} is "
            f"{self.steps.sum():.4g}, {abs(self.gap):.2g} {'more' if self.gap < 0 else 'less'} than the change"
        )


def gradient_times_input(f: Scalar, x: Tensor, baseline: Tensor) -> Tensor:
    """(x - baseline) times the gradient at x, summed over each step's vector: the change if f were linear.

    Paper: Shrikumar et al., "Not just a black box", arXiv 1605.01713."""
    return ((x - baseline) * _gradients(f, x)).sum((1, 2))


def integrated_gradients(f: Scalar, x: Tensor, baseline: Tensor) -> Tensor:
    """(x - baseline) times the mean gradient on the straight line from the baseline to x. The sum is the change of f; points
    on the line (Gauss and Legendre's) are doubled until it is, to a thousandth.

    Paper: Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", arXiv 1703.01365."""
    with torch.no_grad():
        change = float(f(x) - f(baseline))
    points, found = FEWEST_POINTS, torch.zeros(len(x))
    while True:
        places, weights = (torch.tensor(a, dtype=x.dtype) for a in np.polynomial.legendre.leggauss(points))
        mean = torch.zeros_like(x)
        for some in torch.arange(points).split(MOST_ROWS):
            share = ((places[some] + 1) / 2)[:, None]
            gradients = _gradients(f, baseline + share * (x - baseline))
            mean += (gradients * (weights[some] / 2)[:, None]).sum(1, keepdim=True)
        found = ((x - baseline) * mean).sum((1, 2))
        if points >= MOST_POINTS or abs(float(found.sum()) - change) <= CLOSE * max(abs(change), CLOSE):
            return found
        points *= 2


def occlusion(f: Scalar, x: Tensor, baseline: Tensor) -> Tensor:
    """How much f falls when one step alone says nothing. Steps that stand in for one another share what they do, so the sum
    need not be the change.

    Paper: Zeiler & Fergus, "Visualizing and understanding convolutional networks", arXiv 1311.2901."""
    found = []
    with torch.no_grad():
        whole = f(x)
        for some in torch.arange(len(x)).split(MOST_ROWS):
            rows = x.repeat(1, len(some), 1)
            rows[some, torch.arange(len(some))] = baseline[some, 0]
            found.append(whole - f(rows))
    return torch.cat(found)


METHODS: dict[Method, Callable[[Scalar, Tensor, Tensor], Tensor]] = {
    "integrated": integrated_gradients,
    "gradient": gradient_times_input,
    "occlusion": occlusion,
}


def attribute(f: Scalar, x: Tensor, method: Method, of: str, baseline: Tensor | None = None) -> Attribution:
    """What each step of x [T, 1, E] contributed to f. The baseline is zeros: no token, the mean of features.

    Raises:
        ParameterError: there is no such method.
    """
    if method not in METHODS:
        raise ParameterError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
    x = x.detach()
    baseline = torch.zeros_like(x) if baseline is None else baseline
    steps = METHODS[method](f, x, baseline)
    with torch.no_grad():
        output, before = float(f(x)), float(f(baseline))
    return Attribution(method, of, steps.double().numpy(), output, before)


def _gradients(f: Scalar, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(f(x).sum(), x)
    return found
