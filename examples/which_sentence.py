"""Which of these is English? A language model ranks sentences by how likely it finds them.

    python examples/which_sentence.py [--level word] [--steps 200] [FILE]

A language model reads a text that every Python carries, its library's comments and reference pages, or FILE. Then it is
given "why do we need a recurrent neural network" and the same words in other orders. It has seen none of them; log p(text)
is the sum of the log-probabilities of its words, each given those before it. Words that the text has seldom or never, such
as "neural", are one and the same <unk> to a model of words: it ranks the orders of the rest. With --level char nothing is
unknown, but the model must learn to spell first: `python -m gatewise.demo` does that, in about a minute with two threads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from gatewise import LanguageModel
from gatewise.demo import SENTENCE, describe, library_comments, python_topics, rank


def shuffled(sentence: str, count: int, random: np.random.Generator) -> list[str]:
    """Other orders of the words of a sentence, all different."""
    words, found = sentence.split(), set()
    while len(found) < count:
        found.add(" ".join(random.permutation(words).tolist()))
        found.discard(sentence)
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a text to learn from")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--level", choices=("word", "char"), default="word")
    parser.add_argument("--hidden-size", type=int, default=96)
    parser.add_argument("--orders", type=int, default=200, help="how many other orders of the words to compare with")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    text = options.file or f"{library_comments()}\n\n{python_topics()}"
    model = LanguageModel(
        level=options.level,
        vocabulary_size=2000,
        embedding_size=48 if options.level == "word" else None,
        hidden_size=options.hidden_size,
        dropout=0.3,
        max_steps=options.steps,
        validation_fraction=0.05,
        seed=options.seed,
        verbose=False,
    ).fit(text)
    describe(model)
    rank(model)
    if options.level == "word":
        numbers = model.vocabulary_.encode(SENTENCE)
        unknown = [w for w, n in zip(SENTENCE.split(), numbers, strict=True) if n == model.vocabulary_.unknown]
        print(f"words that it does not know: {', '.join(unknown) or 'none'}")

    orders = shuffled(SENTENCE, options.orders, np.random.default_rng(options.seed))
    own, *others = model.log_likelihood([SENTENCE, *orders])
    best = np.argsort(others)[::-1]
    print(f"\nthe sentence: {own:.2f} nats; {len(orders)} other orders of its words: {min(others):.2f} to {max(others):.2f}")
    for k in (*best[:3], *best[-2:]):
        print(f"  {others[k]:8.2f}  {orders[k]}")
    print(f"\nlikelier than {np.mean(own > np.array(others)):.1%} of them")


if __name__ == "__main__":
    main()
