"""The language model: it learns, writes, scores, and survives its file."""

import numpy as np
import pytest

from gatewise import cells
from gatewise.data.encode import encode_text
from gatewise.data.text import open_text
from gatewise.errors import FileError, GatewiseError, ParameterError
from gatewise.modelfile import load
from gatewise.tasks.language import LanguageModel
from gatewise.tasks.language_training import LanguageTask

SMALL = {"hidden_size": 16, "batch_size": 4, "bptt": 20, "max_steps": 6, "verbose": False}


def test_it_learns(model):
    # Guessing among the 24 or so characters gives 3.2 nats; the grammar itself has about 0.2.
    assert model.training_["validation_loss"] < 0.5
    assert model.training_["stopped"] == "all steps done"
    assert [record["epoch"] for record in model.history_] == [0, 1, 2, 3]
    likely, unlikely = model.log_likelihood(["the cat sees a dog.", "cat dog sees the a."])
    assert likely > unlikely + 5


def test_the_runtime_measures_what_training_measured(model, corpus):
    """The held-out loss, from another implementation: one stream, no windows, no torch."""
    held_out = corpus[len(corpus) - int(len(corpus) * 0.1) :]
    assert np.log(model.perplexity(held_out)) == pytest.approx(model.training_["validation_loss"], rel=0.1)


def test_generate_streams_and_repeats(model, corpus):
    tokens = model.generate("the cat", 30, seed=4)
    assert next(tokens) in model.vocabulary_.tokens
    assert len(list(tokens)) == 29
    text = "".join(model.generate("the cat", 30, seed=4))
    assert text == "".join(model.generate("the cat", 30, seed=4))
    assert text != "".join(model.generate("the cat", 30, seed=5))
    assert set("".join(model.generate(length=40))) <= set(corpus)
    assert list(model.generate("the", 0)) == []


def test_greedy_text_obeys_the_grammar(model):
    first = "".join(model.generate("", 60, temperature=0)).splitlines()[0]
    assert first.startswith(("the ", "a ", "my "))
    assert first.endswith(".")


def test_errors_come_at_the_call_and_not_at_the_first_token(model):
    with pytest.raises(GatewiseError, match="never saw these characters: 'é'"):
        model.generate("é")
    with pytest.raises(ParameterError, match="length is -1"):
        model.generate("a", -1)
    with pytest.raises(ParameterError, match="top_p is 2"):
        model.generate("a", top_p=2)
    with pytest.raises(ParameterError, match="list of strings"):
        model.log_likelihood("the cat")
    with pytest.raises(GatewiseError, match="empty text"):
        model.perplexity("")


def test_the_file_gives_the_same_model(model, model_file):
    other = load(model_file)
    assert other.get_params() == model.get_params()
    assert other.history_ == model.history_
    assert other.training_ == model.training_
    assert other.vocabulary_ == model.vocabulary_
    assert other.architecture_ == model.architecture_
    assert other.weights_.keys() == model.weights_.keys()
    assert all(np.array_equal(other.weights_[name], array) for name, array in model.weights_.items())
    assert list(other.generate("a", 20, seed=1)) == list(model.generate("a", 20, seed=1))


def test_summary(model):
    size = len(model.vocabulary_)
    rows = {tuple(line.split()[:2]): line.split()[-1] for line in model.summary().splitlines()}
    assert rows["encoder", "one-hot"] == "0"
    assert rows["lstm", "1"] in {str(128), f"{128 * size:,}", f"{128 * 32:,}"}
    total = sum(array.size for array in model.weights_.values())
    assert model.summary().splitlines()[-1].split() == ["total", f"{total:,}"]


# One of each kind of record: one state, two, two widths, stages within a step, a reduction.
@pytest.mark.parametrize("cell", ["gru", "lstm", "projected_lstm", "gru_v1", "layer_norm_lstm"])
def test_any_cell_trains_and_loads(cell, corpus, tmp_path):
    sizes = {"proj_size": 8} if cell == "projected_lstm" else None
    model = LanguageModel(cell=cell, cell_sizes=sizes, num_layers=2, **SMALL).fit(corpus[:2000])
    model.save(tmp_path / "m")
    assert "".join(load(tmp_path / "m").generate("the", 5, seed=1)) == "".join(model.generate("the", 5, seed=1))


def test_a_cell_record_instead_of_a_name(corpus, tmp_path):
    record = cells.get("lstm", forget_bias=3.0)
    model = LanguageModel(cell=record, **SMALL).fit(corpus[:2000])
    model.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.cell == record
    assert loaded.log_likelihood(["the cat"]) == model.log_likelihood(["the cat"])


def test_words_embedding_tying_and_dropout(corpus, tmp_path):
    options = {**SMALL, "max_steps": 150, "learning_rate": 0.02}
    model = LanguageModel("word", embedding_size=16, tie_weights=True, dropout=0.1, vocabulary_size=12, **options).fit(
        corpus
    )
    assert len(model.vocabulary_) == 12
    assert "head.weight" not in model.weights_
    assert model.training_["unit"] == "words"
    assert "<unk>" not in "".join(model.generate("the", 200, seed=0))
    assert model.perplexity("the cat sees a dog.") < 12
    assert np.isfinite(model.perplexity("unheard of words"))
    model.save(tmp_path / "m")
    assert "= encoder weight" in load(tmp_path / "m").summary()


def test_wide_one_hot_input_is_refused():
    words = " ".join(f"w{i}" for i in range(3000))
    with pytest.raises(ParameterError, match="give embedding_size"):
        LanguageModel("word", **SMALL).fit(words)


def test_text_that_cannot_be_trained_on():
    with pytest.raises(FileError, match="the text is empty"):
        LanguageModel(**SMALL).fit("")
    with pytest.raises(GatewiseError, match=r"too short: 18 characters to train on and 2 held out; one window needs 21"):
        LanguageModel(**SMALL).fit("x" * 20)


def test_without_validation(corpus):
    model = LanguageModel(validation_fraction=0, **SMALL).fit(corpus[:500])
    assert model.training_["validation_loss"] is None
    assert model.history_[-1]["validation_loss"] is None


def test_it_learns_as_well_with_products_of_bfloat16(corpus, tmp_path, bfloat16_here):
    losses = {}
    for compute_dtype in ("float32", "bfloat16"):
        options = SMALL | {"hidden_size": 32, "max_steps": 100, "learning_rate": 0.02, "compute_dtype": compute_dtype}
        fitted = LanguageModel(**options).fit(corpus)
        losses[compute_dtype] = fitted.training_["validation_loss"]
        fitted.save(tmp_path / "model.safetensors")
        assert load(tmp_path / "model.safetensors").compute_dtype == compute_dtype
    assert losses["float32"] < 1.5  # guessing gives 3.2
    assert losses["bfloat16"] != losses["float32"]
    assert abs(losses["bfloat16"] - losses["float32"]) < 0.01


def test_products_of_bfloat16_are_refused_in_float64(corpus):
    with pytest.raises(GatewiseError, match="not torch.float64 on cpu; use compute_dtype='float32'"):
        LanguageModel(**SMALL, precision="64-true", device="cpu", compute_dtype="bfloat16").fit(corpus)


def test_fit_again_starts_anew(corpus):
    model = LanguageModel(**SMALL).fit(corpus[:2000])
    first = model.log_likelihood(["the cat"])[0]
    assert model.fit(corpus[2000:6000]).log_likelihood(["the cat"])[0] != first
    assert model.fit(corpus[:2000]).log_likelihood(["the cat"])[0] == first


def test_every_character_is_trained_on_or_held_out_once(corpus):
    _, tokens = encode_text(open_text(corpus), "char")
    tokens = np.arange(len(tokens))  # numbers that tell where a token stands
    architecture = LanguageModel().build_architecture(3)
    task = LanguageTask(tokens, architecture, "characters", bptt=30, batch_size=8, validation_fraction=0.1)
    seen = []
    for streams in (task.training, task.validation):
        for window in streams:
            steps, rows = window.targets.shape
            lengths = np.full(rows, steps) if window.lengths is None else window.lengths
            seen += window.targets[np.arange(steps)[:, None] < lengths].tolist()
    assert sorted(seen) == list(range(1, len(tokens)))


def test_resume_refuses_another_text_or_network(corpus, tmp_path):
    path = tmp_path / "a.checkpoint"
    model = LanguageModel(**SMALL).fit(corpus[:2000], checkpoint=path)
    for changes, text, message in [
        ({}, corpus[:1999], "trained on other data"),
        ({"hidden_size": 17}, corpus[:2000], "another network"),
        ({"bptt": 21}, corpus[:2000], "trained with bptt=20, not 21"),
    ]:
        with pytest.raises(FileError, match=message):
            LanguageModel(**{**SMALL, **changes}).fit(text, checkpoint=path, resume=True)
    again = LanguageModel(**{**SMALL, "learning_rate": 1e-3}).fit(corpus[:2000], checkpoint=path, resume=True)
    assert again.training_["steps"] == model.training_["steps"]


def test_tinyshakespeare_is_split_as_nanogpt_does(shakespeare):
    model = LanguageModel(hidden_size=8, max_steps=2, batch_size=64, verbose=False).fit(shakespeare)
    assert len(model.vocabulary_) == 65
    assert model.training_["tokens"] == 1_115_394
