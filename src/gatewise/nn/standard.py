"""The cells that torch has too: their weights in torch's form and in ours, and torch's own fused layers.

torch keeps two biases, one for the input's product and one for the state's; a cell has one bias a linear map. The
correspondence is by name, in the order in which both stack their gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .. import cells
from ..errors import GatewiseError
from ..ir.cell import Cell


@dataclass(frozen=True)
class Standard:
    """A torch.nn layer with the same equations. `function`: its name in torch._VF."""

    cell: str
    function: str
    gates: int
    split_bias: bool = False  # the candidate's two biases stay apart (GRU: the reset gate acts between them)

    def _cut(self, weight_ih: torch.Tensor) -> int:
        """Where the two biases' numbers begin that stay apart: those of the last gate."""
        return len(weight_ih) * (self.gates - 1) // self.gates

    def from_torch(self, weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """[weight_ih, weight_hh, bias_ih, bias_hh(, weight_hr)] as the cell's parameters, in the cell's order."""
        weight_ih, weight_hh, *rest = weights
        if len(rest) >= 2:
            bias_ih, bias_hh, *rest = rest
            if bias_ih.shape != bias_hh.shape:  # adding them would spread the smaller one
                raise GatewiseError(
                    f"bias_ih is {list(bias_ih.shape)} and bias_hh {list(bias_hh.shape)}: give both one shape"
                )
            if self.split_bias:
                cut = self._cut(weight_ih)
                bias = torch.cat((bias_ih[:cut] + bias_hh[:cut], bias_ih[cut:], bias_hh[cut:]))
            else:
                bias = bias_ih + bias_hh
        else:
            bias = weight_ih.new_zeros(len(weight_ih) * (self.gates + self.split_bias) // self.gates)
        return [weight_ih, weight_hh, bias, *rest]

    def gradients_to_torch(self, gradients: Sequence[torch.Tensor], weights: int) -> list[torch.Tensor]:
        """The gradients of so many weights in torch's form, of the gradients of the cell's parameters."""
        d_ih, d_hh, d_bias, *rest = gradients
        if weights < len(gradients) + 1:  # without biases
            return [d_ih, d_hh, *rest]
        if self.split_bias:
            rows, cut = len(d_ih), self._cut(d_ih)
            return [d_ih, d_hh, d_bias[:rows], torch.cat((d_bias[:cut], d_bias[rows:])), *rest]
        return [d_ih, d_hh, d_bias, d_bias, *rest]

    def to_torch(self, params: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The cell's parameters as torch's fused layers take them."""
        weight_ih, weight_hh, bias, *rest = params
        bias_ih, bias_hh = bias, torch.zeros_like(bias)
        if self.split_bias:
            rows, cut = len(weight_ih), self._cut(weight_ih)
            bias_ih, bias_hh = bias[:rows], torch.cat((torch.zeros_like(bias[:cut]), bias[rows:]))
        return [weight_ih, weight_hh, bias_ih, bias_hh, *rest]


STANDARD = {
    s.cell: s
    for s in (
        Standard("lstm", "lstm", 4),
        Standard("projected_lstm", "lstm", 4),
        Standard("gru", "gru", 3, split_bias=True),
        Standard("rnn", "rnn_tanh", 1),
        Standard("rnn_relu", "rnn_relu", 1),
    )
}


def standard_of(cell: Cell) -> Standard | None:
    """The torch layer with this cell's equations, if there is one."""
    return next((s for name, s in STANDARD.items() if cells.get(name).key == cell.key), None)


def run_fused(
    standard: Standard,
    x: torch.Tensor,
    states: Sequence[torch.Tensor],
    params: Sequence[torch.Tensor],
    lengths: torch.Tensor | None,
    reverse: bool,
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """One layer and direction by torch's own fused layer: x [T, B, input], states [B, width] each."""
    if reverse:
        x = _reversed(x, lengths)
    weights = standard.to_torch(params)
    hidden = tuple(s[None] for s in states)
    function = getattr(torch._VF, standard.function)
    hx = hidden if standard.function == "lstm" else hidden[0]
    if lengths is None:
        y, *finals = function(x, hx, weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)
    else:
        y, finals = _run_packed(function, x, hx, weights, lengths)
    if reverse:
        y = _reversed(y, lengths)
    return y, tuple(f[0] for f in finals)


def _run_packed(function, x, hx, weights, lengths):
    """A ragged batch: rows without steps keep their state, which torch's packing does not allow, so they stay out."""
    order = torch.argsort(lengths, descending=True, stable=True)
    order = order[lengths[order] > 0]
    place = order.to(x.device)
    pick = [h[:, place] for h in (hx if isinstance(hx, tuple) else (hx,))]
    data, sizes = torch._VF._pack_padded_sequence(x[:, place], lengths[order].cpu(), False)
    hidden = tuple(pick) if isinstance(hx, tuple) else pick[0]
    packed, *finals = function(data, sizes, hidden, weights, True, 1, 0.0, torch.is_grad_enabled(), False)
    padded, _ = torch._VF._pad_packed_sequence(packed, sizes, False, 0.0, x.shape[0])
    y = padded.new_zeros((x.shape[0], x.shape[1], padded.shape[2])).index_copy(1, place, padded)
    olds = hx if isinstance(hx, tuple) else (hx,)
    return y, [old.index_copy(1, place, f) for old, f in zip(olds, finals, strict=True)]


def _reversed(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Every row's own steps in reverse; what is past its length stays."""
    if lengths is None:
        return x.flip(0)
    time = torch.arange(x.shape[0], device=x.device)[:, None]
    length = lengths.to(x.device)[None, :]
    index = torch.where(time < length, length - 1 - time, time)
    return x.gather(0, index[..., None].expand_as(x))
