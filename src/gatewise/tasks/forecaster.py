"""Forecasts of series: what comes next, and how sure that is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ..data.clock import Step, calendar, read_stamps
from ..data.encode import fingerprint
from ..data.panel import Columns, Panel, Policy, Series, columns_of, make_frame, read_numbers, read_panel
from ..errors import GatewiseError, ParameterError
from ..runtime.architecture import Architecture, Encoder, Head
from ..runtime.distributions import DISTRIBUTIONS, LEVELS
from ..runtime.network import LayerStates
from .estimator import option, other_default
from .model import LEARNED, Model
from .options import RecurrentOptions, TrainingOptions

PIECE = 1024  # steps that are run at once
MOST_NAMED = 64  # series that are told apart by an input each
KEPT_ON_RESUME = ("context", "horizon", "batch_size", "seed", "validation_fraction", "mode")

ColumnNames = str | Sequence[str] | None


@dataclass(frozen=True)
class Scale:
    """By what a series' values are scaled, [D] each: value = mean + scale * number."""

    mean: np.ndarray
    scale: np.ndarray


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


class Forecaster(Model):
    """A recurrent network that forecasts series: one or many, with one or many targets.

    At every step the network reads the value, those of a season before, covariates, and where the step lies in the day,
    the week and the year; from its output and these inputs comes a distribution of what follows. Values are scaled by each
    series' own mean and standard deviation in the training data; a location is said as the distance from the last value.
    The last part of every series is held out to measure the loss; nothing of it, and nothing after an origin, reaches a
    forecast from there.

    {parameters}

    Attributes
    ----------
    columns_
        Which columns of the data are what.
    step_
        The time between rows.
    report_
        What was odd in the data, and what was done about it, a line each.
    history_series_
        The series that `fit` read; forecasts go on from their ends.
    architecture_, weights_, history_, training_
        As in `LanguageModel`; losses are in nats a value, or pinball losses for quantiles, of scaled values.

    Papers: D. Salinas, V. Flunkert and J. Gasthaus, "DeepAR", arXiv 1704.04110 (the autoregressive mode); R. Wen et al., "A
    multi-horizon quantile recurrent forecaster", arXiv 1711.11053 (the direct mode, trained from every step).

    Examples
    --------
    >>> wave = {"hour": list(range(400)), "load": [float(np.sin(k / 3)) for k in range(400)]}
    >>> model = Forecaster(horizon=6, context=48, hidden_size=16, max_steps=150, learning_rate=0.02, verbose=False)
    >>> found = model.fit(wave, time="hour", target="load").predict()
    >>> found["hour"]
    [400.0, 401.0, 402.0, 403.0, 404.0, 405.0]
    >>> float(max(abs(m - np.sin(h / 3)) for m, h in zip(found["mean"], found["hour"]))) < 0.3
    True
    """

    task: ClassVar[str] = "forecast"

    horizon: int = option("Steps that are forecast.", default=24, at_least=1)
    mode: Literal["direct", "autoregressive"] = option(
        "Whether all steps of the horizon are said at once, or one after another, each from draws of the ones before.",
        default="direct",
    )
    distribution: Literal["gaussian", "student_t", "negative_binomial", "quantile"] = option(
        "What is said of each value: a normal distribution, Student's t (for outliers), a negative binomial (for counts), "
        "or seven quantiles.",
        default="student_t",
    )
    context: int = option("Steps of a training window, the reach of a gradient through time.", default=96, at_least=2)
    transform: Literal["none", "log"] = option(
        "Whether values are forecast as their logarithms: for positive ones that swing more where they are higher.",
        default="none",
    )
    window: int | None = option(
        "Values, the present one and those before, that the network is shown at every step beside what it remembers. None "
        "takes a season and one more, of at most the context.",
        default=None,
        at_least=1,
    )
    calendar: bool = option("Whether the network is told where in day, week and year a step lies.", default=True)
    season: int | None = option(
        "Steps of a season, for the seasonal naive forecast and MASE. None takes that of the stamps: a day, week or year.",
        default=None,
        at_least=1,
    )
    samples: int = option("Draws of the future in the autoregressive mode.", default=200, at_least=2)
    duplicates: Literal["error", "first", "last", "mean"] = option(
        "What to do with rows of one series that have the same stamp.", default="error"
    )
    gaps: Literal["rows", "insert", "error"] = option(
        "What to do where stamps are irregular: take each row as a step, insert rows with missing targets, or stop.",
        default="rows",
    )
    missing: Literal["mask", "error"] = option(
        "What to do with missing targets: leave them out of the loss and read the value before, or stop.", default="mask"
    )
    time_format: str | None = option(
        "How stamps that are texts are read, as in Python's strptime. None tries ISO 8601 and some others.", default=None
    )
    hidden_size: int = other_default(RecurrentOptions, "hidden_size", default=32)
    dropout: float = other_default(RecurrentOptions, "dropout", default=0.5)
    learning_rate: float = other_default(TrainingOptions, "learning_rate", default=5e-3)

    def check_parameters(self) -> None:
        super().check_parameters()
        if self.mode == "autoregressive" and DISTRIBUTIONS[self.distribution].sample is None:
            raise ParameterError(f"distribution {self.distribution!r} cannot be drawn from: mode must be 'direct'")
        if self.transform == "log" and DISTRIBUTIONS[self.distribution].counts:
            raise ParameterError(f"distribution {self.distribution!r} is of whole numbers: transform must be 'none'")

    def fit(
        self,
        data: Any,
        *,
        time: str | None = None,
        target: ColumnNames = None,
        id: str | None = None,
        known: ColumnNames = None,
        past: ColumnNames = None,
        static: ColumnNames = None,
        started: Callable[[str], None] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """Train on a dataframe, or a mapping of names to columns.

        Args:
            data: a row a step (and series, where there are several).
            time: the column of stamps: times, texts or numbers; None takes rows as they come.
            target: the column that is forecast, or several.
            id: the column that tells series apart.
            known: columns of numbers that are known ahead; `predict` must be given them for the future.
            past: columns of numbers that are known only when their time has come.
            static: columns that belong to a series as a whole.
            started: called with each line of the report, before training; None prints them on standard error if ``verbose``.
            checkpoint, resume, checkpoint_seconds: as in `LanguageModel.fit`.

        Raises:
            ParameterError: a hyper-parameter has a value that it cannot have, or the modes do not fit the columns.
            GatewiseError: the data cannot be used; the message has the column and the row.
        """
        with self._fitting():
            if target is None:
                raise ParameterError("say with target= which column is forecast")
            time, id = (None if name is None else str(name) for name in (time, id))
            columns = Columns(time, _names(target), id, _names(known), _names(past), _names(static))
            if self.mode == "autoregressive" and columns.past:
                raise ParameterError(
                    f"{columns.past[0]!r} is not known in the future, which is drawn step by step: use mode='direct'"
                )
            values, self._library = columns_of(data)
            say = started or (lambda line: print(line, file=sys.stderr) if self.verbose else None)
            path = Path(checkpoint) if checkpoint is not None else None
            return self._fit(self._read(values, columns), columns, say, path, resume, checkpoint_seconds)

    def fit_series(self, series: list[Series], columns: Columns, step: Step) -> Self:
        """As `fit`, on series that were read before."""
        with self._fitting():
            self._library = None
            return self._fit(Panel(series, step), columns)

    def _fit(
        self,
        panel: Panel,
        columns: Columns,
        say: Callable[[str], None] = lambda line: None,
        checkpoint: Path | None = None,
        resume: bool = False,
        seconds: float = 30.0,
    ) -> Self:
        self.columns_, self.step_, self.report_ = columns, panel.step, panel.report
        self.history_series_ = panel.series
        trained_rows = [self._training_rows(len(s)) for s in panel.series]
        self._learn(panel, trained_rows)
        for line in panel.report:
            say(line)
        from .forecast_training import ForecastTask, Windows
        from .training import train

        windows = []
        for s, rows in zip(panel.series, trained_rows, strict=True):
            inputs, scaled = self._inputs(s, self._future_of(s)), self._scaled(s)
            level = _filled(scaled).astype(np.float32)
            windows.append(Windows(inputs, level, self._what_follows(scaled), self.scales_[_key(s.id)].scale, rows))
        architecture = self.build_architecture(windows[0].inputs.shape[1])
        task = ForecastTask(
            windows,
            self.context,
            architecture,
            self.distribution,
            batch_size=self.batch_size,
            seed=self.seed,
            mode=self.build_training_mode(),
        )
        trained = train(
            self,
            task,
            architecture,
            fingerprint=fingerprint(*(a for w in windows for a in (w.inputs, w.ahead))),
            kept_on_resume=KEPT_ON_RESUME,
            facts={
                "sequences": len(windows),
                "unit": "series",
                "held_out_unit": "rows",
                "held_out": sum(len(s) - n for s, n in zip(panel.series, trained_rows, strict=True)),
            },
            checkpoint=checkpoint,
            resume=resume,
            checkpoint_seconds=seconds,
        )
        self.trained_rows_ = {_key(s.id): n for s, n in zip(panel.series, trained_rows, strict=True)}
        return self._become(trained)

    def _read(self, data: Mapping[str, Any], columns: Columns, step: Step | None = None) -> Panel:
        return read_panel(
            data, columns, step=step, policy=Policy(self.duplicates, self.gaps, self.missing, self.time_format)
        )

    @property
    def _window(self) -> int:
        return self.window or min(self.season_, self.context) + 1

    @property
    def _said(self) -> int:
        """Steps that the network says at once."""
        return self.horizon if self.mode == "direct" else 1

    def _training_rows(self, rows: int) -> int:
        """The first rows of a series, which are trained on; the others measure the loss."""
        held_out = max(self._said, round(rows * self.validation_fraction)) if self.validation_fraction else 0
        return rows - held_out if rows - held_out >= max(2 * self._said, 4) else rows

    def _learn(self, panel: Panel, trained_rows: Sequence[int]) -> None:
        """Scales, of the training rows alone, and what tells series apart."""
        counts = DISTRIBUTIONS[self.distribution].counts
        self.scales_ = {}
        for s, rows in zip(panel.series, trained_rows, strict=True):
            self._check_values(s)
            y = self._transformed(s.targets[:rows])
            if np.isnan(y).all(0).any():
                raise GatewiseError(f"series {s.id!r} has no value to train on in its first {rows} rows")
            spread = np.nanstd(y, 0)
            spread = np.where(spread > 1e-12 * np.abs(np.nanmean(y, 0)), spread, 0.0)  # beyond that it is rounding
            mean = np.zeros(y.shape[1]) if counts else np.nanmean(y, 0)
            scale = 1 + np.nanmean(y, 0) if counts else np.where(spread > 0, spread, 1.0)
            self.scales_[_key(s.id)] = Scale(mean, scale)
            if (spread == 0).any():
                panel.report.append(
                    f"{'the series' if s.id is None else f'series {s.id!r}'} is constant in the training data"
                )
        self.masked_ = any(np.isnan(s.targets).any() for s in panel.series)
        names = [_key(s.id) for s in panel.series]
        self.named_ = names if 1 < len(names) <= MOST_NAMED else []
        self.levels_ = []
        for at in range(len(self.columns_.static)):
            values = [s.static[at] for s in panel.series]
            numbers = all(_is_number(v) for v in values)
            self.levels_.append(None if numbers else sorted({str(v) for v in values}))

    def _check_values(self, s: Series) -> None:
        """Raise where a series has values that the transform or the distribution cannot have."""
        if self.transform == "log" and np.nanmin(s.targets) <= 0:
            raise GatewiseError("transform='log' is for positive values: a target is 0 or below")
        counts = DISTRIBUTIONS[self.distribution].counts
        if counts and (np.nanmin(s.targets) < 0 or (np.nan_to_num(s.targets) % 1).any()):
            raise GatewiseError("negative_binomial is for counts: a target is negative or has a fraction")

    def build_architecture(self, inputs: int) -> Architecture:
        """The architecture for so many numbers a step."""
        outputs = self._said * len(self.columns_.targets) * DISTRIBUTIONS[self.distribution].size
        return Architecture(Encoder("features", 0, inputs), self.build_stack(), Head(outputs), skip=True)

    def _future_of(self, s: Series, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Stamps and known covariates of a series and of the horizon after it; where these are not given, the last row's."""
        steps = self.horizon
        stamps = np.append(s.stamps, self.step_.after(s.stamps[-1], steps))
        known = np.repeat(s.known[-1:], steps, 0) if known is None else known
        return stamps, np.concatenate([s.known, known])

    def _inputs(self, s: Series, future: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """What the network reads at every step of a series: [n, F], float32. Of the future it has what is known ahead."""
        n, level = len(s), _filled(self._scaled(s))
        before = np.concatenate([np.repeat(level[:1], self._window - 1, 0), level])
        parts = [level, *(before[self._window - 1 - k : n + self._window - 1 - k] - level for k in range(1, self._window))]
        if self.masked_:
            parts.append(np.isfinite(s.targets))
        parts.append(s.past)
        stamps, known = future
        parts += [known[k : k + n] for k in range(1, self._said + 1)]
        if self.calendar:
            parts.append(calendar(stamps, self.step_)[1 : n + 1])
        parts.append(np.tile(self._told_of(s), (n, 1)))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _transformed(self, values: np.ndarray) -> np.ndarray:
        return np.log(values) if self.transform == "log" else values

    def _scaled(self, s: Series) -> np.ndarray:
        """Its targets [n, D] as the network sees them."""
        scale = self.scales_[_key(s.id)]
        return (self._transformed(s.targets) - scale.mean) / scale.scale

    def _values(self, scaled: np.ndarray, scale: Scale, after: int = 0) -> np.ndarray:
        """What `_scaled` was made of; the targets' axis has so many axes after it."""
        shape = (-1,) + (1,) * after
        values = scale.mean.reshape(shape) + scale.scale.reshape(shape) * scaled
        return np.exp(values) if self.transform == "log" else values

    def _told_of(self, s: Series) -> list[float]:
        """What belongs to a series as a whole: which it is, and its static values."""
        told = [float(name == _key(s.id)) for name in self.named_]
        for levels, value in zip(self.levels_, s.static, strict=True):
            told += [float(value)] if levels is None else [float(level == str(value)) for level in levels]
        return told

    def _what_follows(self, scaled: np.ndarray) -> np.ndarray:
        """What follows each step: [n, said, D], NaN past the end."""
        steps = self._said
        extended = np.concatenate([scaled, np.full((steps, scaled.shape[1]), np.nan)]).astype(np.float32)
        return np.lib.stride_tricks.sliding_window_view(extended[1:], steps, axis=0).transpose(0, 2, 1)

    def forecasts(
        self, s: Series, origins: np.ndarray, known: np.ndarray | None = None, horizon: int | None = None
    ) -> Ahead:
        """Forecasts of a series from rows of it, in order; the state is carried from one to the next.

        Args:
            s: a series whose scale `fit` has learned.
            origins: the last row that each forecast knows, rising.
            known: known covariates after the end of the series [horizon, K].
            horizon: steps ahead; None means the estimator's.
        """
        horizon = self._check_horizon(horizon)
        inputs = self._inputs(s, self._future_of(s, known))
        scale, level = self.scales_[_key(s.id)], _filled(self._scaled(s))
        family, D = DISTRIBUTIONS[self.distribution], level.shape[1]
        means, quantiles = [], []
        for origin, (scores, states) in zip(origins, self._run_to(inputs, origins), strict=True):
            last = level[origin]
            if self.mode == "direct":
                raw = scores.reshape(self._said, D, family.size)[:horizon].astype(np.float64)
                p = family.parameters(raw, np.broadcast_to(last, raw.shape[:2]), np)
                p = _in_counts(p, scale) if family.counts else p
                mean, found = family.mean(p), family.quantiles(p, LEVELS)
            else:
                drawn = self._draw(s, int(origin), states, scores, known, horizon, np.random.default_rng(self.seed))
                mean, found = drawn.mean(0), np.moveaxis(np.quantile(drawn, LEVELS, axis=0), 0, -1)
            if not family.counts:
                found = self._values(found, scale, 1)
                mean = self._values(mean, scale) if self.transform == "none" else found.mean(-1)
            means.append(mean)
            quantiles.append(found)
        return Ahead(np.asarray(origins), np.stack(means), np.stack(quantiles))

    def _run_to(self, inputs: np.ndarray, origins: np.ndarray) -> Iterator[tuple[np.ndarray, list[LayerStates]]]:
        """The scores after each of some rows, in order, and in the autoregressive mode the states there; each row
        is read once."""
        states, at, end = None, 0, 0
        scores = np.empty(0)
        for origin in origins:
            while end <= origin:
                last = int(origin if self.mode == "autoregressive" else origins[-1])
                at, end = end, min(end + PIECE, last + 1)
                found, states = self._network.run(inputs[at:end, None], states)
                scores = found[:, 0]
            assert states is not None
            yield scores[origin - at], states

    def _draw(
        self,
        s: Series,
        origin: int,
        states: list[LayerStates],
        scores: np.ndarray,
        known: np.ndarray | None,
        horizon: int,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Draws of the future after a row: [samples, horizon, D], scaled (counts are not)."""
        family, scale, n = DISTRIBUTIONS[self.distribution], self.scales_[_key(s.id)], self.samples
        assert family.sample is not None
        stamps, ahead = self._future_of(s, known)
        if origin + 1 < len(s):  # what is known ahead stands in the series itself
            stamps, ahead = stamps[: len(s) + self.horizon], ahead[: len(s) + self.horizon]
        if horizon > self.horizon:
            stamps = np.append(stamps, self.step_.after(stamps[-1], horizon))
            ahead = np.concatenate([ahead, np.repeat(ahead[-1:], horizon, 0)])
        waves = calendar(stamps, self.step_) if self.calendar else np.zeros((len(stamps), 0))
        told = np.tile(self._told_of(s), (n, 1))
        stream = self._network.stream([tuple(np.repeat(a, n, 0) for a in layer) for layer in states])
        # The present value and those before it, the latest first: [window, samples, D].
        seen = _filled(self._scaled(s))[np.maximum(origin - np.arange(self._window), 0)]
        recent = np.repeat(seen[:, None], n, axis=1)
        D, drawn = seen.shape[1], []
        scores = np.tile(scores, (n, 1))
        for k in range(1, horizon + 1):
            p = family.parameters(scores.reshape(n, D, family.size).astype(np.float64), recent[0], np)
            y = family.sample(_in_counts(p, scale) if family.counts else p, random)
            drawn.append(y)
            new = (y - scale.mean) / scale.scale if family.counts else y
            recent = np.concatenate([new[None], recent[:-1]])
            row = min(origin + k + 1, len(ahead) - 1)
            parts = [new, *(recent[1:] - new), *([np.ones((n, D))] if self.masked_ else []), np.zeros((n, 0))]
            parts += [np.tile(ahead[row], (n, 1)), np.tile(waves[row], (n, 1)), told]
            scores = stream.step(np.concatenate(parts, axis=1).astype(np.float32))
        return np.stack(drawn, 1)

    def _check_horizon(self, horizon: int | None) -> int:
        if horizon is None:
            return self.horizon
        if not isinstance(horizon, int | np.integer) or horizon < 1:
            raise ParameterError(f"horizon is {horizon!r}; it must be a whole number of at least 1")
        if self.mode == "direct" and horizon > self.horizon:
            raise ParameterError(
                f"horizon is {horizon}; this model says {self.horizon} steps (mode='autoregressive' has no limit)"
            )
        return int(horizon)

    def predict(
        self,
        horizon: int | None = None,
        *,
        data: Any = None,
        future: Any = None,
        levels: Sequence[float] = (0.1, 0.5, 0.9),
    ) -> Any:
        """Forecast what follows the data that `fit` read, or other data of the same series.

        Args:
            horizon: steps ahead; None means the estimator's. The direct mode has no more than those.
            data: the series up to now, as in `fit`; None goes on from its data.
            future: the known covariates of the steps ahead, with the columns of time (and id); needed where there are any.
            levels: the quantiles to give, between 0.01 and 0.99.

        Returns:
            A frame of the kind of ``data``, or of that which `fit` read; a dict of lists where that was a mapping. It has
            the stamp, the id, and for each target its mean and quantiles: "mean" and "q0.1", or "target mean" for several.
        """
        self.check_is_fitted()
        horizon = self._check_horizon(horizon)
        series, library = self._series(data)
        known = self._known_ahead(future, series, horizon)
        rows: dict[str, list[Any]] = {}
        targets = self.columns_.targets
        for s in series:
            found = self.forecasts(s, np.array([len(s) - 1]), known[_key(s.id)], horizon)
            rows.setdefault(self.columns_.time or "step", []).extend(self.step_.after(s.stamps[-1], horizon).tolist())
            if self.columns_.id is not None:
                rows.setdefault(self.columns_.id, []).extend([s.id] * horizon)
            for at, name in enumerate(targets):
                prefix = f"{name} " if len(targets) > 1 else ""
                rows.setdefault(f"{prefix}mean", []).extend(found.mean[0, :, at].tolist())
                for level in levels:
                    rows.setdefault(f"{prefix}q{level:g}", []).extend(at_level(found.quantiles[0, :, at], level).tolist())
        return make_frame(rows, library)

    def sample(
        self, horizon: int | None = None, *, data: Any = None, future: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Draws of whole futures: [series, samples, horizon, targets]. Only the autoregressive mode has them: the direct one
        says nothing of how steps go together."""
        self.check_is_fitted()
        if self.mode != "autoregressive":
            raise ParameterError("only mode='autoregressive' draws whole futures")
        horizon = self._check_horizon(horizon)
        series, _ = self._series(data)
        known, out = self._known_ahead(future, series, horizon), []
        random = np.random.default_rng(seed)
        for s in series:
            ahead, scale, end = known[_key(s.id)], self.scales_[_key(s.id)], len(s) - 1
            ((scores, states),) = self._run_to(self._inputs(s, self._future_of(s, ahead)), np.array([end]))
            drawn = self._draw(s, end, states, scores, ahead, horizon, random)
            out.append(drawn if DISTRIBUTIONS[self.distribution].counts else self._values(drawn, scale))
        return np.stack(out)

    def _series(self, data: Any) -> tuple[list[Series], Any]:
        """The series to forecast, and the library of their frame."""
        if data is None:
            return self.history_series_, self._library
        columns, library = columns_of(data)
        return self.read(columns), library

    def read(self, data: Mapping[str, Any]) -> list[Series]:
        """The series of other data; each must be one that `fit` has seen."""
        panel = self._read(data, self.columns_, self.step_)
        series = panel.series
        if (self.step_.unit == "rows") != (series[0].stamps.dtype.kind == "f"):
            raise GatewiseError(f"the stamps are of another kind than those of fit, which were {self.step_} apart")
        if panel.step != self.step_:
            raise GatewiseError(f"the rows are {panel.step} apart, those of fit were {self.step_} apart")
        for s in series:
            self._check_values(s)
            if _key(s.id) not in self.scales_:
                raise GatewiseError(f"series {s.id!r} was not there in fit: its scale is not known")
        return series

    def _known_ahead(self, future: Any, series: Sequence[Series], horizon: int) -> dict[str, np.ndarray | None]:
        """The known covariates of the steps ahead of each series [max(horizon, the estimator's), K]."""
        names = self.columns_.known
        if not names:
            return {_key(s.id): None for s in series}
        if future is None:
            raise GatewiseError(f"{names[0]!r} is known ahead: give future= with its values for {horizon} steps")
        data = columns_of(future)[0]
        for name in (*names, *([self.columns_.id] if self.columns_.id else [])):
            if name not in data:
                raise GatewiseError(f"future has no column {name!r}; it has: {', '.join(map(str, data))}")
        values = read_numbers(data, names, len(data[names[0]]))
        labels = [_key(v) for v in data[self.columns_.id]] if self.columns_.id else ["None"] * len(values)
        time, stamps = self.columns_.time, None
        if time is not None:
            if time not in data:
                raise GatewiseError(f"future has no column {time!r}; it has: {', '.join(map(str, data))}")
            stamps = read_stamps(data[time], time, self.time_format)
        where: dict[str, list[int]] = {}
        for row, label in enumerate(labels):
            where.setdefault(label, []).append(row)
        found: dict[str, np.ndarray | None] = {}
        for s in series:
            named, rows = "" if s.id is None else f" of {s.id!r}", where.get(_key(s.id), [])
            if stamps is not None:  # rows of other times, in any order, are left alone
                at = {stamps[row]: row for row in rows}
                wanted = self.step_.after(s.stamps[-1], horizon)
                missing = [stamp for stamp in wanted if stamp not in at]
                if missing:
                    raise GatewiseError(f"future has no row{named} for {missing[0]}, the first of {len(missing)} it lacks")
                rows = [at[stamp] for stamp in wanted]
            if len(rows) < horizon:
                raise GatewiseError(f"future has {len(rows)} rows{named}; {horizon} are needed")
            ahead = values[rows[:horizon]]
            if not np.isfinite(ahead).all():
                raise GatewiseError("future has values that are missing or infinite")
            found[_key(s.id)] = np.concatenate([ahead, np.repeat(ahead[-1:], max(0, self.horizon - horizon), 0)])
        return found

    @property
    def season_(self) -> int:
        """Steps of a season."""
        return self.season or self.step_.season

    def backtest(self, data: Any = None, *, windows: int = 10, step: int | None = None, refit: bool = False) -> Any:
        """Forecast from rows of the past, and measure beside the last value, the last season and the line through both ends.

        Args:
            data: the series, as in `fit`; None takes its data, most of which the network was trained on.
            windows: how many origins; the last leaves a whole horizon to compare with.
            step: rows between two origins; None means the horizon.
            refit: train anew up to each origin; else the fitted network reads on, its state carried along.

        Returns:
            A `gatewise.tasks.backtest.Backtest`: its text is a table.
        """
        from .backtest import run_backtest

        self.check_is_fitted()
        return run_backtest(self, self._series(data)[0], windows, step or self.horizon, refit)

    def plot(
        self, horizon: int | None = None, *, data: Any = None, future: Any = None, ax: Any = None, past: int = 100
    ) -> Any:
        """Draw the end of a series and its forecast with 50% and 80% bands; one set of axes a series and target.

        Args:
            ax: matplotlib's axes, or a list of them; None makes a figure.
            past: rows of the past to draw.

        Returns:
            The axes, an array.
        """
        from .forecast_plot import draw_forecast

        self.check_is_fitted()
        horizon = self._check_horizon(horizon)
        series, _ = self._series(data)
        return draw_forecast(self, series, self._known_ahead(future, series, horizon), horizon, ax, past)

    def learned(self) -> dict[str, Any]:
        return {
            "columns": asdict(self.columns_),
            "library": self._library,
            "step": asdict(self.step_),
            "report": self.report_,
            "masked": self.masked_,
            "named": self.named_,
            "levels": self.levels_,
            "series": [
                {"id": s.id, "static": list(s.static), "trained_rows": self.trained_rows_[_key(s.id)]}
                for s in self.history_series_
            ],
        }

    def learned_arrays(self) -> dict[str, np.ndarray]:
        found = {}
        for k, s in enumerate(self.history_series_):
            scale = self.scales_[_key(s.id)]
            stamps = s.stamps.astype(np.int64) if s.stamps.dtype.kind == "M" else s.stamps
            arrays = {"stamps": stamps, "targets": s.targets, "known": s.known, "past": s.past}
            arrays |= {"mean": scale.mean, "scale": scale.scale}
            found |= {f"{LEARNED}{k}.{name}": array for name, array in arrays.items()}
        return found

    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        named: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in learned["columns"].items()}
        self.columns_, self._library = Columns(**named), learned["library"]
        self.step_, self.report_ = Step(**learned["step"]), learned["report"]
        self.masked_, self.named_, self.levels_ = learned["masked"], learned["named"], learned["levels"]
        self.history_series_, self.scales_, self.trained_rows_ = [], {}, {}
        for k, record in enumerate(learned["series"]):
            part = {n: arrays[f"{LEARNED}{k}.{n}"] for n in ("stamps", "targets", "known", "past", "mean", "scale")}
            stamps = part["stamps"].astype("datetime64[s]") if part["stamps"].dtype.kind == "i" else part["stamps"]
            s = Series(record["id"], stamps, part["targets"], part["known"], part["past"], tuple(record["static"]))
            self.history_series_.append(s)
            self.scales_[_key(s.id)] = Scale(part["mean"], part["scale"])
            self.trained_rows_[_key(s.id)] = record["trained_rows"]


def at_level(quantiles: np.ndarray, level: float) -> np.ndarray:
    """The quantile at a level, of those at `LEVELS` in the last axis."""
    if not LEVELS[0] <= level <= LEVELS[-1]:
        raise ParameterError(f"level is {level!r}; it must lie between {LEVELS[0]} and {LEVELS[-1]}")
    place = level * 100 - 1
    low = int(np.floor(place + 1e-9))
    high, share = min(low + 1, len(LEVELS) - 1), place - low
    return quantiles[..., low] * (1 - share) + quantiles[..., high] * share


def _in_counts(p: dict[str, Any], scale: Scale) -> dict[str, Any]:
    return {**p, "mean": p["mean"] * scale.scale}


def _filled(y: np.ndarray) -> np.ndarray:
    """Targets [n, D] with the value before in the place of missing ones; before the first that there is 0."""
    if not np.isnan(y).any():
        return y
    out = y.copy()
    for column in out.T:
        there = np.flatnonzero(np.isfinite(column))
        before = np.searchsorted(there, np.arange(len(column)), side="right") - 1
        column[:] = np.where(before < 0, 0.0, column[there[np.maximum(before, 0)]])
    return out


def _names(names: ColumnNames) -> tuple[str, ...]:
    return () if names is None else (str(names),) if isinstance(names, str | int) else tuple(map(str, names))


def _is_number(value: Any) -> bool:
    """Whether a static value is a number, or a text that says one, as those of CSV do."""
    try:
        return not isinstance(value, bool) and bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _key(id: Any) -> str:
    """The name of a series as it stands in a file."""
    return str(id)
