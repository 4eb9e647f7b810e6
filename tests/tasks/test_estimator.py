"""The manners of an estimator, judged by scikit-learn where it has a say."""

import pytest
from sklearn.base import clone

from gatewise.errors import GatewiseError, NotFittedError, ParameterError
from gatewise.tasks.language import LanguageModel


def test_the_constructor_only_stores():
    nonsense = {name: object() for name in LanguageModel.parameters()}
    model = LanguageModel(**nonsense)  # pyright: ignore[reportArgumentType]
    assert vars(model) == nonsense == model.get_params()


def test_clone_set_params_and_repr():
    model = LanguageModel(hidden_size=3, cell="gru")
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert copy.set_params(hidden_size=4, seed=2) is copy
    assert repr(copy) == "LanguageModel(cell='gru', hidden_size=4, seed=2)"
    with pytest.raises(ParameterError, match="no parameter 'hidden'; it has: level, cell"):
        copy.set_params(hidden=4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("level", "byte"), ("hidden_size", 0), ("hidden_size", 2.0), ("num_layers", True), ("embedding_size", 0),
        ("dropout", 1.0), ("dropout", -0.1), ("bptt", 0), ("batch_size", None), ("learning_rate", 0), ("epochs", 0),
        ("max_seconds", 0.0), ("warmup", 1), ("clip_norm", -1.0), ("validation_fraction", 1.0), ("patience", 0),
        ("seed", -1), ("device", "tpu"), ("precision", "8"), ("vocabulary_size", 1), ("learning_rate", float("nan")),
        ("compute_dtype", "float16"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_before_anything_is_read(name, value):
    with pytest.raises(ParameterError, match=f"{name} is ") as caught:
        LanguageModel(**{name: value}).fit("no-such-file")
    assert "must be" in str(caught.value)


def test_an_unknown_cell_and_sizes_that_do_not_fit():
    with pytest.raises(GatewiseError, match="there are: rnn"):
        LanguageModel(cell="lstn").check_parameters()
    with pytest.raises(ParameterError, match="tie_weights needs an embedding"):
        LanguageModel(tie_weights=True).check_parameters()
    with pytest.raises(ParameterError, match="proj_size"):
        LanguageModel(cell="projected_lstm").check_parameters()


@pytest.mark.parametrize("use", ["generate", "summary", "perplexity", "save", "log_likelihood", "count_tokens"])
def test_nothing_works_before_fit(use):
    arguments = {"perplexity": ["a"], "save": ["a"], "log_likelihood": [["a"]], "count_tokens": ["a"]}.get(use, [])
    with pytest.raises(NotFittedError, match=r"call fit, or gatewise\.load"):
        getattr(LanguageModel(), use)(*arguments)
