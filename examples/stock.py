"""Prices: a forecast with its uncertainty, and whether it beats saying that tomorrow's price is today's.

    python examples/stock.py [PRICES.csv] [--time Date] [--target Close] [--horizon 5] [--windows 100]

PRICES.csv has a row a day in any order, such as the daily prices of MRF at the National Stock Exchange of India. Without it
prices are drawn at random, so that by their making nothing about them can be forecast. The network is trained on all but
the last windows, reads on through these with its state carried along, and is measured beside three forecasts that need no
network. Papers that show a line of "predicted" prices close to the real one mostly show the last value, one day late.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from gatewise import Forecaster
from gatewise.data.clock import read_stamps
from gatewise.data.tables import read_table


def random_prices(days: int) -> dict[str, list]:
    """A geometric random walk of so many business days."""
    steps = np.random.default_rng(0).standard_normal(days) * 0.015
    stamps = np.busday_offset("2010-01-04", np.arange(days))
    return {"Date": [str(day) for day in stamps], "Close": (1000 * np.exp(np.cumsum(steps))).tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", nargs="?", type=Path)
    parser.add_argument("--time", default="Date")
    parser.add_argument("--target", default="Close")
    parser.add_argument("--horizon", type=int, default=5)
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--max-steps", type=int, default=500)
    options = parser.parse_args()

    columns = random_prices(1500) if options.prices is None else read_table(options.prices).columns
    order = np.argsort(read_stamps(columns[options.time], options.time), kind="stable")
    columns = {name: [columns[name][k] for k in order] for name in (options.time, options.target)}
    past = len(order) - options.windows * options.horizon - 1
    model = Forecaster(
        horizon=options.horizon, transform="log", duplicates="last", max_steps=options.max_steps, verbose=False
    )
    model.fit(
        {name: values[:past] for name, values in columns.items()},
        time=options.time,
        target=options.target,
        started=lambda line: print(f"data: {line}"),
    )
    print(f"trained {model.training_['steps']} steps on {past:,} days, {model.training_['seconds']:.0f} s\n")
    print(model.backtest(columns, windows=options.windows))
    ahead = model.predict(data=columns)
    print("\nthe days that follow:")
    for stamp, low, middle, high in zip(ahead[options.time], ahead["q0.1"], ahead["q0.5"], ahead["q0.9"], strict=True):
        print(f"  {stamp:%Y-%m-%d}  {middle:,.1f}, and with 80% between {low:,.1f} and {high:,.1f}")


if __name__ == "__main__":
    main()
