"""Training on labelled sequences: what the loop needs to know about them. Imports torch; `sequences` does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.encode import fingerprint
from ..data.sequences import Buckets, by_length, pad
from ..errors import GatewiseError
from ..runtime.architecture import Architecture
from .model import Run, Trained
from .network import Network, Standardise, TrainingMode, counted
from .sequences import KEPT_ON_RESUME, SequenceModel
from .training import train

Batch = tuple[Tensor, Tensor | None, Tensor, Tensor]  # inputs, lengths, targets, weights


def _numbers(rule: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda scores, targets: rule(scores, targets, reduction="none").mean(-1)


# Scores and targets to the loss of each sequence, or of each step where there are scores for steps.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": lambda scores, targets: F.binary_cross_entropy_with_logits(scores[:, 0], targets.float(), reduction="none"),
    "classes": lambda scores, targets: F.cross_entropy(scores, targets, reduction="none"),
    "tags": lambda scores, targets: F.cross_entropy(scores, targets, reduction="none"),
    "squared_error": _numbers(F.mse_loss),
    "absolute_error": _numbers(F.l1_loss),
    "huber": _numbers(F.huber_loss),
}


class SequenceTask:
    """Predict what belongs to each sequence; implements `gatewise.training.loop.Task`.

    Args:
        items: token numbers [T] or features [T, F] of every sequence.
        targets: an array of all, or, for labels of steps, a list of arrays [T].
        weights: how much each sequence counts [N]; scaled here so that their mean is 1.
        objective: a name in `LOSSES`.
        held_out: which sequences only measure the loss [N].
        step_weights: for labels of steps, the weight of each class.
    """

    unit = "sequences"

    def __init__(
        self,
        items: Sequence[np.ndarray],
        targets: Any,
        weights: np.ndarray,
        architecture: Architecture,
        objective: str,
        held_out: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        mode: TrainingMode | None = None,
        step_weights: np.ndarray | None = None,
    ) -> None:
        self.items, self.targets, self.architecture, self.objective = items, targets, architecture, objective
        self.mode, self.batch_size = mode, batch_size
        self.training, self.held_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self.weights = (weights / weights[self.training].mean()).astype(np.float32)
        self.step_weights = None if step_weights is None else torch.from_numpy(step_weights.astype(np.float32))
        self.lengths = np.array([len(item) for item in items])
        self.buckets = Buckets(self.lengths[self.training], batch_size, seed)
        self.steps_per_epoch = len(self.buckets)

    def build_network(self) -> Network:
        network = Network(self.architecture, self.mode)
        if isinstance(network.encoder, nn.Embedding):  # <unk>: no training sequence has it, so it must say nothing
            with torch.no_grad():
                network.encoder.weight[0] = 0.0
        if isinstance(network.encoder, Standardise):
            total, squares, count = 0.0, 0.0, 0
            for row in self.training:  # one after another: all of them side by side may be large
                item = self.items[int(row)].astype(np.float64)
                total, squares, count = total + item.sum(0), squares + (item**2).sum(0), count + len(item)
            mean = np.asarray(total / count)
            variance = squares / count - mean**2
            scale = np.where(variance > 1e-12 * np.maximum(mean**2, 1e-12), np.sqrt(np.maximum(variance, 0)), 1.0)
            network.encoder.mean.copy_(torch.from_numpy(mean))
            network.encoder.scale.copy_(torch.from_numpy(scale))
        return network

    def batch(self, epoch: int, index: int, device: torch.device) -> Batch:
        return self._batch(self.training[self.buckets.batch(epoch, index)], device)

    def _batch(self, rows: np.ndarray, device: torch.device) -> Batch:
        inputs, lengths = pad([self.items[row] for row in rows])
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(np.int64)
        targets = pad([self.targets[row] for row in rows])[0] if isinstance(self.targets, list) else self.targets[rows]
        if targets.dtype.kind == "f":
            targets = targets.astype(np.float32)
        arrays = (inputs, targets, self.weights[rows])
        x, y, w = (torch.from_numpy(array).to(device) for array in arrays)
        return x, None if lengths is None else torch.from_numpy(lengths), y, w

    def loss(self, network: nn.Module, batch: Batch, carried: Any) -> tuple[Tensor, int, None]:
        inputs, lengths, targets, weights = batch
        scores, _, penalty = network(inputs, None, lengths)
        count = len(weights)
        if isinstance(self.targets, list):
            scores, targets, weights = counted(lengths, scores, targets, weights.expand(len(inputs), -1))
            if self.step_weights is not None:
                weights = weights * self.step_weights.to(inputs.device)[targets]
        loss = (LOSSES[self.objective](scores, targets) * weights).mean()
        return loss if penalty is None else loss + penalty, count, None

    def validation_loss(self, network: nn.Module, device: torch.device) -> float | None:
        if not len(self.held_out):
            return None
        total = 0.0
        for rows in by_length(self.lengths[self.held_out], 2 * self.batch_size):
            loss, count, _ = self.loss(network, self._batch(self.held_out[rows], device), None)
            total += loss.item() * count
        return total / len(self.held_out)


def train_sequences(
    model: SequenceModel,
    items: list[np.ndarray],
    targets: Any,
    weights: np.ndarray,
    held_out: np.ndarray,
    run: Run,
) -> Trained:
    """What `SequenceModel.fit` does with arrays; which sequences only measure the loss is said by held_out [N]."""
    if not weights[~held_out].any():
        raise GatewiseError("the sequences that are left to train on have weight 0: lower validation_fraction")
    architecture = model.build_architecture()
    task = SequenceTask(
        items,
        targets,
        weights,
        architecture,
        model.objective,
        held_out,
        batch_size=model.batch_size,
        seed=model.seed,
        mode=model.build_training_mode(),
        step_weights=model.step_weights(targets, ~held_out),
    )
    flat = targets if isinstance(targets, list) else [targets]
    return train(
        model,
        task,
        architecture,
        fingerprint=fingerprint(*items, *flat, weights),
        kept_on_resume=KEPT_ON_RESUME,
        facts={"sequences": len(items), "held_out": int(held_out.sum()), "unit": "sequences"},
        run=run,
    )
