"""Drawing tokens: each rule against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.errors import ParameterError
from gatewise.runtime.sampling import Sampling

SCORES = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.1, 0.4, 0.2, 0.3]),
        (Sampling(temperature=0), [0, 1, 0, 0]),
        (Sampling(temperature=0.5), np.square([0.1, 0.4, 0.2, 0.3]) / 0.3),
        (Sampling(top_k=2), [0, 4 / 7, 0, 3 / 7]),
        (Sampling(top_k=9), [0.1, 0.4, 0.2, 0.3]),
        (Sampling(top_p=0.5), [0, 4 / 7, 0, 3 / 7]),
        (Sampling(top_p=0.3), [0, 1, 0, 0]),
        (Sampling(top_p=1.0), [0.1, 0.4, 0.2, 0.3]),
        (Sampling(top_p=0.8, top_k=1), [0, 1, 0, 0]),
    ],
)
def test_probabilities(sampling, expected):
    np.testing.assert_allclose(sampling.probabilities(SCORES), expected, rtol=1e-6)


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=9),
    st.floats(0, 5),
    st.none() | st.integers(1, 12),
    st.none() | st.floats(0.01, 1),
)
def test_any_setting_gives_a_distribution_with_the_likeliest_token_in_it(scores, temperature, top_k, top_p):
    if 0 < temperature < 1e-3:
        temperature = 1e-3
    scores = np.array(scores, np.float32)
    p = Sampling(temperature, top_k, top_p).probabilities(scores)
    assert p.sum() == pytest.approx(1)
    assert p.min() >= 0
    assert p[scores.argmax()] == p.max()
    assert top_k is None or (p > 0).sum() <= top_k


def test_choices_follow_the_probabilities():
    random = np.random.default_rng(0)
    drawn = [Sampling().choose(SCORES, random) for _ in range(4000)]
    # four standard deviations of a frequency at n = 4000 and p = 0.4
    np.testing.assert_allclose(np.bincount(drawn) / 4000, [0.1, 0.4, 0.2, 0.3], atol=4 * (0.24 / 4000) ** 0.5)


@pytest.mark.parametrize("bad", [{"temperature": -1}, {"temperature": np.nan}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}])
def test_bad_settings_are_named(bad):
    (name,) = bad
    with pytest.raises(ParameterError, match=f"{name} is "):
        Sampling(**bad)
