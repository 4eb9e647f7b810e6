"""What several suites share: a small text, a small model trained on it, and the real data where it is at hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def corpus() -> str:
    """About 12 kB of sentences with a simple grammar: something there is to learn, in little time."""
    draw = random.Random(5)
    nouns, verbs = ["the cat", "a dog", "my bird", "the old man"], ["sees", "likes", "does not hear", "finds"]
    sentences = (f"{draw.choice(nouns)} {draw.choice(verbs)} {draw.choice(nouns)}.\n" for _ in range(480))
    return "".join(sentences)


@pytest.fixture(scope="session")
def model(corpus):
    """A fitted character model; tests must not change it."""
    from gatewise.tasks.language import LanguageModel

    options = {"hidden_size": 32, "batch_size": 8, "bptt": 30, "epochs": 4, "learning_rate": 0.02, "verbose": False}
    return LanguageModel(**options).fit(corpus)


@pytest.fixture(scope="session")
def model_file(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def shakespeare() -> Path:
    path = SHARED_DATA / "tinyshakespeare" / "input.txt"
    if not path.exists():
        pytest.skip("tinyshakespeare is not beside the checkout, in ../shared/data")
    return path


@pytest.fixture
def bfloat16_here() -> str:
    """How this processor multiplies bfloat16; skips the test where it does not."""
    from gatewise.backends.cpu import target
    from gatewise.errors import GatewiseError

    try:
        return target.bfloat16_products()
    except (GatewiseError, ImportError) as error:
        pytest.skip(str(error))
