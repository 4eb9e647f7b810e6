"""What each paper says of its cell, as a test."""

import numpy as np
import pytest

from gatewise import cells
from gatewise.backends import run_layer

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def the_same_numbers():
    """Each test draws its own, whatever tests run before it."""
    global RNG
    RNG = np.random.default_rng(0)


def parameters(cell, inputs=4, hidden=8, scale=0.5):
    sizes = {"input_size": inputs, "hidden_size": hidden}
    trained = {n: RNG.standard_normal(s) * scale for n, s in cell.shapes(sizes).items()}
    params = {p.name: p.constrained(trained[p.name], sizes) for p in cell.parameters}
    return params, {f"{p.name}.{q.name}": params[p.name][a:b] for p in cell.parameters for q, a, b in p.slices(sizes)}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize(("name", "gates", "plain"), [("cifg_lstm", "fo", "coupled_lstm"), ("peephole_lstm", "ifo", "lstm")])
def test_without_its_peepholes_a_cell_is_the_plain_one(name, gates, plain):
    """CIFG is then the coupled LSTM, and Greff's variant NP the LSTM."""
    cell = cells.get(name)
    params, _ = parameters(cell)
    for gate in gates:
        params[f"peephole_{gate}"][:] = 0
    x = RNG.standard_normal((6, 3, 4))
    shared = {n: params[n] for n in ("weight_ih", "weight_hh", "bias")}
    assert [p.name for p in cells.get(plain).parameters[0].parts] == [p.name for p in cell.parameters[0].parts]
    np.testing.assert_allclose(run_layer(cells.get(plain), shared, x)[0], run_layer(cell, params, x)[0], atol=1e-12)


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
    y, finals, _ = run_layer(cell, params, RNG.standard_normal((2000, 2, 4)) * 10)
    assert np.abs(y).max() <= 1
    assert np.abs(finals[1]).max() <= 1


def test_cornn_stays_bounded():
    """arXiv 2010.00951: the states grow no faster than the square root of time; damped, not even so."""
    cell = cells.get("cornn", dt=0.05)
    params, _ = parameters(cell, scale=3.0)
    y, finals, _ = run_layer(cell, params, RNG.standard_normal((20_000, 2, 4)))
    assert np.abs(y).max() < np.sqrt(20_000 * 0.05)
    assert np.abs(finals[1]).max() < np.sqrt(20_000 * 0.05)


@pytest.mark.parametrize("size", [80.0, -80.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slstm_survives_large_pre_activations(size, dtype):
    cell = cells.get("slstm")
    params, _ = parameters(cell)
    params = {n: p.astype(dtype) for n, p in params.items()}
    params["bias"][16:32] += np.asarray(size, dtype)  # input and forget gates
    y, finals, _ = run_layer(cell, params, RNG.standard_normal((50, 3, 4)).astype(dtype))
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
    y, *_ = run_layer(cell, params, x)
    assert (y[-1, 0] > 0.5).all()
    assert (y[-1, 1] < -0.5).all()


def test_without_input_a_cfn_relaxes_to_zero():
    cell = cells.get("cfn")
    params, _ = parameters(cell, scale=2.0)
    y, *_ = run_layer(cell, params, np.zeros((5000, 2, 4)), (RNG.standard_normal((2, 8)),))
    assert np.abs(y[-1]).max() < 0.05


def test_rnn_with_identity_start_copies_its_state():
    """An IRNN without input keeps a positive state exactly (arXiv 1504.00941)."""
    cell = cells.get("irnn")
    params, parts = parameters(cell, scale=0.0)
    parts["weight_hh.a"][:] = np.eye(8)
    h = np.abs(RNG.standard_normal((2, 8)))
    y, *_ = run_layer(cell, params, np.zeros((100, 2, 4)), (h,))
    np.testing.assert_array_equal(y[-1], h)


def test_the_mass_conserving_lstm_loses_nothing():
    """arXiv 2101.05186: what is stored and what has flowed out add up to what was there and what came in."""
    cell = cells.get("mass_conserving_lstm")
    params, _ = parameters(cell, scale=2.0)
    x = np.abs(RNG.standard_normal((300, 3, 4)))
    start = np.abs(RNG.standard_normal((3, 8)))
    y, (_, stored), _ = run_layer(cell, params, x, (np.zeros((3, 8)), start))
    assert (stored >= 0).all() and (y >= 0).all()
    np.testing.assert_allclose(stored.sum(1) + y.sum((0, 2)), start.sum(1) + x.sum((0, 2)), rtol=1e-12)


def test_the_mass_conserving_lstm_with_inputs_that_are_no_mass():
    """arXiv 2101.05186, equations 2 to 7: mass is the first two inputs' alone, and the gates read the other two."""
    cell = cells.get("mass_conserving_lstm", mass_inputs=2)
    params, parts = parameters(cell)
    assert params["is_mass"].tolist() == [1, 1, 0, 0]
    x = RNG.standard_normal((40, 3, 4))
    x[:, :, :2] = np.abs(x[:, :, :2])
    start = np.abs(RNG.standard_normal((3, 8)))
    y, (_, stored), _ = run_layer(cell, params, x, (np.zeros((3, 8)), start))
    c, out = start, []
    for mass, a in zip(x[:, :, :2], x[:, :, 2:], strict=True):
        spread = c / c.sum(1, keepdims=True)
        i, o = (
            np.concatenate([a, spread], 1) @ np.hstack([parts[f"weight_i.{n}"][:, 2:], parts[f"weight_i_1.{n}"]]).T
            + parts[f"bias.{n}"]
            for n in "io"
        )
        i = np.exp(i) / np.exp(i).sum(1, keepdims=True)
        total = c @ params["weight_from_c_r"].T + i * mass.sum(1, keepdims=True)
        out.append(sigmoid(o) * total)
        c = total - out[-1]
    np.testing.assert_allclose(y, out, rtol=1e-10)
    np.testing.assert_allclose(stored.sum(1) + y.sum((0, 2)), start.sum(1) + x[:, :, :2].sum((0, 2)), rtol=1e-12)


def test_the_antisymmetric_network_neither_explodes_nor_vanishes():
    """arXiv 1902.09689: the Jacobian's eigenvalues lie on the imaginary axis, so that without damping a small state keeps
    its size for many steps: a step of length epsilon lengthens it at most by sqrt(1 + (epsilon lambda)^2)."""
    cell = cells.get("antisymmetric_rnn", epsilon=0.01, gamma=0.0)
    params, _ = parameters(cell, scale=0.7)
    params["bias"][:] = 0
    start = RNG.standard_normal((1, 8)) * 1e-6
    y, *_ = run_layer(cell, params, np.zeros((1000, 1, 4)), (start,))
    norms = np.linalg.norm(y[:, 0], axis=1) / np.linalg.norm(start)
    matrix = params[next(p.name for p in cell.parameters if p.constraint)]
    growth = (1 + (0.01 * np.linalg.norm(matrix, 2)) ** 2) ** 500
    assert growth < 2.5  # an unconstrained matrix of such entries changes it by many orders of magnitude
    assert norms.min() > 1 - 1e-6 and norms.max() < growth * (1 + 1e-6)


def test_ind_rnns_weights_stay_below_the_bound_of_the_paper():
    steps = 50
    cell = cells.get("ind_rnn", steps=steps)
    _, parts = parameters(cell, scale=3.0)
    assert np.abs(parts["own.own"]).max() == pytest.approx(2.0 ** (1 / steps), abs=1e-8)


def test_qrnn_is_a_convolution_and_a_pooling():
    cell = cells.get("qrnn", width=3)
    params, parts = parameters(cell)
    x = RNG.standard_normal((9, 2, 4))
    padded = np.concatenate([np.zeros((2, 2, 4)), x])
    taps = ("weight_ih", "weight_from_x_1", "weight_from_x_2")

    def convolved(name):
        each = (padded[2 - k : 11 - k] @ parts[f"{tap}.{name}"].T for k, tap in enumerate(taps))
        return sum(each) + parts[f"bias.{name}"]

    z, f, o = np.tanh(convolved("z")), sigmoid(convolved("f")), sigmoid(convolved("o"))
    c, ys = np.zeros((2, 8)), []
    for t in range(9):
        c = f[t] * c + (1 - f[t]) * z[t]
        ys.append(o[t] * c)
    y, finals, _ = run_layer(cell, params, x)
    np.testing.assert_allclose(y, ys, atol=1e-12)
    first, states, _ = run_layer(cell, params, x[:4])
    rest, *_ = run_layer(cell, params, x[4:], states)  # a stream that is cut carries the inputs that the window still needs
    np.testing.assert_allclose(np.concatenate([first, rest]), y, atol=1e-12)
    np.testing.assert_array_equal(finals[2], x[-1])


def test_slstms_heads_do_not_see_one_another():
    cell = cells.get("slstm", heads=2)
    params, parts = parameters(cell)
    x = RNG.standard_normal((6, 2, 4))
    y, *_ = run_layer(cell, params, x)
    for p in cell.parameters:
        params[p.name] = params[p.name].copy()
    for name in "zoif":  # change what the first head reads
        part = next((a, b) for q, a, b in cell.parameters[0].slices({"input_size": 4, "hidden_size": 8}) if q.name == name)
        params["weight_ih"][part[0] : part[0] + 4] += 1.0
    changed, *_ = run_layer(cell, params, x)
    assert np.abs(changed - y)[..., :4].max() > 1e-3
    np.testing.assert_array_equal(changed[..., 4:], y[..., 4:])


def test_fast_grnns_low_rank_form_has_fewer_numbers():
    sizes = {"input_size": 32, "hidden_size": 32}
    full, low = (sum(np.prod(s) for s in cells.get("fast_grnn", rank=r).shapes(sizes).values()) for r in (0, 4))
    assert (full, low) == (2 * 32 * 32 + 66, 4 * 4 * 32 + 66)
