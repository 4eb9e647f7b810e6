"""``gatewise backtest MODEL FILE``: how good forecasts of the past would have been."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from .outputs import OutputPath, json_option, plot_option, write_json


@click.command("backtest")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--windows", type=click.IntRange(1), default=10, show_default=True, help="How many forecasts a series.")
@click.option("--step", type=click.IntRange(1), help="Rows between two of them; by default the horizon.")
@click.option("--refit", is_flag=True, help="Train anew up to each of them.")
@json_option("Write the figures to a file.")
@click.option("--csv", "rows", type=OutputPath(), metavar="CSV", help="Write every forecast value to a file.")
@plot_option("Draw the forecasts and what came.")
def command(
    model: Path,
    file: Path | None,
    windows: int,
    step: int | None,
    refit: bool,
    record: Path | None,
    rows: Path | None,
    plot: Path | None,
) -> None:
    """Forecast with the model in the file MODEL from rows of the series in FILE, or of those it was trained on, and measure.

    FILE has the whole past and the rows to be forecast. Beside the model stand the last value, the last season and the line
    through both ends, on the same windows.
    """
    from ..data.tables import naming, read_table
    from ..modelfile import load
    from ..tensorfile import write_atomically

    data = None if file is None else read_table(file).columns
    estimator = load(model, "forecast")
    with naming(file):
        found = estimator.backtest(data, windows=windows, step=step, refit=refit)
    if record is not None:
        facts = {name: getattr(found, name) for name in ("windows", "missing", "seen", "season", "figures")}
        write_json(record, facts)
    if rows is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(found.rows)
        writer.writerows(zip(*found.rows.values(), strict=True))
        write_atomically(rows, text.getvalue().encode())
    if plot is not None:
        found.write_plot(plot)
    click.echo(str(found))
