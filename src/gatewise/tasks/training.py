"""From a model and its task to a trained network: what every task's training has in common. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import FileError
from ..runtime.architecture import Architecture
from ..training import checkpoint as checkpoints
from ..training.loop import Task, Trainer
from .model import Model, Trained
from .network import Network, export_weights


def train(
    model: Model,
    task: Task,
    architecture: Architecture,
    *,
    fingerprint: str,
    kept_on_resume: Sequence[str],
    facts: dict[str, Any],
    paths: Sequence[Path] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
) -> Trained:
    """Train the network of an architecture.

    Args:
        fingerprint: a digest of the data, by which a resumed run knows that they are the same.
        kept_on_resume: the hyper-parameters that a resumed run must have as they were, since batches depend on them.
        facts: what the task adds to the facts of the training.
        paths: the files that the data came from, for `gatewise resume`.
        checkpoint, resume, checkpoint_seconds: as in `LanguageModel.fit`.
    """
    job = {
        "task": model.task,
        "hyperparameters": model.plain_params(),
        "architecture": architecture.to_json(),
        "paths": [str(path.resolve()) for path in paths],
        "fingerprint": fingerprint,
    }
    snapshot = None
    if resume and checkpoint is not None and checkpoint.exists():
        found, snapshot = checkpoints.load(checkpoint)
        _check_same_job(checkpoint, found, job, kept_on_resume)
    trainer = Trainer(
        task, model.build_options(), job=job, checkpoint_path=checkpoint, checkpoint_seconds=checkpoint_seconds
    )
    network = trainer.fit(snapshot)
    assert isinstance(network, Network)
    position = trainer.position
    ended = {
        "steps": position.step,
        "seconds": round(position.seconds, 3),
        "validation_loss": position.best_loss,
        "stopped": position.stopped,
    }
    return Trained(architecture, export_weights(network), position.history, {**ended, **facts})


def _check_same_job(path: Path, found: dict[str, Any], job: dict[str, Any], kept: Sequence[str]) -> None:
    """Raise a `FileError` unless the checkpoint belongs to these data and this network."""
    if found.get("task") != job["task"]:
        raise FileError(f"{path} is a checkpoint of the task {found.get('task')!r}, not {job['task']!r}")
    for name in kept:
        before, now = found["hyperparameters"].get(name), job["hyperparameters"][name]
        if before != now:
            raise FileError(f"{path} was trained with {name}={before}, not {now}: it cannot go on with another one")
    if found["fingerprint"] != job["fingerprint"]:
        raise FileError(f"{path} was trained on other data, or the data have changed since")
    if Architecture.from_json(found["architecture"]) != Architecture.from_json(job["architecture"]):
        raise FileError(f"{path} is of another network: cell, sizes and layers must be the same to go on")
