"""``gatewise units MODEL TEXT``: which units of a language model follow what."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..inspect.units import UnitRow, Units

WIDTH = 72  # characters of an excerpt


class PatternType(click.ParamType):
    """``NAME=REGEX``."""

    name = "NAME=REGEX"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        name, equals, pattern = value.partition("=")
        if not (name and equals and pattern):
            self.fail(f"{value!r} is not NAME=REGEX, such as roman=[IVX]+", param, ctx)
        return name, pattern


@click.command("units")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--pattern",
    "patterns",
    type=PatternType(),
    multiple=True,
    help="Look also for units that follow what this regular expression matches; may be given several times.",
)
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="NAME",
    help="A value of the cell to search, such as c or f; may be given several times. By default the states.",
)
@click.option("--limit", type=click.IntRange(1), default=200_000, show_default=True, help="Characters of TEXT to read.")
@click.option("--top", type=click.IntRange(1), default=1, show_default=True, help="Units to give for each feature.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the table as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the units found over excerpts of TEXT.")
def command(
    model: Path,
    text: Path,
    patterns: tuple[tuple[str, str], ...],
    values: tuple[str, ...],
    limit: int,
    top: int,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Find the units of the language model in the file MODEL that follow something in the file TEXT, or in standard input
    if TEXT is "-".

    Looked for are quotes, brackets, the place in the line and in the word, sentence ends, indentation, digits, upper case,
    vowels, spaces, line breaks and your patterns. Units are chosen on the first 70% of the text and checked on the rest; p
    is corrected for the number of units and of features.
    """
    from ..errors import ParameterError
    from ..figure import check_figure, write_figure
    from ..inspect.features import compile_pattern
    from ..inspect.unit_figure import INCHES, draw_units
    from ..modelfile import load
    from ..tensorfile import check_writable, write_atomically

    if plot is not None:
        check_figure(plot)
    for path in (plot, json_file):
        if path is not None:
            check_writable(path)
    named = dict(patterns)
    if len(named) < len(patterns):
        raise ParameterError("two patterns have the same name")
    for name, pattern in named.items():
        compile_pattern(name, pattern)
    language_model = load(model, "language")
    units = language_model.units(read_text(text, limit), patterns=named, values=values or None, top=top)
    show(units, language_model.vocabulary_.unit)
    if json_file is not None:
        write_atomically(json_file, (json.dumps(record_of(units), indent=1) + "\n").encode())
    if plot is not None and units.best:
        write_figure(plot, lambda figure: draw_units(figure, units, units.best), (14, INCHES * len(units.best)))
    elif plot is not None:
        click.echo(f"no unit found: {plot} is not written", err=True)


def read_text(path: Path, limit: int) -> str:
    """The beginning of a file, or of standard input, of at most so many characters. Raises FileError for an empty one."""
    from ..data.text import open_text
    from ..errors import FileError

    text = ""
    if str(path) == "-":
        try:
            text = io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig").read(limit)
        except UnicodeDecodeError as error:
            raise FileError(f"standard input is not UTF-8 text: {error.reason} at offset {error.start}") from None
    else:
        for piece in open_text(path).pieces():
            text += piece
            if len(text) >= limit:
                break
    if not text:
        raise FileError(f"{'standard input' if str(path) == '-' else path} is empty: there is nothing to follow")
    return text[:limit]


def show(units: Units, unit: str) -> None:
    """Print the table, what was left out, and an excerpt for each feature that a unit follows."""
    from ..inspect.units import LEVEL

    held_out = len(units.tokens) - units.first
    click.echo(f"{units.searched:,} series of units over {units.first:,} {unit}, checked on {held_out:,} more")
    click.echo(f"found: p at most {LEVEL} and the same sign held out\n")
    wide = max(len("feature"), *(len(row.feature) for row in units.rows))
    layer, value = (max(5, *(len(getattr(row, name)) for row in units.rows)) for name in ("layer", "value"))
    click.echo(f"{'feature':{wide}}  {'layer':{layer}}  {'value':{value}}  unit       r  held-out r        p  found")
    for row in units.rows:
        click.echo(
            f"{row.feature:{wide}}  {row.layer:{layer}}  {row.value:{value}}  {row.unit:>4}  {row.r:>6.3f}  "
            f"{row.held_out:>10.3f}  {row.p:>7.2g}  {'yes' if row.found else 'no'}"
        )
    if units.left_out:
        click.echo("\nleft out: " + "; ".join(f"{name} ({why})" for name, why in units.left_out.items()))
    for row in units.best:
        click.echo("\n" + "\n".join(excerpt_lines(units, row)))


def excerpt_lines(units: Units, row: UnitRow) -> list[str]:
    """A title, held-out text, under it the unit as bars and the feature: a mark where it holds, or bars of a number."""
    from ..inspect.colours import bar
    from ..inspect.unit_figure import excerpt_of, shares

    tokens, level, feature = excerpt_of(units, row.feature, WIDTH)
    yes_no = units.features[row.feature].dtype == bool
    marks = ["^" if on else " " for on in feature] if yes_no else map(bar, shares(feature))
    below = [
        "".join(mark * len(token) for mark, token in zip(m, tokens, strict=True)) for m in (map(bar, shares(level)), marks)
    ]
    return [
        f"{row.name} follows {row.feature}",
        f"  text     {''.join(tokens)}",
        f"  unit     {below[0]}",
        f"  feature  {below[1].rstrip()}",
    ]


def record_of(units: Units) -> dict[str, object]:
    """The table as JSON values."""
    return {
        "units": [{**asdict(row), "found": row.found} for row in units.rows],
        "left_out": dict(units.left_out),
        "searched": units.searched,
        "first": units.first,
        "held_out": len(units.tokens) - units.first,
    }
