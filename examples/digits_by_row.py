"""Handwritten digits, read as a person reads a page: a row a step, from the top.

    python examples/digits_by_row.py [--cell lstm] [--hidden-size 128] [--epochs 40]

scikit-learn carries 1,797 digits of 8 x 8 pixels. Each becomes a sequence of eight steps with eight numbers. The network
sees one row at a time and names the digit after the last. A quarter of the digits is kept for the test, as many of each.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

from gatewise import SequenceClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    digits = load_digits()
    X, X_test, y, y_test = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=options.seed, stratify=digits.target
    )
    model = SequenceClassifier(
        cell=options.cell,
        hidden_size=options.hidden_size,
        readout="last",
        learning_rate=5e-3,
        dropout=0.3,
        input_dropout=0.1,
        epochs=options.epochs,
        patience=None,
        seed=options.seed,
        verbose=False,
    ).fit(X, y)
    print(model.summary())
    print(f"\ntrained on {len(X):,} digits in {model.training_['seconds']:.1f} s")

    print("\na digit as the network sees it, and what it would say if it stopped after each row:")
    for rows, (row, p) in enumerate(zip(X_test[0], _answers(model, X_test[0]), strict=True), 1):
        drawn = "".join(" .:-=+*#%@"[int(9 * v / 16)] * 2 for v in row)
        print(f"  {drawn}  row {rows}: {p.argmax()} with probability {p.max():.2f}")
    print(f"  it is a {y_test[0]}")

    predicted = model.predict(X_test)
    print(f"\naccuracy on {len(X_test)} held-out digits: {np.mean(predicted == y_test):.4f}")
    table = confusion_matrix(y_test, predicted)
    mistakes = [(table[a, b], a, b) for a, b in np.argwhere(table) if a != b]
    for count, a, b in sorted(mistakes, reverse=True)[:3]:
        print(f"  {count} x a {a} was taken for a {b}")


def _answers(model: SequenceClassifier, image: np.ndarray) -> list[np.ndarray]:
    """The probabilities after the first row, after the first two, and so on."""
    return [model.predict_proba(image[None, :rows])[0] for rows in range(1, len(image) + 1)]


if __name__ == "__main__":
    main()
