"""Forecasts of series: what comes next, and how sure that is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ..data.clock import Step
from ..data.encode import fingerprint
from ..data.panel import Columns, Panel, Policy, Series, columns_of, make_frame, read_known_ahead, read_panel
from ..data.tables import naming, read_table
from ..errors import GatewiseError, ParameterError
from ..inspect.trace import Interpretation, Trace
from ..runtime.architecture import Architecture, Encoder, Head
from ..runtime.distributions import DISTRIBUTIONS, at_level
from .estimator import option, other_default
from .forecasting import PIECE, Ahead, Forecasting
from .model import LEARNED, Model, Run
from .options import RecurrentOptions, TrainingOptions
from .series_encoding import Scale, SeriesEncoding

if TYPE_CHECKING:
    from .backtest import Backtest
    from .examination import Material
    from .forecast_training import Windows

KEPT_ON_RESUME = ("context", "horizon", "batch_size", "seed", "validation_fraction", "mode")

ColumnNames = str | Sequence[str] | None


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
    encoding_
        What the network sees of series, with their scales, a `gatewise.tasks.series_encoding.SeriesEncoding`.
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
        """Train on a dataframe, a mapping of names to columns, or a file.

        Args:
            data: a row a step (and series, where there are several); or the path of a table, see `gatewise.data.tables`.
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
            path = source = None
            if isinstance(data, str | os.PathLike):
                path = Path(data)
                data, source = read_table(path).columns, {"path": str(path.resolve()), "columns": asdict(columns)}
            values, self._library = columns_of(data)
            say = started or (lambda line: print(line, file=sys.stderr) if self.verbose else None)
            run = Run.of(checkpoint, resume, checkpoint_seconds, source)
            with naming(path):
                return self._fit(self._read(values, columns), columns, say, run)

    def fit_source(self, source: Mapping[str, Any], *, checkpoint: Path, resume: bool = False) -> Self:
        named = {**source["columns"], "target": source["columns"]["targets"]}
        del named["targets"]
        return self.fit(source["path"], **named, checkpoint=checkpoint, resume=resume)

    def fit_series(self, series: list[Series], columns: Columns, step: Step) -> Self:
        """As `fit`, on series that were read before."""
        with self._fitting():
            self._library = None
            return self._fit(Panel(series, step), columns, lambda line: None, Run())

    def _fit(
        self,
        panel: Panel,
        columns: Columns,
        say: Callable[[str], None],
        run: Run,
    ) -> Self:
        self.columns_, self.step_, self.report_ = columns, panel.step, panel.report
        self.history_series_ = panel.series
        trained_rows = [self._training_rows(len(s)) for s in panel.series]
        self._check_rows(panel, trained_rows)
        self.encoding_ = SeriesEncoding.learn(panel, trained_rows, **self._encoding_options)
        for line in panel.report:
            say(line)
        from .forecast_training import ForecastTask
        from .training import train

        windows = self.windows(panel.series, trained_rows)
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
            run=run,
        )
        self.trained_rows_ = {s.key: n for s, n in zip(panel.series, trained_rows, strict=True)}
        return self._become(trained)

    def windows(self, series: Sequence[Series], trained_rows: Sequence[int] | None = None) -> list[Windows]:
        """Series as the network sees them; of each, the first rows are trained on, or all."""
        from .forecast_training import Windows

        encoding, found = self.encoding_, []
        for s, rows in zip(series, map(len, series) if trained_rows is None else trained_rows, strict=True):
            inputs, level = encoding.inputs(s, encoding.known_ahead(s, self.horizon)), encoding.level(s).astype(np.float32)
            found.append(Windows(inputs, level, encoding.what_follows(s), encoding.scales[s.key].scale, rows))
        return found

    def _read(self, data: Mapping[str, Any], columns: Columns, step: Step | None = None) -> Panel:
        return read_panel(
            data, columns, step=step, policy=Policy(self.duplicates, self.gaps, self.missing, self.time_format)
        )

    @property
    def _said(self) -> int:
        """Steps that the network says at once."""
        return self.horizon if self.mode == "direct" else 1

    def _training_rows(self, rows: int) -> int:
        """The first rows of a series, which are trained on; the others measure the loss."""
        held_out = max(self._said, round(rows * self.validation_fraction)) if self.validation_fraction else 0
        return rows - held_out if rows - held_out >= max(2 * self._said, 4) else rows

    def _check_rows(self, panel: Panel, trained_rows: Sequence[int]) -> None:
        """Raise where no series is long enough to teach the whole horizon; report what is too short."""
        least, longest = self._said + 2, max(map(len, panel.series))
        if longest < least:
            raise GatewiseError(
                f"{'the series has' if len(panel.series) == 1 else 'the longest series has'} {longest} rows: "
                f"a horizon of {self._said} steps needs {least}"
            )
        short = sum(len(s) < least for s in panel.series)
        if short:
            panel.report.append(
                f"{short} of {len(panel.series)} series have fewer than {least} rows: no whole horizon is in them"
            )
        whole = sum(len(s) == rows for s, rows in zip(panel.series, trained_rows, strict=True))
        if whole and self.validation_fraction:
            which = "the series is" if len(panel.series) == 1 else f"{whole} of {len(panel.series)} series are"
            panel.report.append(f"{which} too short to hold out {self._said} steps as well: nothing of it measures the loss")

    @property
    def _encoding_options(self) -> dict[str, Any]:
        """What an encoding has of hyper-parameters."""
        return {
            "window": self.window or min(self.season_, self.context) + 1,
            "said": self._said,
            "calendar": self.calendar,
            "log": self.transform == "log",
            "counts": DISTRIBUTIONS[self.distribution].counts,
        }

    def build_architecture(self, inputs: int) -> Architecture:
        """The architecture for so many numbers a step."""
        outputs = self._said * len(self.columns_.targets) * DISTRIBUTIONS[self.distribution].size
        return Architecture(Encoder("features", 0, inputs), self.build_stack(), Head(outputs), skip=True)

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
        ahead = self.encoding_.known_ahead(s, max(horizon, self.horizon), known)
        return self._forecasting.ahead(s, origins, ahead, horizon)

    @property
    def _forecasting(self) -> Forecasting:
        family = DISTRIBUTIONS[self.distribution]
        drawn = self.mode == "autoregressive"
        return Forecasting(self._network, self.encoding_, family, drawn, self.samples, self.seed)

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
        names = [f"q{level:g}" for level in levels]
        if len(set(names)) < len(names):
            raise ParameterError(f"levels are {', '.join(f'{level:g}' for level in levels)}: one of them stands there twice")
        series, library = self.read_series(data)
        known = self._known_ahead(future, series, horizon)
        rows: dict[str, list[Any]] = {}
        targets = self.columns_.targets
        for s in series:
            found = self.forecasts(s, np.array([len(s) - 1]), known[s.key], horizon)
            rows.setdefault(self.columns_.time or "step", []).extend(self.step_.after(s.stamps[-1], horizon).tolist())
            if self.columns_.id is not None:
                rows.setdefault(self.columns_.id, []).extend([s.id] * horizon)
            for at, name in enumerate(targets):
                prefix = f"{name} " if len(targets) > 1 else ""
                rows.setdefault(f"{prefix}mean", []).extend(found.mean[0, :, at].tolist())
                for label, level in zip(names, levels, strict=True):
                    rows.setdefault(f"{prefix}{label}", []).extend(at_level(found.quantiles[0, :, at], level).tolist())
        return make_frame(rows, library)

    def explain(self, input: Any = None, *, id: Any = None) -> Trace:
        """Look inside while the model reads the last `context` rows of a series, its state carried from all rows before.

        Args:
            input: the series up to now, as in `fit`; None takes the data of `fit`. Covariates that are known ahead are
                those of the last row.
            id: which series, where there are several.

        Returns:
            A `Trace` whose outputs are the forecasts after every row, named by target and steps ahead.

        Raises:
            ParameterError: there are several series and none is named, or none has that id.
        """
        self.check_is_fitted()
        series, _ = self.read_series(input)
        keys = [s.key for s in series]
        if id is None and len(series) > 1:
            raise ParameterError(f"there are {len(series)} series: say with id= which, for example {keys[0]!r}")
        if id is not None and str(id) not in keys:
            raise ParameterError(f"there is no series {str(id)!r}; there are: {', '.join(keys[:12])}")
        return super().explain(series[0 if id is None else keys.index(str(id))])

    def interpret(self, input: Series) -> Interpretation:
        encoding, scale = self.encoding_, self.encoding_.scales[input.key]
        family, targets = DISTRIBUTIONS[self.distribution], self.columns_.targets
        first, D = max(0, len(input) - self.context), len(targets)
        inputs = encoding.inputs(input, encoding.known_ahead(input, self.horizon))
        last = encoding.level(input)[first:]
        states = None
        for start in range(0, first, PIECE):
            _, states = self._network.run(inputs[start : min(start + PIECE, first), None], states)

        def say(scores: np.ndarray) -> np.ndarray:
            raw = scores[:, 0].reshape(len(scores), self._said, D, family.size).astype(np.float64)
            if family.counts:
                mean = self._forecasting.in_counts(family.parameters(raw, last[:, None], np), scale)["mean"]
            else:
                mean = encoding.values(last[:, None] + raw[..., family.location], scale)
            return mean.reshape(len(scores), -1)

        places = np.arange(self._said * D)
        what = "log of " if encoding.log else "rectified " if family.counts else ""
        return Interpretation(
            tokens=tuple(map(str, input.stamps[first:])),
            inputs=inputs[first:, None],
            unit="row",
            names=tuple(f"{name} +{k}" for k in range(1, self._said + 1) for name in targets),
            kind="number",
            say=say,
            columns=places * family.size + family.location,
            scale=np.tile(scale.scale, self._said),
            offset=np.tile(scale.mean + scale.scale * last, (1, self._said)),
            explained=what,
            states=states,
        )

    @property
    def training_window(self) -> int | None:
        return self.context

    def material(self, data: Any, y: Any) -> Material:
        from .examination import forecast_material

        return forecast_material(self, data)

    def sample(
        self, horizon: int | None = None, *, data: Any = None, future: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Draws of whole futures: [series, samples, horizon, targets]. Only the autoregressive mode has them: the direct one
        says nothing of how steps go together."""
        self.check_is_fitted()
        if self.mode != "autoregressive":
            raise ParameterError("only mode='autoregressive' draws whole futures")
        horizon = self._check_horizon(horizon)
        series, _ = self.read_series(data)
        known, out = self._known_ahead(future, series, horizon), []
        random = np.random.default_rng(seed)
        for s in series:
            ahead = self.encoding_.known_ahead(s, max(horizon, self.horizon), known[s.key])
            out.append(self._forecasting.futures(s, ahead, horizon, random))
        return np.stack(out)

    def read_series(self, data: Any) -> tuple[list[Series], Any]:
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
            self.encoding_.check_values(s)
            if s.key not in self.encoding_.scales:
                raise GatewiseError(f"{s.described} was not there in fit: its scale is not known")
        return series

    def _known_ahead(self, future: Any, series: Sequence[Series], horizon: int) -> dict[str, np.ndarray | None]:
        """The known covariates of the steps ahead of each series [max(horizon, the estimator's), K]; where not given,
        the last row's."""
        names = self.columns_.known
        if not names:
            return {s.key: None for s in series}
        if future is None:
            raise GatewiseError(f"{names[0]!r} is known ahead: give future= with its values for {horizon} steps")
        found = read_known_ahead(columns_of(future)[0], self.columns_, series, self.step_, horizon, self.time_format)
        more = max(0, self.horizon - horizon)
        return {key: np.concatenate([ahead, np.repeat(ahead[-1:], more, 0)]) for key, ahead in found.items()}

    @property
    def season_(self) -> int:
        """Steps of a season."""
        return self.season or self.step_.season

    def backtest(self, data: Any = None, *, windows: int = 10, step: int | None = None, refit: bool = False) -> Backtest:
        """Forecast from rows of the past, and measure beside the last value, the last season and the line through both ends.

        Args:
            data: the series, as in `fit`; None takes its data, most of which the network was trained on.
            windows: how many origins; the last leaves a whole horizon to compare with.
            step: rows between two origins; None means the horizon.
            refit: train anew up to each origin; else the fitted network reads on, its state carried along.

        Returns:
            The figures; their text is a table.
        """
        from .backtest import run_backtest

        self.check_is_fitted()
        return run_backtest(self, self.read_series(data)[0], windows, self.horizon if step is None else step, refit)

    def held_out_backtest(self) -> Backtest | None:
        """The forecasts of the rows that `fit` held out; None where these are fewer than the horizon."""
        windows = min(len(s) - self.trained_rows_[s.key] for s in self.history_series_) // self.horizon
        return self.backtest(windows=windows) if windows else None

    def on_held_out(self) -> str:
        found = self.held_out_backtest()
        if found is None:
            return "the rows that were held out are fewer than the horizon: no forecasts of them can be measured"
        caution = (
            "these rows chose the weights that were kept: rows that come later are a stricter judge (gatewise backtest)"
        )
        return f"{found}\n{caution}"

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
        series, _ = self.read_series(data)
        return draw_forecast(self, series, self._known_ahead(future, series, horizon), horizon, ax, past)

    def learned(self) -> dict[str, Any]:
        return {
            "columns": asdict(self.columns_),
            "library": self._library,
            "step": asdict(self.step_),
            "report": self.report_,
            "masked": self.encoding_.masked,
            "named": self.encoding_.named,
            "levels": self.encoding_.levels,
            "series": [
                {"id": s.id, "static": list(s.static), "trained_rows": self.trained_rows_[s.key]}
                for s in self.history_series_
            ],
        }

    def learned_arrays(self) -> dict[str, np.ndarray]:
        found = {}
        for k, s in enumerate(self.history_series_):
            scale = self.encoding_.scales[s.key]
            stamps = s.stamps.astype(np.int64) if s.stamps.dtype.kind == "M" else s.stamps
            arrays = {"stamps": stamps, "targets": s.targets, "known": s.known, "past": s.past}
            arrays |= {"mean": scale.mean, "scale": scale.scale}
            found |= {f"{LEARNED}{k}.{name}": array for name, array in arrays.items()}
        return found

    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        named: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in learned["columns"].items()}
        self.columns_, self._library = Columns(**named), learned["library"]
        self.step_, self.report_ = Step(**learned["step"]), learned["report"]
        self.history_series_, self.trained_rows_ = [], {}
        scales: dict[str, Scale] = {}
        for k, record in enumerate(learned["series"]):
            part = {n: arrays[f"{LEARNED}{k}.{n}"] for n in ("stamps", "targets", "known", "past", "mean", "scale")}
            stamps = part["stamps"].astype("datetime64[s]") if part["stamps"].dtype.kind == "i" else part["stamps"]
            s = Series(record["id"], stamps, part["targets"], part["known"], part["past"], tuple(record["static"]))
            self.history_series_.append(s)
            scales[s.key] = Scale(part["mean"], part["scale"])
            self.trained_rows_[s.key] = record["trained_rows"]
        told = learned["masked"], learned["named"], learned["levels"]
        self.encoding_ = SeriesEncoding(self.step_, scales, *told, **self._encoding_options)


def _names(names: ColumnNames) -> tuple[str, ...]:
    return () if names is None else (str(names),) if isinstance(names, str | int) else tuple(map(str, names))
