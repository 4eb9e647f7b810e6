"""``gatewise forecast MODEL``: what comes next."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .outputs import plot_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@click.command("forecast")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="The series up to now; by default those trained on."
)
@click.option(
    "--future", type=click.Path(path_type=Path), metavar="FILE", help="What is known ahead, for the steps to come."
)
@click.option("--horizon", type=int, help="Steps ahead; by default what the model was trained for.")
@click.option("--levels", default="0.1,0.5,0.9", show_default=True, help="Quantiles to give, joined by commas.")
@plot_option("Draw the forecast.")
def command(
    model: Path, data: Path | None, future: Path | None, horizon: int | None, levels: str, plot: Path | None
) -> None:
    """Forecast with the model in the file MODEL what follows the series that it was trained on, or those in --data.

    Written is CSV: a row a step with its mean and quantiles.
    """
    from ..data.panel import columns_of
    from ..data.tables import naming, read_table
    from ..errors import ParameterError
    from ..figure import write_figure
    from ..modelfile import load

    try:
        wanted = [float(level) for level in levels.split(",")]
    except ValueError:
        raise ParameterError(f"--levels is {levels!r}; it must be numbers joined by commas, such as 0.1,0.5,0.9") from None
    estimator = load(model, "forecast")
    given = {"data": data and read_table(data).columns, "future": future and read_table(future).columns}
    with naming(data or future):
        found, _ = columns_of(estimator.predict(horizon, levels=wanted, **given))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found)
    for row in zip(*found.values(), strict=True):
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])
    if plot is not None:
        count = len(estimator.history_series_ if data is None else estimator.read(given["data"]))
        count *= len(estimator.columns_.targets)

        def draw(figure: Figure) -> None:
            estimator.plot(horizon, ax=figure.subplots(count, 1, squeeze=False), **given)

        write_figure(plot, draw, (9, 3 * count))
