"""Products of operands rounded to bfloat16, against the interpreter with the same rounding, and where there are none.

Every cell is in test_cells_crossed.py. Where the processor has no such products, the refusals are tested still.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gatewise import cells, checks, nn
from gatewise.backends import interpret
from gatewise.backends.cpu import target
from gatewise.errors import GatewiseError
from gatewise.ir.namespaces import NUMPY, namespace_of

NAMES = ["lstm", "gru_v1", "projected_lstm", "layer_norm_lstm", "min_gru"]


@pytest.mark.parametrize("name", ["lstm", "gru_v1", "projected_lstm", "min_gru"])
def test_products_that_do_not_round_would_be_found(name, bfloat16_here):
    case = checks.random_case(cells.get(name), 5, 13, 17, 37, proj_size=7).astype("float32")
    expected = checks.interpreted(case.astype("float64"), "bfloat16")
    assert checks.root_mean_square(checks.compiled(case), expected) > 2 * checks.ROOT_MEAN_SQUARE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("shape", [(3, 2, 5, 16), (3, 100, 90, 150)])
def test_panels_in_slices_and_rows_in_strips(name, ragged, shape, way):
    """Few rows and many: more than a slice has, with more weights than the first cache holds."""
    case = checks.random_case(cells.get(name), *shape, ragged, scale=0.1, proj_size=7).astype("float32")
    expected = checks.interpreted(case.astype("float64"), "bfloat16")
    for threads in (1, 2):
        got = checks.compiled(case, threads=threads, compute_dtype="bfloat16")
        checks.compare(case, got, expected, checks.TOLERANCE["bfloat16"])
        assert checks.root_mean_square(got, expected) <= checks.ROOT_MEAN_SQUARE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ragged", [False, True])
def test_values_do_not_depend_on_threads(name, ragged, way):
    case = checks.random_case(cells.get(name), 4, 41, 6, 150, ragged, seed=2, proj_size=70).astype("float32")
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        alone = checks.compiled(case, compute_dtype="bfloat16")
        for division in [(2, 1), (4, 1), (1, 2), (2, 2)]:
            got = checks.compiled(case, division=division, compute_dtype="bfloat16")
            for key in alone:
                if key == "y" or key.startswith("final"):
                    np.testing.assert_array_equal(got[key], alone[key], err_msg=key)
            checks.compare(case, got, alone, checks.TOLERANCE["float32"])
    finally:
        torch.set_num_threads(before)


def test_padding_is_inert(way):
    """Whatever lies past a row's length, even NaN, changes nothing."""
    case = checks.random_case(cells.get("gru_v1"), 6, 19, 5, 18, True, seed=3).astype("float32")
    x, dy = case.x.copy(), case.dy.copy()
    for b, n in enumerate(case.lengths):
        x[n:, b], dy[n:, b] = np.nan, np.nan
    plain = checks.compiled(case, compute_dtype="bfloat16")
    dirty = checks.compiled(replace(case, x=x, dy=dy), compute_dtype="bfloat16")
    for key, value in plain.items():
        np.testing.assert_array_equal(dirty[key], value, err_msg=key)


# the rounding --------------------------------------------------------------------------------------------------


def test_the_interpreters_rounding_is_torchs():
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.standard_normal(1000) * 10.0 ** rng.integers(-30, 30, 1000), [0.0, -0.0, np.inf, -np.inf]])
    middle = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8])  # to the even neighbour, up and down
    for values in (numbers, middle):
        a = values.astype(np.float32)
        expected = torch.from_numpy(a).bfloat16().float().numpy()
        np.testing.assert_array_equal(NUMPY.bfloat16(a), expected)
        tensor = torch.from_numpy(a)
        np.testing.assert_array_equal(namespace_of(tensor).bfloat16(tensor).numpy(), expected)
    np.testing.assert_array_equal(NUMPY.bfloat16(middle), [1.0, 1 + 2.0**-6, -1.0])
    assert np.isnan(NUMPY.bfloat16(np.array([np.nan], np.float32))[0])


def test_only_products_are_rounded():
    """One step of a tanh network by hand."""
    case = checks.random_case(cells.get("rnn"), 1, 3, 4, 5).astype("float32")
    r, p = NUMPY.bfloat16, case.params
    h = r(case.x[0]) @ r(p["weight_ih"]).T + r(case.states[0]) @ r(p["weight_hh"]).T + p["bias"]
    tape = interpret.forward(case.cell, p, case.x, case.states, compute_dtype="bfloat16")
    np.testing.assert_allclose(tape.y[0], np.tanh(h), atol=1e-6)


# layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN, lambda *a, **k: nn.Recurrent("peephole_lstm", *a, **k)])
def test_a_layer_rounds_products_and_keeps_float32(make, bfloat16_here):
    torch.manual_seed(0)
    layer = make(20, 40, num_layers=2, bidirectional=True, compute_dtype="bfloat16")
    assert "compute_dtype=bfloat16" in repr(layer)
    x = torch.randn(6, 5, 20)
    found = {}
    for compute_dtype in ("bfloat16", "float32"):
        layer.compute_dtype = compute_dtype
        y, _ = layer(x, lengths=[6, 3, 0, 5, 1])
        found[compute_dtype] = (y, *torch.autograd.grad(y.square().sum(), list(layer.parameters())))
    for a, b in zip(found["bfloat16"], found["float32"], strict=True):
        assert a.dtype == torch.float32
        assert not torch.equal(a, b)
        assert (a - b).abs().max() <= 0.05 * b.abs().max()


def test_checkpoints_and_gradients_of_gradients(bfloat16_here):
    torch.manual_seed(0)
    x = torch.randn(9, 4, 6)
    whole = nn.Recurrent("gru", 6, 20, compute_dtype="bfloat16")
    parts = nn.Recurrent("gru", 6, 20, compute_dtype="bfloat16", checkpoint_steps=4)
    parts.load_state_dict(whole.state_dict())
    results = [(y, *torch.autograd.grad(y.square().sum(), list(m.parameters()))) for m in (whole, parts) for y in [m(x)[0]]]
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=0)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=2.0**-7, atol=1e-4)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(whole(x)[0].square().sum(), x, create_graph=True)
    (once,) = torch.autograd.grad(whole(x)[0].square().sum(), x)
    torch.testing.assert_close(dx, once, rtol=2.0**-6, atol=2.0**-6)
    dx.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_the_operators_say_what_they_give(bfloat16_here):
    from gatewise.nn import operators

    layer = nn.Recurrent("lstm", 3, 4)
    states = [torch.zeros(2, 4), torch.zeros(2, 4)]
    key = operators.register(layer.cell)
    x = torch.randn(4, 2, 3, requires_grad=True)
    arguments = (x, states, list(layer.parameters()), [], None, key, False, True, [], "bfloat16")
    torch.library.opcheck(torch.ops.gatewise.recurrent.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_other_names_and_other_tensors_are_refused():
    with pytest.raises(GatewiseError, match="compute_dtype must be one of float32, bfloat16, got 'float16'"):
        nn.LSTM(3, 4, compute_dtype="float16")
    layer = nn.LSTM(3, 4, dtype=torch.float64, compute_dtype="bfloat16")
    with pytest.raises(GatewiseError, match="not torch.float64 on cpu; use compute_dtype='float32'"):
        layer(torch.zeros(2, 1, 3, dtype=torch.float64))


# processors ----------------------------------------------------------------------------------------------------


def without(monkeypatch, *names):
    """A processor like this one, but without some features."""
    here = target.host()
    kept = [f for f in here.features.split(",") if f.removeprefix("+") not in names]
    monkeypatch.setattr(target, "host", lambda lanes=None: replace(here, features=",".join(kept)))


def test_a_processor_without_bfloat16_is_refused_in_one_line(monkeypatch):
    without(monkeypatch, "avx512bf16")
    layer = nn.LSTM(3, 4, compute_dtype="bfloat16")
    with pytest.raises(GatewiseError, match="needs a processor with AVX512-BF16.*use compute_dtype='float32'") as caught:
        layer(torch.zeros(2, 1, 3))
    assert "\n" not in str(caught.value)
    layer.compute_dtype = "float32"
    assert layer(torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)


def test_narrow_vectors_are_refused():
    with pytest.raises(GatewiseError, match="AVX512-BF16"):
        target.bfloat16_products(4)


def test_tiles_need_amx_and_the_systems_permission(monkeypatch, bfloat16_here):
    monkeypatch.setattr(target, "_tiles_permitted", lambda: False)
    assert target.bfloat16_products() == target.PAIRS
    monkeypatch.undo()
    without(monkeypatch, "amx-bf16")
    assert target.bfloat16_products() == target.PAIRS


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU])
def test_a_stream_rounds_as_its_layer_does(make, bfloat16_here):
    layer, x = make(20, 40, num_layers=2, compute_dtype="bfloat16"), torch.randn(5, 3, 20)
    with torch.no_grad():
        whole = layer(x)[0].numpy()
    stream = layer.stream(3)
    np.testing.assert_array_equal(np.stack([stream.step(step) for step in x.numpy()]), whole)
    layer.compute_dtype = "float32"
    assert not np.array_equal(layer.stream(3).step(x[0].numpy()), whole[0])
