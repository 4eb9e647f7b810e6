"""The rows of quality.py that are forecasts: what is forecast, on which rows it is judged, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gatewise import Forecaster
from gatewise.data.clock import read_stamps
from gatewise.data.tables import read_table


@dataclass(frozen=True)
class Forecasts:
    """One series, forecast from each of its last rows, the state carried along; trained on the rows before.

    Attributes:
        data: what is forecast, for the table.
        file: its place in the folder of data.
        time, value: the columns.
        last: rows that are judged; before them lie as many that settings were chosen on.
        settings: hyper-parameters.
    """

    data: str
    file: str
    time: str
    value: str
    last: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def measure(self, folder: Path, on: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Train, and forecast with every step of the part as an origin."""
        table = read_table(folder / self.file).columns
        order = np.argsort(read_stamps(table[self.time], self.time), kind="stable")
        end = len(order) - (self.last if on == "validation" else 0)
        columns = {name: [table[name][k] for k in order[:end]] for name in (self.time, self.value)}
        model = Forecaster(**{**settings, "verbose": False})
        model.fit({n: v[: end - self.last] for n, v in columns.items()}, time=self.time, target=self.value)
        found = model.backtest(columns, windows=self.last - model.horizon + 1, step=1)
        figures = found.figures[self.value]
        naive = min((f["rmse"], name) for name, f in figures.items() if name != "model")
        said = {key: round(value, 4) for key, value in figures["model"].items()}
        return {"value": figures["model"]["rmse"], "naive": naive, "figures": said, "windows": found.windows, "model": model}


@dataclass(frozen=True)
class Transformer:
    """Seven series of an electricity transformer, ETTh1, by the protocol of Informer (arXiv 2012.07436): 12 months to train,
    4 to choose, 4 to judge; the squared error of values over their variance in the first 12 months, the mean over series,
    origins and steps. Every series is forecast from its own past alone, by one network for all."""

    data: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def measure(self, folder: Path, on: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        month = 30 * 24
        table = read_table(folder / "ett" / "ETTh1.csv").columns
        names = [name for name in table if name != "date"]

        def rows(end: int) -> dict[str, list[Any]]:
            """All series below one another."""
            return {
                "date": table["date"][:end] * len(names),
                "value": [v for name in names for v in table[name][:end]],
                "id": [name for name in names for _ in range(end)],
            }

        model = Forecaster(**{"validation_fraction": 0.25, **settings, "verbose": False})
        model.fit(rows(16 * month), time="date", target="value", id="id")
        begin, end = (16 * month, 20 * month) if on == "test" else (12 * month, 16 * month)
        origins = np.arange(begin - 1, end - model.horizon)
        errors, naive = [], []
        for s in model.read(rows(end)):
            y, scale = s.targets[:, 0], s.targets[: 12 * month, 0].std()
            truth = np.stack([y[o + 1 : o + 1 + model.horizon] for o in origins])
            errors.append((((truth - model.forecasts(s, origins).mean[:, :, 0]) / scale) ** 2).mean())
            naive.append((((truth - y[origins][:, None]) / scale) ** 2).mean())
        return {
            "value": float(np.mean(errors)),
            "naive": (float(np.mean(naive)), "last value"),
            "figures": dict(zip(names, (round(float(e), 4) for e in errors), strict=True)),
            "windows": len(origins) * len(names),
            "model": model,
        }


AIRLINE = ("timeseries_uni/airline-passengers.csv", "Month", "Passengers", 48)
ETT = {"cell": "gru", "distribution": "gaussian", "dropout": 0.3, "window": 97, "context": 192, "max_steps": 600,
       "validate_every": 50, "learning_rate": 1e-3}  # fmt: skip

ROWS: dict[str, Forecasts | Transformer] = {
    "airline-1": Forecasts("airline passengers, 1 month ahead", *AIRLINE, {"horizon": 1, "transform": "log", "context": 48}),
    "airline-12": Forecasts(
        "airline passengers, 1 to 12 months", *AIRLINE, {"horizon": 12, "transform": "log", "context": 48}
    ),
    "temperatures": Forecasts(
        "daily minimum temperatures, 1 to 7 days",
        *("timeseries_uni/daily-min-temperatures.csv", "Date", "Temp", 730),
        {"horizon": 7, "context": 120},
    ),
    "sunspots": Forecasts(
        "monthly sunspots, 1 to 12 months",
        *("timeseries_uni/monthly-sunspots.csv", "Month", "Sunspots", 480),
        {"horizon": 12, "context": 264},
    ),
    "mrf": Forecasts(
        "price of MRF, 1 to 5 days",
        *("stocks/MRF_NSE_1995-2024.csv", "Date", "Close", 500),
        {"horizon": 5, "transform": "log", "duplicates": "last"},
    ),
    **{f"etth1-{h}": Transformer(f"ETTh1, 1 to {h} hours", {**ETT, "horizon": h}) for h in (24, 96, 168)},
}
