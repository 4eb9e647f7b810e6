"""Is a review good or bad? The well-known three-layer model: embedding, LSTM, one sigmoid unit.

    python examples/sentiment.py                                          # on a small set of its own, some seconds
    python examples/sentiment.py imdb_train.csv.gz imdb_test.csv.gz --text review --label sentiment --epochs 3

In Keras it is written

    model = Sequential([Embedding(5000, 32, input_length=500), LSTM(100), Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])

and here as one estimator, which also learns the vocabulary: the 5,000 most frequent words get a vector of 32 numbers each,
an LSTM of 100 units reads at most the last 500 of a review, and a sigmoid of its last output is the probability that the
review is good. Binary cross-entropy, Adam. IMDb's reviews: Maas et al., Learning word vectors for sentiment analysis, ACL
2011.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from gatewise import SequenceClassifier
from gatewise.data.labelled import Reading, read_labelled

OPENINGS = ("", "i must say that", "everyone around me said that", "after the first few minutes i knew that")
THINGS = ("film", "story", "plot", "acting", "music", "cast", "ending", "dialogue")
GOOD = ("superb", "moving", "clever", "funny", "charming", "beautiful", "brilliant", "convincing")
BAD = ("awful", "dull", "stupid", "boring", "tedious", "ugly", "weak", "annoying")
VERBS = {"is": False, "is not": True, "was never": True, "was really": False, "is anything but": True}  # True turns it round
UNSEEN = 4  # of the pairs of a thing and an adjective, one in so many is kept for the test


def small_set() -> tuple[list[str], list[str], list[str], list[str]]:
    """Sentences such as "i must say that the plot is anything but clever" and what they are, to train on and to test with.

    No sentence of the test praises or blames a thing with an adjective that was said of it in training. The words that
    turn the meaning round make this more than counting: a linear model of which words stand in a sentence cannot solve it.
    """
    parts: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for (t, thing), (k, adjective) in itertools.product(enumerate(THINGS), enumerate(GOOD + BAD)):
        for opening, (verb, turned) in itertools.product(OPENINGS, VERBS.items()):
            label = "good" if (adjective in GOOD) != turned else "bad"
            sentence = f"{opening} the {thing} {verb} {adjective}".strip()
            parts[(t + k) % UNSEEN == 0].append((sentence, label))
    (X, y), (X_test, y_test) = (zip(*part, strict=True) for part in parts)
    return list(X), list(y), list(X_test), list(y_test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="two tables: to train on, and to test with")
    parser.add_argument("--text", default="review", help="the column with the reviews")
    parser.add_argument("--label", default="sentiment", help="the column with what they are")
    parser.add_argument("--limit", type=int, help="use so many rows of each table only")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--max-length", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if len(options.files) not in (0, 2):
        parser.error("give two files, one to train on and one to test with, or none")
    if options.files:
        reading = Reading(options.text, options.label)
        train, test = (read_labelled([path], reading) for path in options.files)
        X, y, X_test, y_test = (part[: options.limit] for part in (train.X, train.y, test.X, test.y))
    else:
        X, y, X_test, y_test = small_set()

    model = SequenceClassifier(
        embedding_size=32,
        hidden_size=100,
        readout="last",
        vocabulary_size=5000,
        max_length=options.max_length,
        epochs=options.epochs,
        batch_size=64 if options.files else 32,
        patience=None,
        seed=options.seed,
        verbose=bool(options.files),
    )
    model.fit(X, y)
    print(model.summary())
    print(f"\ntrained on {len(X):,} texts in {model.training_['seconds']:.0f} s")
    print(f"accuracy on what it was trained on: {model.score(X, y):.4f}")
    print(f"accuracy on {len(X_test):,} texts that it has not seen: {model.score(X_test, y_test):.4f}\n")
    shown = np.random.default_rng(options.seed).permutation(len(X_test))[:8]
    for k, p in zip(shown, model.predict_proba([X_test[k] for k in shown]), strict=True):
        print(f"  {model.classes_[p.argmax()]!s:>4} {p.max():.2f}  ({y_test[k]})  {X_test[k][:70]}")


if __name__ == "__main__":
    main()
