"""What a forecast's head says: the parameters of a distribution for each target and step ahead.

The head gives numbers ``raw`` [..., D, P] in units of a series' scale. Where a distribution is one of a location, that is
measured from the last value, so a network that says nothing forecasts the last value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ParameterError, require

LEVELS = np.arange(1, 100) / 100  # at which a forecast's quantiles are kept
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # that the head "quantile" says
FLOOR = 1e-3  # of a scale


@dataclass(frozen=True)
class Distribution:
    """A family of distributions.

    Attributes:
        size: numbers a target, P. location: which of them, added to the last value, is where the distribution lies.
        parameters: from raw [..., D, P], the last value [..., D] and NumPy or torch, to the distribution's parameters by
            name, [..., D] each, in units of the scale.
        quantiles: from parameters and levels [Q] to [..., D, Q].
        mean: from parameters to [..., D].
        sample: from parameters and a random generator to one draw of each; None where the family has no way to draw.
        counts: whether it is of whole numbers; then values are not centred, and a scale is of the mean.
    """

    size: int
    location: int
    parameters: Callable[[Any, Any, Any], dict[str, Any]]
    quantiles: Callable[[dict[str, Any], np.ndarray], np.ndarray]
    mean: Callable[[dict[str, Any]], np.ndarray]
    sample: Callable[[dict[str, Any], np.random.Generator], np.ndarray] | None
    counts: bool = False


def softplus(x: Any, xp: Any) -> Any:
    """log(1 + exp(x)) without overflow, on NumPy or torch."""
    return xp.log1p(xp.exp(-abs(x))) + (x + abs(x)) / 2


def _gaussian(raw: Any, last: Any, xp: Any) -> dict[str, Any]:
    return {"loc": last + raw[..., 0], "scale": softplus(raw[..., 1], xp) + FLOOR}


def _student(raw: Any, last: Any, xp: Any) -> dict[str, Any]:
    return {**_gaussian(raw, last, xp), "df": 2.1 + softplus(raw[..., 2], xp)}


def _negative_binomial(raw: Any, last: Any, xp: Any) -> dict[str, Any]:
    """Mean and overdispersion: the variance is mean + alpha mean². In units of counts, once they are scaled."""
    return {"mean": softplus(raw[..., 0] + last, xp) + FLOOR, "alpha": softplus(raw[..., 1], xp) + FLOOR}


def _of_scipy(name: str) -> Any:
    return getattr(require("scipy.stats", "train", "quantiles of a forecast"), name)


def _counts(p: dict[str, Any]) -> tuple[Any, Any]:
    """n and p of NumPy's and SciPy's negative binomial."""
    n = 1 / p["alpha"]
    return n, n / (n + p["mean"])


def _between(p: dict[str, Any], levels: np.ndarray) -> np.ndarray:
    """The levels between those that are known, on straight lines; sorted, so that they cannot cross."""
    known = np.sort(p["values"], axis=-1)
    flat = known.reshape(-1, len(QUANTILES))
    # Beyond the outermost two the lines go on.
    low = flat[:, :1] - (flat[:, 1:2] - flat[:, :1]) * QUANTILES[0] / (QUANTILES[1] - QUANTILES[0])
    high = flat[:, -1:] + (flat[:, -1:] - flat[:, -2:-1]) * (1 - QUANTILES[-1]) / (QUANTILES[-1] - QUANTILES[-2])
    whole, at = np.concatenate([low, flat, high], 1), np.array([0.0, *QUANTILES, 1.0])
    found = np.stack([np.interp(levels, at, row) for row in whole])
    return found.reshape(*known.shape[:-1], len(levels))


DISTRIBUTIONS: dict[str, Distribution] = {
    "gaussian": Distribution(
        2,
        0,
        _gaussian,
        lambda p, levels: p["loc"][..., None] + p["scale"][..., None] * _of_scipy("norm").ppf(levels),
        lambda p: p["loc"],
        lambda p, random: random.normal(p["loc"], p["scale"]),
    ),
    "student_t": Distribution(
        3,
        0,
        _student,
        lambda p, levels: p["loc"][..., None] + p["scale"][..., None] * _of_scipy("t").ppf(levels, p["df"][..., None]),
        lambda p: p["loc"],
        lambda p, random: p["loc"] + p["scale"] * random.standard_t(p["df"]),
    ),
    "negative_binomial": Distribution(
        2,
        0,
        _negative_binomial,
        lambda p, levels: _of_scipy("nbinom").ppf(levels, *(a[..., None] for a in _counts(p))),
        lambda p: p["mean"],
        lambda p, random: random.negative_binomial(*_counts(p)).astype(float),
        counts=True,
    ),
    "quantile": Distribution(
        len(QUANTILES),
        QUANTILES.index(0.5),
        lambda raw, last, xp: {"values": last[..., None] + raw},
        _between,
        lambda p: _between(p, LEVELS).mean(-1),
        None,
    ),
}


def at_level(quantiles: np.ndarray, level: float) -> np.ndarray:
    """The quantile at a level, of those at `LEVELS` in the last axis."""
    if not LEVELS[0] <= level <= LEVELS[-1]:
        raise ParameterError(f"level is {level!r}; it must lie between {LEVELS[0]} and {LEVELS[-1]}")
    place = level * 100 - 1
    low = int(np.floor(place + 1e-9))
    high, share = min(low + 1, len(LEVELS) - 1), place - low
    return quantiles[..., low] * (1 - share) + quantiles[..., high] * share
