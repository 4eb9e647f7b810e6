"""Vectors of tokens, with a gradient that is added row by row."""

from __future__ import annotations

import torch
from torch import Tensor


class Embedding(torch.nn.Embedding):
    """torch.nn.Embedding with a faster gradient: same constructor, call and state_dict.

    On the CPU a row of the gradient is the sum of its tokens' in the order in which they come, as torch's is, but is found
    in one pass over the tokens: forward and backward together take a half to three quarters of the time, see
    docs/performance.md. With padding_idx, max_norm, scale_grad_by_freq or sparse, and on other devices, it is torch's.

        >>> Embedding(10, 4)(torch.tensor([[1, 2, 2]])).shape
        torch.Size([1, 3, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        asked = self.padding_idx is not None or self.max_norm is not None or self.scale_grad_by_freq or self.sparse
        if asked or not self.weight.is_cpu:
            return super().forward(input)
        return look_up(self.weight, input)


def look_up(rows: Tensor, tokens: Tensor) -> Tensor:
    """The rows [V, E] of token numbers [...]: [..., E]."""
    return rows.index_select(0, tokens.flatten()).view(*tokens.shape, rows.shape[1])
