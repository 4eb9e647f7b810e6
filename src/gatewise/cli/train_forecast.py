"""``gatewise train forecast FILE --time COL --target COL -o MODEL``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..tasks.forecaster import Forecaster
from .outputs import plot_option
from .parameters import estimator_options
from .training import begin, finish, training_options


def names(text: str | None) -> list[str]:
    """Names joined by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


@estimator_options(Forecaster)
@click.command("forecast")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--time", metavar="COL", help="The column of stamps; without it rows are steps as they come.")
@click.option("--target", metavar="COL,...", required=True, help="The column that is forecast, or several.")
@click.option("--id", metavar="COL", help="The column that tells series apart.")
@click.option("--known", metavar="COL,...", help="Columns of numbers that are known ahead.")
@click.option("--past", metavar="COL,...", help="Columns of numbers that are known only when their time has come.")
@click.option("--static", metavar="COL,...", help="Columns that belong to a series as a whole.")
@plot_option("Draw forecasts of the last rows, those that were held out, and what came.")
@training_options
def command(
    file: Path,
    time: str | None,
    target: str,
    id: str | None,
    known: str | None,
    past: str | None,
    static: str | None,
    output: Path,
    resume: bool,
    plot: Path | None,
    **parameters: Any,
) -> None:
    """Learn to forecast the series in FILE, a CSV, TSV, JSON lines or Parquet file, each also with .gz.

    What is odd about the data is said before training. Afterwards forecasts of the rows that were held out are measured
    beside the last value, the last season and the line through both ends.
    """
    model = Forecaster(**parameters)
    model.check_parameters()
    checkpoint = begin(output, resume)
    columns: dict[str, Any] = {"known": names(known), "past": names(past), "static": names(static)}
    model.fit(
        file,
        time=time,
        target=names(target),
        id=id,
        **columns,
        started=lambda line: click.echo(f"data: {line}", err=True),
        checkpoint=checkpoint,
        resume=resume,
    )
    finish(model, output, checkpoint)
    if plot is not None:
        (model.held_out_backtest() or model.backtest(windows=1)).write_plot(plot)
