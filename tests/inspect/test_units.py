"""Units that follow something in a text: a planted one is found and no other, chance is not, and the arithmetic is right."""

import re

import numpy as np
import pytest

from gatewise import LanguageModel
from gatewise.errors import GatewiseError, ParameterError
from gatewise.inspect import units as module
from gatewise.inspect.units import LEVEL, Search, UnitRow, find_units, holm, looks, spectra
from gatewise.tasks.model import Trained

PLANTED = 3
CHARACTERS = sorted('\n "abcdefgA1.')


def write_text(length: int, seed: int = 0) -> str:
    """Characters drawn one by one, with quotation marks so far apart that inside and outside say nothing about the rest."""
    random = np.random.default_rng(seed)
    others = [c for c in CHARACTERS if c != '"']
    drawn = "".join('"' if random.random() < 1 / 30 else str(random.choice(others)) for _ in range(length))
    return re.sub(r"\n(?= *\n)", "a", drawn)  # a blank line would end a quotation


def write_model(hidden_size: int = 8, planted: bool = True, seed: int = 1) -> LanguageModel:
    """An LSTM whose weights are drawn, but for a unit that is 0 outside of quotes; the others never see them."""
    model = LanguageModel(hidden_size=hidden_size)
    architecture = model.build_architecture(len(CHARACTERS))
    random = np.random.default_rng(seed)
    weights = {name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in architecture.shapes().items()}
    if planted:
        plant(weights, hidden_size)
    model.vocabulary_ = model_vocabulary()
    return model._become(Trained(architecture, weights, [], {"steps": 0, "seconds": 0.0}))


def model_vocabulary():
    from gatewise.data.vocabulary import CharVocabulary

    return CharVocabulary(CHARACTERS)


def plant(weights: dict[str, np.ndarray], hidden_size: int) -> None:
    """At a quotation mark the unit forgets all, and takes in 1 where it was 0: then h is 0 and the input gate is open."""
    quote, (i, f, g, o) = CHARACTERS.index('"'), (PLANTED + hidden_size * gate for gate in range(4))
    weights["recurrent.weight_ih_l0"][:, quote] = 0
    weights["recurrent.weight_hh_l0"][:, PLANTED] = 0
    for gate in (i, f, g, o):
        for name in ("recurrent.weight_ih_l0", "recurrent.weight_hh_l0"):
            weights[name][gate] = 0
        weights["recurrent.bias_l0"][gate] = 20
    weights["recurrent.bias_l0"][i] = -20
    weights["recurrent.weight_ih_l0"][i, quote] = 40
    weights["recurrent.weight_hh_l0"][i, PLANTED] = -40 / np.tanh(1)
    weights["recurrent.weight_ih_l0"][f, quote] = -40


def test_the_unit_that_follows_quotes_is_found_and_no_other():
    found = write_model().units(write_text(12_000), values=["h"], top=8)
    quotes = [row for row in found.rows if row.feature == "double quotes"]
    assert [row.unit for row in quotes if row.found] == [PLANTED]
    assert quotes[0].r > 0.999 and quotes[0].held_out > 0.999 and quotes[0].p < 0.01
    assert max(row.p for row in quotes[1:]) > 0.5
    others = [row for row in found.best if row.feature != "double quotes"]
    assert PLANTED not in {row.unit for row in others}
    assert {"digit", "upper case", "space"} <= {
        row.feature for row in others
    }  # drawn weights follow what stands in the input
    assert found.left_out["brackets"] == "constant in the text" and found.searched == 8


def test_without_the_planted_unit_nothing_follows_quotes():
    model = write_model()
    model.weights_["recurrent.weight_ih_l0"][PLANTED + 8, CHARACTERS.index('"')] = 0  # it forgets nothing more
    found = model._become(Trained(model.architecture_, model.weights_, [], {})).units(write_text(12_000))
    row = next(row for row in found.rows if row.feature == "double quotes")
    assert not row.found and abs(row.r) < 0.2


def features_by_chance(kind: str, count: int, steps: int, random: np.random.Generator) -> np.ndarray:
    if kind == "switching":  # as quotes do: on and off, 100 steps a time
        return (np.cumsum(random.random((count, steps)) < 0.01, 1) % 2).astype(np.float32)
    if kind == "rare":
        return (random.random((count, steps)) < 0.002).astype(np.float32)
    if kind == "line":
        return (2 * np.arange(steps) / steps + random.standard_normal((count, steps))).astype(np.float32)
    return random.standard_normal((count, steps)).cumsum(1).astype(np.float32)


def slow_units(count: int, steps: int, random: np.random.Generator) -> np.ndarray:
    """Series with a long memory, on slopes."""
    noise = random.standard_normal((count, steps)).astype(np.float32)
    for t in range(1, steps):
        noise[:, t] += 0.97 * noise[:, t - 1]
    return noise + np.outer(random.standard_normal(count), np.linspace(0, 20, steps)).astype(np.float32)


@pytest.mark.parametrize("kind", ["switching", "rare", "line", "walk"])
def test_chance_is_found_as_rarely_as_p_says(kind):
    random = np.random.default_rng(5)
    p, alone = [], []
    for _ in range(10):
        search = Search(features_by_chance(kind, 40, 3_000, random), 2_100)
        search.add(slow_units(24, 3_000, random))
        for at, r in enumerate(search.r):
            p.append(search.chances(at, np.abs(r).max(keepdims=True))[0])
            alone.append(np.abs(r).max() > 1.96 / np.sqrt(2_100))  # as if steps and units were one by one
    found = np.mean(np.array(p) <= LEVEL)
    assert found < 0.09  # 400 features: 0.05 by chance, with a standard error of 0.011
    assert np.mean(alone) > 0.3  # the naive test of the same data
    if kind in ("rare", "line"):  # they have looks enough for a p of any size
        assert found > 0.015


def test_all_features_of_chance_together_are_held_to_the_level():
    """What a user sees, over many texts: any false find among the features at all."""
    model, false = write_model(planted=False), 0
    for seed in range(40):
        text, random = write_text(1_500, seed), np.random.default_rng(seed)
        features = {f"chance {k}": random.random(1_500) < 0.1 for k in range(6)}
        inputs = np.append([0], model.vocabulary_.encode(text))[:, None]
        false += any(row.found for row in find_units(model._network, inputs, text, features).rows)
    assert false <= 6  # 2 are expected, if that: 0.05 of 40, and the held-out sign halves it


def test_r_is_pearsons_of_series_without_their_lines():
    random = np.random.default_rng(0)
    features, series = random.random((2, 301)) < 0.3, random.random((70, 301)).cumsum(1)
    features[0] |= np.gradient(series[40]) > 0.7
    search = Search(features.astype(np.float32), 200)
    search.add(series.astype(np.float32))

    def pearson(a, b):
        line = np.stack([np.ones(len(a)), np.arange(len(a))], 1)
        a, b = (v - line @ np.linalg.lstsq(line, v, rcond=None)[0] for v in (a.astype(float), b))
        return a @ b / np.sqrt((a @ a) * (b @ b))

    for part, found in ((slice(0, 200), search.r), (slice(200, 301), search.held_out)):
        expected = [[pearson(f[part], s[part]) for s in series] for f in features]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    line = np.stack([np.ones(200), np.arange(200)], 1)
    flat = series[:, :200] - (line @ np.linalg.lstsq(line, series[:, :200].T, rcond=None)[0]).T
    rest = features[0, :200] - line @ np.linalg.lstsq(line, features[0, :200].astype(float), rcond=None)[0]
    for shift in (1, 77):
        cut = np.roll(rest, shift)
        r = np.abs(flat @ cut) / np.sqrt((flat**2).sum(1) * (cut @ cut))
        assert search.largest[0, shift] == pytest.approx(r.max(), abs=1e-5)
    best = np.abs(search.r[0]).argmax()
    np.testing.assert_array_equal(search.best_series[0], series[best].astype(np.float32))


def test_a_unit_that_never_changes_follows_nothing():
    search = Search((np.arange(2_000) % 7 == 0)[None].astype(np.float32), 1_400)
    search.add(np.stack([np.full(2_000, 0.9999, np.float32), np.arange(2_000, dtype=np.float32)]))
    assert not search.r.any() and not search.held_out.any()
    assert search.chances(0, np.zeros(1))[0] == 1


def test_looks_count_independent_shifts():
    random = np.random.default_rng(0)
    noise = random.standard_normal((1, 10_000))
    slow = np.repeat(noise[:, :100], 100, 1)
    assert looks(spectra(noise)[0], 10_000) == pytest.approx(5_000, rel=0.1)
    assert 40 < looks(spectra(slow)[0], 10_000) < 100
    assert looks(spectra(np.ones((1, 10_000)))[0], 10_000) == 1


def test_holm_is_holms():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.7, 0.8])).tolist() == [1, 1]


def test_further_units_have_a_p_no_better_than_the_best():
    found = write_model().units(write_text(6_000), top=3)
    for feature in {row.feature for row in found.rows}:
        rows = [row for row in found.rows if row.feature == feature]
        assert len(rows) == 3
        assert [row.p for row in rows] == sorted(row.p for row in rows)
        assert [abs(row.r) for row in rows] == sorted((abs(row.r) for row in rows), reverse=True)


def test_the_held_out_part_can_refuse():
    row = UnitRow("digit", "layer0", "h", 1, 0.5, -0.01, 0.001)
    assert not row.found and UnitRow(**{**vars(row), "held_out": 0.4}).found


@pytest.mark.parametrize("value", ["h", "f"])
def test_memory_and_pieces_change_nothing(value, monkeypatch):
    text, model = write_text(3_000), write_model()
    whole = model.units(text, values=[value])
    trace = model.explain(text)
    for feature, series in whole.series.items():
        row = next(row for row in whole.rows if row.feature == feature)
        np.testing.assert_allclose(series, trace.value(value)[:, row.unit], atol=1e-6)
    monkeypatch.setattr(module, "MOST_NUMBERS", 3 * 3_000)
    monkeypatch.setattr(module, "PIECE", 700)
    monkeypatch.setattr(module, "TOGETHER", 2)
    split = model.units(text, values=[value])
    assert [row.name for row in split.rows] == [row.name for row in whole.rows]
    np.testing.assert_allclose([row.p for row in split.rows], [row.p for row in whole.rows], rtol=0.01)


def test_an_excerpt_is_held_out_and_shows_the_feature():
    found = write_model().units(write_text(3_000))
    for feature, values in found.features.items():
        where = found.excerpt(feature, 50)
        assert where.start >= found.first == 2_100 and where.stop - where.start == 50 and where.stop <= 3_000
        assert np.ptp(values[where].astype(float)) > 0
    assert found.excerpt("digit", 5_000) == slice(2_100, 3_000)


def test_words_follow_by_their_largest_character():
    text = "The cat (a Big one) sees 3 dogs.\nOne is red. " * 80
    model = LanguageModel(level="word", hidden_size=4, max_steps=2, verbose=False).fit(text)
    model.vocabulary_ = type(model.vocabulary_)([*model.vocabulary_.tokens[:-1], "never"])  # one word is unknown now
    found = model.units(text)
    assert "".join(found.tokens) == text and len(found.tokens) == model.count_tokens(text)
    upper = {token for token, on in zip(found.tokens, found.features["upper case"], strict=True) if on}
    assert upper == {"The", " The", " Big", "One"}


@pytest.mark.parametrize(
    ("options", "length", "kind", "message"),
    [
        ({}, 999, GatewiseError, "the text is too short: 999 tokens, where at least 1,000 are needed"),
        ({}, 0, GatewiseError, "the text is too short: 0 tokens"),
        ({"values": ["h", "q"]}, 2_000, ParameterError, "cell 'lstm' has no value 'q'; it has: i, f, g, o, h, c"),
        ({"patterns": {"x": "("}}, 2_000, ParameterError, "pattern 'x' is not a regular expression: missing"),
        ({"top": 0}, 2_000, ParameterError, "top is 0"),
    ],
)
def test_what_cannot_be_searched_is_said(options, length, kind, message):
    with pytest.raises(kind, match=message):
        write_model().units(write_text(2_000)[:length], **options)


def test_a_text_without_features_is_said():
    with pytest.raises(GatewiseError, match="no feature changes in both parts"):
        write_model().units("b" * 500 + "c" * 500 + "b" * 500, patterns={"c": "c"})
    with pytest.raises(GatewiseError, match="never saw these characters: 'é'"):
        write_model().units("é" + write_text(2_000))
