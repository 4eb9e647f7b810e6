"""``gatewise diagnose MODEL FILE...``: what is wrong with a trained network, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..inspect import Diagnosis


@click.command("diagnose")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--json", "record", type=click.Path(path_type=Path), metavar="JSON", help="Write measures and findings to a file."
)
def command(model: Path, files: tuple[Path, ...], record: Path | None) -> None:
    """Examine the network in the file MODEL on the data in FILE..., which are read as those it was trained on; a forecaster
    takes the series it was trained on if none is given.

    Printed are the measures of every layer and then the findings, the weightiest first: what is wrong, the numbers that say
    so, what follows from it, and what to try.
    """
    from ..modelfile import load
    from ..tensorfile import check_writable, write_atomically

    if record is not None:
        check_writable(record)
    estimator = load(model)
    found = _diagnose(estimator, files)
    if record is not None:
        facts = {"measures": found.measures.to_json(), "findings": [vars(f) for f in found.findings]}
        write_atomically(record, json.dumps(facts, indent=2).encode())
    click.echo(found)


def _diagnose(estimator: Any, files: tuple[Path, ...]) -> Diagnosis:
    if estimator.task == "forecast":
        from ..data.tables import read_table
        from ..errors import ParameterError

        if len(files) > 1:
            raise ParameterError("a forecaster is examined on one file")
        return estimator.diagnose(read_table(files[0]).columns if files else None)
    if not files:
        raise click.UsageError("nothing to examine it on: give FILE...")
    if estimator.task == "language":
        return estimator.diagnose(list(files))
    from ..data.labelled import Reading, read_labelled

    reading = Reading() if estimator.reading_ is None else Reading.from_json(estimator.reading_)
    data = read_labelled(list(files), reading, numbers=estimator.task == "regress")
    with data.naming():
        return estimator.diagnose(data.X, data.y)
