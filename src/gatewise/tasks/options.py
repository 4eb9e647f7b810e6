"""The hyper-parameters that estimators share: what the recurrent layers are, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from .. import cells
from ..ir import Cell
from ..ir.namespaces import ComputeDtype
from ..runtime.architecture import Stack
from .estimator import Estimator, option

if TYPE_CHECKING:
    from ..training.loop import Options
    from .network import TrainingMode


def share(text: str, *, default: float) -> Any:
    """The option of a share or a probability, from 0 to below 1."""
    return option(text, default=default, at_least=0, below=1)


class RecurrentOptions(Estimator):
    """The recurrent layers and their regularisation."""

    cell: str | Cell = option(
        "The recurrent cell: the name of a built-in one (`gatewise cells` lists them), or a record from `gatewise.cell`.",
        default="lstm",
    )
    hidden_size: int = option("Units of a recurrent layer.", default=256, at_least=1)
    num_layers: int = option("Number of recurrent layers.", default=1, at_least=1)
    cell_sizes: Mapping[str, int] | None = option("Further sizes that some cells have, such as proj_size=64.", default=None)
    dropout: float = share("Share of each layer's output that is dropped while training, from 0 to below 1.", default=0.0)
    input_dropout: float = share(
        "Share of the cell's inputs, of the embedding or the one-hot vectors, that is dropped while training.", default=0.0
    )
    variational_dropout: bool = option(
        "Whether dropout uses one mask for all steps of a window (Gal & Ghahramani, arXiv 1512.05287).", default=False
    )
    weight_dropout: float = share(
        "Share of the recurrent matrices' numbers that is dropped, anew for every window (AWD-LSTM, arXiv 1708.02182).",
        default=0.0,
    )
    zoneout: float = share(
        "Share of a layer's states that keep their old value for a step (arXiv 1606.01305), from 0 to below 1.", default=0.0
    )
    activation_penalty: float = option(
        "Weight in the loss of the mean squared output of the last layer (arXiv 1708.01009).", default=0.0, at_least=0
    )
    temporal_penalty: float = option(
        "Weight in the loss of its mean squared change from step to step.", default=0.0, at_least=0
    )

    compute_dtype: ComputeDtype = option(
        "What the operands of the recurrent layers' matrix products are rounded to in training, on a CPU. bfloat16 is "
        "faster and needs a processor with AVX512-BF16, best one with AMX; all else stays as precision says.",
        default="float32",
    )

    def build_stack(self, bidirectional: bool = False) -> Stack:
        """The record of the layers."""
        sizes = dict(self.cell_sizes or {})
        return Stack(cells.get(self.cell), int(self.hidden_size), int(self.num_layers), sizes, self.zoneout, bidirectional)

    def build_training_mode(self) -> TrainingMode:
        """What is done to the network while it is trained."""
        from .network import TrainingMode

        return TrainingMode(**{part.name: getattr(self, part.name) for part in fields(TrainingMode)})

    def plain_params(self) -> dict[str, Any]:
        """The hyper-parameters as JSON values. A cell that is not a built-in one is None: the architecture has it."""
        params = {n: v.item() if isinstance(v, np.generic) else v for n, v in self.get_params().items()}
        weights = params.get("class_weight")
        if isinstance(weights, Mapping):  # a JSON object would make strings of its keys
            plain = [[k.item() if isinstance(k, np.generic) else k, float(w)] for k, w in weights.items()]
            params["class_weight"] = plain
        params["cell"] = self.cell if isinstance(self.cell, str) else None
        params["cell_sizes"] = None if self.cell_sizes is None else dict(self.cell_sizes)
        return params

    @classmethod
    def from_plain_params(cls, params: Mapping[str, Any], cell: Cell) -> Self:
        """An unfitted estimator of what `plain_params` gave; parameters that this version does not have are left."""
        known = {name: value for name, value in params.items() if name in cls.parameters()}
        if isinstance(known.get("class_weight"), list):
            known["class_weight"] = dict(known["class_weight"])
        if known.get("cell") is None:
            known["cell"] = cell
        return cls(**known)


class TrainingOptions(Estimator):
    """How a network is trained."""

    batch_size: int = option("Sequences that are trained side by side.", default=32, at_least=1)
    learning_rate: float = option("Peak learning rate of Adam.", default=1e-2, above=0)
    epochs: int | None = option(
        "Passes over the data. With no other limit given, 10, or as many as make 500 steps.", default=None, at_least=1
    )
    max_steps: int | None = option("Training ends after so many steps.", default=None, at_least=1)
    max_seconds: float | None = option(
        "Training ends after so many seconds. Whichever limit comes first ends it, and the learning rate follows it.",
        default=None,
        above=0,
    )
    warmup: float = share("Share of the training in which the learning rate rises from 0, from 0 to below 1.", default=0.02)
    weight_decay: float = option("Decoupled weight decay (AdamW).", default=0.0, at_least=0)
    clip_norm: float | None = option(
        "Largest global norm of the gradients; above it they are scaled down.", default=1.0, above=0
    )
    clip_value: float | None = option(
        "Largest absolute value of a gradient's elements; when given it replaces clip_norm.", default=None, above=0
    )
    validation_fraction: float = share(
        "Share of the data that is held out to measure the loss. 0 holds nothing out and never stops early.", default=0.1
    )
    validate_every: int | None = option(
        "Steps between validations. None validates after every epoch, and at the end.", default=None, at_least=1
    )
    patience: int | None = option(
        "Validations without a lower loss after which training stops. None never stops early.", default=5, at_least=1
    )
    seed: int = option("Number that fixes the initial weights and the dropout.", default=0, at_least=0, below=2**32)
    device: Literal["auto", "cpu", "cuda", "mps"] = option("Where to train: auto, cpu, cuda or mps.", default="auto")
    precision: Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed"] = option(
        "Arithmetic of training, as Lightning Fabric names it.", default="32-true"
    )
    watch: int | None = option(
        "Write gates and gradients of every so many steps to a file beside the checkpoint, for `gatewise watch`. "
        "As an option without a number: 100.",
        default=None,
        at_least=1,
        bare=100,
    )
    verbose: bool = option("Whether to show progress.", default=True)

    def build_options(self) -> Options:
        """What the training loop is told."""
        from ..training.loop import Options

        return Options(**{part.name: getattr(self, part.name) for part in fields(Options)})
