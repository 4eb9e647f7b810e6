"""What each paper says of its cell, as a test."""

import numpy as np
import pytest

from gatewise import cells
from gatewise.backends import run_layer

RNG = np.random.default_rng(0)


def parameters(cell, inputs=4, hidden=8, scale=0.5):
    sizes = {"input_size": inputs, "hidden_size": hidden}
    params = {n: RNG.standard_normal(s) * scale for n, s in cell.shapes(sizes).items()}
    return params, {f"{p.name}.{q.name}": params[p.name][a:b] for p in cell.parameters for q, a, b in p.slices(sizes)}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_cifg_without_peepholes_is_the_coupled_lstm():
    cifg = cells.get("cifg_lstm")
    params, _ = parameters(cifg)
    for gate in "fo":
        params[f"peephole_{gate}"][:] = 0
    x = RNG.standard_normal((6, 3, 4))
    coupled = {n: params[n] for n in ("weight_ih", "weight_hh", "bias")}
    assert [p.name for p in cells.get("coupled_lstm").parameters[0].parts] == [p.name for p in cifg.parameters[0].parts]
    np.testing.assert_allclose(
        run_layer(cells.get("coupled_lstm"), coupled, x)[0], run_layer(cifg, params, x)[0], atol=1e-12
    )


def test_greffs_np_variant_is_the_lstm():
    peephole = cells.get("peephole_lstm")
    params, _ = parameters(peephole)
    for gate in "ifo":
        params[f"peephole_{gate}"][:] = 0
    x = RNG.standard_normal((6, 3, 4))
    plain = {n: params[n] for n in ("weight_ih", "weight_hh", "bias")}
    np.testing.assert_allclose(run_layer(cells.get("lstm"), plain, x)[0], run_layer(peephole, params, x)[0], atol=1e-12)


def test_min_grus_parallel_form_equals_its_loop():
    """A cumulative product and sum over all steps at once, in place of the recurrence (arXiv 2410.01201)."""
    cell = cells.get("min_gru")
    params, parts = parameters(cell)
    x, h0 = RNG.standard_normal((9, 3, 4)), np.abs(RNG.standard_normal((3, 8)))
    z = sigmoid(x @ parts["weight_ih.z"].T + parts["bias.z"])
    a = x @ parts["weight_ih.n"].T + parts["bias.n"]
    n = np.where(a >= 0, a + 0.5, sigmoid(a))
    kept = np.cumsum(np.log(1 - z), 0)
    h = np.exp(kept) * (h0 + np.cumsum(np.exp(np.log(z) + np.log(n) - kept), 0))
    np.testing.assert_allclose(run_layer(cell, params, x, (h0,))[0], h, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_lem_stays_within_one(scale):
    cell = cells.get("lem")
    params, _ = parameters(cell, scale=scale)
    y, finals = run_layer(cell, params, RNG.standard_normal((2000, 2, 4)) * 10)
    assert np.abs(y).max() <= 1
    assert np.abs(finals[1]).max() <= 1


def test_cornn_stays_bounded():
    """arXiv 2010.00951: the states grow no faster than the square root of time; damped, not even so."""
    cell = cells.get("cornn", dt=0.05)
    params, _ = parameters(cell, scale=3.0)
    y, finals = run_layer(cell, params, RNG.standard_normal((20_000, 2, 4)))
    assert np.abs(y).max() < np.sqrt(20_000 * 0.05)
    assert np.abs(finals[1]).max() < np.sqrt(20_000 * 0.05)


@pytest.mark.parametrize("size", [80.0, -80.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slstm_survives_large_pre_activations(size, dtype):
    cell = cells.get("slstm")
    params, _ = parameters(cell)
    params = {n: p.astype(dtype) for n, p in params.items()}
    params["bias"][16:32] += np.asarray(size, dtype)  # input and forget gates
    y, finals = run_layer(cell, params, RNG.standard_normal((50, 3, 4)).astype(dtype))
    assert np.isfinite(y).all()
    assert all(np.isfinite(f).all() for f in finals)
    assert np.abs(y).max() <= 1.001  # a weighted mean of tanh, times a sigmoid


def test_a_brc_latches():
    """With a feedback above one a unit keeps the sign it was pushed to, long after (arXiv 2006.05252)."""
    cell = cells.get("brc")
    params, parts = parameters(cell, scale=0.0)
    parts["bias.a"][:] = 3.0  # a near 2: bistable
    parts["bias.c"][:] = 0.0
    parts["weight_ih.n"][:] = 3.0
    x = np.zeros((500, 2, 4))
    x[0, 0], x[0, 1] = 1.0, -1.0
    y, _ = run_layer(cell, params, x)
    assert (y[-1, 0] > 0.5).all()
    assert (y[-1, 1] < -0.5).all()


def test_without_input_a_cfn_relaxes_to_zero():
    cell = cells.get("cfn")
    params, _ = parameters(cell, scale=2.0)
    y, _ = run_layer(cell, params, np.zeros((5000, 2, 4)), (RNG.standard_normal((2, 8)),))
    assert np.abs(y[-1]).max() < 0.05


def test_rnn_with_identity_start_copies_its_state():
    """An IRNN without input keeps a positive state exactly (arXiv 1504.00941)."""
    cell = cells.get("irnn")
    params, parts = parameters(cell, scale=0.0)
    parts["weight_hh.a"][:] = np.eye(8)
    h = np.abs(RNG.standard_normal((2, 8)))
    y, _ = run_layer(cell, params, np.zeros((100, 2, 4)), (h,))
    np.testing.assert_array_equal(y[-1], h)
