"""Training of a language model: what the loop needs to know about it. Imports torch; `language` does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..data.encode import encode_text, fingerprint
from ..data.streams import Streams, Window
from ..data.text import Text
from ..data.vocabulary import Vocabulary
from ..errors import FileError, GatewiseError
from ..runtime.architecture import Architecture
from .model import Run, Trained
from .network import Network, TrainingMode
from .training import train

if TYPE_CHECKING:
    from .language import LanguageModel

VALIDATION_STEPS = 256  # a longer window than in training: no gradient needs memory here

# A resumed run must see the same windows of the same text; all else may be changed, such as a lower learning rate.
KEPT_ON_RESUME = ("level", "vocabulary_size", "bptt", "batch_size", "validation_fraction")

Batch = tuple[Tensor, Tensor, Tensor | None]


class LanguageTask:
    """Predict each token from all before it; implements `gatewise.training.loop.Task`.

    Args:
        tokens: token numbers [N] of the whole text.
        architecture: what to train.
        unit: what a token is called, in the plural.
        bptt, batch_size, validation_fraction: as in `LanguageModel`.
        mode: what is done while training.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        architecture: Architecture,
        unit: str,
        *,
        bptt: int,
        batch_size: int,
        validation_fraction: float,
        mode: TrainingMode | None = None,
    ) -> None:
        held_out = int(len(tokens) * validation_fraction)
        kept = len(tokens) - held_out
        if kept <= bptt:
            raise GatewiseError(
                f"the text is too short: {kept:,} {unit} to train on{' and ' if held_out else ''}"
                f"{f'{held_out:,} held out' if held_out else ''}; one window needs {bptt + 1:,} (bptt={bptt})"
            )
        self.architecture = architecture
        self.mode = mode
        self.unit = unit
        self.training = Streams(tokens[:kept], batch_size, bptt)
        # One token of overlap, so that the first held-out token is predicted too.
        self.validation = Streams(tokens[kept - 1 :], batch_size, VALIDATION_STEPS) if held_out else None
        self.steps_per_epoch = len(self.training)

    def build_network(self) -> Network:
        return Network(self.architecture, self.mode)

    def batch(self, epoch: int, index: int, device: torch.device) -> Batch:
        return _to_tensors(self.training[index], device)

    def loss(
        self, network: nn.Module, batch: Batch, carried: Sequence[Tensor] | None
    ) -> tuple[Tensor, int, tuple[Tensor, ...]]:
        inputs, targets, lengths = batch
        loss, states, penalty = network(inputs, carried, lengths, targets)
        count = targets.numel() if lengths is None else int(lengths.sum())
        return loss if penalty is None else loss + penalty, count, tuple(state.detach() for state in states)

    def validation_loss(self, network: nn.Module, device: torch.device) -> float | None:
        if self.validation is None:
            return None
        total, count, carried = 0.0, 0, None
        for window in self.validation:
            loss, tokens, carried = self.loss(network, _to_tensors(window, device), carried)
            total += loss.item() * tokens
            count += tokens
        return total / count


def _to_tensors(window: Window, device: torch.device) -> Batch:
    arrays = window.inputs, window.targets, window.lengths
    inputs, targets, lengths = (
        None if array is None else torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays
    )
    assert inputs is not None and targets is not None
    return inputs, targets, lengths


def train_language(model: LanguageModel, text: Text, run: Run) -> tuple[Vocabulary, Trained]:
    """What `LanguageModel.fit` does: the vocabulary of the text, and the trained network."""
    vocabulary, tokens = encode_text(text, model.level, model.vocabulary_size)
    if not len(tokens):
        raise FileError(f"{text.describe()} is empty")
    architecture = model.build_architecture(len(vocabulary))
    task = LanguageTask(
        tokens,
        architecture,
        vocabulary.unit,
        bptt=model.bptt,
        batch_size=model.batch_size,
        validation_fraction=model.validation_fraction,
        mode=model.build_training_mode(),
    )
    trained = train(
        model,
        task,
        architecture,
        fingerprint=fingerprint(tokens),
        kept_on_resume=KEPT_ON_RESUME,
        facts={"tokens": len(tokens), "unit": vocabulary.unit},
        run=run,
    )
    return vocabulary, trained
