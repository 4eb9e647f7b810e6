"""Encoding a whole text, in memory and through a mapped file."""

import numpy as np
import pytest

from gatewise.data import text as text_module
from gatewise.data.encode import encode_text, fingerprint
from gatewise.data.text import open_text


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_mapped_array_is_the_array_in_memory(tmp_path, monkeypatch, corpus, level):
    monkeypatch.setattr(text_module, "PIECE_BYTES", 1000)
    path = tmp_path / "text"
    path.write_text(corpus)
    vocabulary, small = encode_text(open_text(path), level)
    _, large = encode_text(open_text(path), level, memory_limit=100)
    assert isinstance(large, np.memmap)
    assert not isinstance(small, np.memmap)
    assert np.array_equal(small, large)
    assert vocabulary.decode(small) == corpus
    assert fingerprint(small) == fingerprint(large)


def test_the_fingerprint_sees_one_token():
    tokens = np.zeros(100, np.uint8)
    before = fingerprint(tokens)
    tokens[57] = 1
    assert fingerprint(tokens) != before


def test_an_empty_text_has_no_tokens():
    vocabulary, tokens = encode_text(open_text(""), "char")
    assert len(vocabulary) == len(tokens) == 0
