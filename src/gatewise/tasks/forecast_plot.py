"""A picture of a forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.panel import Series
from ..errors import ParameterError, require
from ..runtime.distributions import at_level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .backtest import Backtest
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


def draw_backtest(found: Backtest, figure: Figure) -> None:
    """Draw the median and the 80% band of every forecast, and what came; one set of axes a series and target."""
    rows = {name: np.array(values, dtype=object) for name, values in found.rows.items()}
    panels = list(dict.fromkeys(zip(found.rows["series"], found.rows["target"], strict=True)))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (series, target) in zip(axes, panels, strict=True):
        here = (rows["series"] == series) & (rows["target"] == target)
        for origin in dict.fromkeys(rows["origin"][here]):
            at = here & (rows["origin"] == origin)
            low, middle, high = (rows[name][at].astype(float) for name in ("q0.1", "q0.5", "q0.9"))
            axis.fill_between(rows["stamp"][at], low, high, color="C0", alpha=0.2, linewidth=0, label="80%")
            axis.plot(rows["stamp"][at], middle, ".-", color="C0", markersize=3, label="median")
        came = dict(zip(rows["stamp"][here], rows["value"][here].astype(float), strict=True))
        axis.plot(sorted(came), [came[stamp] for stamp in sorted(came)], color="black", linewidth=1, label="what came")
        axis.set_title(target if series is None else f"{series}: {target}", fontsize="medium")
        axis.grid(alpha=0.3)
    labels = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    axes[0].legend(labels.values(), labels.keys(), loc="upper left", fontsize="small")
