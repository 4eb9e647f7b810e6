"""Estimators examined on data."""

import numpy as np
import pytest

from gatewise import Forecaster, LanguageModel, SequenceClassifier, SequenceRegressor, SequenceTagger
from gatewise.errors import GatewiseError

SMALL = {"hidden_size": 8, "max_steps": 40, "learning_rate": 0.02, "verbose": False}


def test_a_language_model_is_examined_over_windows():
    text = "to be or not to be, that is the question\n" * 60
    model = LanguageModel(bptt=16, num_layers=2, **SMALL).fit(text)
    found = model.diagnose(text).measures
    assert found.window == 16 and list(found.layers) == ["layer0", "layer1"]
    assert found.steps == 128 and len(found.layers["layer0"].reach) == 128
    assert found.memory.window == 16 and found.memory.carried < found.memory.fresh  # the text goes on
    assert 0 < len(found.norms) <= 12 and 0 <= found.clipped <= 1 and found.clip_norm == 1.0
    with pytest.raises(GatewiseError, match="has 5 characters; at least 33 are needed"):
        model.diagnose("to be")


def test_clipping_is_counted_as_it_happens():
    text = "to be or not to be, that is the question\n" * 60
    sick, healthy = (LanguageModel(bptt=16, clip_norm=c, **SMALL).fit(text).diagnose(text) for c in (1e-4, 1.0))
    assert sick.measures.clipped == 1 and "clipping" in {f.kind for f in sick.findings}
    assert healthy.measures.clipped < 0.5 and "clipping" not in {f.kind for f in healthy.findings}


def test_a_state_that_was_never_carried_does_harm():
    """An LSTM whose forget gates are forced open: within a window that hardly shows, over many its state piles up."""
    text = "to be or not to be, that is the question\n" * 200
    model = LanguageModel(bptt=16, **{**SMALL, "max_steps": 150}).fit(text)
    healthy = model.diagnose(text)
    model.weights_["recurrent.bias_l0"][8:16] = 20.0  # the part of f
    sick = model.diagnose(text)
    (found,) = [f for f in sick.findings if f.kind == "lost memory"]
    assert sick.measures.memory.carried > sick.measures.memory.fresh + 0.1 and "zeros" in found.evidence
    assert "lost memory" not in {f.kind for f in healthy.findings}


@pytest.mark.parametrize("with_labels", [True, False])
def test_sequences_with_and_without_labels(with_labels):
    random = np.random.default_rng(0)
    X = [random.standard_normal((int(n), 3)) for n in random.integers(10, 20, 40)]
    y = ["up" if x[:, 0].sum() > 0 else "down" for x in X]
    model = SequenceClassifier(bidirectional=True, convolution=4, convolution_stride=2, readout="last", **SMALL).fit(X, y)
    found = model.diagnose(X, y if with_labels else None).measures
    assert list(found.layers) == ["layer0", "layer0_reverse"] and found.window is None
    assert len(found.layers["layer0"].reach) == -(-max(map(len, X)) // 2) and found.padding is None
    numbers = [float(x.sum()) for x in X]
    regressor = SequenceRegressor(**SMALL).fit(X, numbers)
    assert regressor.diagnose(X, numbers if with_labels else None).measures.norms
    words, tags = [["the", "old", "man"], ["a", "cat"]] * 10, [["DET", "ADJ", "NOUN"], ["DET", "NOUN"]] * 10
    tagger = SequenceTagger(**SMALL).fit(words, tags)
    assert len(tagger.diagnose(words, tags if with_labels else None).measures.layers["layer0"].reach) == 3


def test_filled_sequences_are_found_out_and_their_own_lengths_are_not():
    random = np.random.default_rng(0)
    X = [random.standard_normal((int(n), 3)) + 1 for n in random.integers(5, 20, 60)]
    y = ["long" if len(x) > 12 else "short" for x in X]
    filled = np.stack([np.pad(x, ((0, 20 - len(x)), (0, 0))) for x in X])
    options = {**SMALL, "max_steps": 100, "readout": "mean"}
    sick, healthy = SequenceClassifier(**options).fit(filled, y), SequenceClassifier(**options).fit(X, y)
    assert "padding read as data" in {f.kind for f in sick.diagnose(filled, y).findings}
    assert "padding read as data" not in {f.kind for f in healthy.diagnose(X, y).findings}


def test_a_forecaster_is_examined_on_its_own_series():
    rows = {"load": [float(np.sin(k / 3)) for k in range(300)]}
    model = Forecaster(horizon=3, context=24, **SMALL).fit(rows, target="load")
    found = model.diagnose().measures
    assert found.window == 24 and found.steps == 192 and found.norms
    assert model.diagnose(rows).measures.to_json() == found.to_json()
