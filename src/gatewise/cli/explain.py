"""``gatewise explain MODEL TEXT``: gates, states and what mattered, over one text or sequence."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ..inspect.trace import Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..inspect.trace import Trace
    from ..inspect.view import View

LIKELIEST = 5  # outputs that are printed


def parse_unit(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """The number of a unit, "mean", or None."""
    if value is None or value == "mean":
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither the number of a unit nor 'mean'.") from None


@click.command("explain")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", required=False)
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Read the input from FILE.")
@click.option("--row", type=click.IntRange(1), help="Which sequence of FILE.  [default: 1]")
@click.option("--id", "series", help="Which series, for a model that forecasts several.")
@click.option("--layer", help="For example layer1 or layer0_reverse; by default the last one that reads forward.")
@click.option("--value", help="A gate or state, such as f or c; by default the first gate, or the output.")
@click.option(
    "--unit", metavar="N|mean", callback=parse_unit, help="A unit, or their mean; by default the one that varies most."
)
@click.option("--why", is_flag=True, help="Say which steps mattered for what the model said; needs torch.")
@click.option(
    "--method",
    type=click.Choice(get_args(Method)),
    help="How --why finds out: integrated gradients, gradient times input, or leaving out each step.  [default: integrated]",
)
@click.option("--of", metavar="NAME", help="The output that --why explains; by default the likeliest, or the first.")
@click.option("--step", type=int, help="The step whose output --why explains; by default the last.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write one page with everything.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the value as a heat map.")
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True, help="Colour the text."
)
def command(
    model: Path,
    text: str | None,
    file: Path | None,
    row: int | None,
    series: str | None,
    layer: str | None,
    value: str | None,
    unit: Any,
    why: bool,
    method: Method | None,
    of: str | None,
    step: int | None,
    html: Path | None,
    plot: Path | None,
    color: str,
) -> None:
    """Show what happens inside the model in the file MODEL while it reads TEXT: the text coloured by a gate or a state.

    With - or without TEXT, standard input is read. Models of numbers take --file, which `gatewise predict` could read; a
    model of forecasts takes the rows up to now, and those that it was trained on if no file is given. Without colours every
    token has a line with its value.
    """
    from ..figure import check_figure
    from ..inspect.view import look_at
    from ..modelfile import load
    from ..tensorfile import check_writable

    if not why and (method, of, step) != (None, None, None):
        raise click.UsageError("--method, --of and --step say how --why explains: add --why")
    if text is not None and file is not None:
        raise click.UsageError("give TEXT or --file, not both")
    if row is not None and file is None:
        raise click.UsageError("--row is a sequence of --file: add it")
    for path in (html, plot):
        if path is not None:
            check_writable(path)
    if plot is not None:
        check_figure(plot)
    trace = _trace(load(model), text, file, row, series)
    view = look_at(trace, layer, value, unit)
    _print_view(trace, view, _colours(color))
    method = (method or "integrated") if why else None
    if method is not None:
        _print_why(trace, method, of, step, _colours(color))
    if plot is not None:
        _plot(view, plot)
    if html is not None:
        trace.to_html(html, method, of, step)
    for path in (plot, html):
        if path is not None:
            click.echo(f"wrote {path}")


def _colours(color: str) -> bool:
    from ..inspect.terminal import wants_colour

    return color == "always" or (color == "auto" and wants_colour(sys.stdout))


def _trace(estimator: Any, text: str | None, file: Path | None, row: int | None, series: str | None) -> Trace:
    """What the model does with the input that the command line names."""
    from ..data.tables import read_table
    from ..data.text import open_text
    from ..errors import ParameterError
    from .predict import reading_of, sequence_of

    if series is not None and estimator.task != "forecast":
        raise ParameterError("--id names a series; this model forecasts none")
    if estimator.task == "forecast":
        if text is not None:
            raise ParameterError("a model of forecasts reads rows, not TEXT: give them with --file")
        return estimator.explain(None if file is None else read_table(file).columns, id=series)
    if estimator.task == "language":
        if row is not None:
            raise ParameterError("--row is for files of sequences; a language model reads the text of FILE as one")
        return estimator.explain(_typed(text) if file is None else "".join(open_text(file).pieces()))
    if file is not None:
        return _of_row(estimator, file, row or 1, reading_of(estimator))
    if estimator.vocabulary_ is None:
        raise ParameterError("this model reads numbers, not TEXT: give --file FILE, and --row N for another than the first")
    return estimator.explain(sequence_of(_typed(text), estimator))


def _of_row(estimator: Any, file: Path, row: int, reading: Any) -> Trace:
    from ..data.labelled import read_labelled
    from ..errors import FileError

    data = read_labelled([file], reading, labels=False)
    if row > len(data.X):
        raise FileError(f"{file} has {len(data.X)} sequences; --row is {row}")
    return estimator.explain(data.X[row - 1])


def _typed(text: str | None) -> str:
    return sys.stdin.read().removesuffix("\n") if text is None or text == "-" else text


def _print_view(trace: Trace, view: View, colour: bool) -> None:
    from ..inspect.colours import scale_of

    click.echo(_said(trace))
    _print(trace, view.line, view.tokens, scale_of(view.line, view.gate), view.title, colour)


def _print_why(trace: Trace, method: Method, of: str | None, step: int | None, colour: bool) -> None:
    from ..inspect.colours import scale_of_contributions

    found = trace.attribute(method, of, step)
    click.echo(f"\n{found}")
    if found.doubt:
        click.echo(f"do not trust the contributions: {found.doubt}")
    scale = scale_of_contributions(found.steps)
    _print(trace, found.steps, trace.tokens, scale, f"contributions to {found.of}", colour)


def _print(trace: Trace, values: Any, tokens: Any, scale: Any, title: str, colour: bool) -> None:
    from ..inspect.terminal import show

    gap, width = int(trace.unit != "character"), shutil.get_terminal_size().columns
    click.echo(show(values, tokens, scale, title, colour, gap, width), color=colour)


def _said(trace: Trace) -> str:
    """A line with what the model says: of the whole, or after the last step."""
    from ..inspect.view import sayable

    row = trace.outputs[-1]
    order = (-row).argsort()[:LIKELIEST] if trace.kind == "probability" else range(min(len(row), LIKELIEST))
    if trace.kind == "probability":
        said = ", ".join(f"{sayable(trace.names[k])!r} {row[k]:.4f}" for k in order)
    else:
        said = ", ".join(f"{trace.names[k]} {row[k]:.6g}" for k in order)
    more = ", ..." if len(row) > LIKELIEST else ""
    return f"said{' after the last step' if len(trace.outputs) > 1 else ''}: {said}{more}"


def _plot(view: View, path: Path) -> None:
    from ..figure import write_figure
    from ..inspect.figures import heat_map

    def draw(figure: Figure) -> None:
        heat_map(view.values, view.tokens, view.gate, f"{view.name} of {view.layer}", figure.subplots())

    write_figure(path, draw, (12, 5))
