"""``python -m gatewise.demo [FILE]``: train a character language model in about a minute, and play with it.

Without FILE the text is one that every Python carries: the comments in its standard library, and the reference pages
behind ``help("for")``. The pages alone are too little to learn how English goes on: "why" stands in them once.
"""

from __future__ import annotations

import math
import os
import re
import sys
import sysconfig
from pathlib import Path

import click

from .cli.application import run
from .errors import GatewiseError
from .tasks.language import LanguageModel
from .tensorfile import write_atomically

SENTENCE: str = "why do we need a recurrent neural network"
SHUFFLED: str = "neural why recurrent need we network do"


def python_topics() -> str:
    """The text of `pydoc_data.topics`.

    Raises:
        GatewiseError: this Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise GatewiseError(
            "this Python carries no pydoc_data.topics: give a text file, as in: python -m gatewise.demo book.txt"
        ) from None
    return "\n".join(topics[name] for name in sorted(topics))


def library_comments() -> str:
    """The comments of at least two lines in this Python's own standard library, without its tests."""
    library = Path(sysconfig.get_path("stdlib"))
    blocks: list[str] = []
    for path in sorted([*library.glob("*.py"), *library.glob("*/*.py")]):
        if {"site-packages", "dist-packages", "test", "tests", "pydoc_data"} & set(path.relative_to(library).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        for block in re.findall(r"(?:^[ \t]*#.*\n){2,}", text, re.MULTILINE):
            lines = [re.sub(r"^[ \t]*#+ ?", "", line) for line in block.splitlines()]
            blocks.append("\n".join(line for line in lines if line.isascii()))
    return "\n\n".join(blocks)


def _token(model: LanguageModel) -> str:
    return "character" if model.level == "char" else "word"


def describe(model: LanguageModel) -> None:
    """The table of layers and what was reached."""
    loss = model.training_["validation_loss"]
    click.echo(f"\n{model.summary()}\n")
    click.echo(f"trained {model.training_['steps']:,} steps in {model.training_['seconds']:.0f} s")
    click.echo(f"validation loss: {loss:.3f} nats a {_token(model)} = {loss / math.log(2):.3f} bits a {_token(model)}")


def rank(model: LanguageModel) -> None:
    """Which of two orders of nearly the same words the model finds likelier, a token: they differ in length."""
    click.echo(f"\nWhich is likelier English? Log-likelihood in nats a {_token(model)}, and in all:")
    scores = dict(zip((SENTENCE, SHUFFLED), model.log_likelihood([SENTENCE, SHUFFLED]), strict=True))
    means = {text: score / model.count_tokens(text) for text, score in scores.items()}
    for place, text in enumerate(sorted(means, key=lambda text: -means[text]), 1):
        click.echo(f"  {place}. {means[text]:6.3f}  {scores[text]:8.2f}  {text}")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(1), default=1700, show_default=True, help="How long to train.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed gives another model.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="The folder to write to.",
)
def demo(file: Path | None, steps: int, seed: int, output: Path) -> None:
    """Train a character language model on FILE, or on the comments and reference pages that this Python carries."""
    output.mkdir(parents=True, exist_ok=True)
    text_path, model_path = file, output / "model.safetensors"
    if text_path is None:
        text_path = output / "text.txt"
        write_atomically(text_path, f"{library_comments()}\n\n{python_topics()}".encode())
    click.echo(
        f"training a character language model on {text_path} ({text_path.stat().st_size / 1000:,.0f} kB), {steps:,} steps"
    )
    model = LanguageModel(dropout=0.3, max_steps=steps, seed=seed).fit(text_path)
    model.save(model_path)
    describe(model)
    click.echo("\nIt writes (temperature 0.7):\n")
    click.echo("".join(model.generate("\n", length=500, temperature=0.7, seed=1)))
    rank(model)
    command = Path(sys.executable).with_name("gatewise")
    command = os.path.relpath(command) if command.exists() else "python -m gatewise"
    click.echo(
        f"""
wrote {text_path} (the text) and {model_path} (the model)

Next:
  {command} generate {model_path} --prompt "The " --temperature 0.7
  {command} score {model_path} "to be or not to be" "be to not or be to"
  {command} show {model_path}
  {command} train language {text_path} -o better.safetensors --hidden-size 512 --max-seconds 600
  {command} train language your-own-text.txt -o mine.safetensors --cell gru"""
    )


if __name__ == "__main__":
    sys.exit(run(command=demo))
