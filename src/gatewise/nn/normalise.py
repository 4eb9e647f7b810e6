"""Batch normalisation of what a cell's matrices make of the input, for every cell, outside its equations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import GatewiseError
from ..ir.cell import INPUT, Cell


def input_matrices(cell: Cell) -> list[int]:
    """Which of a cell's parameters multiply x; GatewiseError where x enters in another way too."""
    nodes = cell.graph.nodes
    for n in nodes:
        delayed = n.op == "state" and n.dim == INPUT
        if delayed or (n.op != "matmul" and any(nodes[a].op == "input" for a in n.args)):
            raise GatewiseError(f"batch_norm: cell {cell.name!r} reads x otherwise than through its matrices of this step")
    found = [k for k, p in enumerate(cell.parameters) if p.in_dim == INPUT]
    if not found:
        raise GatewiseError(f"batch_norm: cell {cell.name!r} has no matrix that multiplies x")
    return found


class InputNorm(nn.Module):
    """Normalises W x over all steps and sequences of a call, for all matrices W that multiply x, with a trained gain a row.

    W x, less its mean and scaled to variance 1, is W' (x - mean of x) with the rows of W' scaled; the variances follow
    from the covariance of x. So a kernel runs as it is, on other weights, and the bias of the equations is the offset.
    Outside training the moving averages of the mean and the variances stand in, as in `torch.nn.BatchNorm1d`.

    Papers: Ioffe & Szegedy, arXiv 1502.03167; for recurrent networks' inputs Laurent et al., arXiv 1510.01378.

    Args:
        input_size: units of x. rows: of all the matrices together.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, input_size: int, rows: int, momentum: float = 0.1, epsilon: float = 1e-5, **options):
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.gain = nn.Parameter(torch.empty(rows, **options))
        self.register_buffer("mean", torch.empty(input_size, **options))
        self.register_buffer("variance", torch.empty(rows, **options))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.gain.fill_(1.0)
        self.mean.zero_()
        self.variance.fill_(1.0)

    def forward(self, x: Tensor, matrices: Sequence[Tensor], lengths: Tensor | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x [T, B, input_size] less its mean, and the matrices [rows, input_size] scaled. Padding does not count."""
        stacked = torch.cat(list(matrices))
        mean, variance = self.mean, self.variance
        if self.training:
            real = x.flatten(0, 1)
            if lengths is not None:
                real = x[torch.arange(len(x), device=x.device)[:, None] < lengths.to(x.device)]
            if len(real) < 2:
                raise GatewiseError("batch_norm needs at least 2 steps in a call to train; call eval() to use the model")
            mean = real.mean(0)
            centred = real - mean
            variance = (stacked @ (centred.T @ centred) * stacked).sum(1) / len(real)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance * (len(real) / (len(real) - 1)), self.momentum)
        return x - mean, self.scaled(matrices, variance)

    def scaled(self, matrices: Sequence[Tensor], variance: Tensor) -> tuple[Tensor, ...]:
        """The matrices with rows scaled for products of these variances."""
        factors = self.gain * (variance + self.epsilon).rsqrt()
        rows = [len(m) for m in matrices]
        return tuple(m * f[:, None] for m, f in zip(matrices, factors.split(rows), strict=True))
