"""Forecasts from a trained network: what its head says, read once from row to row, or drawn step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.panel import Series
from ..runtime.distributions import LEVELS, Distribution
from ..runtime.network import LayerStates, RuntimeNetwork
from .series_encoding import KnownAhead, Scale, SeriesEncoding

PIECE = 1024  # steps that are run at once


@dataclass(frozen=True)
class Ahead:
    """Forecasts of one series from several origins.

    Attributes:
        origins: the last row that each knows.
        mean: [origins, horizon, D].
        quantiles: at `LEVELS`, [origins, horizon, D, 99].
    """

    origins: np.ndarray
    mean: np.ndarray
    quantiles: np.ndarray


@dataclass(frozen=True)
class Forecasting:
    """What forecasts are made with.

    Attributes:
        network: the trained network.
        encoding: what it sees of series.
        family: the distribution that its head says.
        drawn: whether it says one step, and the next from draws of it; else all of its horizon at once.
        samples, seed: how many draws, and what fixes them.
    """

    network: RuntimeNetwork
    encoding: SeriesEncoding
    family: Distribution
    drawn: bool
    samples: int
    seed: int

    def ahead(self, s: Series, origins: np.ndarray, known: KnownAhead, horizon: int) -> Ahead:
        """Forecasts from rows of a series, rising; the state is carried from one to the next."""
        encoding, family, scale = self.encoding, self.family, self.encoding.scales[s.key]
        inputs, level = encoding.inputs(s, known), encoding.level(s)
        means, quantiles = [], []
        for origin, (scores, states) in zip(origins, self.run_to(inputs, origins), strict=True):
            if self.drawn:
                draws = self.draw(s, int(origin), states, scores, known, horizon, np.random.default_rng(self.seed))
                mean, found = draws.mean(0), np.moveaxis(np.quantile(draws, LEVELS, axis=0), 0, -1)
            else:
                raw = scores.reshape(encoding.said, level.shape[1], family.size)[:horizon].astype(np.float64)
                p = self.in_counts(family.parameters(raw, np.broadcast_to(level[origin], raw.shape[:2]), np), scale)
                mean, found = family.mean(p), family.quantiles(p, LEVELS)
            if not family.counts:
                found = encoding.values(found, scale, 1)
                mean = found.mean(-1) if encoding.log else encoding.values(mean, scale)
            means.append(mean)
            quantiles.append(found)
        return Ahead(np.asarray(origins), np.stack(means), np.stack(quantiles))

    def futures(self, s: Series, known: KnownAhead, horizon: int, random: np.random.Generator) -> np.ndarray:
        """Draws of what follows the end of a series: [samples, horizon, D]."""
        end = len(s) - 1
        ((scores, states),) = self.run_to(self.encoding.inputs(s, known), np.array([end]))
        drawn = self.draw(s, end, states, scores, known, horizon, random)
        return drawn if self.family.counts else self.encoding.values(drawn, self.encoding.scales[s.key])

    def run_to(self, inputs: np.ndarray, origins: np.ndarray) -> Iterator[tuple[np.ndarray, list[LayerStates]]]:
        """The scores after each of some rows, in order, and, where steps are drawn, the states; each row is read once."""
        states, at, end = None, 0, 0
        scores = np.empty(0)
        for origin in origins:
            while end <= origin:
                last = int(origin if self.drawn else origins[-1])
                at, end = end, min(end + PIECE, last + 1)
                found, states = self.network.run(inputs[at:end, None], states)
                scores = found[:, 0]
            assert states is not None
            yield scores[origin - at], states

    def draw(
        self,
        s: Series,
        origin: int,
        states: list[LayerStates],
        scores: np.ndarray,
        known: KnownAhead,
        horizon: int,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Draws of the future after a row: [samples, horizon, D], scaled (counts are not)."""
        family, encoding, n = self.family, self.encoding, self.samples
        assert family.sample is not None
        scale, D = encoding.scales[s.key], s.targets.shape[1]
        stream = self.network.stream([tuple(np.repeat(a, n, 0) for a in layer) for layer in states])
        recent = np.repeat(encoding.recent(s, np.array([origin])), n, axis=1)
        scores, drawn = np.tile(scores, (n, 1)), []
        for row in range(origin + 1, origin + horizon + 1):
            p = family.parameters(scores.reshape(n, D, family.size).astype(np.float64), recent[0], np)
            y = family.sample(self.in_counts(p, scale), random)
            drawn.append(y)
            new = (y - scale.mean) / scale.scale if family.counts else y
            recent = np.concatenate([new[None], recent[:-1]])
            ahead = known.of(np.full(n, row), encoding.said)
            scores = stream.step(encoding.features(s, recent, np.ones((n, D)), np.zeros((n, 0)), ahead))
        return np.stack(drawn, 1)

    def in_counts(self, p: dict[str, Any], scale: Scale) -> dict[str, Any]:
        """Parameters of a distribution of counts in units of counts; those of others as they are."""
        return {**p, "mean": p["mean"] * scale.scale} if self.family.counts else p
