"""Units drawn over a text: every character on the colour of its unit's value, what the unit follows underlined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .units import UnitRow, Units

COLUMNS, LINES = 96, 4  # of characters, in a panel
INCHES = 1.6  # of a panel's height
VISIBLE = {"\n": "↵", "\t": "→"}


def shares(values: np.ndarray) -> np.ndarray:
    """Values [N] from 0, their least, to 1, their largest; 0 where all are the same."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low if high > low else 1.0)


def draw_units(figure: Figure, units: Units, rows: list[UnitRow]) -> None:
    """Draw some of the best units of features, a panel each, on an empty figure."""
    for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        draw_unit(axes, units, row)


def draw_unit(axes: Axes, units: Units, row: UnitRow) -> None:
    """Draw the best unit of a feature over a held-out excerpt. The line under a character is the darker, the larger the
    feature."""
    text, level, feature = excerpt_of(units, row.feature, COLUMNS * LINES)
    grid = np.full((LINES, COLUMNS), np.nan)
    at = 0
    for characters, unit, follows in zip(text, level, shares(feature), strict=True):
        for character in characters:
            y, x = divmod(at, COLUMNS)
            grid[y, x] = unit
            axes.text(x, y, character, ha="center", va="center", family="monospace", size=7)
            axes.plot([x - 0.5, x + 0.5], [y + 0.42, y + 0.42], color="black", alpha=float(follows), linewidth=1.5)
            at += 1
    drawn = axes.imshow(grid, cmap="coolwarm", aspect="auto", interpolation="nearest", alpha=0.7)
    axes.figure.colorbar(drawn, ax=axes, pad=0.01)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{row.name} follows {row.feature}: held-out r {row.held_out:.2f}", fontsize="medium", loc="left")


def excerpt_of(units: Units, feature: str, length: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """At most so many characters of held-out tokens, the best unit's values and the feature's at them."""
    where = units.excerpt(feature, length)
    tokens = ["".join(VISIBLE.get(character, character) for character in token) for token in units.tokens[where]]
    count = int(np.searchsorted(np.cumsum([len(token) for token in tokens]), length, side="right"))
    return tokens[:count], units.series[feature][where][:count], units.features[feature][where][:count].astype(np.float64)
