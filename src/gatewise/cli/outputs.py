"""Options that name a file to be written: that it can be is looked at before any work is done."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..figure import check_figure
from ..tensorfile import check_replaceable, check_writable, write_atomically


class OutputPath(click.ParamType):
    """A file that can be written; with ``figure`` a picture, with ``model`` nothing is written over but a model."""

    name = "path"

    def __init__(self, figure: bool = False, model: bool = False) -> None:
        self.figure, self.model = figure, model

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if self.figure:
            check_figure(path)
        check_writable(path)
        if self.model:
            check_replaceable(path)
        return path


def model_option(help: str = "Where to write the model, a .safetensors file.", required: bool = True) -> Callable[..., Any]:
    """``-o MODEL``, as ``output``."""
    return click.option("-o", "--output", required=required, type=OutputPath(model=True), metavar="MODEL", help=help)


def json_option(help: str) -> Callable[..., Any]:
    """``--json JSON``, as ``record``."""
    return click.option("--json", "record", type=OutputPath(), metavar="JSON", help=help)


def write_json(path: Path, record: Any) -> None:
    """Write figures; one that is not defined, such as the MASE of a constant series, is null."""
    write_atomically(path, json.dumps(_defined(record), indent=2).encode())


def _defined(record: Any) -> Any:
    if isinstance(record, dict):
        return {name: _defined(value) for name, value in record.items()}
    if isinstance(record, list):
        return [_defined(value) for value in record]
    return None if isinstance(record, float) and not math.isfinite(record) else record


def plot_option(help: str) -> Callable[..., Any]:
    """``--plot PNG``, as ``plot``."""
    return click.option("--plot", type=OutputPath(figure=True), metavar="PNG", help=help)
