"""What a network sees of series: scaled values, those before, covariates, calendar; and the way back from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.clock import Step, calendar
from ..data.panel import Panel, Series, carried_forward
from ..errors import GatewiseError

MOST_NAMED = 64  # series that are told apart by an input each


@dataclass(frozen=True)
class Scale:
    """By what a series' values are scaled, [D] each: value = mean + scale * number."""

    mean: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class KnownAhead:
    """What is known ahead of the rows of a series and of steps after it, m in all.

    Attributes:
        values: known covariates [m, K].
        waves: where the rows lie in day, week and year, see `calendar`, [m, C].
    """

    values: np.ndarray
    waves: np.ndarray

    def of(self, rows: np.ndarray, said: int) -> list[np.ndarray]:
        """What the network is told at some rows [n]: the covariates of so many steps that follow, and the calendar of the
        next one; beyond the end, those of the last row. Arrays [n, ...]."""
        end = len(self.values) - 1
        return [*(self.values[np.minimum(rows + k, end)] for k in range(1, said + 1)), self.waves[np.minimum(rows + 1, end)]]


@dataclass(frozen=True)
class SeriesEncoding:
    """How series become a network's inputs and targets.

    Attributes:
        step: the time between rows.
        scales: of every series, by its key.
        masked: whether an input says for each target if its value is there.
        named: the keys of series that have an input each.
        levels: for each static column the texts that have an input each; None where it is a number.
        window: values shown at a step, the present one and those before.
        said: steps that the network says at once.
        calendar: whether it is told where in day, week and year a step lies.
        log: whether it sees logarithms.
        counts: whether values are counts, which are not centred.
    """

    step: Step
    scales: dict[str, Scale]
    masked: bool
    named: list[str]
    levels: list[list[str] | None]
    window: int
    said: int
    calendar: bool
    log: bool
    counts: bool

    @classmethod
    def learn(cls, panel: Panel, trained_rows: Sequence[int], **options: Any) -> SeriesEncoding:
        """The encoding of some series; scales are of their first rows, which are trained on.

        Args:
            options: window, said, calendar, log and counts.

        Raises:
            GatewiseError: a series has values that it cannot have, or none in its first rows.
        """
        encoding = cls(
            panel.step,
            {},
            any(np.isnan(s.targets).any() for s in panel.series),
            [s.key for s in panel.series] if 1 < len(panel.series) <= MOST_NAMED else [],
            [_levels(values) for values in zip(*(s.static for s in panel.series), strict=True)],
            **options,
        )
        for s, rows in zip(panel.series, trained_rows, strict=True):
            encoding._learn_scale(s, rows, panel.report)
        return encoding

    def _learn_scale(self, s: Series, rows: int, report: list[str]) -> None:
        self.check_values(s)
        y = self._transformed(s.targets[:rows])
        if np.isnan(y).all(0).any():
            raise GatewiseError(f"{s.described} has no value to train on in its first {rows} rows")
        centre, spread = np.nanmean(y, 0), np.nanstd(y, 0)
        spread = np.where(spread > 1e-12 * np.abs(centre), spread, 0.0)  # beyond that it is rounding
        mean = np.zeros(y.shape[1]) if self.counts else centre
        self.scales[s.key] = Scale(mean, 1 + centre if self.counts else np.where(spread > 0, spread, 1.0))
        if (spread == 0).any():
            report.append(f"{s.described} is constant in the training data")

    def check_values(self, s: Series) -> None:
        """Raise where a series has values that the logarithm or the distribution cannot have."""
        if self.log and np.nanmin(s.targets) <= 0:
            row = int(np.argmax((np.nan_to_num(s.targets, nan=1.0) <= 0).any(1)))
            least = np.nanmin(s.targets[row])
            raise GatewiseError(f"transform='log' is for positive values: {s.described} has {least:g} in its row {row + 1}")
        if self.counts and (np.nanmin(s.targets) < 0 or (np.nan_to_num(s.targets) % 1).any()):
            raise GatewiseError("negative_binomial is for counts: a target is negative or has a fraction")

    def _transformed(self, values: np.ndarray) -> np.ndarray:
        return np.log(values) if self.log else values

    def scaled(self, s: Series) -> np.ndarray:
        """Its targets [n, D] as the network sees them, NaN where they are missing."""
        scale = self.scales[s.key]
        return (self._transformed(s.targets) - scale.mean) / scale.scale

    def level(self, s: Series) -> np.ndarray:
        """The last value at every step [n, D], scaled."""
        return carried_forward(self.scaled(s))

    def values(self, scaled: np.ndarray, scale: Scale, after: int = 0) -> np.ndarray:
        """What `scaled` was made of; the targets' axis has so many axes after it."""
        shape = (-1,) + (1,) * after
        values = scale.mean.reshape(shape) + scale.scale.reshape(shape) * scaled
        return np.exp(values) if self.log else values

    def known_ahead(self, s: Series, steps: int, known: np.ndarray | None = None) -> KnownAhead:
        """What is known ahead of a series' rows and of so many steps after it; where their covariates [steps, K] are not
        given, the last row's."""
        values = np.concatenate([s.known, np.repeat(s.known[-1:], steps, 0) if known is None else known])
        stamps = np.append(s.stamps, self.step.after(s.stamps[-1], steps))
        waves = calendar(stamps, self.step) if self.calendar else np.zeros((len(stamps), 0))
        return KnownAhead(values, waves)

    def inputs(self, s: Series, ahead: KnownAhead) -> np.ndarray:
        """What the network reads at every step of a series: [n, F], float32."""
        rows = np.arange(len(s))
        return self.features(s, self.recent(s, rows), np.isfinite(s.targets), s.past, ahead.of(rows, self.said))

    def recent(self, s: Series, rows: np.ndarray) -> np.ndarray:
        """The values at some rows and before them, the latest first: [window, len(rows), D]; before row 0, the one there."""
        return self.level(s)[np.maximum(rows - np.arange(self.window)[:, None], 0)]

    def features(
        self, s: Series, recent: np.ndarray, there: np.ndarray, past: np.ndarray, ahead: Sequence[np.ndarray]
    ) -> np.ndarray:
        """What the network reads at n steps of a series: [n, F], float32.

        Args:
            recent: as `recent` gives them, [window, n, D].
            there: whether the present values are not missing, [n, D].
            past: covariates of the past [n, P].
            ahead: what is known ahead, as `KnownAhead.of` gives it.
        """
        n = recent.shape[1]
        parts = [recent[0], *(recent[1:] - recent[0]), *([there] if self.masked else []), past, *ahead]
        return np.concatenate([*parts, np.tile(self._told_of(s), (n, 1))], axis=1).astype(np.float32)

    def _told_of(self, s: Series) -> list[float]:
        """What belongs to a series as a whole: which it is, and its static values."""
        told = [float(key == s.key) for key in self.named]
        for levels, value in zip(self.levels, s.static, strict=True):
            told += [float(value)] if levels is None else [float(level == str(value)) for level in levels]
        return told

    def what_follows(self, s: Series) -> np.ndarray:
        """What follows each step: [n, said, D], scaled, float32; NaN where it is missing or past the end."""
        scaled = self.scaled(s)
        extended = np.concatenate([scaled, np.full((self.said, scaled.shape[1]), np.nan)]).astype(np.float32)
        return np.lib.stride_tricks.sliding_window_view(extended[1:], self.said, axis=0).transpose(0, 2, 1)


def _levels(values: Sequence[Any]) -> list[str] | None:
    return None if all(_is_number(value) for value in values) else sorted({str(value) for value in values})


def _is_number(value: Any) -> bool:
    """Whether a static value is a number, or a text that says one, as those of CSV do."""
    try:
        return not isinstance(value, bool) and bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
