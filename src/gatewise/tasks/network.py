"""An `Architecture` as a torch module: what training sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ir.cell import INPUT
from ..nn import Embedding, Recurrent
from ..nn.embedding import look_up
from ..nn.linear_cross_entropy import linear_cross_entropy
from ..nn.regularise import activation_penalty, drop, temporal_activation_penalty, within
from ..runtime.architecture import Architecture, Convolution, Encoder, Head, Readout, Spelling, Stack

INPUT_BOUND = 2.0  # gives a gate a spread of about 1.2 over the tokens


class OneHot(nn.Module):
    """Token numbers [...] to one-hot vectors [..., V], by looking up rows of the identity."""

    rows: Tensor

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.eye(tokens), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return look_up(self.rows, tokens)


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

    def cross_entropy(self, x: Tensor, weight: Tensor | None, targets: Tensor) -> Tensor:
        """The mean loss in nats of the scores of x [N, E] for targets [N]."""
        return linear_cross_entropy(x, self.weight if weight is None else weight, self.bias, targets)


class Standardise(nn.Module):
    """Features [..., F] less their mean, divided by their standard deviation, both of the training data."""

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


class StepConvolution(nn.Module):
    """`Convolution` of x [T, B, I], and how many steps are left of each row."""

    def __init__(self, record: Convolution, input_size: int) -> None:
        super().__init__()
        self.record = record
        bound = (3 / (input_size * record.width)) ** 0.5
        self.weight = nn.Parameter(torch.empty(record.size, input_size, record.width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(record.size))

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if lengths is not None:
            x = torch.where(within(x, lengths)[:, :, None], x, 0.0)
            lengths = self.record.steps(lengths)
        y = F.conv1d(x.permute(1, 2, 0), self.weight, self.bias, self.record.stride, self.record.width // 2)
        return torch.relu(y).permute(2, 0, 1), lengths


class StepReadout(nn.Module):
    """A vector [B, H] of the stack's outputs y [T, B, H], which are 0 past a row's length."""

    def __init__(self, record: Readout, size: int, directions: int) -> None:
        super().__init__()
        self.kind, self.forward_size = record.kind, size // directions
        if record.kind == "attention":
            bound = size**-0.5
            self.weight = nn.Parameter(torch.empty(size, size).uniform_(-bound, bound))
            self.bias = nn.Parameter(torch.zeros(size))
            self.query = nn.Parameter(torch.empty(size).uniform_(-bound, bound))

    def forward(self, y: Tensor, lengths: Tensor | None) -> Tensor:
        steps = torch.full((y.shape[1],), len(y), device=y.device) if lengths is None else lengths.to(y.device)
        if self.kind == "last":
            return last(y, steps, self.forward_size)
        if self.kind == "mean":
            return y.sum(0) / steps[:, None]
        counts = within(y, steps)
        if self.kind == "max":
            return torch.where(counts[:, :, None], y, -torch.inf).amax(0)
        score = torch.tanh(F.linear(y, self.weight, self.bias)) @ self.query
        share = torch.where(counts, score, -torch.inf).softmax(0)
        return (share[:, :, None] * y).sum(0)


class Speller(nn.Module):
    """`Spelling`: character numbers [..., L] of words, -1 after their ends, to vectors."""

    def __init__(self, record: Spelling) -> None:
        super().__init__()
        stack = record.stack
        self.weight = nn.Parameter(torch.randn(record.characters, record.size) * record.size**-0.5)
        self.recurrent = build_layers(stack, record.size, INPUT_BOUND)
        self.forward_size = stack.output_size // len(stack.directions)

    def forward(self, spelled: Tensor) -> Tensor:
        words, places = torch.unique(spelled.flatten(0, -2), dim=0, return_inverse=True)
        lengths = (words >= 0).sum(1)
        y, _ = self.recurrent(look_up(self.weight, words.T.clamp(min=0)), lengths=lengths)
        return last(y, lengths, self.forward_size)[places].unflatten(0, spelled.shape[:-1])


def last(y: Tensor, lengths: Tensor, forward_size: int) -> Tensor:
    """The last output of each direction [B, H] in outputs y [T, B, H]; the second direction's is its first step."""
    end = y[lengths - 1, torch.arange(len(lengths), device=y.device), :forward_size]
    return torch.cat([end, y[0, :, forward_size:]], 1)


def build_layers(stack: Stack, input_size: int, bound: float, **options: Any) -> Recurrent:
    """The recurrent layers of a record, the first one's input weights drawn from ±bound instead of ±1/sqrt(H).

    The usual bound counts on H inputs of size 1. A token's vector has length 1 as a whole, and features are few: with it an
    input would hardly move a gate, and training would spend its first epoch learning to listen.
    """
    sizes: dict[str, Any] = dict(stack.cell_sizes)
    layers = Recurrent(
        stack.cell,
        input_size,
        stack.hidden_size,
        num_layers=stack.num_layers,
        bidirectional=stack.bidirectional,
        zoneout=stack.zoneout,
        **options,
        **sizes,
    )
    with torch.no_grad():
        for parameter in stack.cell.parameters:
            if parameter.in_dim == INPUT:
                for ending in stack.directions:
                    layers.get_parameter(f"{parameter.name}_l0{ending}").mul_(bound * stack.hidden_size**0.5)
    return layers


def counted(lengths: Tensor | None, *steps: Tensor) -> list[Tensor]:
    """The steps that count of tensors [T, B, ...], one after another: [n, ...] each. lengths [B]; None counts all."""
    if lengths is None:
        return [part.flatten(0, 1) for part in steps]
    counts = within(steps[0], lengths)
    return [part[counts] for part in steps]


def build_encoder(encoder: Encoder) -> OneHot | Embedding | Standardise:
    """The module of an encoder record."""
    if encoder.kind == "one_hot":
        return OneHot(encoder.tokens)
    if encoder.kind == "features":
        return Standardise(encoder.size)
    embedding = Embedding(encoder.tokens, encoder.size)
    # Vectors of length 1, as one-hot ones are; torch's default, length sqrt(E), would make tied output scores huge.
    nn.init.normal_(embedding.weight, std=encoder.size**-0.5)
    return embedding


@dataclass(frozen=True)
class TrainingMode:
    """What holds of a network only while it is trained: its regularisation, and the operands of its products.

    `LanguageModel` says what each one means.

    Paper of the dropout: W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014:
    only between layers and before the head, never on the recurrent connections. Of the others: `gatewise.nn.Recurrent`.
    """

    dropout: float = 0.0
    input_dropout: float = 0.0
    variational_dropout: bool = False
    weight_dropout: float = 0.0
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0
    compute_dtype: str = "float32"


class Network(nn.Module):
    """The torch module of an architecture; its trained arrays have the names and shapes of `Architecture.shapes`.

    Args:
        architecture: what to build.
        mode: what holds while it is trained.
    """

    def __init__(self, architecture: Architecture, mode: TrainingMode | None = None) -> None:
        super().__init__()
        stack = architecture.stack
        self.mode = r = mode or TrainingMode()
        self.encoder = build_encoder(architecture.encoder)
        c, spelling = architecture.convolution, architecture.spelling
        self.spelling = None if spelling is None else Speller(spelling)
        self.convolution = None if c is None else StepConvolution(c, architecture.encoded_size)
        vectors = architecture.encoder.kind != "features" and c is None  # of length 1; else numbers of size 1
        self.recurrent = build_layers(
            stack,
            architecture.input_size,
            INPUT_BOUND if vectors else (3 / architecture.input_size) ** 0.5,
            dropout=r.dropout if stack.num_layers > 1 else 0.0,
            input_dropout=r.input_dropout,
            variational=r.variational_dropout,
            weight_dropout=r.weight_dropout,
            compute_dtype=r.compute_dtype,
        )
        self.readout = StepReadout(architecture.readout, stack.output_size, len(stack.directions))
        self.tied = architecture.head.tied
        self.skip = architecture.skip
        self.head = LinearHead(architecture.head, architecture.head_size, self._shared())

    def _shared(self) -> nn.Parameter | None:
        if not self.tied:
            return None
        assert isinstance(self.encoder, nn.Embedding)  # `Architecture` sees to it
        weight = self.encoder.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def forward(
        self,
        inputs: Tensor,
        states: Sequence[Tensor] | None = None,
        lengths: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        """Scores [T, B, classes] or [B, classes], the states after them, and what the penalties add to the loss.

        Args:
            inputs: token numbers [T, B]; features [T, B, F]; or numbers of words and of their characters [T, B, 1 + L].
            states: what an earlier call returned; None starts from zero.
            lengths: the number of steps that count in each row [B]; None means T.
            targets: the class of every step [T, B]: instead of scores their mean cross-entropy is returned, of the steps
                that count.
        """
        features, after, penalty = self._features(self.encode(inputs), states, lengths)
        if targets is None:
            return self.head(features, self._shared()), after, penalty
        features, targets = counted(lengths, features, targets)
        return self.head.cross_entropy(features, self._shared(), targets), after, penalty

    def encode(self, inputs: Tensor) -> Tensor:
        """Inputs of steps as vectors [T, B, E]."""
        if self.spelling is None:
            return self.encoder(inputs)
        return torch.cat([self.encoder(inputs[..., 0]), self.spelling(inputs[..., 1:])], -1)

    def read(
        self, x: Tensor, states: Sequence[Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        """As `forward`, of vectors [T, B, E]."""
        features, after, penalty = self._features(x, states, lengths)
        return self.head(features, self._shared()), after, penalty

    def _features(
        self, x: Tensor, states: Sequence[Tensor] | None, lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        """What the head reads, of vectors [T, B, E]."""
        if self.convolution is not None:
            x, lengths = self.convolution(x, lengths)
        # A cell with one state takes and gives a tensor, as torch.nn.GRU does; here states are always a tuple.
        before = states[0] if states is not None and len(states) == 1 else states
        outputs, after = self.recurrent(x, before, lengths=lengths)
        after = (after,) if isinstance(after, Tensor) else tuple(after)
        r = self.mode
        if self.readout.kind == "steps":
            read = dropped = drop(outputs, r.dropout, self.training, r.variational_dropout)
        else:
            dropped, read = outputs, F.dropout(self.readout(outputs, lengths), r.dropout, self.training)
        if self.skip:
            read = torch.cat([read, x], -1)
        penalty = None
        if self.training and (r.activation_penalty or r.temporal_penalty):
            temporal = temporal_activation_penalty(outputs, lengths)
            penalty = r.activation_penalty * activation_penalty(dropped, lengths) + r.temporal_penalty * temporal
        return read, after, penalty


def export_weights(network: Network) -> dict[str, np.ndarray]:
    """The trained arrays by name, as float32 on the CPU."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in network.state_dict().items()}
