"""``gatewise train language FILE... -o MODEL``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..tasks.language import LanguageModel
from .parameters import estimator_options
from .training import begin, finish, training_options


@estimator_options(LanguageModel)
@click.command("language")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@training_options
def command(files: tuple[Path, ...], output: Path, resume: bool, **parameters: Any) -> None:
    """Train a language model on the text in FILE..., read one after another as one text.

    While training runs, a checkpoint lies beside MODEL. Ctrl-C saves it and says how to go on.
    """
    model = LanguageModel(**parameters)
    model.check_parameters()
    checkpoint = begin(output, resume)
    model.fit(files, checkpoint=checkpoint, resume=resume)
    finish(model, output, checkpoint)
