"""``gatewise train TASK``: fit an estimator to files, and write the model."""

from __future__ import annotations

from .application import LazyGroup

command = LazyGroup(
    "train",
    modules={"language": "gatewise.cli.train_language"},
    help="Train a model.",
)
