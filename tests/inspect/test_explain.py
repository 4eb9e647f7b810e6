"""A trained model seen from the inside: what every estimator shows, and that what mattered adds up."""

import subprocess
import sys

import numpy as np
import pytest

from gatewise import Forecaster, LanguageModel, SequenceClassifier, SequenceRegressor, SequenceTagger
from gatewise.errors import GatewiseError, ParameterError

SMALL = {"hidden_size": 8, "max_steps": 60, "learning_rate": 0.02, "verbose": False}


@pytest.fixture(scope="module")
def classifier():
    texts = ["what a good film", "good, good fun", "a bad film", "bad acting, bad film", "an odd film"] * 8
    labels = ["like", "like", "dislike", "dislike", "neither"] * 8
    return SequenceClassifier(readout="attention", **SMALL).fit(texts, labels)


@pytest.fixture(scope="module")
def language_model():
    return LanguageModel(**SMALL).fit("to be or not to be, that is the question\n" * 60)


def test_a_classifier_shows_gates_attention_and_what_it_said(classifier):
    trace = classifier.explain("A good film")
    assert trace.tokens == ("A", "good", "film") and trace.unit == "word"
    assert trace.layers == ["layer0"] and trace.gates == ["i", "f", "o"] and trace.states == ["h", "c"]
    assert trace.value("f").shape == (3, 8) and (trace.value("f") > 0).all() and (trace.value("f") < 1).all()
    assert trace.values["readout"]["attention"].sum() == pytest.approx(1)
    np.testing.assert_allclose(trace.outputs, classifier.predict_proba(["A good film"]), atol=1e-6)
    assert trace.names == ("dislike", "like", "neither")


@pytest.mark.parametrize("readout", ["last", "mean", "max", "attention"])
def test_integrated_gradients_add_up_to_the_change(readout):
    texts = ["what a good film", "good, good fun", "a bad film", "bad acting, bad film"] * 8
    model = SequenceClassifier(readout=readout, bidirectional=True, **SMALL).fit(texts, [1, 1, 0, 0] * 8)
    found = model.explain("not a bad film at all").attribute(of="0")
    assert found.of == "log odds of 0"
    assert abs(found.gap) <= 2e-3 * abs(found.change)
    p = model.predict_proba(["not a bad film at all"])[0]
    assert found.output == pytest.approx(np.log(p[0] / p[1]), abs=1e-4)
    other = model.explain("not a bad film at all").attribute(of="1")
    np.testing.assert_allclose(other.steps, -found.steps, atol=1e-5)


@pytest.mark.parametrize("method", ["integrated", "occlusion"])  # gradients alone see little where gates are shut
def test_the_word_that_decides_matters_most(deciding, method):
    model, words = deciding
    for key in ("good", "bad"):
        for place in range(len(words)):
            text = [*words[:place], key, *words[place + 1 :]]
            found = model.explain(" ".join(text)).attribute(method)
            assert found.of == f"log odds of {key}" and found.steps.argmax() == place
            assert method in str(found)


@pytest.fixture(scope="module")
def deciding():
    """A model of texts of which one word alone says what they are."""
    random, words = np.random.default_rng(0), ["a", "film", "with", "some", "people", "in", "it"]
    texts, labels = [], []
    for _ in range(300):
        text, key = list(random.choice(words, 7)), str(random.choice(["good", "bad"]))
        text[random.integers(7)] = key
        texts.append(" ".join(text))
        labels.append(key)
    return SequenceClassifier(readout="max", **{**SMALL, "max_steps": 300}).fit(texts, labels), words


def test_occlusion_and_gradients_are_what_they_say(classifier):
    trace = classifier.explain("what a good film")
    found = trace.attribute("occlusion", of="like")
    import torch

    from gatewise.tasks.explanation import load_network

    network = load_network(classifier)
    x = network.encode(torch.from_numpy(classifier.vocabulary_.encode("what a good film").astype(np.int64))[:, None])
    x = x.detach().clone()
    with torch.no_grad():
        before = network.read(x)[0].softmax(1).logit()[0, 1]
        x[2] = 0
        after = network.read(x)[0].softmax(1).logit()[0, 1]
    assert found.steps[2] == pytest.approx(float(before - after), abs=1e-4)


def test_methods_on_a_function_whose_answers_are_known():
    import torch

    from gatewise.inspect.attribution import attribute

    w, x = torch.tensor([2.0, -1.0, 0.5])[:, None, None], torch.tensor([1.0, 3.0, 2.0])[:, None, None]

    def f(x):
        return (w * x**3).sum((0, 2))

    expected = [2.0, -27.0, 4.0]
    for method, factor in (("integrated", 1), ("gradient", 3), ("occlusion", 1)):
        found = attribute(f, x, method, "f")
        np.testing.assert_allclose(found.steps, np.multiply(factor, expected), rtol=1e-5)
        assert (found.output, found.baseline) == (-21, 0)
        assert found.gap == pytest.approx(-21 * (1 - factor), abs=1e-3)
    other = attribute(f, x, "integrated", "f", baseline=torch.ones_like(x))
    np.testing.assert_allclose(other.steps, [0, -26, 3.5], atol=1e-5)


def test_a_language_model_shows_every_characters_surprise(language_model):
    trace = language_model.explain("not to be")
    assert trace.tokens == tuple("not to be") and trace.unit == "character"
    assert trace.outputs.shape == (9, len(language_model.vocabulary_))
    assert -trace.surprise.sum() == pytest.approx(language_model.log_likelihood(["not to be"])[0], abs=1e-4)
    found = trace.attribute(of="t", step=2)  # what follows "not"
    assert len(found.steps) == 9 and not found.steps[3:].any() and found.steps[:3].any()
    assert abs(found.gap) <= 2e-3 * abs(found.change)


def test_one_step_is_a_step(language_model):
    trace = language_model.explain("t")
    found = trace.attribute(of="o")
    p = trace.outputs[0]
    assert trace.stepwise and len(found.steps) == 1
    o = trace.names.index("o")
    assert found.output == pytest.approx(np.log(p[o] / (1 - p[o])), abs=1e-3)
    assert trace.gradients(of="o")["layer0"]["h"].shape == (1, 8)


def test_a_tagger_and_a_regressor():
    X = [["the", "old", "man"], ["a", "cat"], ["an", "old", "cat"]] * 8
    y = [["DET", "ADJ", "NOUN"], ["DET", "NOUN"], ["DET", "ADJ", "NOUN"]] * 8
    tagger = SequenceTagger(**SMALL).fit(X, y)
    trace = tagger.explain(["an", "old", "man"])
    assert trace.layers == ["layer0", "layer0_reverse"] and trace.outputs.shape == (3, 3)
    assert trace.attribute(of="ADJ", step=1).of == "log odds of ADJ after step 1"
    X = np.random.default_rng(0).random((60, 6))
    regressor = SequenceRegressor(**SMALL).fit(X, X.sum(1))
    trace = regressor.explain(X[0])
    assert trace.tokens == ("0", "1", "2", "3", "4", "5") and trace.kind == "number"
    assert trace.outputs[0, 0] == pytest.approx(regressor.predict(X[:1])[0], abs=1e-5)
    found = trace.attribute()
    assert found.output == pytest.approx(trace.outputs[0, 0], abs=1e-4)
    assert abs(found.gap) <= 2e-3 * abs(found.change)


def test_a_strided_convolution_says_where_its_steps_lie():
    X = np.random.default_rng(0).random((40, 7, 2))
    model = SequenceRegressor(convolution=4, convolution_stride=3, **SMALL).fit(X, X.sum((1, 2)))
    trace = model.explain(X[0])
    assert len(trace.tokens) == 7 and trace.places(trace.value("h")).tolist() == [0, 3, 6]
    model = SequenceRegressor(convolution=4, convolution_stride=4, **SMALL).fit(X[:, :9], X.sum((1, 2)))
    assert model.explain(X[0, :5]).places(np.zeros(2)).tolist() == [0, 4]
    assert len(trace.attribute().steps) == 7


@pytest.mark.parametrize("options", [{}, {"distribution": "quantile"}, {"transform": "log"}, {"mode": "autoregressive"}])
def test_a_forecast_shows_which_rows_mattered(options):
    rows = {"hour": list(range(200)), "load": [float(3 + np.sin(k / 3)) for k in range(200)]}
    model = Forecaster(horizon=3, context=24, window=2, calendar=False, **options, **SMALL)
    model.fit(rows, time="hour", target="load")
    trace = model.explain()
    said = 1 if options.get("mode") else 3
    assert trace.tokens == tuple(f"{k}.0" for k in range(176, 200))
    assert trace.names == tuple(f"load +{k}" for k in range(1, said + 1)) and trace.outputs.shape == (24, said)
    found = model.predict(levels=[0.5], horizon=said)
    if not options.get("mode"):
        np.testing.assert_allclose(trace.outputs[-1], found["q0.5"], atol=1e-4)
    mattered = trace.attribute(of="load +1")
    assert abs(mattered.gap) <= 2e-3 * max(abs(mattered.change), 1e-2)
    last = trace.outputs[-1, 0]
    assert mattered.output == pytest.approx(np.log(last) if options.get("transform") else last, abs=1e-4)
    assert mattered.of == ("log of " if options.get("transform") else "") + "load +1 after step 23"


def test_one_of_several_series_is_named():
    rows = {"id": ["a"] * 60 + ["b"] * 60, "y": [float(k % 5) for k in range(120)]}
    model = Forecaster(horizon=2, context=12, distribution="negative_binomial", **SMALL).fit(rows, target="y", id="id")
    assert model.explain(id="b").outputs.shape == (12, 2)
    with pytest.raises(ParameterError, match="there are 2 series: say with id= which, for example 'a'"):
        model.explain()
    with pytest.raises(ParameterError, match="there is no series 'c'; there are: a, b"):
        model.explain(id="c")


def test_looking_needs_no_torch(classifier, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    code = (
        "import sys, gatewise; model = gatewise.load(sys.argv[1]); print(model.explain('a good film').value('f').shape); "
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "(3, 8)", done.stderr


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda t: t.value("q"), ParameterError, "layer0 has no value 'q'; it has: i, f, g, o, h, c"),
        (lambda t: t.value("f", "layer1"), ParameterError, "no layer 'layer1'; there are: layer0"),
        (lambda t: t.attribute("guess"), ParameterError, "method is 'guess'; it must be one of integrated"),
        (lambda t: t.attribute(of="love"), ParameterError, "no output 'love'; there are: 'dislike', 'like', 'neither'"),
        (lambda t: t.attribute(step=1), ParameterError, "step is 1; the outputs have steps 0 to 0"),
    ],
)
def test_what_is_not_there_is_said(classifier, call, kind, message):
    with pytest.raises(kind, match=message):
        call(classifier.explain("a good film"))


def test_an_empty_text_is_refused(language_model, classifier):
    for model in (language_model, classifier):
        with pytest.raises(GatewiseError, match="empty"):
            model.explain("")


def test_gradients_of_an_output_are_those_of_the_head(language_model):
    trace = language_model.explain("not to be")
    number, step = trace.names.index("t"), 4
    found = trace.gradients(of="t", step=step)["layer0"]["h"]
    weight, p = language_model.weights_["head.weight"], trace.outputs[step]
    others = np.delete(p, number) / (1 - p[number])  # the log odds: its score less the others' logsumexp
    np.testing.assert_allclose(found[step], weight[number] - others @ np.delete(weight, number, 0), atol=1e-4)
    assert found.shape == (9, 8) and not found[step + 1 :].any() and found[0].any()
    np.testing.assert_allclose(trace.gradients(of="t", step=step - 9)["layer0"]["h"], found)


def test_contributions_that_do_not_add_up_are_doubted():
    from gatewise.inspect.attribution import Attribution

    sure = Attribution("integrated", "f", np.array([1.0, 2.0]), 3.1, 0.0)
    far = Attribution("integrated", "f", np.array([1.0, 2.0]), 4.0, 0.0)
    assert not sure.doubt and "they do not add up to the change" in far.doubt
    assert not Attribution("occlusion", "f", far.steps, 4.0, 0.0).doubt  # whose sum need not
