"""The sum of five integers, learned from examples by a recurrent network that reads them one after another.

    python examples/sum_of_five.py [--largest 9] [--steps 2000]

The network is never told what a sum is. It sees lists such as [7, 0, 12, 3, 9] with the number 31, and must add lists that
it has not seen. An LSTM of 32 units carries the sum so far in its state; a linear unit reads it after the last number. The
answer is rounded, so it is right or wrong, not nearly right.
"""

from __future__ import annotations

import argparse

import numpy as np

from gatewise import SequenceRegressor


def lists(largest: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Different lists of five integers from 0 to largest: [N, 5]."""
    return np.unique(random.integers(0, largest + 1, (count, 5)), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=9, help="the largest integer in a list")
    parser.add_argument("--lists", type=int, default=6000, help="how many lists to draw; a sixth of them tests")
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    X = random.permutation(lists(options.largest, options.lists, random))
    unseen, seen = X[: len(X) // 6], X[len(X) // 6 :]
    model = SequenceRegressor(
        hidden_size=32,
        readout="last",
        max_steps=options.steps,
        batch_size=64,
        learning_rate=1e-2,
        patience=None,
        seed=options.seed,
        verbose=False,
    )
    model.fit(seen, seen.sum(1))
    print(model.summary())
    print(f"\ntrained on {len(seen):,} lists in {model.training_['seconds']:.1f} s")
    answers = model.predict(unseen)
    print("\nlists it has not seen:")
    for numbers, answer in zip(unseen[:5], answers, strict=False):
        print(f"  {' + '.join(map(str, numbers)):24} = {answer:7.3f}, rounded {answer:3.0f}; right is {numbers.sum()}")
    right = (np.round(answers) == unseen.sum(1)).sum()
    print(f"\nright after rounding: {right:,} of {len(unseen):,} unseen lists")
    print(f"largest error: {np.abs(answers - unseen.sum(1)).max():.3f}")


if __name__ == "__main__":
    main()
