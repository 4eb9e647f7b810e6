"""Units drawn over a text: the text coloured by the unit, and below it by what the unit follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .view import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .units import UnitRow, Units

COLUMNS, LINES = 96, 4  # of characters, in a panel
INCHES = 4.4  # of the height that a unit takes


def shares(values: np.ndarray) -> np.ndarray:
    """Values [N] from 0, their least, to 1, their largest; 0 where all are the same."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low if high > low else 1.0)


def draw_units(figure: Figure, units: Units, rows: list[UnitRow]) -> None:
    """Draw some of the best units of features over held-out excerpts, two panels each, on an empty figure."""
    from .figures import coloured_text

    panels = figure.subplots(2 * len(rows), 1, squeeze=False).reshape(-1, 2)
    for (above, below), row in zip(panels, rows, strict=True):
        tokens, level, feature = excerpt_of(units, row.feature, COLUMNS * LINES)
        title = f"{row.name} follows {row.feature}: held-out r {row.held_out:.2f}"
        coloured_text(level, tokens, label=title, ax=above, width=COLUMNS)
        coloured_text(shares(feature), tokens, gate=True, label=row.feature, ax=below, width=COLUMNS)


def excerpt_of(units: Units, feature: str, length: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """At most so many characters of held-out tokens, the best unit's values and the feature's at them."""
    where = units.excerpt(feature, length)
    tokens = [visible(token) for token in units.tokens[where]]
    count = int(np.searchsorted(np.cumsum([len(token) for token in tokens]), length, side="right"))
    return tokens[:count], units.series[feature][where][:count], units.features[feature][where][:count].astype(np.float64)
