"""Vocabularies: texts survive the round trip, pieces do not matter, and what is unknown is handled."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatewise.data.vocabulary import LEVELS, CharVocabulary, WordVocabulary, vocabulary_from_json, vocabulary_type
from gatewise.errors import FileError, GatewiseError, ParameterError

texts = st.text(max_size=60) | st.text(alphabet=" \nab'’_.é", max_size=60)
levels = pytest.mark.parametrize("kind", LEVELS.values(), ids=LEVELS)


@levels
@given(text=texts)
@example(text="don't  stop, it’s 3.14 o'clock\n\t— “quoted”")
def test_decode_of_encode_is_the_text(kind, text):
    vocabulary, length = kind.build([text])
    numbers = vocabulary.encode(text)
    assert vocabulary.decode(numbers) == text
    assert len(numbers) == length
    assert kind.cut(text) == [vocabulary.tokens[number] for number in numbers]
    assert vocabulary_from_json(vocabulary.to_json()) == vocabulary


@levels
@given(text=texts, cuts=st.lists(st.integers(0, 60)))
def test_pieces_do_not_matter(kind, text, cuts):
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    vocabulary, length = kind.build([text])
    assert kind.build(pieces) == (vocabulary, length)
    encoded = [vocabulary.encode(""), *vocabulary.encode_pieces(pieces)]
    assert np.concatenate(encoded).tolist() == vocabulary.encode(text).tolist()


def test_numbers_take_the_smallest_type():
    assert CharVocabulary("ab").dtype == np.uint8
    assert CharVocabulary([chr(0x100 + i) for i in range(256)]).dtype == np.uint8
    assert CharVocabulary([chr(0x100 + i) for i in range(257)]).dtype == np.uint16
    assert WordVocabulary([str(i) for i in range(70_000)]).dtype == np.uint32


def test_unseen_characters_are_named():
    vocabulary = CharVocabulary("abc")
    for text in ("aé", "é", "a\U0001f600"):
        with pytest.raises(GatewiseError, match="never saw these characters") as caught:
            vocabulary.encode(text)
        assert repr(text[-1]) in str(caught.value)
    with pytest.raises(GatewiseError, match="and 16 more"):
        vocabulary.encode("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_rare_words_become_unknown():
    vocabulary, length = WordVocabulary.build(["b b b a a c"], max_size=3)
    assert vocabulary.tokens == ("<unk>", " a", " b")
    assert length == 6
    assert vocabulary.encode("b b c a d").tolist() == [0, 2, 0, 1, 0]


def test_a_word_takes_its_space_and_its_apostrophe_along():
    vocabulary, _ = WordVocabulary.build(["I don't, he  said"])
    assert set(vocabulary.tokens) == {"<unk>", "I", " don't", ",", " he", " ", " said"}


def test_start_is_a_line_break_where_there_is_one():
    assert CharVocabulary("\nab").start == 0
    assert CharVocabulary("\t\nab").start == 1
    assert CharVocabulary("ab").start == 0


def test_bad_vocabularies():
    with pytest.raises(GatewiseError, match="twice"):
        CharVocabulary("aa")
    with pytest.raises(GatewiseError, match="not one character"):
        CharVocabulary(["ab"])
    with pytest.raises(ParameterError, match="one of: char, word"):
        vocabulary_type("byte")
    with pytest.raises(FileError, match="damaged vocabulary"):
        vocabulary_from_json({"level": "char"})
