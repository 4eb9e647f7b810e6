"""Command-line options from an estimator's constructor: names, types, defaults and help are written there only."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal

import click

from .. import cells
from ..errors import meant
from ..tasks.estimator import Estimator


class SizesType(click.ParamType):
    """``name=number``, several joined by commas."""

    name = "name=number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:
        if isinstance(value, Mapping):
            return dict(value)
        try:
            pairs = [item.split("=") for item in value.split(",")]
            return {name.strip(): int(number) for name, number in pairs}
        except ValueError:
            self.fail(f"{value!r} is not name=number, such as proj_size=64", param, ctx)


class CellsType(click.ParamType):
    """Names of built-in cells, joined by commas."""

    name = "cell,cell,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        chosen = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        for name in chosen or [""]:
            if name not in cells.names():
                self.fail(f"there is no cell {name!r}; `gatewise cells` lists them{meant(name, cells.names())}", param, ctx)
        return chosen


class OptionalType(click.ParamType):
    """A number, or ``none`` for None."""

    def __init__(self, kind: type) -> None:
        self.number = click.types.convert_type(kind)
        self.name = f"{self.number.name}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value in (None, "none") else self.number.convert(value, param, ctx)


def estimator_options(estimator: type[Estimator], leave_out: Sequence[str] = ()) -> Callable[[click.Command], click.Command]:
    """A decorator that gives a command one option for every hyper-parameter of an estimator, but for some."""
    helps, hints = estimator.parameter_help(), typing.get_type_hints(estimator)
    bare = {f.name: f.metadata["bare"] for f in fields(estimator)}

    def add(command: click.Command) -> click.Command:
        for name, parameter in estimator.parameters().items():
            if name in leave_out:
                continue
            command.params.append(_option(name, hints[name], parameter.default, helps[name], bare[name]))
        return command

    return add


def _option(name: str, hint: Any, default: Any, text: str, bare: Any) -> click.Option:
    flag = name.replace("_", "-")
    kind = _click_type(name, hint)
    declaration = f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}"
    return click.Option(
        [declaration, name],
        type=kind,
        default=default,
        show_default="none" if default is None else True,
        help=text,
        **({} if bare is None else {"is_flag": False, "flag_value": bare}),
        metavar="CELL" if name == "cell" else None,  # click would write out all the names
    )


def _click_type(name: str, hint: Any) -> Any:
    if name == "cell":  # a record made in Python cannot be typed on a command line; a name can
        return click.Choice(cells.names())
    if name == "cell_sizes":
        return SizesType()
    if name == "class_weight":  # a dict of weights needs Python
        return click.Choice(("balanced",))
    kinds = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    (kind,) = (kind for kind in kinds if kind is not NoneType)
    if typing.get_origin(kind) is Literal:
        return click.Choice(typing.get_args(kind))
    return OptionalType(kind) if NoneType in kinds else kind
