"""Which units of a trained network follow something in a text.

The statistic is Pearson's r of a unit's series and a feature's (the point-biserial correlation where the feature is yes/no:
the same formula), over steps, both without their straight line through time. Units are chosen on the first part of the
text; on the rest their r is computed again and must have the same sign.

**p, over units.** Both series depend on their own pasts, so r scatters far more than over independent steps. The feature is
therefore shifted against the units by every number of steps, around the end of the first part: this keeps both series as
they are and cuts their tie. The p of a unit is the share of shifts, 0 among them, at which the largest absolute r of all
units, values and layers is at least its own (single-step max-T: P. Westfall & S. Young, "Resampling-based multiple
testing", 1993).
So p is the probability that any unit of the search would come so near by chance. All shifts form a group, which makes the
test exact for a feature that is stationary around the circle. Shifts near 0 count like all others: without them a feature
with few independent looks at the units has too small a p. For the same reason no p is below 1 / looks, where
looks = (ΣP)² / ΣP² over the feature's power spectrum P: the number of its independent shifts, by Parseval's theorem that of
M. Bartlett, "Some aspects of the time-correlation problem", J. R. Stat. Soc. 98, 1935.

Shifts are too sure where feature and units both drift (K. Harris, "Nonsense correlations in neuroscience", bioRxiv
2020.11.29.402719). The line and the looks are against that; what is left of it, `docs/units.md` says.

**p, over features.** Holm's correction (Scand. J. Stat. 6, 1979) of each feature's best unit. Further units of a feature
have Bonferroni's, and at least the best one's.

A small p says that a unit follows the feature, not that training made it do so: a unit of an untrained network follows
what stands in its input too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import GatewiseError, ParameterError
from ..ir.cell import Cell
from ..runtime.network import RuntimeNetwork, Seen

HELD_OUT = 0.3
FEWEST = 1_000  # steps
LEVEL = 0.05  # of p
PIECE = 4_096  # steps that the network runs at once
MOST_NUMBERS = 1 << 27  # of units' series, held at once
TOGETHER = 32  # series that are shifted at once
ROUNDING = 1e-5  # of r

Series = tuple[str, str, int]  # layer, value, unit


@dataclass(frozen=True)
class UnitRow:
    """A unit that may follow a feature.

    Attributes:
        feature, layer, value, unit: which.
        r: on the first part of the text.
        held_out: r on the last part.
        p: corrected for the search over units and over features.
    """

    feature: str
    layer: str
    value: str
    unit: int
    r: float
    held_out: float
    p: float

    @property
    def found(self) -> bool:
        """Whether p is at most `LEVEL` and the held-out r has the same sign."""
        return self.p <= LEVEL and self.r * self.held_out > 0

    @property
    def name(self) -> str:
        """The unit in words."""
        return f"{self.layer} {self.value}[{self.unit}]"


@dataclass(frozen=True)
class Units:
    """What `find_units` found.

    Attributes:
        rows: of every feature its best units, the best first; features in the order of their best p, then of its absolute r.
        left_out: features that were not looked at, and why.
        searched: how many series of units there are.
        first: steps in the first part. tokens: what stands at every step, [N].
        features: those looked at, [N] each. series: of each feature's best unit, [N].
    """

    rows: tuple[UnitRow, ...]
    left_out: Mapping[str, str]
    searched: int
    first: int
    tokens: Sequence[str] = field(repr=False)
    features: Mapping[str, np.ndarray] = field(repr=False)
    series: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def best(self) -> list[UnitRow]:
        """The best unit of every feature for which one was found."""
        firsts = {row.feature: row for row in reversed(self.rows)}
        return [row for row in self.rows if row.found and firsts[row.feature] is row]

    def excerpt(self, feature: str, length: int) -> slice:
        """So many held-out steps in which the feature changes as much as anywhere: its largest variance."""
        values = self.features[feature][self.first :].astype(np.float64)
        length = min(length, len(values))
        sums = [np.concatenate([[0], np.cumsum(v)]) for v in (values, values**2)]
        mean, square = ((s[length:] - s[:-length]) / length for s in sums)
        start = self.first + int((square - mean**2).argmax())
        return slice(start, start + length)


def find_units(
    network: RuntimeNetwork,
    inputs: np.ndarray,
    tokens: Sequence[str],
    features: Mapping[str, np.ndarray],
    values: Sequence[str] | None = None,
    top: int = 1,
) -> Units:
    """Find the units that follow features of a text; see the module for how.

    Args:
        network: one that says something at every step and reads forward.
        inputs: of the network [hidden + N, 1]; the first `hidden` are run but not looked at.
        tokens: what stands at each of the N steps.
        features: by name, [N] each.
        values: names of the cell's values to search; None takes its states.
        top: how many units of a feature are given.

    Raises:
        ParameterError: the cell has no such value, or top is below 1.
        GatewiseError: there are fewer than `FEWEST` steps, or no feature varies.
    """
    values = check_values(network.architecture.stack.cell, values)
    if top < 1:
        raise ParameterError(f"top is {top}; it must be at least 1")
    steps = len(tokens)
    if steps < FEWEST:
        raise GatewiseError(f"the text is too short: {steps:,} tokens, where at least {FEWEST:,} are needed")
    first = steps - int(HELD_OUT * steps)
    looked_at, left_out = varying(features, first)
    if not looked_at:
        raise GatewiseError("no feature changes in both parts of the text: there is nothing for units to follow")
    search = Search(np.array(list(looked_at.values()), np.float32), first)
    names: list[Series] = []
    for chunk_names, chunk in unit_series(network, inputs, steps, values):
        search.add(chunk)
        names += chunk_names
    rows = _rows(search, list(looked_at), names, top)
    series = dict(zip(looked_at, search.best_series, strict=True))
    return Units(rows, left_out, len(names), first, tokens, looked_at, series)


def check_values(cell: Cell, values: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the values to search. Raises ParameterError for one that the cell lacks."""
    if values is None:
        return tuple(state.name for state in cell.states)
    for name in values:
        if name not in cell.named_dims:
            raise ParameterError(f"cell {cell.name!r} has no value {name!r}; it has: {', '.join(cell.named_dims)}")
    return tuple(dict.fromkeys(values))


def varying(features: Mapping[str, np.ndarray], first: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The features that change in both parts of the text and differ from those before them; and of the others, why not."""
    kept: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for name, values in features.items():
        parts = {"the text": values, "its first part": values[:first], "its last part": values[first:]}
        silent = next((part for part, v in parts.items() if not spectra(v[None].astype(np.float32)).any()), None)
        twin = next((other for other, v in kept.items() if np.array_equal(v, values)), None)
        if silent is not None:
            left_out[name] = f"{'constant' if (parts[silent] == parts[silent][0]).all() else 'a straight line'} in {silent}"
        elif twin is not None:
            left_out[name] = f"the same as {twin}"
        else:
            kept[name] = values
    return kept, left_out


def unit_series(
    network: RuntimeNetwork, inputs: np.ndarray, steps: int, values: Sequence[str]
) -> Iterator[tuple[list[Series], np.ndarray]]:
    """The series of every unit, [units, steps] float32, as many at a time as fit in `MOST_NUMBERS`. Where that takes several
    turns, the network runs over the text again in each."""
    seen: Seen = {}
    network.run(inputs[:1], seen=seen)
    names = [
        (layer, value, unit) for layer, found in seen.items() for value in values for unit in range(found[value].shape[2])
    ]
    share = max(1, MOST_NUMBERS // steps)
    for start in range(0, len(names), share):
        chosen = names[start : start + share]
        yield chosen, run_over(network, inputs, steps, chosen)


def run_over(network: RuntimeNetwork, inputs: np.ndarray, steps: int, chosen: Sequence[Series]) -> np.ndarray:
    """The last `steps` steps of some units, [units, steps], while the network reads the inputs piece by piece."""
    found = np.empty((len(chosen), len(inputs)), np.float32)
    states = None
    for start in range(0, len(inputs), PIECE):
        seen: Seen = {}
        _, states = network.run(inputs[start : start + PIECE], states, seen=seen)
        for row, (layer, value, unit) in zip(found, chosen, strict=True):
            row[start : start + PIECE] = seen[layer][value][:, 0, unit]
    return found[:, -steps:]


class Search:
    """The correlations of features [F, N] with units, which come some at a time, and the chances of the largest.

    Attributes:
        r, held_out: of the units so far, [F, units].
        largest: of every feature and shift, the largest absolute r of all units so far, [F, first].
        best_series: of every feature, the series of the best unit so far, [F, N].
    """

    def __init__(self, features: np.ndarray, first: int) -> None:
        self._first = first
        self._features = spectra(features[:, :first])
        self._features_held_out = spectra(features[:, first:])
        self.r = self.held_out = np.zeros((len(features), 0), np.float32)
        self.largest = np.zeros((len(features), first), np.float32)
        self.best_series = np.zeros_like(features)

    def add(self, series: np.ndarray) -> None:
        """Take further units' series, [units, N]."""
        for start in range(0, len(series), TOGETHER):
            self._add(series[start : start + TOGETHER])

    def _add(self, series: np.ndarray) -> None:
        units = spectra(series[:, : self._first])
        now = np.zeros((len(self._features), len(series)), np.float32)
        for at, feature in enumerate(self._features):
            shifted = np.fft.irfft(np.conj(feature) * units, self._first)
            now[at] = shifted[:, 0]
            np.maximum(self.largest[at], np.abs(shifted).max(0), out=self.largest[at])
        best, before = np.abs(now).argmax(1), np.abs(self.r).max(1, initial=0)
        better = np.abs(now).max(1) > before
        self.best_series[better] = series[best[better]]
        self.r = np.concatenate([self.r, now], axis=1)
        held_out = inner(self._features_held_out, spectra(series[:, self._first :]), series.shape[1] - self._first)
        self.held_out = np.concatenate([self.held_out, held_out], axis=1)

    def chances(self, feature: int, r: np.ndarray) -> np.ndarray:
        """p of units with these r, corrected for the search over units."""
        ranked = np.sort(self.largest[feature])
        count = len(ranked) - np.searchsorted(ranked, np.abs(r) - ROUNDING)
        return np.maximum(count / len(ranked), 1 / looks(self._features[feature], self._first))


def spectra(series: np.ndarray) -> np.ndarray:
    """Fourier transforms of series [K, n] without their straight lines, [K, n // 2 + 1], scaled so that the product of one
    and the conjugate of another goes back to r at every circular shift; 0 for a series that is a line."""
    steps = series.shape[1]
    time = np.arange(steps) - (steps - 1) / 2
    time /= np.sqrt(time @ time)
    rest = series - series.mean(1, keepdims=True, dtype=np.float64)
    rest -= (rest @ time)[:, None] * time
    size, norm = (np.sqrt((a**2).sum(1, keepdims=True, dtype=np.float64)) for a in (series, rest))
    rest /= np.where(norm > ROUNDING * size, norm, np.inf)
    return np.fft.rfft(rest.astype(np.float32))


def inner(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """r of series with these spectra, [len(a), len(b)]."""
    return np.real((a * _twice(steps)) @ b.conj().T).astype(np.float32) / steps


def looks(spectrum: np.ndarray, steps: int) -> float:
    """How many independent shifts a series of so many steps has: (ΣP)² / ΣP² over its power spectrum; 1 without any."""
    power, weight = np.abs(spectrum).astype(np.float64) ** 2, _twice(steps)
    if not power.any():
        return 1.0
    return float((weight * power).sum() ** 2 / (weight * power**2).sum())


def _twice(steps: int) -> np.ndarray:
    """How often each frequency of a real transform stands in the whole one."""
    weight = np.full(steps // 2 + 1, 2.0, np.float32)
    weight[0] = 1
    weight[-1] -= steps % 2 == 0
    return weight


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction of p for as many tests as there are.

    >>> holm(np.array([0.04, 0.01, 0.03])).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(stepped, 1)
    return found


def _rows(search: Search, features: Sequence[str], names: Sequence[Series], top: int) -> tuple[UnitRow, ...]:
    chosen = [np.argsort(-np.abs(r), kind="stable")[:top] for r in search.r]
    raw = [search.chances(at, search.r[at, units]) for at, units in enumerate(chosen)]
    best = holm(np.array([p[0] for p in raw]))
    groups = []
    for at, (feature, units) in enumerate(zip(features, chosen, strict=True)):
        corrected = np.minimum(1, np.maximum(best[at], raw[at] * len(features)))
        corrected[0] = best[at]
        rows = []
        for number, p in zip(units, corrected, strict=True):
            layer, value, unit = names[number]
            r, held_out = float(search.r[at, number]), float(search.held_out[at, number])
            rows.append(UnitRow(feature, layer, value, unit, r, held_out, float(p)))
        groups.append(rows)
    groups.sort(key=lambda rows: (rows[0].p, -abs(rows[0].r)))
    return tuple(row for rows in groups for row in rows)
