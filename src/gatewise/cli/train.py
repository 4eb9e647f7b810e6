"""``gatewise train TASK``: fit an estimator to files, and write the model."""

from __future__ import annotations

from .application import LazyGroup

command = LazyGroup(
    "train",
    modules={
        "language": "gatewise.cli.train_language",
        "classify": "gatewise.cli.train_classify",
        "regress": "gatewise.cli.train_regress",
        "tag": "gatewise.cli.train_tag",
        "forecast": "gatewise.cli.train_forecast",
    },
    help="Train a model.",
)
