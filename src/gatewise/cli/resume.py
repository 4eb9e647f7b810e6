"""``gatewise resume CHECKPOINT``: go on with training that was interrupted."""

from __future__ import annotations

from pathlib import Path

import click

from .outputs import model_option


@click.command("resume")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@model_option("Where to write the model; by default where the interrupted run would have.", required=False)
@click.option("--verbose/--no-verbose", default=True, show_default=True, help="Whether to show progress.")
def command(checkpoint: Path, output: Path | None, verbose: bool) -> None:
    """Go on with the training that left CHECKPOINT, with its files and its hyper-parameters.

    A run that was limited in seconds goes on with the seconds that it had left.
    """
    from ..errors import require
    from ..tensorfile import check_writable
    from .training import finish, model_of

    output = output or model_of(checkpoint)
    check_writable(output)
    require("torch", "train", "training a model")
    from ..tasks.training import resume_from

    finish(resume_from(checkpoint, verbose=verbose), output, checkpoint)
