"""Classifier, regressor and tagger: what they learn, what they keep, what they refuse."""

import numpy as np
import polars
import pytest
import torch

import gatewise
from gatewise import SequenceClassifier, SequenceRegressor, SequenceTagger
from gatewise.data.sequences import hold_out, pad, read_sequences
from gatewise.errors import FileError, GatewiseError, ParameterError
from gatewise.tasks.evaluation import evaluate
from gatewise.tasks.network import Network

SMALL = {"hidden_size": 8, "verbose": False, "learning_rate": 0.02, "max_steps": 80}
TEXTS = ["what a good film", "good, good fun", "a bad film", "bad acting, bad film"] * 8
LABELS = ["like", "like", "dislike", "dislike"] * 8
WORDS = [["The", "old", "man"], ["a", "cat"], ["an", "old", "cat"]] * 10
TAGS = [["DET", "ADJ", "NOUN"], ["DET", "NOUN"], ["DET", "ADJ", "NOUN"]] * 10
NUMBERS = [np.random.default_rng(k).random((3 + k % 5, 2)) for k in range(64)]


VARIANTS = {
    "last": {"readout": "last"},
    "mean, both directions": {"readout": "mean", "bidirectional": True},
    "max, two layers": {"readout": "max", "num_layers": 2, "bidirectional": True},
    "attention": {"readout": "attention", "cell": "gru"},
    "convolution": {"readout": "last", "convolution": 6, "convolution_width": 3, "convolution_stride": 2},
    "zoneout, both directions": {"readout": "last", "bidirectional": True, "zoneout": 0.2, "cell": "peephole_lstm"},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_numbers_without_torch_are_those_of_the_network_that_was_trained(options):
    """Ragged batches, padding that is not a number, every readout, one sequence after another or side by side."""
    model = SequenceRegressor(**{**SMALL, "max_steps": 3}, **options).fit(NUMBERS, [x.sum() for x in NUMBERS])
    network = Network(model.architecture_).double().eval()
    network.load_state_dict({n: torch.from_numpy(a).double() for n, a in model.weights_.items()}, strict=False)
    inputs, lengths = pad([x.astype("float64") for x in NUMBERS])
    inputs[np.arange(len(inputs))[:, None] >= lengths] = 7.0  # padding must not matter
    with torch.no_grad():
        scores = network(torch.from_numpy(inputs), None, torch.from_numpy(lengths))[0][:, 0].numpy()
    expected = scores * model.target_scale_[0] + model.target_mean_[0]
    np.testing.assert_allclose(model.predict(NUMBERS), expected, rtol=1e-5, atol=1e-5)
    one_by_one = np.concatenate([model.predict([x]) for x in NUMBERS[:6]])
    np.testing.assert_allclose(one_by_one, model.predict(NUMBERS)[:6], rtol=1e-6)


def test_spelling_without_torch_is_that_of_the_network_that_was_trained():
    model = SequenceTagger(**{**SMALL, "max_steps": 3}, spelling_size=5, cell="gru").fit(WORDS, TAGS)
    network = Network(model.architecture_).double().eval()
    network.load_state_dict({n: torch.from_numpy(a).double() for n, a in model.weights_.items()}, strict=False)
    unseen = [["an", "Antidisestablishmentarianism", "x"], ["cats"]]
    items = model.encode(read_sequences(unseen))
    inputs, lengths = pad(items)
    with torch.no_grad():
        p = network(torch.from_numpy(inputs.astype("int64")), None, torch.from_numpy(lengths))[0].softmax(-1).numpy()
    for k, found in enumerate(model.predict_proba(unseen)):
        np.testing.assert_allclose(found, p[: len(found), k], rtol=1e-5, atol=1e-6)


def test_a_convolutions_padding_is_not_seen_across_the_end_of_a_row():
    model = SequenceRegressor(**{**SMALL, "max_steps": 3}, convolution=4, readout="max").fit(NUMBERS, np.arange(64.0))
    long = [np.ones((30, 2)), NUMBERS[0]]
    assert model.predict(long)[1] == pytest.approx(model.predict(NUMBERS[:1])[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["classify", "regress", "tag"])
def test_a_saved_model_says_the_same(kind, tmp_path):
    model, X, y = {
        "classify": (SequenceClassifier(**SMALL, embedding_size=None), TEXTS, LABELS),
        "regress": (
            SequenceRegressor(**{**SMALL, "max_steps": 400}, loss="huber"),
            NUMBERS,
            np.array([[x.sum(), x.max()] for x in NUMBERS]),
        ),
        "tag": (SequenceTagger(**SMALL), WORDS, TAGS),
    }[kind]
    model.fit(X, y).save(tmp_path / "m.safetensors")
    loaded = gatewise.load(tmp_path / "m.safetensors")
    assert type(loaded) is type(model) and loaded.get_params() == model.get_params()
    assert np.array_equal(np.array(loaded.predict(X), dtype=object), np.array(model.predict(X), dtype=object))
    assert loaded.score(X, y) == model.score(X, y) > 0.8
    assert loaded.summary() == model.summary()
    with pytest.raises(FileError, match="holds a Sequence.*; a LanguageModel is needed here"):
        gatewise.load(tmp_path / "m.safetensors", "language")


def test_equal_seeds_give_equal_models_and_checkpoints_go_on_bit_for_bit(tmp_path):
    whole = SequenceClassifier(**SMALL).fit(TEXTS, LABELS)
    path = tmp_path / "c.checkpoint"
    half = SequenceClassifier(**SMALL).fit(TEXTS, LABELS, checkpoint=path, checkpoint_seconds=0.0)
    again = SequenceClassifier(**SMALL).fit(TEXTS, LABELS, checkpoint=path, resume=True)
    for name, array in whole.weights_.items():
        assert np.array_equal(array, half.weights_[name]) and np.array_equal(array, again.weights_[name])
    with pytest.raises(FileError, match="trained on other data"):
        SequenceClassifier(**SMALL).fit(TEXTS, LABELS[::-1], checkpoint=path, resume=True)
    with pytest.raises(FileError, match="batch_size=32, not 16"):
        SequenceClassifier(**SMALL, batch_size=16).fit(TEXTS, LABELS, checkpoint=path, resume=True)


def test_a_second_fit_that_fails_leaves_the_first():
    model = SequenceClassifier(**SMALL).fit(TEXTS, LABELS)
    with pytest.raises(GatewiseError, match="not numbers, not a string"):
        model.fit(["a", 3], ["x", "y"])
    assert model.score(TEXTS, LABELS) == 1.0


def test_dataframes_of_any_kind():
    frame = polars.DataFrame({"text": TEXTS, "label": LABELS, "series": [[1.0, 2.0, 3.0]] * len(TEXTS)})
    model = SequenceClassifier(**SMALL).fit(frame["text"], frame["label"])
    assert model.score(frame.select("text"), frame["label"]) == 1.0
    assert read_sequences(frame["series"]).kind == "features"
    with pytest.raises(GatewiseError, match="3 columns: pass the one"):
        model.predict(frame)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([], [], "0 sequences"),
        ("one text", ["a"], "one string; it must be a list"),
        ([[1.0], [float("nan")]], ["a", "b"], r"X\[1\] contains NaN at step 0"),
        ([[1.0], [float("inf")]], ["a", "b"], r"X\[1\] contains infinity"),
        ([np.ones((2, 3)), np.ones((2, 4))], ["a", "b"], r"X\[0\] has 3 features a step, X\[1\] has 4"),
        ([[1.0], []], ["a", "b"], r"X\[1\] is empty"),
        (["word", "  "], ["a", "b"], r"X\[1\] is empty: it has no words"),
        (["x", "y"], ["a"], "X has 2 sequences, y has 1"),
        (["x", "y"], ["a", "a"], "only one class"),
        (["x", "y"], [0.5, 1.5], "numbers with fractions"),
        (["x", "y"], ["a", None], "mixes strings with other things, or misses some"),
        (["x", "y", "z"], ["a", "b", 3], "mixes strings with other things"),
        ([["a", "b"], []], ["x", "y"], r"X\[1\] is empty"),
        (["x", "y"], None, "requires y to be passed"),
        (np.ones(4), [1, 2, 3, 4], "Reshape your data"),
    ],
)
def test_bad_input_is_named(X, y, message):
    with pytest.raises(GatewiseError, match=message):
        SequenceClassifier(**SMALL).fit(X, y)


def test_what_predict_refuses():
    model = SequenceClassifier(**SMALL).fit(TEXTS, LABELS)
    with pytest.raises(GatewiseError, match="X has features, but this SequenceClassifier was fitted on strings"):
        model.predict(NUMBERS)
    with pytest.raises(GatewiseError, match=r"X\[0\] is empty"):
        model.predict([""])
    regressor = SequenceRegressor(**SMALL).fit(NUMBERS, np.arange(64.0))
    with pytest.raises(GatewiseError, match="X has 3 features, but SequenceRegressor is expecting 2"):
        regressor.predict([np.ones((4, 3))])
    with pytest.raises(GatewiseError, match=r"y\[1\] contains NaN or infinity"):
        regressor.fit(NUMBERS[:2], [1.0, np.nan])
    with pytest.raises(GatewiseError, match=r"X\[1\] has 2 steps, y\[1\] has 1 labels"):
        SequenceTagger(**SMALL).fit(WORDS, [TAGS[0], ["DET"], *TAGS[2:]])
    with pytest.raises(ParameterError, match="every step has a label"):
        SequenceTagger(**SMALL, max_length=3).fit(WORDS, TAGS)
    with pytest.raises(ParameterError, match="an odd number"):
        SequenceClassifier(**SMALL, convolution_width=4).fit(TEXTS, LABELS)


def test_a_class_with_one_example_and_a_constant_feature_are_learned():
    X = [np.stack([np.full(5, 3.0), np.full(5, float(k > 30))], 1) for k in range(300)]
    y = ["once"] + ["low"] * 30 + ["high"] * 269
    model = SequenceClassifier(**SMALL, validation_fraction=0.2).fit(X, y)
    assert model.training_["held_out"] == 60 and model.classes_.tolist() == ["high", "low", "once"]
    assert model.score(X, y) > 0.99
    assert model.weights_["encoder.scale"][0] == 1.0


def test_what_is_held_out_is_held_out_of_all_that_is_learned():
    """Every text has a word of its own: the vocabulary has those of the texts that are trained on, and no others."""
    texts = [f"{'good' if k % 2 else 'bad'} word{k}" for k in range(200)]
    options = {**SMALL, "max_steps": 2, "validation_fraction": 0.2}
    model = SequenceClassifier(**options, class_weight="balanced").fit(texts, [k % 2 for k in range(200)])
    assert model.training_["held_out"] == 40
    assert len(model.vocabulary_) == 1 + 2 + 160
    y = np.random.default_rng(0).standard_normal(200)
    held_out = hold_out(200, 0.2, 0)
    regressor = SequenceRegressor(**options).fit(np.ones((200, 3)), y)
    assert regressor.target_mean_[0] == y[~held_out].mean() and regressor.target_scale_[0] == y[~held_out].std()
    assert held_out.sum() == 40 == regressor.training_["held_out"]
    words, tags = [["a", f"w{k}"] for k in range(200)], [["x", "y" if k else "once"] for k in range(200)]
    seeds = [
        seed for seed in range(20) if hold_out(200, 0.2, seed)[0]
    ]  # here no sequence with the label "once" is trained on
    tagger = SequenceTagger(**options, min_count=1, class_weight="balanced", seed=seeds[0]).fit(words, tags)
    assert len(tagger.vocabulary_) == 1 + 1 + 160 and np.isfinite(tagger.training_["validation_loss"])


def test_the_last_steps_are_read():
    model = SequenceRegressor(**{**SMALL, "max_steps": 3}, max_length=3).fit(NUMBERS, np.arange(64.0))
    x = NUMBERS[4]
    assert model.predict([x])[0] == model.predict([x[-3:]])[0] != model.predict([x[:3]])[0]


def test_a_column_of_numbers_is_the_same_as_numbers():
    y = np.array([x.sum() for x in NUMBERS])
    model = SequenceRegressor(**{**SMALL, "max_steps": 300}).fit(NUMBERS, y[:, None])
    assert model.score(NUMBERS, y) == model.score(NUMBERS, y[:, None]) > 0.8
    assert evaluate(model, NUMBERS, y)["r2"] == model.score(NUMBERS, y)
    with pytest.raises(GatewiseError, match="y has the shape"):
        model.score(NUMBERS, y[:-1])


def test_an_unknown_word_says_nothing():
    model = SequenceClassifier(**SMALL).fit(TEXTS, LABELS)
    assert not model.weights_["encoder.weight"][0].any()
    with pytest.raises(GatewiseError, match="labels of type"):
        model.score(TEXTS, [0, 1] * 16)


def test_texts_are_tagged_by_characters():
    with pytest.raises(ParameterError, match="each character has a label: give level='char'"):
        SequenceTagger(**SMALL).fit(["ab", "ba"], [["x", "y"], ["y", "x"]])
    model = SequenceTagger(**SMALL, level="char").fit(["ab", "bba"] * 10, [["x", "y"], ["y", "y", "x"]] * 10)
    assert model.predict(["aab"]) == [["x", "x", "y"]]
    dotted = SequenceTagger(**SMALL, level="char").fit(["aİ", "İaa"] * 10, [["x", "y"], ["y", "x", "x"]] * 10)
    assert dotted.predict(["İa"]) == [["y", "x"]]  # "İ".lower() is two characters
    with pytest.raises(GatewiseError, match=r"X\[0\] has 2 steps, y\[0\] has 1 labels"):
        evaluate(model, ["ab", "b"], [["x"], ["y", "y"]])


def test_weights_of_numbered_classes_survive_a_file(tmp_path):
    labels = [int(y == "like") for y in LABELS]
    model = SequenceClassifier(**SMALL, class_weight={0: 1.0, np.int64(1): 5.0}).fit(TEXTS, labels)
    model.save(tmp_path / "m.safetensors")
    assert gatewise.load(tmp_path / "m.safetensors").class_weight == {0: 1.0, 1: 5.0}
