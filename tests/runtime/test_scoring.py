"""Log-likelihoods: batches, pieces and neighbours change nothing."""

import numpy as np
import pytest

from gatewise.runtime import scoring
from gatewise.runtime.network import log_softmax


def one_by_one(model, text: str) -> float:
    """The definition: a step at a time, alone."""
    numbers = model.vocabulary_.encode(text)
    states, token, total = None, model.vocabulary_.start, 0.0
    for number in numbers:
        scores, states = model._network.run(np.array([[token]]), states)
        total += log_softmax(scores)[0, 0, number]
        token = number
    return total


@pytest.mark.parametrize(("piece", "rows"), [(256, 32), (3, 2), (1, 1), (7, 50)])
def test_it_is_the_sum_over_the_steps(model, monkeypatch, piece, rows):
    monkeypatch.setattr(scoring, "PIECE", piece)
    monkeypatch.setattr(scoring, "ROWS", rows)
    texts = ["the cat sees my bird.\n", "t", "", "a dog likes", "the the the", "a dog finds the old man.\na dog"]
    expected = [one_by_one(model, text) for text in texts]
    np.testing.assert_allclose(model.log_likelihood(texts), expected, rtol=1e-4, atol=1e-5)


def test_probabilities_of_all_continuations_sum_to_one(model):
    texts = ["the c" + token for token in model.vocabulary_.tokens]
    (before,) = model.log_likelihood(["the c"])
    assert np.exp(model.log_likelihood(texts) - before).sum() == pytest.approx(1, rel=1e-4)


def test_no_texts(model):
    assert model.log_likelihood([]).shape == (0,)
