"""The model file: one ``.safetensors`` with the weights and a JSON header that says everything else.

The header holds the task, the architecture with the graph of its cell, the vocabulary, the hyper-parameters and the
training facts. A file whose cell this version never heard of still loads and runs, because the graph is in it.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from . import tensorfile
from .errors import FileError

KIND = "model"
VERSION = 1
TASKS = {
    "language": ("gatewise.tasks.language", "LanguageModel"),
    "classify": ("gatewise.tasks.classifier", "SequenceClassifier"),
    "regress": ("gatewise.tasks.regressor", "SequenceRegressor"),
    "tag": ("gatewise.tasks.tagger", "SequenceTagger"),
    "forecast": ("gatewise.tasks.forecaster", "Forecaster"),
}


def save_model(path: str | os.PathLike[str], task: str, header: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
    """Write a model file, atomically."""
    tensorfile.write(path, KIND, VERSION, {"task": task, **header}, weights)


def estimator_of(task: str) -> Any:
    """The class of a task's estimator."""
    if task not in TASKS:
        raise FileError(f"there is no task {task!r} in this version")
    module, name = TASKS[task]
    return getattr(importlib.import_module(module), name)


def load(path: str | os.PathLike[str], task: str | None = None) -> Any:
    """Load a trained model; the file says which estimator it is. No torch is needed.

    Args:
        path: a file that `save` wrote.
        task: the task it must be for, such as ``"language"``; None takes any.

    Returns:
        The fitted estimator.

    Raises:
        FileError: the file is missing, truncated, not a Gatewise model, of a newer version, or of another task.
    """
    header, weights = tensorfile.read(path, KIND, VERSION)
    found = header.get("task")
    if found not in TASKS:
        raise FileError(f"{path} holds a model for the task {found!r}, which this version does not know")
    if task is not None and found != task:
        raise FileError(f"{path} holds a {TASKS[found][1]}; a {TASKS[task][1]} is needed here")
    try:
        return estimator_of(found).from_record(header, weights)
    except KeyError as error:
        raise FileError(f"{path} has a damaged header: it lacks {error}") from error
