"""``gatewise show MODEL``: what a model file holds."""

from __future__ import annotations

import math
from pathlib import Path

import click


@click.command("show")
@click.argument("model", type=click.Path(path_type=Path))
def command(model: Path) -> None:
    """Print the layers of the model in the file MODEL with their shapes, its training and its hyper-parameters."""
    from ..modelfile import load

    estimator = load(model)
    facts = estimator.training_
    click.echo(estimator.summary())
    click.echo()
    click.echo(f"estimator   {estimator}")
    vocabulary = getattr(estimator, "vocabulary_", None)
    if vocabulary is not None:
        click.echo(f"vocabulary  {len(vocabulary):,} {vocabulary.unit}")
    count = facts.get("tokens", facts.get("sequences"))
    click.echo(
        f"trained     {facts['steps']:,} steps in {facts['seconds']:.1f} s on {count:,} {facts['unit']}; "
        f"ended: {facts['stopped']}"
    )
    loss = facts["validation_loss"]
    if loss is not None and estimator.task != "language":
        click.echo(
            f"validation  loss {loss:.4f} on {facts['held_out']:,} {facts.get('held_out_unit', facts['unit'])} held out"
        )
    elif loss is not None:
        click.echo(f"validation  {loss:.4f} nats, {loss / math.log(2):.4f} bits, perplexity {math.exp(loss):.3f}")
