"""Any cell works in a language model: it trains, is saved, loaded and generates."""

import math

import pytest

from gatewise import LanguageModel, cells, load


@pytest.mark.parametrize("name", cells.names())
def test_a_language_model_of_every_cell(name, corpus, tmp_path):
    sizes = {"proj_size": 6} if "proj_size" in cells.get(name).dims else None
    options = {"hidden_size": 8, "bptt": 10, "batch_size": 8, "max_steps": 6, "learning_rate": 1e-3, "verbose": False}
    model = LanguageModel(cell=name, cell_sizes=sizes, **options).fit(corpus)
    assert math.isfinite(model.training_["validation_loss"])
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.log_likelihood(["the cat sees"]) == model.log_likelihood(["the cat sees"])
    assert list(again.generate("the ", length=5, seed=1)) == list(model.generate("the ", length=5, seed=1))
