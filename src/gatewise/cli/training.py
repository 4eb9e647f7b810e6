"""What the commands that train have in common: where the checkpoint lies, and what is said at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import FileError, ParameterError
from ..tasks.model import Model
from ..training import CHECKPOINT_SUFFIX
from .outputs import model_option


def checkpoint_beside(output: Path) -> Path:
    """The checkpoint of the run that writes this model."""
    return output.with_name(output.name + CHECKPOINT_SUFFIX)


def model_of(checkpoint: Path) -> Path:
    """The model that the run of this checkpoint writes.

    Raises:
        ParameterError: the checkpoint was renamed, so its name does not say.
    """
    if checkpoint.suffix != CHECKPOINT_SUFFIX:
        raise ParameterError(
            f"{checkpoint} does not end in {CHECKPOINT_SUFFIX}: if it is a checkpoint, say with -o where to write the "
            "model; if it is a model, its training is over"
        )
    return checkpoint.with_name(checkpoint.name.removesuffix(CHECKPOINT_SUFFIX))


def finish(model: Model, output: Path, checkpoint: Path) -> None:
    """Write the model, and say on standard output how training ended."""
    model.save(output)
    checkpoint.unlink(missing_ok=True)  # only now it is of no more use
    facts = model.training_
    loss = facts["validation_loss"]
    click.echo(f"{facts['steps']:,} steps in {facts['seconds']:.1f} s: {facts['stopped']}")
    if loss is not None and model.task != "language":
        held_out = f"{facts['held_out']:,} {facts.get('held_out_unit', facts['unit'])} held out"
        click.echo(f"lowest validation loss {loss:.4f} on {held_out}; the model has the weights of then")
    elif loss is not None:
        unit = facts["unit"].removesuffix("s")
        click.echo(f"validation loss {loss:.4f} nats a {unit}, {loss / math.log(2):.4f} bits a {unit}")
    click.echo(f"wrote {output}")
    found = model.on_held_out()
    if found is not None:
        click.echo(f"\n{found}")


def begin(output: Path, resume: bool) -> Path:
    """Check that no checkpoint of another run lies in its place; returns that place."""
    checkpoint = checkpoint_beside(output)
    if checkpoint.exists() and not resume:
        raise FileError(f"{checkpoint} is left of an interrupted run: add --resume to go on with it, or delete it")
    return checkpoint


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the options that every command which trains has."""
    resume = click.option(
        "--resume", is_flag=True, help="Go on from the checkpoint that an interrupted run left, if there is one."
    )
    return model_option()(resume(command))
