"""The cells, a family a file: read these first.

`get("lstm")` gives a built-in cell's record, `get("lstm", forget_bias=2.0)` the same with a hyper-parameter bound.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ..errors import GatewiseError, meant
from ..ir import Cell, Recipe
from ..ir.cell import HIDDEN, INPUT
from . import additive, dynamical, elman, gru, independent, lstm

FAMILIES = (elman, lstm, gru, additive, independent, dynamical)
RECIPES: dict[str, Recipe] = {
    name: value for family in FAMILIES for name, value in vars(family).items() if isinstance(value, Recipe)
}


def names() -> list[str]:
    """The built-in cells, family by family."""
    return list(RECIPES)


def get(cell: str | Cell | Recipe, **hyper: Any) -> Cell:
    """The record of a cell: a built-in one by name, a recipe made with `@cell`, or a record as it is."""
    if isinstance(cell, Cell):
        if hyper:
            raise GatewiseError(f"cell {cell.name!r} is made already; its hyper-parameters cannot be set any more")
        return cell
    if isinstance(cell, Recipe):
        return cell(**hyper)
    if cell not in RECIPES:
        raise GatewiseError(f"there is no built-in cell {cell!r}; there are: {', '.join(RECIPES)}{meant(cell, RECIPES)}")
    return _built_in(cell, tuple(sorted(hyper.items())))


def typical_sizes(cell: Cell, input_size: int, hidden_size: int) -> dict[str, int]:
    """A size for every dim of a cell: what is not the input or the hidden size is half of the hidden size."""
    other = dict.fromkeys(cell.dims, max(1, hidden_size // 2))
    return {**other, INPUT: input_size, HIDDEN: hidden_size}


@cache
def _built_in(name: str, hyper: tuple[tuple[str, Any], ...]) -> Cell:
    return RECIPES[name](**dict(hyper))
