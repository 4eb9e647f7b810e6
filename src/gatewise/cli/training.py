"""What the commands that train have in common: where the checkpoint lies, and what is said at the end."""

from __future__ import annotations

import math
from pathlib import Path

import click

from ..errors import ParameterError
from ..tasks.language import LanguageModel

SUFFIX = ".checkpoint"


def checkpoint_beside(output: Path) -> Path:
    """The checkpoint of the run that writes this model."""
    return output.with_name(output.name + SUFFIX)


def model_of(checkpoint: Path) -> Path:
    """The model that the run of this checkpoint writes.

    Raises:
        ParameterError: the checkpoint was renamed, so its name does not say.
    """
    if checkpoint.suffix != SUFFIX:
        raise ParameterError(f"{checkpoint} does not end in {SUFFIX}: say with -o where to write the model")
    return checkpoint.with_name(checkpoint.name.removesuffix(SUFFIX))


def finish(model: LanguageModel, output: Path, checkpoint: Path) -> None:
    """Write the model; only then is the checkpoint of no more use."""
    model.save(output)
    checkpoint.unlink(missing_ok=True)


def report(model: LanguageModel, output: Path) -> None:
    """Say on standard output how training ended and where the model is."""
    facts = model.training_
    loss = facts["validation_loss"]
    click.echo(f"{facts['steps']:,} steps in {facts['seconds']:.1f} s: {facts['stopped']}")
    if loss is not None:
        unit = facts["unit"].removesuffix("s")
        click.echo(f"validation loss {loss:.4f} nats a {unit}, {loss / math.log(2):.4f} bits a {unit}")
    click.echo(f"wrote {output}")
