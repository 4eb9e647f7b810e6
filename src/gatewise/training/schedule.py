"""How long training goes on, and the learning rate on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

DEFAULT_EPOCHS = 10
DEFAULT_STEPS = 500  # at least, where an epoch has few
FINAL_SHARE = 0.02  # of the peak learning rate, at the end of the cosine


@dataclass(frozen=True)
class Budget:
    """The limits of a training run; the one that is reached first ends it.

    Attributes:
        max_steps: optimiser steps, or None.
        max_seconds: wall-clock seconds, validation included, or None.
    """

    max_steps: int | None
    max_seconds: float | None

    @classmethod
    def of(cls, steps_per_epoch: int, epochs: int | None, max_steps: int | None, max_seconds: float | None) -> Budget:
        """The budget of these limits; when there is none, `DEFAULT_EPOCHS`, or the epochs that make `DEFAULT_STEPS`."""
        if epochs is None and max_steps is None and max_seconds is None:
            epochs = max(DEFAULT_EPOCHS, -(-DEFAULT_STEPS // steps_per_epoch))
        steps = [limit for limit in (max_steps, epochs and epochs * steps_per_epoch) if limit is not None]
        return cls(min(steps, default=None), max_seconds)

    def used(self, step: int, seconds: float) -> float:
        """The share of the budget that is spent, from 0 to 1."""
        by_steps = step / self.max_steps if self.max_steps else 0.0
        by_seconds = seconds / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(by_steps, by_seconds))

    def seconds_left(self, step: int, seconds: float) -> float | None:
        """An estimate from the speed so far; None before there is any."""
        used = self.used(step, seconds)
        return None if used == 0 else seconds * (1 - used) / used


def learning_rate_share(used: float, warmup: float) -> float:
    """The learning rate as a share of its peak: a linear rise, then half a cosine down to `FINAL_SHARE`.

    Args:
        used: the share of the budget that is spent, from 0 to 1.
        warmup: the share of the budget in which the rate rises, from 0 to below 1.

    Paper: I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. 5,
    without restarts.

    >>> [round(learning_rate_share(used, 0.1), 2) for used in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.51, 0.02]
    """
    if used < warmup:
        # Never quite zero: a first step of nothing would be a step wasted.
        return max(used / warmup, 0.01)
    decay = 0.5 * (1 + math.cos(math.pi * (used - warmup) / (1 - warmup)))
    return FINAL_SHARE + (1 - FINAL_SHARE) * decay
