"""``gatewise score MODEL TEXT...``: how likely a language model finds texts."""

from __future__ import annotations

import math
from pathlib import Path

import click


@click.command("score")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score the text in FILE as one; may be given several times.",
)
def command(model: Path, texts: tuple[str, ...], files: tuple[Path, ...]) -> None:
    """Rank TEXT... by their likelihood under the language model in the file MODEL, the likeliest first.

    The rank is by likelihood a token, so that a text does not lose for being longer. Columns: rank, log-likelihood of the
    whole in nats, nats a token, bits a token, text.
    """
    from ..data.text import open_text
    from ..errors import FileError
    from ..modelfile import load

    if not texts and not files:
        raise click.UsageError("nothing to score: give texts, or --file FILE")
    language_model = load(model, "language")
    entries = [(text, text) for text in texts]
    entries += [(str(path), "".join(open_text(path).pieces())) for path in files]
    for name, text in entries:
        if not text:
            raise FileError(f"{name or 'a text'} is empty: there is nothing to score")
    scores = language_model.log_likelihood([text for _, text in entries])
    unit = language_model.vocabulary_.unit.removesuffix("s")
    click.echo(f"rank  log-likelihood  nats/{unit}  bits/{unit}  text")
    nats_a_token = [-s / language_model.count_tokens(text) for s, (_, text) in zip(scores, entries, strict=True)]
    ranked = sorted(zip(nats_a_token, scores, entries, strict=True), key=lambda item: item[0])
    for rank, (nats, score, (name, _)) in enumerate(ranked, 1):
        width = len(unit) + 5
        click.echo(f"{rank:>4}  {score:>14.2f}  {nats:>{width}.3f}  {nats / math.log(2):>{width}.3f}  {name}")
