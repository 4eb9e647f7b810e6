"""Encoder → recurrent stack → head as a torch module: what training sees of an `Architecture`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ir.cell import INPUT, Cell
from ..nn import Recurrent
from ..nn.regularise import activation_penalty, drop, temporal_activation_penalty
from ..runtime.architecture import Architecture, Encoder, Head

INPUT_BOUND = 2.0  # gives a gate a spread of about 1.2 over the tokens


class OneHot(nn.Module):
    """Token numbers [...] to one-hot vectors [..., V], by looking up rows of the identity."""

    rows: Tensor

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.eye(tokens), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.rows)


class LinearHead(nn.Module):
    """Scores [..., classes] of the stack's output; with ``shared`` its matrix is that of the embedding."""

    def __init__(self, head: Head, input_size: int, shared: nn.Parameter | None) -> None:
        super().__init__()
        bound = input_size**-0.5
        if shared is None:
            self.weight = nn.Parameter(torch.empty(head.classes, input_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(head.classes))

    def forward(self, x: Tensor, weight: Tensor | None) -> Tensor:
        return F.linear(x, self.weight if weight is None else weight, self.bias)


def build_encoder(encoder: Encoder) -> OneHot | nn.Embedding:
    """The module of an encoder record."""
    if encoder.kind == "one_hot":
        return OneHot(encoder.tokens)
    embedding = nn.Embedding(encoder.tokens, encoder.size)
    # Vectors of length 1, as one-hot ones are; torch's default, length sqrt(E), would make tied output scores huge.
    nn.init.normal_(embedding.weight, std=encoder.size**-0.5)
    return embedding


@dataclass(frozen=True)
class Regularisation:
    """What is done to the network while it is trained; `LanguageModel` says what each one means.

    Paper of the dropout: W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014:
    only between layers and before the head, never on the recurrent connections. Of the others: `gatewise.nn.Recurrent`.
    """

    dropout: float = 0.0
    input_dropout: float = 0.0
    variational_dropout: bool = False
    weight_dropout: float = 0.0
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0


class Network(nn.Module):
    """The torch module of an architecture; its trained arrays have the names and shapes of `Architecture.shapes`.

    Args:
        architecture: what to build.
        regularisation: what to do while training.
        compute_dtype: the operands of the recurrent layers' products, as in `gatewise.nn.Recurrent`.
    """

    def __init__(
        self,
        architecture: Architecture,
        regularisation: Regularisation | None = None,
        compute_dtype: str = "float32",
    ) -> None:
        super().__init__()
        stack = architecture.stack
        self.regularisation = r = regularisation or Regularisation()
        self.encoder = build_encoder(architecture.encoder)
        sizes: dict[str, Any] = dict(stack.cell_sizes)
        self.recurrent = Recurrent(
            stack.cell,
            architecture.encoder.size,
            stack.hidden_size,
            num_layers=stack.num_layers,
            dropout=r.dropout if stack.num_layers > 1 else 0.0,
            input_dropout=r.input_dropout,
            variational=r.variational_dropout,
            weight_dropout=r.weight_dropout,
            zoneout=stack.zoneout,
            compute_dtype=compute_dtype,
            **sizes,
        )
        self._widen_input_weights(stack.cell)
        self.tied = architecture.head.tied
        self.head = LinearHead(architecture.head, stack.output_size, self._shared())

    @torch.no_grad()
    def _widen_input_weights(self, cell: Cell) -> None:
        """Draw the first layer's input weights from ±`INPUT_BOUND` instead of ±1/sqrt(H).

        The usual bound counts on H inputs of size 1. The encoder's vectors have length 1 as a whole: with it a token
        would hardly move a gate, and training would spend its first epoch learning to listen.
        """
        for parameter in cell.parameters:
            if parameter.in_dim == INPUT:
                weight = self.recurrent.get_parameter(f"{parameter.name}_l0")
                weight.mul_(INPUT_BOUND * self.recurrent.hidden_size**0.5)

    def _shared(self) -> nn.Parameter | None:
        if not self.tied:
            return None
        assert isinstance(self.encoder, nn.Embedding)  # `Architecture` sees to it
        weight = self.encoder.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def forward(
        self, tokens: Tensor, states: Sequence[Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        """Scores [T, B, classes] for token numbers [T, B], the states after them, and what the penalties add to the loss.

        Args:
            states: what an earlier call returned; None starts from zero.
            lengths: the number of steps that count in each row [B]; None means T.
        """
        # A cell with one state takes and gives a tensor, as torch.nn.GRU does; here states are always a tuple.
        before = states[0] if states is not None and len(states) == 1 else states
        outputs, after = self.recurrent(self.encoder(tokens), before, lengths=lengths)
        after = (after,) if isinstance(after, Tensor) else tuple(after)
        r = self.regularisation
        dropped = drop(outputs, r.dropout, self.training, r.variational_dropout)
        penalty = None
        if self.training and (r.activation_penalty or r.temporal_penalty):
            temporal = temporal_activation_penalty(outputs, lengths)
            penalty = r.activation_penalty * activation_penalty(dropped, lengths) + r.temporal_penalty * temporal
        return self.head(dropped, self._shared()), after, penalty


def export_weights(network: Network) -> dict[str, np.ndarray]:
    """The trained arrays by name, as float32 on the CPU."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in network.state_dict().items()}
