"""Regularisers that act outside a cell's equations, so that they work for every cell.

Weight drop and zoneout are arguments of `Recurrent`; the penalties are terms for the user's loss.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def within(x: Tensor, lengths: Tensor) -> Tensor:
    """Where steps of x [T, B, ...] lie within the lengths of their rows: [T, B]."""
    return torch.arange(len(x), device=x.device)[:, None] < lengths.to(x.device)


def drop(x: Tensor, share: float, training: bool, same_at_all_steps: bool) -> Tensor:
    """Dropout of x [T, B, units]; with one mask for all steps it is variational (Gal & Ghahramani, arXiv 1512.05287)."""
    if not training or not share:
        return x
    if not same_at_all_steps:
        return F.dropout(x, share)
    return x * F.dropout(torch.ones_like(x[:1]), share)


def zoneout_masks(steps: int, batch: int, widths: list[int], share: float, like: Tensor) -> list[Tensor]:
    """For each width [T, B, width]: 1 where a unit keeps its state for a step, drawn with probability `share`."""
    return [torch.full((steps, batch, w), share, dtype=like.dtype, device=like.device).bernoulli() for w in widths]


def activation_penalty(y: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The mean of the squared outputs y [T, B, units]; steps past a row's length do not count.

    Paper: Merity, McCann & Socher, Revisiting activation regularization for language RNNs, arXiv 1708.01009.
    """
    return _mean(y.square(), lengths)


def temporal_activation_penalty(y: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The mean of the squared changes of the outputs y [T, B, units] from step to step; 0 for a single step.

    Paper: the same; the idea is of Wisdom et al. and of Krueger & Memisevic, arXiv 1511.08400.
    """
    if y.shape[0] < 2:
        return y.sum() * 0.0
    return _mean((y[1:] - y[:-1]).square(), None if lengths is None else lengths - 1)


def _mean(squares: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return squares.mean()
    counts = within(squares, lengths)
    total = counts.sum().clamp(min=1) * squares.shape[2]
    return torch.where(counts[:, :, None], squares, 0.0).sum() / total
