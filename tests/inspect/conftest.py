"""Small traces that several tests look at."""

import pytest

from gatewise import LanguageModel, SequenceClassifier


@pytest.fixture(scope="session")
def reviewer():
    """A classifier of two layers in both directions, hardly trained: what it says is no matter here."""
    texts = ["what a good film", "good, good fun", "a bad film", "bad acting, bad film"] * 8
    options = {"hidden_size": 6, "num_layers": 2, "bidirectional": True, "readout": "attention"}
    return SequenceClassifier(**options, max_steps=20, verbose=False).fit(texts, ["like", "like", "dislike", "dislike"] * 8)


@pytest.fixture(scope="session")
def text_trace():
    """A language model over two lines of a text that a page or a terminal could take for its own language."""
    text = "the old man sees\n my $1 bird: <b>&</script>\n"
    return LanguageModel(hidden_size=8, max_steps=20, bptt=20, verbose=False).fit(text * 40).explain(text)
