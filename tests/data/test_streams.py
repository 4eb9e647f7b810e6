"""Streams: every token is a target exactly once, and each row goes on where it ended."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.data.streams import Streams

sizes = st.integers(2, 300), st.integers(1, 12), st.integers(1, 20)


@given(*sizes)
def test_every_token_but_the_first_is_a_target_once(length, batch_size, bptt):
    streams = Streams(np.arange(length), batch_size, bptt)
    seen = []
    for window in streams:
        steps = len(window.inputs)
        assert 1 <= steps <= bptt
        assert np.array_equal(window.inputs + 1, window.targets)
        counts = np.ones_like(window.targets, bool)
        if window.lengths is not None:
            assert window.lengths.min() >= steps - 1
            assert window.lengths.max() == steps
            counts = np.arange(steps)[:, None] < window.lengths
        seen += window.targets[counts].tolist()
        assert window.count == counts.sum()
    assert sorted(seen) == list(range(1, length))


@given(*sizes)
def test_a_row_goes_on_where_it_ended(length, batch_size, bptt):
    windows = list(Streams(np.arange(length), batch_size, bptt))
    for before, after in zip(windows, windows[1:], strict=False):
        assert before.lengths is None
        live = slice(None) if after.lengths is None else after.lengths > 0
        assert np.array_equal(before.targets[-1][live], after.inputs[0][live])


def test_a_short_text_gets_fewer_streams():
    assert Streams(np.arange(11), batch_size=64, bptt=5).batch_size == 2
    assert Streams(np.arange(3), batch_size=64, bptt=5).batch_size == 1


def test_there_is_no_window_past_the_end():
    streams = Streams(np.arange(10), 1, 5)
    with pytest.raises(IndexError, match="window 2 of 2"):
        streams[2]
