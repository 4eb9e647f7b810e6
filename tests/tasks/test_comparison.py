"""Several cells under one budget."""

import pytest

from gatewise import LanguageModel
from gatewise.errors import ParameterError
from gatewise.tasks.comparison import compare, count_parameters, draw, fit_hidden_size

MODEL = LanguageModel(hidden_size=24, max_steps=20, bptt=20, batch_size=8, validate_every=5, verbose=False)


def test_every_cell_fills_the_budget_and_does_not_exceed_it(corpus):
    results = list(compare(corpus, ["lstm", "gru_v1", "min_gru", "qrnn"], MODEL))
    tokens = len(results[0].model.vocabulary_)
    budget = count_parameters(MODEL, tokens)
    assert results[0].parameters == budget and results[0].model.hidden_size == 24
    for result in results:
        assert result.parameters == sum(a.size for a in result.model.weights_.values()) <= budget
        wider = LanguageModel(**{**result.model.get_params(), "hidden_size": result.model.hidden_size + 1})
        assert count_parameters(wider, tokens) > budget
        assert result.model.training_["steps"] == 20
        assert [r["step"] for r in result.history] == [5, 10, 15, 20]


def test_a_budget_that_is_too_small_is_refused():
    with pytest.raises(ParameterError, match="has .* parameters with one unit, above the 10 allowed"):
        fit_hidden_size(MODEL, 50, 10)


def test_the_figure(corpus, tmp_path):
    results = list(compare(corpus, ["rnn"], MODEL))
    draw(results, tmp_path / "loss.png", "character")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]
