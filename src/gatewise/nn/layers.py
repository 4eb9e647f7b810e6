"""LSTM, GRU and RNN with the constructors, calls, outputs and state_dict of their torch.nn namesakes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GatewiseError
from .recurrent import Recurrent
from .standard import STANDARD, Standard


class _TorchLayer(Recurrent):
    """Keeps torch's parameters (two biases) and hands them to the cell in its form. Beyond torch's arguments there is
    `compute_dtype`, as in `Recurrent`."""

    def __init__(self, cell: str, *args: Any, **kwargs: Any):
        self.standard = STANDARD[cell]
        super().__init__(cell, *args, **kwargs)

    def _plan_runs(self) -> None:
        super()._plan_runs()
        self._names = {ending: self._torch_names(ending) for _, _, ending in self.runs}

    def _torch_names(self, ending: str) -> list[str]:
        names = ["weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ())]
        return [n + ending for n in [*names, *(("weight_hr",) if "proj_size" in self.sizes else ())]]

    def _shapes(self, layer: int, ending: str) -> dict[str, tuple[int, ...]]:
        rows = self.standard.gates * self.hidden_size
        width = self.sizes[self.cell.output_dim]
        shapes = {
            "weight_ih": (rows, self.layer_sizes(layer)["input_size"]),
            "weight_hh": (rows, width),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
            "weight_hr": (width, self.hidden_size),
        }
        return {name: shapes[name.removesuffix(ending)] for name in self._names[ending]}

    def reset_parameters(self) -> None:
        """torch.nn's own start: uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for value in self.parameters():
            nn.init.uniform_(value, -bound, bound)

    def cell_parameters(self, layer: int, ending: str) -> list[Tensor]:
        return self.standard.from_torch(self._own(ending))

    def _own(self, ending: str) -> list[Tensor]:
        own: dict[str, Any] = self._parameters  # attributes of modules are looked for everywhere else first
        return [own[n] if n in own else getattr(self, n) for n in self._names[ending]]

    def _weights(self, layer: int, ending: str) -> tuple[list[Tensor], Standard | None]:
        if self.weight_dropout:
            return super()._weights(layer, ending)
        return self._own(ending), self.standard

    @property
    def all_weights(self) -> list[list[Tensor]]:
        return [self._own(ending) for _, _, ending in self.runs]

    @property
    def proj_size(self) -> int:
        return self.sizes.get("proj_size", 0)

    def flatten_parameters(self) -> None:
        """Nothing to do: weights are packed by the kernels. Here so that code written for torch.nn runs."""

    def extra_repr(self) -> str:
        return super().extra_repr().partition(", ")[2]


class LSTM(_TorchLayer):
    """torch.nn.LSTM on fused CPU kernels: same constructor, call, outputs and state_dict.

    Call with x [T, B, input_size] (or unbatched, batch_first, packed) and optionally (h_0, c_0), each [num_layers *
    directions, B, width]; returns y and (h_n, c_n). `lengths` [B] may be given for a padded batch.
    Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000; proj_size: Sak et al. 2014.

        >>> y, (h, c) = LSTM(8, 16, num_layers=2)(torch.zeros(5, 3, 8))
        >>> y.shape, h.shape
        (torch.Size([5, 3, 16]), torch.Size([2, 3, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        compute_dtype: str = "float32",
    ):
        if proj_size and not 0 < proj_size < hidden_size:
            raise GatewiseError(f"proj_size must be 0 or smaller than hidden_size {hidden_size}, got {proj_size}")
        extra = {"proj_size": proj_size} if proj_size else {}
        super().__init__(
            "projected_lstm" if proj_size else "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            compute_dtype=compute_dtype,
            **extra,
        )


class _OneState(_TorchLayer):
    def _as_given(self, finals: tuple[Tensor, ...]) -> Tensor:
        return finals[0]


class GRU(_OneState):
    """torch.nn.GRU on fused CPU kernels: same constructor, call, outputs and state_dict (Cho et al. 2014, version 3).

    Call with x [T, B, input_size] and optionally h_0 [num_layers * directions, B, hidden_size]; returns y and h_n.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        compute_dtype: str = "float32",
    ):
        super().__init__(
            "gru",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            compute_dtype=compute_dtype,
        )


class RNN(_OneState):
    """torch.nn.RNN on fused CPU kernels: same constructor, call, outputs and state_dict (Elman 1990).

    nonlinearity: "tanh" or "relu". Call with x [T, B, input_size] and optionally h_0; returns y and h_n.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        compute_dtype: str = "float32",
    ):
        found = {"tanh": "rnn", "relu": "rnn_relu"}
        if nonlinearity not in found:
            raise GatewiseError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            found[nonlinearity],
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            compute_dtype=compute_dtype,
        )
