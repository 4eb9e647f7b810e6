"""Buckets of about equal lengths, padding, and the lexicon."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.data.lexicon import LETTERS, Lexicon
from gatewise.data.sequences import Buckets, by_length, pad
from gatewise.data.vocabulary import WordVocabulary

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 5))
def test_every_sequence_is_in_one_batch_an_epoch(lengths, batch_size, epoch):
    buckets = Buckets(np.array(lengths), batch_size, seed=1)
    batches = [buckets.batch(epoch, k) for k in range(len(buckets))]
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(b) <= batch_size for b in batches)
    assert np.array_equal(Buckets(np.array(lengths), batch_size, seed=1).batch(epoch, 0), batches[0])
    assert sorted(np.concatenate(list(by_length(np.array(lengths), batch_size)))) == list(range(len(lengths)))


def test_little_is_padded_and_the_order_changes():
    lengths = np.random.default_rng(0).integers(1, 1000, 5000)
    buckets = Buckets(lengths, 32, seed=0)
    batches = [buckets.batch(0, k) for k in range(len(buckets))]
    padded = sum(lengths[b].max() * len(b) for b in batches)
    assert padded < 1.08 * lengths.sum()  # in the order of a shuffle it is 1.94 times
    first = [lengths[b].max() for b in batches]
    assert first != sorted(first)
    assert not np.array_equal(batches[0], buckets.batch(1, 0))


def test_pad():
    padded, lengths = pad([np.array([1, 2, 3]), np.array([4])])
    assert padded.T.tolist() == [[1, 2, 3], [4, 0, 0]] and lengths.tolist() == [3, 1]
    assert pad([np.ones((2, 3)), np.ones((2, 3))])[1] is None


def test_combining_marks_belong_to_their_letters():
    hindi = "हिन्दी में लिखो।"
    assert Lexicon("word", ["<unk>"], True).split(hindi + " don't e\u0301tude") == [
        *("हिन्दी", "में", "लिखो", "।"),
        *("don't", "e\u0301tude"),
    ]
    assert set(WordVocabulary.build([hindi])[0].tokens) == {"<unk>", "हिन्दी", " में", " लिखो", "।"}


@pytest.mark.parametrize("level", ["char", "word", "token"])
def test_lowering_a_letter_changes_no_length(level):
    """ "İ".lower() is two characters: a tagger of characters would have more steps than labels."""
    text = "İzmir İstanbul"
    item = text.split() if level == "token" else text
    lexicon = Lexicon.build([item], level)
    lexicon.characters = Lexicon.build([text], "char", lowercase=False) if level != "char" else None
    assert len(lexicon.encode(item)) == len(lexicon.split(item, as_written=True))
    assert lexicon.split(item) == (["izmir", "istanbul"] if level != "char" else "izmir istanbul")


def test_a_lexicon_keeps_the_most_frequent_and_knows_letters():
    lexicon = Lexicon.build(["a b b c c c", "D d don't!"], "word", max_size=4, min_count=2)
    assert lexicon.tokens == ("<unk>", "c", "b", "d")
    lexicon.characters = Lexicon.build(["abcdD"], "char", lowercase=False)
    rows = lexicon.encode("D xyz " + "a" * 30 + "b" * 30)
    assert rows.shape == (3, 1 + LETTERS) and rows[:, 0].tolist() == [3, 0, 0]
    capital = lexicon.characters.encode("D")[0]
    assert rows[0, 1:3].tolist() == [capital, -1] and capital != lexicon.characters.encode("d")[0]
    assert rows[1, 1:5].tolist() == [0, 0, 0, -1]
    a, b = lexicon.characters.encode("ab")
    assert rows[2, 1:].tolist() == [a] * (LETTERS // 2) + [b] * (LETTERS // 2)
    assert Lexicon.from_json(lexicon.to_json()).encode("D xyz").tolist() == rows[:2].tolist()
