"""A picture of a forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.panel import Series
from ..errors import ParameterError, require
from ..runtime.distributions import at_level

if TYPE_CHECKING:
    from .forecaster import Forecaster

BANDS = ((0.1, 0.9, 0.2), (0.25, 0.75, 0.35))  # from, to, how dark


def draw_forecast(
    model: Forecaster,
    series: Sequence[Series],
    known: Mapping[str, np.ndarray | None],
    horizon: int,
    ax: Any,
    past: int,
) -> np.ndarray:
    """What `Forecaster.plot` does."""
    require("matplotlib", "plot", "drawing a figure")
    targets = model.columns_.targets
    wanted = len(series) * len(targets)
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3 * wanted), layout="constrained")
        ax = figure.subplots(wanted, 1, squeeze=False)
    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) != wanted:
        raise ParameterError(f"ax has {len(axes)} axes; {len(series)} series of {len(targets)} targets need {wanted}")
    places = iter(axes)
    for s in series:
        found = model.forecasts(s, np.array([len(s) - 1]), known[s.key], horizon)
        stamps = model.step_.after(s.stamps[-1], horizon)
        for at, target in enumerate(targets):
            axis, y = next(places), s.targets[-past:, at]
            axis.plot(s.stamps[-past:], y, color="black", linewidth=1, label="past")
            for low, high, dark in BANDS:
                a, b = (at_level(found.quantiles[0, :, at], level) for level in (low, high))
                axis.fill_between(stamps, a, b, color="C0", alpha=dark, linewidth=0, label=f"{high - low:.0%}")
            axis.plot(stamps, at_level(found.quantiles[0, :, at], 0.5), color="C0", label="median")
            axis.set_title(target if s.id is None else f"{s.id}: {target}", fontsize="medium")
            axis.grid(alpha=0.3)
    axes[0].legend(loc="upper left", fontsize="small")
    return axes
