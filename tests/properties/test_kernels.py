"""What must hold for any cell's kernels, to the bit where bits are promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise import cells, checks
from gatewise.backends.cpu import runner

NAMES = ["lstm", "gru_v1", "projected_lstm", "layer_norm_lstm"]


def run(case, save=False, threads=1, lengths="own"):
    lengths = case.lengths if isinstance(lengths, str) else lengths
    return runner.forward(case.cell, case.params, case.x, case.states, case.sizes, lengths, case.reverse, save, (), threads)


def rows(case, keep):
    """The case with only some rows of its batch."""
    from dataclasses import replace

    return replace(
        case,
        x=np.ascontiguousarray(case.x[:, keep]),
        states=tuple(s[keep] for s in case.states),
        lengths=None if case.lengths is None else case.lengths[keep],
        dy=np.ascontiguousarray(case.dy[:, keep]),
        dfinals=tuple(d[keep] for d in case.dfinals),
    )


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_values_do_not_depend_on_threads_or_on_the_rest_of_the_batch(name, steps, batch, threads, ragged, reverse, seed):
    case = checks.random_case(cells.get(name), steps, batch, 5, 18, ragged, reverse, seed).astype("float32")
    alone = run(case)
    for other in (run(case, threads=threads), run(case, save=True, threads=threads)):
        np.testing.assert_array_equal(other.y, alone.y)
        for a, b in zip(other.finals, alone.finals, strict=True):
            np.testing.assert_array_equal(a, b)
    order = np.random.default_rng(seed).permutation(batch)
    mixed = run(rows(case, order), threads=2)
    np.testing.assert_array_equal(mixed.y, alone.y[:, order])
    one = run(rows(case, order[:1]))
    np.testing.assert_array_equal(one.y[:, 0], alone.y[:, order[0]])


@pytest.mark.parametrize("name", NAMES)
def test_a_split_sequence_equals_the_whole(name):
    case = checks.random_case(cells.get(name), 7, 5, 4, 17).astype("float32")
    whole = run(case)
    first = runner.forward(case.cell, case.params, case.x[:3].copy(), case.states, case.sizes)
    second = runner.forward(case.cell, case.params, case.x[3:].copy(), first.finals, case.sizes)
    np.testing.assert_array_equal(np.concatenate([first.y, second.y]), whole.y)
    for a, b in zip(second.finals, whole.finals, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_padding_is_inert_to_the_last_bit(name, reverse):
    """Whatever lies past a row's length, even NaN, changes no output, state or gradient."""
    case = checks.random_case(cells.get(name), 6, 9, 5, 18, True, reverse, seed=3).astype("float32")
    plain = checks.compiled(case, threads=2)
    dirty_x, dirty_dy = case.x.copy(), case.dy.copy()
    for b, n in enumerate(case.lengths):
        dirty_x[n:, b] = np.nan
        dirty_dy[n:, b] = np.nan
    from dataclasses import replace

    dirty = checks.compiled(replace(case, x=dirty_x, dy=dirty_dy), threads=2)
    for key, value in plain.items():
        np.testing.assert_array_equal(dirty[key], value, err_msg=key)
    for b, n in enumerate(case.lengths):
        assert (plain["y"][n:, b] == 0).all()
        assert (plain["d x"][n:, b] == 0).all()
        alone = rows(case, np.array([b]))
        if n:
            short = replace(alone, x=alone.x[:n].copy(), dy=alone.dy[:n].copy(), lengths=None)
            got = run(short)
            np.testing.assert_array_equal(got.y[:, 0], plain["y"][:n, b])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_are_repeatable_to_the_bit(name, threads):
    case = checks.random_case(cells.get(name), 9, 21, 6, 33, True, seed=5).astype("float32")
    first, second = checks.compiled(case, threads=threads), checks.compiled(case, threads=threads)
    for key, value in first.items():
        np.testing.assert_array_equal(second[key], value, err_msg=key)


@pytest.mark.parametrize("name", cells.names())
def test_recorded_values_are_the_interpreters(name):
    from gatewise.backends import interpret

    case = checks.random_case(cells.get(name), 4, 6, 5, 18, True)
    record = tuple(n for n, _ in case.cell.named)
    tape = interpret.forward(case.cell, case.params, case.x, case.states, case.lengths, case.reverse, record)
    got = runner.forward(
        case.cell, case.params, case.x, case.states, case.sizes, case.lengths, case.reverse, False, record, 2
    )
    assert set(got.recorded) == set(record)
    for n in record:
        np.testing.assert_allclose(got.recorded[n], tape.recorded[n], atol=1e-12)


@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0)])
def test_nothing_to_do_is_done(steps, batch):
    case = checks.random_case(cells.get("lstm"), steps, batch, 3, 5)
    got = checks.compiled(case)
    assert got["y"].shape == (steps, batch, 5)
    assert (got["d weight_hh"] == 0).all()
    np.testing.assert_array_equal(got["d initial h"], case.dfinals[0])


def test_kernels_flush_what_vanishes_and_leave_the_processor_as_it_was():
    """A state that decays below the smallest normal number becomes zero; arithmetic outside of kernels is not touched."""
    cell = cells.get("rnn_relu")
    params = {"weight_ih": np.zeros((1, 1), np.float32), "weight_hh": np.full((1, 1), 0.1, np.float32), "bias": np.zeros(1)}
    params["bias"] = params["bias"].astype(np.float32)
    sizes = {"input_size": 1, "hidden_size": 1}
    start = (np.full((1, 1), 1e-30, np.float32),)
    result = runner.forward(cell, params, np.zeros((20, 1, 1), np.float32), start, sizes, threads=1)
    smallest = np.finfo(np.float32).tiny
    assert result.y[0] > 0 and result.y[-1] == 0
    assert not ((result.y > 0) & (result.y < smallest)).any()
    assert np.float32(1e-39) * np.float32(1.0) > 0


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", ["min_gru", "sru", "qrnn", "t_lstm", "brc", "lstm"])
def test_what_runs_ahead_or_after_goes_through_many_blocks_of_steps(name, reverse, ragged):
    """Long sequences, so that blocks begin and end within them, also where rows have ended."""
    case = checks.random_case(cells.get(name), 70, 11, input_size=5, hidden_size=19, ragged=ragged, reverse=reverse)
    expected = checks.interpreted(case)
    for threads in (1, 3):
        checks.compare(case, expected, checks.compiled(case, threads=threads), 1e-11)
