"""``gatewise train language FILE... -o MODEL``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import FileError
from ..tasks.language import LanguageModel
from ..tensorfile import check_writable
from .parameters import estimator_options
from .training import checkpoint_beside, finish, report


@estimator_options(LanguageModel)
@click.command("language")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Where to write the model, a .safetensors file.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint that an interrupted run left, if there is one.")
def command(files: tuple[Path, ...], output: Path, resume: bool, **parameters: Any) -> None:
    """Train a language model on the text in FILE..., read one after another as one text.

    While training runs, a checkpoint lies beside MODEL. Ctrl-C saves it and says how to go on.
    """
    model = LanguageModel(**parameters)
    model.check_parameters()
    check_writable(output)
    checkpoint = checkpoint_beside(output)
    if checkpoint.exists() and not resume:
        raise FileError(f"{checkpoint} is left of an interrupted run: add --resume to go on with it, or delete it")
    model.fit(files, checkpoint=checkpoint, resume=resume)
    finish(model, output, checkpoint)
    report(model, output)
