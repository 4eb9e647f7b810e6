"""Drawing the next token from a model's scores."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError
from .network import RuntimeNetwork, log_softmax


@dataclass(frozen=True)
class Sampling:
    """How to choose a token.

    Attributes:
        temperature: scores are divided by it. Below 1 prefers likely tokens, above 1 evens them out, 0 always takes
            the likeliest.
        top_k: choose among the k likeliest only; None for all.
        top_p: choose among the likeliest tokens that together reach this probability (0, 1]; None for all.

    Paper of ``top_p``: A. Holtzman et al., "The curious case of neural text degeneration", ICLR 2020.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise ParameterError(f"temperature is {self.temperature}; it must be a number from 0 up")
        if self.top_k is not None and self.top_k < 1:
            raise ParameterError(f"top_k is {self.top_k}; it must be a whole number from 1 up")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ParameterError(f"top_p is {self.top_p}; it must be above 0 and at most 1")

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The distribution [V] that `choose` draws from, given scores [V]. A score of minus infinity gives 0."""
        if self.temperature == 0:
            return (np.arange(len(scores)) == scores.argmax()).astype(np.float64)
        p = np.exp(log_softmax(scores.astype(np.float64) / self.temperature))
        order = np.argsort(-scores, kind="stable")  # scores that differ may have equal probabilities
        keep = len(p) if self.top_k is None else min(self.top_k, len(p))
        if self.top_p is not None:
            # The token that crosses the bound is in; rounding must not leave none.
            keep = min(keep, int(np.searchsorted(np.cumsum(p[order]), self.top_p)) + 1)
        p[order[keep:]] = 0
        return p / p.sum()

    def choose(self, scores: np.ndarray, random: np.random.Generator) -> int:
        """One token number."""
        p = self.probabilities(scores)
        return int(random.choice(len(p), p=p))


def sample(
    network: RuntimeNetwork,
    prompt: np.ndarray,
    length: int,
    sampling: Sampling,
    random: np.random.Generator,
    never: Collection[int] = (),
) -> Iterator[int]:
    """Token numbers that follow a prompt, one by one.

    Args:
        prompt: token numbers [N], N at least 1.
        length: how many tokens to draw.
        never: tokens that must not be drawn, such as the one for unknown words.
    """
    scores, states = network.run(prompt[:, None])
    last = scores[-1, 0]
    stream = network.stream(states)
    for drawn in range(length):
        last = last.copy()
        last[list(never)] = -np.inf
        token = sampling.choose(last, random)
        yield token
        if drawn + 1 < length:
            last = stream.step(np.array([token]))[0]
