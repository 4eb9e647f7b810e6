"""Forecasts from rows of the past, measured beside forecasts that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.panel import Series, carried_forward
from ..errors import GatewiseError, ParameterError
from ..figure import write_figure
from ..runtime.distributions import LEVELS, at_level
from .forecasting import Ahead
from .summary import aligned

if TYPE_CHECKING:
    from .forecaster import Forecaster

BAND = (0.1, 0.9)
NAIVE = {
    "last value": lambda y, steps, season: np.repeat(y[-1:], steps, 0),
    "last season": lambda y, steps, season: y[len(y) - season + np.arange(steps) % season] if len(y) >= season else None,
    "drift": lambda y, steps, season: y[-1] + np.arange(1, steps + 1)[:, None] * (y[-1] - y[0]) / max(len(y) - 1, 1),
}


@dataclass
class Backtest:
    """Figures of a backtest.

    Attributes:
        figures: for each target, for "model" and each naive forecast: RMSE, MAE, MASE (the MAE over that of the last season
            in the rows before the first origin; Hyndman & Koehler 2006, doi 10.1016/j.ijforecast.2006.03.001), CRPS (twice
            the mean pinball loss over the levels 0.01 to 0.99; for a forecast without a distribution the MAE), and
            "coverage", the share of values between the quantiles 0.1 and 0.9.
        windows: origins, over all series.
        missing: how many more were asked for, for which the series have no room.
        seen: how many of them lie before the end of what the network was trained on.
        season: steps of a season.
        rows: one a value that was forecast: series, origin, stamp, target, value, mean, and the quantiles 0.1, 0.5 and 0.9.
    """

    figures: dict[str, dict[str, dict[str, float]]]
    windows: int
    missing: int
    seen: int
    season: int
    rows: dict[str, list[Any]]

    def verdict(self, target: str) -> str:
        """Whether the network is better than the best of the others, in words."""
        found = self.figures[target]
        mae = {name: f["mae"] for name, f in found.items() if name != "model"}
        best = min(mae, key=mae.__getitem__)
        what = {"last value": "the last value", "last season": "the last season", "drift": "a line through both ends"}[best]
        if not mae[best]:
            return f"{target}: the model does not beat {what}, which has no error"
        share = 1 - found["model"]["mae"] / mae[best]
        if share > 0:
            return f"{target}: the mean absolute error is {share:.1%} below that of {what}"
        return f"{target}: the model does not beat {what}: its mean absolute error is {-share:.1%} above"

    def write_plot(self, path: Path) -> None:
        """Draw the forecasts and what came, and write the picture.

        Raises:
            ParameterError: the ending of the name is of no kind of picture.
            FileError: the file cannot be written.
        """
        from .forecast_plot import draw_backtest

        panels = len(set(zip(self.rows["series"], self.rows["target"], strict=True)))
        write_figure(path, lambda figure: draw_backtest(self, figure), (9, 3 * panels))

    def __str__(self) -> str:
        lines = [f"{self.windows} window{'' if self.windows == 1 else 's'}; a season is {self.season} steps"]
        if self.missing:
            lines.append(f"there is no room for {self.missing} more that were asked for")
        if self.seen:
            lines.append(f"{self.seen} of the windows begin in what the network was trained on: their figures are too good")
        for target, found in self.figures.items():
            head = ("forecast", "RMSE", "MAE", "MASE", "CRPS", "coverage of 80%")
            rows: list[tuple[str, ...]] = [head]
            for name, f in found.items():
                covered = f"{f['coverage']:.1%}" if "coverage" in f else ""
                rows.append((name, *(f"{f[key]:.4g}" for key in ("rmse", "mae", "mase", "crps")), covered))
            lines += ["", target, aligned(rows, left=1), self.verdict(target)]
        return "\n".join(lines)


def run_backtest(model: Forecaster, series: Sequence[Series], windows: int, step: int, refit: bool) -> Backtest:
    """What `Forecaster.backtest` does."""
    for name, value in (("windows", windows), ("step", step)):
        if not isinstance(value, int) or value < 1:
            raise ParameterError(f"{name} is {value!r}; it must be a whole number of at least 1")
    horizon, season, targets = model.horizon, model.season_, model.columns_.targets
    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    rows: dict[str, list[Any]] = {
        n: [] for n in ("series", "origin", "stamp", "target", "value", "mean", "q0.1", "q0.5", "q0.9")
    }
    count = seen = 0
    for s in series:
        last = len(s) - 1 - horizon
        first = int(np.isfinite(s.targets).argmax(0).max())  # nothing can be said before every target has a value
        origins = np.array(sorted(o for o in range(last, -1, -step)[:windows] if o >= first + 1))
        if not len(origins):
            raise GatewiseError(
                f"{s.described} has {len(s)} rows: too few for a window of {horizon} steps after some to learn from"
            )
        count += len(origins)
        if not refit:
            seen += int((origins + 1 < model.trained_rows_[s.key]).sum())
        found = _refitted(model, s, origins, series) if refit else model.forecasts(s, origins)
        y, filled = s.targets, carried_forward(s.targets)
        before = filled[first : origins[0] + 1]
        lag = season if len(before) > season else 1
        base = np.abs(before[lag:] - before[:-lag]).mean(0)
        for k, origin in enumerate(origins):
            truth = y[origin + 1 : origin + 1 + horizon]
            for at, target in enumerate(targets):
                there = np.isfinite(truth[:, at])
                value, scale = truth[there, at], base[at] or np.nan
                q = found.quantiles[k, there, at]
                point = {"model": at_level(q, 0.5)}
                for name, forecast in NAIVE.items():
                    said = forecast(filled[first : origin + 1], horizon, season)
                    if said is not None and not (name == "last season" and season == 1):
                        point[name] = said[there, at]
                for name, said in point.items():
                    error = value - said
                    crps = _crps(value, q) if name == "model" else np.abs(error)
                    inside = (value >= at_level(q, BAND[0])) & (value <= at_level(q, BAND[1]))
                    stacked = np.stack([error**2, np.abs(error), np.abs(error) / scale, crps, inside.astype(float)])
                    errors.setdefault((target, name), []).append(stacked)
                _note(rows, s, int(origin), target, there, value, found, k, at)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for (target, name), parts in errors.items():
        if len(parts) < len(errors[target, "model"]):  # not on all windows, so not to be compared
            continue
        whole = np.concatenate(parts, axis=1)
        if not whole.shape[1]:
            raise GatewiseError(f"{target!r} has no value in the rows that were forecast: there is nothing to compare with")
        square, absolute, scaled, crps, inside = whole.mean(1)
        figures.setdefault(target, {})[name] = {
            "rmse": float(np.sqrt(square)),
            "mae": float(absolute),
            "mase": float(scaled),
            "crps": float(crps),
            **({"coverage": float(inside)} if name == "model" else {}),
        }
    return Backtest(figures, count, windows * len(series) - count, seen, season, rows)


def _crps(y: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """The continuous ranked probability score of values [n] under quantiles [n, 99], from pinball losses."""
    error = y[:, None] - quantiles
    return 2 * np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(1)


def _refitted(model: Forecaster, s: Series, origins: np.ndarray, series: Sequence[Series]) -> Ahead:
    """Forecasts of networks that were each trained on the rows up to their origin."""
    found = []
    for origin in origins:
        now = s.stamps[origin]
        parts = [other.upto(int((other.stamps <= now).sum())) for other in series]
        parts = [p for p in parts if p.id == s.id or (len(p) > 2 and np.isfinite(p.targets).any(0).all())]
        fresh = type(model)(**{**model.get_params(), "verbose": False})
        fresh.fit_series(parts, model.columns_, model.step_)
        found.append(fresh.forecasts(s, np.array([origin])))
    return Ahead(origins, np.concatenate([f.mean for f in found]), np.concatenate([f.quantiles for f in found]))


def _note(
    rows: dict[str, list[Any]],
    s: Series,
    origin: int,
    target: str,
    there: np.ndarray,
    value: np.ndarray,
    found: Ahead,
    k: int,
    at: int,
) -> None:
    stamps = s.stamps[origin + 1 : origin + 1 + len(there)][there]
    n = len(value)
    rows["series"] += [s.id] * n
    rows["origin"] += [s.stamps[origin].item()] * n
    rows["stamp"] += stamps.tolist()
    rows["target"] += [target] * n
    rows["value"] += value.tolist()
    rows["mean"] += found.mean[k, there, at].tolist()
    for level in (0.1, 0.5, 0.9):
        rows[f"q{level:g}"] += at_level(found.quantiles[k, there, at], level).tolist()
