"""The loss of a softmax over many classes, without the scores of all rows in memory at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SLICED = 1 << 22  # scores, from which on rows go through in slices of about so many; fewer stay in the caches as they are
FEWEST_ROWS = 256  # of a slice: each of them reads the whole matrix three times


def linear_cross_entropy(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The mean of -log softmax(x W' + b) at the targets, in nats: cross_entropy(linear(x, weight, bias), targets).

    Args:
        x: [N, K]. weight: [C, K]. bias: [C]. targets: numbers of classes [N].

    For many classes a slice of rows is taken at a time through scores, probabilities and all gradients, while its scores are
    in the cache, and backward has nothing left to do: with 10,000 classes in 0.7 of the time, see docs/performance.md.
    That is so on the CPU without autocast; elsewhere it is torch's two functions.
    """
    if len(x) * len(weight) < SLICED or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.cross_entropy(F.linear(x, weight, bias), targets)
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, bias))
    return _Sliced.apply(x, weight, bias, targets, learns)


class _Sliced(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, learns: bool) -> Tensor:
        rows = max(FEWEST_ROWS, SLICED // len(weight))
        losses, scores = x.new_empty(len(x)), x.new_empty(min(rows, len(x)), len(weight))
        if learns:
            dx, dweight, dbias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
            ctx.save_for_backward(dx, dweight, dbias)
        for start in range(0, len(x), rows):
            part, wanted = x[start : start + rows], targets[start : start + rows, None]
            p = scores[: len(part)]
            torch.addmm(bias, part, weight.T, out=p)
            at_target, most = p.gather(1, wanted), p.amax(1, keepdim=True)
            total = p.sub_(most).exp_().sum(1, keepdim=True)
            losses[start : start + rows] = (total.log() + most - at_target)[:, 0]
            if learns:  # d loss / d scores = (p - 1 at the target) / N
                p.mul_(1 / (total * len(x)))
                p.scatter_add_(1, wanted, torch.full_like(at_target, -1 / len(x)))
                torch.mm(p, weight, out=dx[start : start + rows])
                dweight.addmm_(p.T, part)
                dbias += p.sum(0)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        wanted = zip(ctx.needs_input_grad, ctx.saved_tensors, strict=False)
        return *(found * gradient if learns else None for learns, found in wanted), None, None
