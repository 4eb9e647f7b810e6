"""``gatewise generate MODEL``: let a language model write."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("generate")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--prompt", default="", help="The text to continue; it is printed first.")
@click.option("--length", type=int, default=500, show_default=True, help="How many characters or words to write.")
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="Below 1 prefers likely text, above 1 evens it out, 0 always takes the likeliest.",
)
@click.option("--top-k", type=int, help="Draw from so many of the likeliest only.")
@click.option("--top-p", type=float, help="Draw from the likeliest that together have this probability.")
@click.option("--seed", type=int, help="The same number gives the same text.")
def command(
    model: Path,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
) -> None:
    """Write text with the language model in the file MODEL, each token as soon as it is drawn."""
    from ..modelfile import load

    tokens = load(model, "language").generate(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    click.echo(prompt, nl=False)
    for token in tokens:
        click.echo(token, nl=False)
    click.echo()
