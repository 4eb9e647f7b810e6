"""Gatewise: recurrent neural networks from their equations.

Write a cell with `@cell`, `gate` and `linear`; run it with `gatewise.nn` (layers for torch), train with an estimator such
as `LanguageModel`, look a model up with `load`. Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._version import __version__

_LANGUAGE = (
    "cell", "gate", "linear", "named", "parameter", "layer_norm", "softmax", "sigmoid", "tanh", "relu", "softplus", "exp",
    "log", "sqrt", "sin", "cos", "minimum", "maximum", "where", "square", "sum_units", "stop_gradient", "window",
)  # fmt: skip
_HOMES = {
    **dict.fromkeys(_LANGUAGE, "ir.trace"),
    "Cell": "ir.cell",
    "CellError": "ir.cell",
    "GatewiseError": "errors",
    "LanguageModel": "tasks.language",
    "Forecaster": "tasks.forecaster",
    "SequenceClassifier": "tasks.classifier",
    "SequenceRegressor": "tasks.regressor",
    "SequenceTagger": "tasks.tagger",
    "load": "modelfile",
}
_ROOMS = ("cells", "checks", "inspect", "nn")

__all__ = ["__version__", *_HOMES, *_ROOMS]  # pyright: ignore[reportUnsupportedDunderAll]  (one list, the table above)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
