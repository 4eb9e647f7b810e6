"""Training of a language model: what the loop needs to know about it. Imports torch; `language` does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.encode import encode_text, fingerprint
from ..data.streams import Streams, Window
from ..data.text import TextLike, open_text
from ..data.vocabulary import Vocabulary
from ..errors import FileError, GatewiseError
from ..runtime.architecture import Architecture
from ..training import checkpoint as checkpoints
from ..training.loop import Options, Trainer
from .network import Network, Regularisation, export_weights

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
        regularisation: what is done while training.
        compute_dtype: the operands of the recurrent layers' products, as in `gatewise.nn.Recurrent`.
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
        regularisation: Regularisation | None = None,
        compute_dtype: str = "float32",
    ) -> None:
        held_out = int(len(tokens) * validation_fraction)
        kept = len(tokens) - held_out
        if kept <= bptt:
            raise GatewiseError(
                f"the text is too short: {kept:,} {unit} to train on{' and ' if held_out else ''}"
                f"{f'{held_out:,} held out' if held_out else ''}; one window needs {bptt + 1:,} (bptt={bptt})"
            )
        self.architecture = architecture
        self.regularisation = regularisation
        self.compute_dtype = compute_dtype
        self.unit = unit
        self.training = Streams(tokens[:kept], batch_size, bptt)
        # One token of overlap, so that the first held-out token is predicted too.
        self.validation = Streams(tokens[kept - 1 :], batch_size, VALIDATION_STEPS) if held_out else None
        self.steps_per_epoch = len(self.training)

    def build_network(self) -> Network:
        return Network(self.architecture, self.regularisation, self.compute_dtype)

    def batch(self, epoch: int, index: int, device: torch.device) -> Batch:
        return _to_tensors(self.training[index], device)

    def loss(
        self, network: nn.Module, batch: Batch, carried: Sequence[Tensor] | None
    ) -> tuple[Tensor, int, tuple[Tensor, ...]]:
        inputs, targets, lengths = batch
        scores, states, penalty = network(inputs, carried, lengths)
        if lengths is None:
            scores, targets = scores.flatten(0, 1), targets.flatten()
        else:
            counts = torch.arange(len(inputs), device=inputs.device)[:, None] < lengths
            scores, targets = scores[counts], targets[counts]
        loss = F.cross_entropy(scores, targets)
        return loss if penalty is None else loss + penalty, len(targets), tuple(state.detach() for state in states)

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


def train(
    model: LanguageModel, source: TextLike, *, checkpoint: Path | None, resume: bool, checkpoint_seconds: float
) -> tuple[Vocabulary, Architecture, dict[str, np.ndarray], list[dict[str, Any]], dict[str, Any]]:
    """What `LanguageModel.fit` does: returns the vocabulary, the architecture, the weights, the history, the facts."""
    text = open_text(source)
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
        regularisation=Regularisation(**{part.name: getattr(model, part.name) for part in fields(Regularisation)}),
        compute_dtype=model.compute_dtype,
    )
    options = Options(**{option.name: getattr(model, option.name) for option in fields(Options)})
    job = {
        "task": "language",
        "hyperparameters": model.plain_params(),
        "architecture": architecture.to_json(),
        "paths": [str(path.resolve()) for path in text.paths],
        "fingerprint": fingerprint(tokens),
    }
    snapshot = None
    if resume and checkpoint is not None and checkpoint.exists():
        found, snapshot = checkpoints.load(checkpoint)
        _check_same_job(checkpoint, found, job)
    trainer = Trainer(task, options, job=job, checkpoint_path=checkpoint, checkpoint_seconds=checkpoint_seconds)
    network = trainer.fit(snapshot)
    assert isinstance(network, Network)
    position = trainer.position
    facts = {
        "steps": position.step,
        "seconds": round(position.seconds, 3),
        "tokens": len(tokens),
        "unit": vocabulary.unit,
        "validation_loss": position.best_loss,
        "stopped": position.stopped,
    }
    return vocabulary, architecture, export_weights(network), position.history, facts


def _check_same_job(path: Path, found: dict[str, Any], job: dict[str, Any]) -> None:
    """Raise a `FileError` unless the checkpoint belongs to this text and this network."""
    if found.get("task") != job["task"]:
        raise FileError(f"{path} is a checkpoint of the task {found.get('task')!r}, not {job['task']!r}")
    for name in KEPT_ON_RESUME:
        before, now = found["hyperparameters"].get(name), job["hyperparameters"][name]
        if before != now:
            raise FileError(f"{path} was trained with {name}={before}, not {now}: it cannot go on with another one")
    if found["fingerprint"] != job["fingerprint"]:
        raise FileError(f"{path} was trained on another text, or the text has changed since")
    if Architecture.from_json(found["architecture"]) != Architecture.from_json(job["architecture"]):
        raise FileError(f"{path} is of another network: cell, sizes and layers must be the same to go on")


def resume_from(checkpoint: Path, model_type: type[LanguageModel], *, verbose: bool = True) -> LanguageModel:
    """Go on with a checkpoint alone: it knows the files and the hyper-parameters.

    Raises:
        FileError: it is not a checkpoint of a language model, or its text was not in files.
    """
    job, _ = checkpoints.load(checkpoint)
    if not job["paths"]:
        raise FileError(
            f"{checkpoint} was made from a string in Python, not from files: "
            "call fit(text, checkpoint=..., resume=True) there"
        )
    cell = Architecture.from_json(job["architecture"]).stack.cell
    model = model_type.from_plain_params({**job["hyperparameters"], "verbose": verbose}, cell)
    return model.fit([Path(path) for path in job["paths"]], checkpoint=checkpoint, resume=True)
