"""Forecasts: that they are good, that nothing of the future is in them, and what is refused."""

import numpy as np
import polars
import pytest
import torch
from scipy import stats

import gatewise
from gatewise import Forecaster
from gatewise.errors import GatewiseError, ParameterError
from gatewise.runtime.distributions import DISTRIBUTIONS, LEVELS, at_level
from gatewise.tasks.backtest import _crps
from gatewise.tasks.forecast_training import LOSSES

SMALL = {"horizon": 4, "context": 24, "hidden_size": 12, "max_steps": 120, "learning_rate": 0.02, "verbose": False}
N = 220
HOURS = list(range(N))
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(N) * 0.1
WAVE = np.sin(np.arange(N) / 3) + NOISE


def frame(**columns):
    return {"t": HOURS, "y": WAVE.tolist(), **columns}


KINDS = {
    "direct": {},
    "autoregressive": {"mode": "autoregressive", "samples": 50},
    "gaussian": {"distribution": "gaussian"},
    "quantile": {"distribution": "quantile"},
    "gru": {"cell": "gru", "num_layers": 2},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_wave_is_forecast_better_than_by_its_last_value(options, tmp_path):
    model = Forecaster(**{**SMALL, "max_steps": 200, **options}).fit(
        {k: v[:180] for k, v in frame().items()}, time="t", target="y"
    )
    found = model.backtest(frame(), windows=9)
    figures = found.figures["y"]
    assert found.seen == 0 and found.windows == 9
    assert figures["model"]["mae"] < 0.5 * min(f["mae"] for n, f in figures.items() if n != "model")
    assert 0.5 < figures["model"]["coverage"] <= 1.0
    assert "below that of" in found.verdict("y")
    model.save(tmp_path / "m.safetensors")
    loaded = gatewise.load(tmp_path / "m.safetensors")
    assert loaded.predict() == model.predict()
    assert loaded.backtest(frame(), windows=3).figures == model.backtest(frame(), windows=3).figures


def leaky(model, data, origin, **columns):
    """Forecasts from a row, of data as they are and of data in which all that comes later was changed."""
    changed = {name: list(values) for name, values in data.items()}
    for name in ("y", "p", "y2"):
        if name in changed:
            changed[name][origin + 1 :] = [v * -3.0 + 100 for v in changed[name][origin + 1 :]]
    return [model.forecasts(model.read(d)[0], np.array([5, origin])) for d in (data, changed)]


@pytest.mark.parametrize("mode", ["direct", "autoregressive"])
def test_nothing_after_an_origin_reaches_its_forecast(mode):
    """The leak is planted: every value after the origin is changed, and the forecast must not change by a bit."""
    past = {} if mode == "autoregressive" else {"past": "p"}
    data = frame(p=np.roll(WAVE, 1).tolist(), y2=(WAVE * 2).tolist())
    model = Forecaster(**{**SMALL, "max_steps": 20, "samples": 8}, mode=mode).fit(data, time="t", target=["y", "y2"], **past)
    before, after = leaky(model, data, 150)
    assert np.array_equal(before.quantiles, after.quantiles) and np.array_equal(before.mean, after.mean)


def test_values_that_are_missing_at_the_beginning_are_no_leak():
    y2 = [None] * 30 + (WAVE[30:] * 2).tolist()
    data = frame(y2=y2)
    model = Forecaster(**{**SMALL, "max_steps": 10}).fit(data, time="t", target=["y", "y2"])
    changed = {**data, "y2": [None] * 30 + [v + 50 for v in y2[30:]]}
    before, after = (model.forecasts(model.read(d)[0], np.array([10])) for d in (data, changed))
    assert np.array_equal(before.mean, after.mean)


def test_a_leak_would_be_found():
    """The test above can fail: a column that is declared known ahead and holds the target is a leak, and is seen as one."""
    data = frame(p=WAVE.tolist())
    model = Forecaster(**{**SMALL, "max_steps": 20}).fit(data, time="t", target="y", known="p")
    before, after = leaky(model, data, 150)
    assert not np.array_equal(before.mean[1], after.mean[1])
    assert np.array_equal(before.mean[0], after.mean[0])  # eight steps ahead of row 5 nothing was changed


def test_scales_are_of_the_rows_that_are_trained_on():
    data = frame()
    model = Forecaster(**{**SMALL, "max_steps": 10}).fit(data, time="t", target="y")
    rows = model.trained_rows_["None"]
    assert rows == N - 22
    assert (
        model.encoding_.scales["None"].mean[0] == WAVE[:rows].mean()
        and model.encoding_.scales["None"].scale[0] == WAVE[:rows].std()
    )
    data["y"][rows:] = [1e6] * (N - rows)
    again = Forecaster(**{**SMALL, "max_steps": 10}, patience=None).fit(data, time="t", target="y")
    assert again.encoding_.scales["None"].mean[0] == WAVE[:rows].mean()


def test_the_held_out_rows_are_not_trained_on():
    data = frame()
    first = Forecaster(**{**SMALL, "max_steps": 10}, validate_every=10).fit(data, time="t", target="y")
    data["y"][first.trained_rows_["None"] :] = (np.arange(22) * 0.1).tolist()
    second = Forecaster(**{**SMALL, "max_steps": 10}, validate_every=10).fit(data, time="t", target="y")
    for name, array in first.weights_.items():
        assert np.array_equal(array, second.weights_[name])


def test_state_is_carried_as_if_everything_were_read_again():
    model = Forecaster(**{**SMALL, "max_steps": 10}).fit(frame(), time="t", target="y")
    s = model.history_series_[0]
    origins = np.array([10, 11, 90, 200])
    carried = model.forecasts(s, origins)
    for k, origin in enumerate(origins):
        alone = model.forecasts(s.upto(int(origin) + 1), np.array([origin]))
        np.testing.assert_allclose(carried.mean[k], alone.mean[0], rtol=1e-6)


def test_known_covariates_carry_news_of_the_future():
    rng = np.random.default_rng(1)
    holiday = (rng.random(N + 4) < 0.2).astype(float)
    y = 5 * holiday[:N] + 0.1 * rng.standard_normal(N)
    data = {"t": HOURS, "y": y, "holiday": holiday[:N]}
    options = {**SMALL, "max_steps": 500, "distribution": "gaussian", "patience": None}
    model = Forecaster(**options).fit(data, time="t", target="y", known="holiday")
    future = {"t": list(range(N, N + 4)), "holiday": [0.0, 1.0, 0.0, 1.0]}
    np.testing.assert_allclose(model.predict(future=future)["mean"], [0, 5, 0, 5], atol=1.0)
    with pytest.raises(GatewiseError, match="'holiday' is known ahead: give future="):
        model.predict()
    # Rows are found by their stamps, in whatever order, and among others.
    mixed = {"t": [N + 3, N + 1, 5, N, N + 2], "holiday": ["1", 1.0, 7.0, 0.0, "0"]}
    assert model.predict(future=mixed) == model.predict(future=future)
    with pytest.raises(GatewiseError, match="future has no row for 222.0, the first of 2 it lacks"):
        model.predict(future={"t": [N, N + 1], "holiday": [0.0, 1.0]})
    with pytest.raises(GatewiseError, match="future has no column 'holiday'"):
        model.predict(future={"t": [1]})


def test_many_series_of_different_lengths_and_sizes_with_static_values():
    rows = {"t": [], "y": [], "shop": [], "kind": []}
    for shop, (size, length) in {"small": (1, 80), "large": (1000, 120), "new": (10, 30)}.items():
        rows["t"] += list(range(length))
        rows["y"] += (size * (2 + np.sin(np.arange(length) / 3))).tolist()
        rows["shop"] += [shop] * length
        rows["kind"] += ["old" if length > 30 else "new"] * length
    model = Forecaster(**{**SMALL, "max_steps": 250}).fit(rows, time="t", target="y", id="shop", static="kind")
    found = model.predict(2)
    assert found["shop"] == ["small"] * 2 + ["large"] * 2 + ["new"] * 2 and found["t"] == [80, 81, 120, 121, 30, 31]
    truth = [s * (2 + np.sin(t / 3)) for s, t in zip([1, 1, 1000, 1000, 10, 10], found["t"], strict=True)]
    np.testing.assert_allclose(found["q0.5"][:4], truth[:4], rtol=0.1)
    assert 3 < min(found["q0.5"][4:]) <= max(found["q0.5"][4:]) < 33  # 30 rows of values around 20
    with pytest.raises(GatewiseError, match="series 'other' was not there in fit"):
        model.predict(data={**rows, "shop": ["small"] * 80 + ["other"] * 120 + ["new"] * 30})


def test_counts_are_whole_and_their_futures_too():
    y = np.random.default_rng(0).poisson(6 + 4 * np.sin(np.arange(N) / 3))
    options = {**SMALL, "distribution": "negative_binomial", "mode": "autoregressive", "samples": 64}
    model = Forecaster(**options).fit({"t": HOURS, "y": y}, time="t", target="y")
    drawn = model.sample(seed=1)
    assert drawn.shape == (1, 64, 4, 1) and (drawn >= 0).all() and (drawn % 1 == 0).all()
    assert 1 < drawn.mean() < 15
    for bad in (y - 20, y + 0.5):
        with pytest.raises(GatewiseError, match="negative_binomial is for counts"):
            Forecaster(**options).fit({"t": HOURS, "y": bad}, time="t", target="y")


def test_logarithms_keep_forecasts_positive():
    y = np.exp(np.arange(N) / 50 + NOISE)
    model = Forecaster(**SMALL, transform="log").fit({"t": HOURS, "y": y}, time="t", target="y")
    found = model.predict(levels=(0.01, 0.5))
    assert min(found["q0.01"]) > 0
    np.testing.assert_allclose(found["q0.5"], np.exp(np.arange(N, N + 4) / 50), rtol=0.35)
    with pytest.raises(GatewiseError, match="transform='log' is for positive values"):
        Forecaster(**SMALL, transform="log").fit(frame(), time="t", target="y")


def test_missing_values_are_left_out():
    y = WAVE.tolist()
    for k in range(20, 200, 9):
        y[k] = None
    model = Forecaster(**{**SMALL, "max_steps": 200}).fit({"t": HOURS, "y": y}, time="t", target="y")
    assert "20 target values are missing" in model.report_[0]
    figures = model.backtest(windows=10).figures["y"]
    assert figures["model"]["mae"] < 0.6 * figures["last value"]["mae"]
    with pytest.raises(GatewiseError, match="missing='mask' leaves them out"):
        Forecaster(**SMALL, missing="error").fit({"t": HOURS, "y": y}, time="t", target="y")


def test_a_constant_series_is_forecast_and_named():
    model = Forecaster(**{**SMALL, "max_steps": 150}).fit({"t": HOURS, "y": [3.0] * N}, time="t", target="y")
    assert model.report_ == ["the series is constant in the training data"]
    np.testing.assert_allclose(model.predict()["q0.5"], 3.0, atol=0.2)


def test_refit_trains_up_to_each_origin_and_on_nothing_later():
    data = frame()
    model = Forecaster(**{**SMALL, "max_steps": 30}).fit(data, time="t", target="y")
    found = model.backtest(data, windows=2, refit=True)
    assert found.seen == 0 and found.windows == 2 and len(found.rows["value"]) == 8
    assert found.rows["mean"] != model.backtest(data, windows=2).rows["mean"]
    changed = {**data, "y": [*data["y"][: N - 4], 100.0, -100.0, 100.0, -100.0]}
    assert model.backtest(changed, windows=2, refit=True).rows["mean"] == found.rows["mean"]


def test_the_naive_forecasts_and_their_figures():
    """Against figures worked out by hand on a series that goes up by one, and down by three every fourth step."""
    y = [float(k % 4 + k // 4) for k in range(60)]
    model = Forecaster(**{**SMALL, "max_steps": 5}, season=4).fit({"t": list(range(60)), "y": y}, time="t", target="y")
    figures = model.backtest(windows=1).figures["y"]
    assert figures["last season"]["mae"] == 1.0 and figures["last season"]["mase"] == 1.0
    last = y[55]
    assert figures["last value"]["mae"] == pytest.approx(np.abs(np.array(y[56:]) - last).mean())
    line = last + np.arange(1, 5) * (last - y[0]) / 55
    assert figures["drift"]["rmse"] == pytest.approx(np.sqrt(((np.array(y[56:]) - line) ** 2).mean()))


def test_crps_is_that_of_the_normal_distribution():
    """Gneiting & Raftery 2007, eq. 21."""
    y = np.array([-1.0, 0.3, 2.0])
    exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(_crps(y, np.tile(stats.norm.ppf(LEVELS), (3, 1))), exact, rtol=0.03)


@pytest.mark.parametrize("name", ["gaussian", "student_t", "negative_binomial"])
def test_losses_are_the_densities_whose_quantiles_and_draws_are_given(name):
    rng = np.random.default_rng(0)
    family = DISTRIBUTIONS[name]
    raw, last, scale = rng.standard_normal((5, 1, family.size)), rng.standard_normal((5, 1)), np.full((5, 1), 3.0)
    p = family.parameters(raw, last, np)
    if family.counts:
        p = {**p, "mean": p["mean"] * scale}
        n = 1 / p["alpha"]
        judge, y = stats.nbinom(n, n / (n + p["mean"])), np.arange(5.0)[:, None]
        expected = -judge.logpmf(y)
    else:
        judge = stats.norm(p["loc"], p["scale"]) if name == "gaussian" else stats.t(p["df"], p["loc"], p["scale"])
        y = rng.standard_normal((5, 1))
        expected = -judge.logpdf(y)
    given = [torch.from_numpy(a) for a in (raw, last, y / scale if family.counts else y, scale)]
    np.testing.assert_allclose(LOSSES[name](*given, family.parameters).numpy(), expected, rtol=1e-8)
    np.testing.assert_allclose(family.quantiles(p, LEVELS)[:, 0, 49], judge.median()[:, 0])
    assert family.sample is not None
    draws = np.stack([family.sample(p, rng) for _ in range(4000)])
    np.testing.assert_allclose(np.median(draws, 0), judge.median(), atol=0.15 + 0.1 * family.counts * judge.std().max())


def test_quantiles_do_not_cross_and_lie_on_lines():
    values = np.array([[[3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 7.0]]])
    found = DISTRIBUTIONS["quantile"].quantiles({"values": values}, LEVELS)
    assert (np.diff(found) >= 0).all() and at_level(found, 0.5)[0, 0] == 4.0 and at_level(found, 0.375)[0, 0] == 3.5


def test_frames_and_pictures(tmp_path):
    days = polars.date_range(polars.date(2024, 1, 1), polars.date(2024, 8, 7), eager=True)
    data = polars.DataFrame({"day": days, "y": WAVE})
    model = Forecaster(**{**SMALL, "max_steps": 5}).fit(data, time="day", target="y")
    found = model.predict()
    assert isinstance(found, polars.DataFrame) and str(found["day"][0]) == "2024-08-08 00:00:00"
    axes = model.plot()
    assert axes.shape == (1,) and axes[0].get_title() == "y" and len(axes[0].lines) == 2
    with pytest.raises(ParameterError, match="1 series of 1 targets need 1"):
        model.plot(ax=[axes[0], axes[0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "autoregressive", "distribution": "quantile"}, "cannot be drawn from"),
        ({"distribution": "negative_binomial", "transform": "log"}, "transform must be 'none'"),
        ({"horizon": 0}, "horizon is 0; it must be a whole number of at least 1"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ParameterError, match=message):
        Forecaster(**{**SMALL, **options}).fit(frame(), time="t", target="y")


def test_what_is_asked_for_must_be_there():
    model = Forecaster(**{**SMALL, "max_steps": 5})
    with pytest.raises(ParameterError, match="target="):
        model.fit(frame())
    with pytest.raises(ParameterError, match="not known in the future"):
        Forecaster(**SMALL, mode="autoregressive").fit(frame(p=HOURS), time="t", target="y", past="p")
    model.fit(frame(), time="t", target="y")
    with pytest.raises(ParameterError, match="this model says 4 steps"):
        model.predict(5)
    with pytest.raises(ParameterError, match="level is 0.999; it must lie between 0.01 and 0.99"):
        model.predict(levels=[0.999])
    with pytest.raises(ParameterError, match="only mode='autoregressive' draws"):
        model.sample()
    with pytest.raises(GatewiseError, match="too few for a window"):
        model.backtest({"t": [1, 2, 3], "y": [1.0, 2.0, 3.0]})
    longer = Forecaster(**{**SMALL, "max_steps": 5}, mode="autoregressive", samples=4).fit(frame(), time="t", target="y")
    assert len(longer.predict(50)["mean"]) == 50


def test_other_data_are_checked_as_those_of_fit():
    y = np.exp(WAVE).tolist()
    model = Forecaster(**{**SMALL, "max_steps": 5}, transform="log").fit({"t": HOURS, "y": y}, time="t", target="y")
    with pytest.raises(GatewiseError, match="is for positive values: .* has -?[0-9.e]+ in its row [0-9]+"):
        model.predict(data={"t": HOURS, "y": [*y[:-1], 0.0]})
    with pytest.raises(GatewiseError, match="the rows are 2 rows apart, those of fit were 1 row apart"):
        model.predict(data={"t": HOURS[::2], "y": y[::2]})
    with pytest.raises(GatewiseError, match="stamps are of another kind"):
        model.predict(data={"t": [f"2024-01-{k + 1:02}" for k in range(9)], "y": y[:9]})


def test_a_naive_forecast_that_does_not_fit_all_windows_is_left_out():
    model = Forecaster(**{**SMALL, "max_steps": 5}, season=60).fit(frame(), time="t", target="y")
    assert "last season" in model.backtest(windows=10).figures["y"]
    assert "last season" not in model.backtest(windows=50).figures["y"]


def test_numpy_and_pandas_columns_are_saved(tmp_path):
    data = {"t": np.arange(2 * N) % N, "y": np.tile(WAVE, 2), "id": np.repeat([7, 8], N)}
    model = Forecaster(**{**SMALL, "max_steps": 5}).fit(data, time="t", target="y", id="id")
    model.save(tmp_path / "m.safetensors")
    assert gatewise.load(tmp_path / "m.safetensors").predict() == model.predict()
    days = {"t": np.datetime64("2024-01-01") + np.arange(N), "y": WAVE}
    assert Forecaster(**{**SMALL, "max_steps": 5}).fit(days, time="t", target="y").step_.season == 7
    with pytest.raises(ParameterError, match="column 'y' is named twice"):
        model.fit(data, time="t", target="y", known="y")


def test_series_that_are_too_short_for_the_horizon():
    fit = {"time": "t", "target": "y"}
    with pytest.raises(GatewiseError, match="the series has 5 rows: a horizon of 4 steps needs 6"):
        Forecaster(**SMALL).fit({k: v[:5] for k, v in frame().items()}, **fit)
    model = Forecaster(**{**SMALL, "max_steps": 3}).fit({k: v[:11] for k, v in frame().items()}, **fit)
    assert "the series is too short to hold out 4 steps as well: nothing of it measures the loss" in model.report_
    assert model.training_["validation_loss"] is None
    assert (
        model.on_held_out() == "the rows that were held out are fewer than the horizon: no forecasts of them can be measured"
    )
    two = {"t": [*HOURS, *HOURS[:5]], "y": [*WAVE, *WAVE[:5]], "id": ["a"] * N + ["b"] * 5}
    model = Forecaster(**{**SMALL, "max_steps": 3}).fit(two, id="id", **fit)
    assert "1 of 2 series have fewer than 6 rows: no whole horizon is in them" in model.report_
    assert "1 of 2 series are too short to hold out 4 steps as well: nothing of it measures the loss" in model.report_
    with pytest.raises(ParameterError, match="step is 0; it must be a whole number of at least 1"):
        model.backtest(step=0)
    with pytest.raises(ParameterError, match="levels are 0.5, 0.5: one of them stands there twice"):
        model.predict(levels=[0.5, 0.5])
