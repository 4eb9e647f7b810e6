"""The likelihood that a model gives to texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.sequences import within
from .network import LayerStates, RuntimeNetwork, log_softmax

PIECE = 256  # steps scored at once; bounds memory at PIECE x ROWS x V numbers
ROWS = 32  # texts scored side by side


def log_likelihoods(network: RuntimeNetwork, texts: Sequence[np.ndarray], start: int) -> np.ndarray:
    """The log-likelihood of each text, in nats, given that the token ``start`` stands before it.

    Args:
        texts: token numbers, an array [N_i] a text; texts may differ in length and may be empty.
        start: the token before the first one.

    Returns:
        The sum over the tokens of each text of log p(token | all before it): an array [len(texts)], float64.
    """
    total = np.zeros(len(texts))
    # Longest first, so that the texts that go on are always the first rows of a batch.
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    for begin in range(0, len(order), ROWS):
        rows = order[begin : begin + ROWS]
        total[rows] = _score_batch(network, [texts[row] for row in rows], start)
    return total


def _score_batch(network: RuntimeNetwork, texts: list[np.ndarray], start: int) -> np.ndarray:
    sizes = np.array([len(text) for text in texts])
    total = np.zeros(len(texts))
    states: list[LayerStates] | None = None
    for begin in range(0, int(sizes.max(initial=0)), PIECE):
        active = int((sizes > begin).sum())
        lengths = np.minimum(sizes[:active] - begin, PIECE)
        targets = np.full((int(lengths[0]), active), start, np.int64)
        inputs = targets.copy()
        for row in range(active):
            piece = texts[row][begin : begin + PIECE]
            targets[: len(piece), row] = piece
            inputs[0, row] = start if begin == 0 else texts[row][begin - 1]
            inputs[1 : len(piece), row] = piece[:-1]
        if states is not None:
            states = [tuple(state[:active] for state in layer) for layer in states]
        scores, states = network.run(inputs, states, lengths)
        log_p = np.take_along_axis(log_softmax(scores), targets[:, :, None], axis=2)[:, :, 0]
        total[:active] += np.where(within(len(targets), lengths), log_p, 0.0).sum(axis=0)
    return total
