"""What must hold for any cell's kernels, to the bit where bits are promised."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise import cells, checks
from gatewise.backends.cpu import division, runner, team
from gatewise.backends.cpu.layout import Layout
from gatewise.backends.cpu.target import host
from gatewise.ir.trace import cell, linear, named, parameter, stop_gradient, sum_units, tanh
from gatewise.plan import plan

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


DIVISIONS = [(1, 2), (1, 3), (2, 2), (1, 4)]


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *((n, 150) for n in ("lstm", "gru_v1", "projected_lstm", "rnn", "qrnn", "rhn", "slstm", "mogrifier_lstm", "lem")),
        *((n, 150) for n in ("fast_grnn", "mass_conserving_lstm", "layer_norm_lstm")),  # sums over units
        ("layer_norm_lstm", 17),
        ("layer_norm_lstm", 300),
    ],
)
@pytest.mark.parametrize("ragged", [False, True])
def test_threads_that_share_rows_find_what_one_finds_alone(name, hidden, ragged, four_threads):
    """Values to the bit; gradients of weights are added up in another order. Also the second time, which runs anew."""
    for steps, reverse in ((5, False), (5, True), (1, False)):
        case = checks.random_case(cells.get(name), steps, 9, 6, hidden, ragged, reverse, seed=2, proj_size=70).astype(
            "float32"
        )
        alone = checks.compiled(case)
        for divided in DIVISIONS:
            assert team.meets(math.prod(divided))
            got = checks.compiled(case, division=divided)
            for key in alone:
                if key == "y" or key.startswith("final"):
                    np.testing.assert_array_equal(got[key], alone[key], err_msg=key)
            checks.compare(case, got, alone, checks.TOLERANCE["float32"])
            again = checks.compiled(case, division=divided)
            for key, value in got.items():
                np.testing.assert_array_equal(again[key], value, err_msg=key)


@cell
def summed(x, h):
    """Its sum is nothing that a step goes on with."""
    h = tanh(linear("a", x, h))
    named("total", sum_units(h))
    return h


@cell
def scaled(x, h):
    """The gradient of one number for all units ends a step backwards; nothing is sent back through the product."""
    return parameter("scale", 0.5, size="1") * tanh(linear("a", x, stop_gradient(h))) + h * 0.5


def test_sums_at_the_end_of_a_step_are_read_before_the_next_step_writes(four_threads):
    """Many steps, as one thread must be a step ahead of another to spoil them."""
    sizes = {"input_size": 4, "hidden_size": 256}
    for recipe, record in ((summed, ("total",)), (scaled, ())):
        case = checks.random_case(recipe(), 400, 1, 4, 256, seed=3).astype("float32")
        runs = []
        for divided in [(1, 1), *[(1, 2)] * 20, *[(1, 4)] * 3]:
            found = runner.forward(
                *(case.cell, case.params, case.x, case.states, sizes), save=True, record=record, division=divided
            )
            back = runner.backward(
                *(case.cell, case.params, case.x, case.states, sizes, found.saved, np.ones_like(found.y), [None])
            )
            runs.append((*found.recorded.values(), *back.params.values()))
        for run in runs[1:]:
            for got, expected in zip(run, runs[0], strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_how_the_work_is_divided():
    def divided(name, batch, units, threads, steps=100):
        layout = Layout(plan(cells.get(name)), {"input_size": units, "hidden_size": units}, host(), "float32", "infer")
        return division.split(layout, steps, batch, threads)

    assert divided("lstm", 1, 256, 2) == (1, 2)  # two threads for one row
    assert divided("lstm", 1, 256, 4) == (1, 4)
    assert divided("lstm", 32, 64, 4) == (4, 1)  # few weights, many rows
    assert divided("lstm", 2, 16, 4) == (2, 1)  # too few weights to share
    assert divided("lstm", 32, 512, 2) == (1, 2)  # more weights than a cache holds
    assert divided("lstm", 64, 512, 2) == (2, 1)  # and many rows to multiply with them
    assert divided("lstm", 64, 512, 2, steps=1) == (1, 2)  # which are packed for a single step
    assert divided("rnn", 64, 16, 2, steps=1) == (2, 1)
    assert divided("gru", 16, 200, 2) == (2, 1)
    assert divided("gru", 16, 200, 2, steps=4) == (1, 2)  # gradients of weights are not added up
    assert divided("layer_norm_lstm", 1, 256, 4) == (1, 4)  # each adds up the units of its own panels
    assert division.apart((1, 8), 1, again=False) == (1, 1)  # torch has but four threads
    assert division.apart((1, 8), 9, again=False) == (8, 1)
    assert division.apart((1, 8), 9, again=True) == (1, 1)  # what was kept lies by its groups


def test_what_is_worth_several_threads():
    def threads(name, steps, batch, inputs, hidden):
        sizes = {"input_size": inputs, "hidden_size": hidden}
        layout = Layout(plan(cells.get(name)), sizes, host(), "float32", "infer")
        return division.worth(layout, steps, batch, available=4)

    assert threads("lstm", 100, 32, 128, 128) == 4
    assert threads("lstm", 1, 1, 128, 128) == 1
    assert threads("lstm", 1, 1, 1024, 1024) == 4  # whose weights come from memory
    assert threads("min_gru", 100, 32, 128, 128) == 4  # no matrix is applied to its state
    assert threads("rnn", 100, 32, 1024, 16) == 4  # most of the work is the input's


@pytest.fixture
def used_memory(monkeypatch):
    """All memory that a call takes holds what others left there: not a number."""
    empty, take = runner.POOL.empty, runner.POOL.take

    def spoiled_empty(shape, dtype):
        found = empty(shape, dtype)
        found.view(np.uint8).fill(255)
        return found

    def spoiled_take(size):
        block = take(size)
        block.array.fill(255)
        return block

    monkeypatch.setattr(runner.POOL, "empty", spoiled_empty)
    monkeypatch.setattr(runner.POOL, "take", spoiled_take)


@pytest.mark.parametrize("name", ["lstm", "mogrifier_lstm", "layer_norm_lstm", "rhn", "qrnn"])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("empty", [False, True])
def test_nothing_is_read_that_was_not_written(name, steps, empty, used_memory, four_threads):
    """Among them the gradients of weights, which begin with the first step that has rows, and where none has are zero."""
    case = checks.random_case(cells.get(name), steps, 5, 6, 30, True)
    if empty:
        case.lengths[:] = 0
    expected = checks.interpreted(case)
    for divided in (1, 1), (2, 1), (1, 2):
        found = checks.compiled(case.astype("float32"), division=divided)
        checks.compare(case, found, expected, checks.TOLERANCE["float32"])


@pytest.mark.parametrize(("threads", "divided"), [(1, (1, 1)), (2, (1, 2)), (4, (1, 4)), (8, (1, 1))])
def test_a_call_runs_on_the_threads_that_it_asks_for(threads, divided, four_threads):
    """Eight cannot meet where torch has four, so they do not share a row."""
    c = checks.random_case(cells.get("lstm"), 3, 1, 8, 256).astype("float32")
    saved = runner.forward(c.cell, c.params, c.x, c.states, c.sizes, save=True, threads=threads).saved
    assert tuple(saved.trailer[:2]) == divided


def test_threads_that_cannot_meet_do_not_wait(four_threads):
    """Backward with fewer threads than forward had, also the second time, which runs forward again."""
    case = c = checks.random_case(cells.get("lstm"), 3, 4, 6, 150).astype("float32")
    expected = checks.compiled(case)
    saved = runner.forward(c.cell, c.params, c.x, c.states, c.sizes, save=True, division=(1, 4)).saved
    torch.set_num_threads(2)
    for _ in range(2):
        g = runner.backward(c.cell, c.params, c.x, c.states, c.sizes, saved, c.dy, c.dfinals)
        found = {"d x": g.x} | {f"d {n}": d for n, d in g.params.items()}
        checks.compare(case, found, {n: expected[n] for n in found}, checks.TOLERANCE["float32"])


@pytest.mark.parametrize("environment", [{"GATEWISE_THREADS": "4"}, {"OMP_THREAD_LIMIT": "2"}, {"OMP_DYNAMIC": "true"}])
def test_teams_of_other_kinds(environment):
    """Without torch, in a pool of our own, from several threads at once; with an OpenMP library that may give less."""
    script = """
import os, sys, threading
import numpy as np
if "GATEWISE_THREADS" not in os.environ:
    import torch
    torch.set_num_threads(4)
from gatewise import cells, checks
from gatewise.backends.cpu import team
case = checks.random_case(cells.get("gru_v1"), 5, 3, 6, 150).astype("float32")
alone = checks.compiled(case)
assert team.meets(4) == ("GATEWISE_THREADS" in os.environ)
found = []
def run():
    for _ in range(5):
        found.append(checks.compiled(case, division=(1, 4)))
threads = [threading.Thread(target=run) for _ in range(3)]
[t.start() for t in threads]
[t.join() for t in threads]
assert len(found) == 15
for got in found:
    np.testing.assert_array_equal(got["y"], alone["y"])
    checks.compare(case, got, alone, checks.TOLERANCE["float32"])
assert ("torch" in sys.modules) == ("GATEWISE_THREADS" not in os.environ)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, **environment}, timeout=120)


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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("ragged", "reverse"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", ["lstm", "gru", "qrnn"])
def test_outputs_without_a_gradient_are_outputs_with_one_of_zero(name, ragged, reverse, threads):
    c = checks.random_case(cells.get(name), 7, 13, 5, 18, ragged, reverse).astype("float32")
    found = []
    for dy in (None, np.zeros_like(c.dy)):
        saved = runner.forward(
            c.cell, c.params, c.x, c.states, c.sizes, c.lengths, c.reverse, save=True, threads=threads
        ).saved
        g = runner.backward(c.cell, c.params, c.x, c.states, c.sizes, saved, dy, c.dfinals, c.reverse)
        found.append({"x": g.x, **g.params, **dict(enumerate(g.states))})
    assert any(np.abs(a).max() > 0 for a in found[0].values())
    for key, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][key], err_msg=str(key))
