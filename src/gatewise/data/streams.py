"""One long text as parallel streams, cut in windows, for truncated backpropagation through time.

The text is cut in ``batch_size`` stretches of equal length (up to one token). Row ``b`` of every window belongs to
stretch ``b``, and each window goes on where the one before it ended, so the recurrent state can be carried along.

Paper: R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
trajectories", Neural Computation 2(4), 1990: BPTT(h; h') with h = h' = one window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """A piece of every stream: predict ``targets`` from ``inputs``.

    Attributes:
        inputs: token numbers [T, B].
        targets: the token after each input [T, B].
        lengths: the number of steps that count in each row [B], or None when all T do. A row is padded only in the
            last window, and by one step only.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None

    @property
    def count(self) -> int:
        """The number of targets that count."""
        return self.targets.size if self.lengths is None else int(self.lengths.sum())


class Streams:
    """Random access to the windows of a text; every token but the first is a target exactly once.

    Args:
        tokens: token numbers [N]; at least ``batch_size + 1``.
        batch_size: the number of parallel streams B. A text shorter than B windows gets fewer, longer streams.
        bptt: the number of steps of a window T.

    >>> streams = Streams(np.arange(9), batch_size=2, bptt=3)
    >>> [window.inputs.T.tolist() for window in streams]
    [[[0, 1, 2], [4, 5, 6]], [[3], [7]]]
    """

    def __init__(self, tokens: np.ndarray, batch_size: int, bptt: int) -> None:
        self.tokens = tokens
        self.bptt = bptt
        targets = len(tokens) - 1
        self.batch_size = max(1, min(batch_size, targets // bptt))
        self.starts = np.arange(self.batch_size + 1) * targets // self.batch_size
        self.lengths = np.diff(self.starts)
        self.longest = int(self.lengths.max())

    def __len__(self) -> int:
        return -(-self.longest // self.bptt)

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        begin = index * self.bptt
        steps = np.arange(begin, min(begin + self.bptt, self.longest))
        # A short row's padding step repeats a token that exists; `lengths` keeps it from counting.
        at = np.minimum(self.starts[:-1] + steps[:, None], len(self.tokens) - 2)
        lengths = np.minimum(self.lengths - begin, len(steps))
        return Window(self.tokens[at], self.tokens[at + 1], None if (lengths == len(steps)).all() else lengths)
