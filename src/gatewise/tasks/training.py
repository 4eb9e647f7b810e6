"""From a model and its task to a trained network: what every task's training has in common. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import FileError, ParameterError
from ..inspect.recorder import Recorder, read_watch, watch_beside
from ..modelfile import estimator_of
from ..runtime.architecture import Architecture
from ..training import checkpoint as checkpoints
from ..training.loop import Task, Trainer
from .model import Model, Run, Trained
from .network import Network, export_weights


def train(
    model: Model,
    task: Task,
    architecture: Architecture,
    *,
    fingerprint: str,
    kept_on_resume: Sequence[str],
    facts: dict[str, Any],
    run: Run,
) -> Trained:
    """Train the network of an architecture.

    Args:
        fingerprint: a digest of the data, by which a resumed run knows that they are the same.
        kept_on_resume: the hyper-parameters that a resumed run must have as they were, since batches depend on them.
        facts: what the task adds to the facts of the training.
    """
    job = {
        "task": model.task,
        "hyperparameters": model.plain_params(),
        "architecture": architecture.to_json(),
        "source": run.source,
        "fingerprint": fingerprint,
    }
    snapshot = None
    if run.resume and run.checkpoint is not None and run.checkpoint.exists():
        found, snapshot = checkpoints.load(run.checkpoint)
        _check_same_job(run.checkpoint, found, job, kept_on_resume)
    trainer = Trainer(
        task,
        model.build_options(),
        job=job,
        checkpoint_path=run.checkpoint,
        checkpoint_seconds=run.seconds,
        observer=_recorder(model, run),
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


def _recorder(model: Model, run: Run) -> Recorder | None:
    """What writes down how the training looks from the inside, if that is wanted; a resumed run goes on as it began."""
    if run.checkpoint is None:
        if model.watch is not None:
            raise ParameterError("watch writes a file beside the checkpoint: give fit a checkpoint=")
        return None
    path, every = watch_beside(run.checkpoint), model.watch
    if every is None and path.exists():
        if run.resume and run.checkpoint.exists():
            every = int(read_watch(path).facts["every"])
        else:
            path.unlink()  # of another run
    if every is None:
        return None
    clip_norm = model.clip_norm if model.clip_value is None else None
    facts = {"task": model.task, "clip_norm": clip_norm, "window": model.training_window}
    return Recorder(path, every, **facts)


def resume_from(checkpoint: Path, *, verbose: bool = True) -> Model:
    """Go on with a checkpoint alone: it knows the estimator, its hyper-parameters and the files.

    Raises:
        FileError: it is not a checkpoint, or its data were not in files.
    """
    job, _ = checkpoints.load(checkpoint)
    source = job.get("source")
    if source is None:
        raise FileError(
            f"{checkpoint} was made of data in Python, not of files: call fit(..., checkpoint=..., resume=True) there"
        )
    cell = Architecture.from_json(job["architecture"]).stack.cell
    model = estimator_of(job["task"]).from_plain_params({**job["hyperparameters"], "verbose": verbose}, cell)
    return model.fit_source(source, checkpoint=checkpoint, resume=True)


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
