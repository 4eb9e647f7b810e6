"""A trained estimator examined on data: batches of its own task for `gatewise.inspect.diagnosis`. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.sequences import read_sequences
from ..data.text import TextLike, open_text
from ..errors import GatewiseError
from ..inspect.diagnosis import Diagnosis, examine, measure_padding
from ..inspect.measures import Memory, Padding
from ..training.loop import Task
from .explanation import load_network
from .forecast_training import ForecastTask
from .language_training import LanguageTask
from .sequence_training import SequenceTask

if TYPE_CHECKING:
    from .forecaster import Forecaster
    from .language import LanguageModel
    from .model import Model
    from .sequences import SequenceModel

ROWS = 16  # that are examined side by side
LONGEST = 512  # steps
WINDOWS = 8  # windows of training: how many steps are examined
BATCHES = 12  # of which gradient norms are taken
MOST_TOKENS = 400_000  # of a text that are read
MOST_SEQUENCES = 512  # that are looked at for padding

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Material:
    """What an estimator is examined on.

    Attributes:
        long: sequences as long as may be, one batch. training: as they are in training.
        carried: whether states go on from batch to batch. padding: see `Padding`.
    """

    long: Task
    training: Task
    carried: bool = False
    padding: Padding | None = None


def diagnose_model(model: Model, material: Material) -> Diagnosis:
    """Measure a trained estimator on what its data gave, and judge."""
    network = load_network(model)
    batch = material.long.batch(0, 0, CPU)

    def run_loss() -> Tensor:
        return material.long.loss(network, batch, None)[0]

    measures = examine(network.recurrent, run_loss, run_loss)
    network.zero_grad()
    measures.window, measures.padding = model.training_window, material.padding
    measures.pooled = model.architecture_.readout.kind in ("mean", "max", "attention")
    measures.norms = _norms(network, material.training)
    if model.clip_value is None and model.clip_norm is not None:
        measures.clip_norm = model.clip_norm
        measures.clipped = float(np.mean([norm > model.clip_norm for norm in measures.norms]))
    if material.carried and measures.window is not None:
        measures.memory = _memory(network, material.training, measures.window)
    return Diagnosis.of(measures)


def _norms(network: nn.Module, task: Task) -> list[float]:
    """The norm of the gradient of some batches."""
    found, carried = [], None
    for index in range(min(BATCHES, task.steps_per_epoch)):
        network.zero_grad()
        loss, _, carried = task.loss(network, task.batch(0, index, CPU), carried)
        loss.backward()
        found.append(float(nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])))
    network.zero_grad()
    return found


def _memory(network: nn.Module, task: Task, window: int) -> Memory | None:
    """What the state that is carried from window to window is worth; the first window has none."""
    losses, carried = [], None
    with torch.no_grad():
        for index in range(min(BATCHES, task.steps_per_epoch)):
            batch = task.batch(0, index, CPU)
            with_state, _, after = task.loss(network, batch, carried)
            if carried is not None:
                losses.append((with_state.item(), task.loss(network, batch, None)[0].item()))
            carried = after
    if not losses:
        return None
    old, new = np.mean(losses, 0).tolist()
    return Memory(window, old, new)


def language_material(model: LanguageModel, text: TextLike) -> Material:
    """Of a text: a path, several, or the text itself."""
    source = open_text(text)
    numbers: list[np.ndarray] = []
    for piece in model.vocabulary_.encode_pieces(source.pieces()):
        numbers.append(piece)
        if sum(map(len, numbers)) >= MOST_TOKENS:
            break
    tokens = np.concatenate([np.empty(0, np.int64), *numbers])[:MOST_TOKENS]
    unit = model.vocabulary_.unit
    rows = max(1, min(ROWS, len(tokens) // (2 * model.bptt)))
    if len(tokens) <= 2 * model.bptt:
        raise GatewiseError(f"{source.describe()} has {len(tokens):,} {unit}; at least {2 * model.bptt + 1:,} are needed")
    steps = min(LONGEST, WINDOWS * model.bptt, (len(tokens) - 1) // rows)

    def task(batch_size: int, bptt: int) -> LanguageTask:
        return LanguageTask(tokens, model.architecture_, unit, bptt=bptt, batch_size=batch_size, validation_fraction=0.0)

    training = task(max(1, min(model.batch_size, len(tokens) // (2 * model.bptt))), model.bptt)
    return Material(task(rows, steps), training, carried=True)


def sequence_material(model: SequenceModel, X: Any, y: Any) -> Material:
    """Of sequences, and of what belongs to each; where that is not given, of what the model says."""
    sequences = read_sequences(X)
    items, targets = model.encode(sequences), model.known_targets(model.predict(X) if y is None else y, sequences)
    longest = np.argsort([len(item) for item in items], kind="stable")[-ROWS:]
    steps = isinstance(targets, list)  # labels of steps: none can be cut off

    def task(rows: np.ndarray, batch_size: int, most: int | None = None) -> SequenceTask:
        return SequenceTask(
            [items[row][:most] for row in rows],
            [targets[row] for row in rows] if steps else targets[rows],
            np.ones(len(rows)),
            model.architecture_,
            model.objective,
            np.zeros(len(rows), bool),
            batch_size=batch_size,
            seed=model.seed,
        )

    padding = None
    if sequences.kind == "features" and not steps:
        padding = measure_padding(items[:MOST_SEQUENCES], getattr(model, "predict_proba", model.predict))
    long = task(longest, len(longest), None if steps else LONGEST)
    return Material(long, task(np.arange(len(items)), model.batch_size), padding=padding)


def forecast_material(model: Forecaster, data: Any) -> Material:
    """Of series: those of fit for None."""
    windows = model.windows(model.read_series(data)[0])

    def task(context: int, batch_size: int) -> ForecastTask:
        return ForecastTask(
            windows, context, model.architecture_, model.distribution, batch_size=batch_size, seed=model.seed
        )

    steps = min(LONGEST, WINDOWS * model.context, max(len(w.inputs) - 1 for w in windows))
    return Material(task(steps, ROWS), task(model.context, model.batch_size))
