"""Other people's implementations as judges: onnxruntime's operators, torchrecurrent, torch's own functions.

torch.nn's layers are judges in tests/nn. Gate orders differ, so weights are copied by name.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchrecurrent
from onnx import TensorProto, helper

from gatewise import cells
from gatewise.backends import run_layer

INPUT, HIDDEN, STEPS, BATCH = 5, 9, 6, 4
LENGTHS = np.array([6, 2, 5, 1])


def layer(name, seed=0):
    """A cell with random parameters, as a dict of parts as well."""
    rng = np.random.default_rng(seed)
    cell = cells.get(name)
    sizes = {"input_size": INPUT, "hidden_size": HIDDEN}
    params = {n: rng.standard_normal(s).astype(np.float32) * 0.5 for n, s in cell.shapes(sizes).items()}
    parts = {f"{p.name}.{q.name}": params[p.name][a:b] for p in cell.parameters for q, a, b in p.slices(sizes)}
    x = rng.standard_normal((STEPS, BATCH, INPUT)).astype(np.float32)
    states = [rng.standard_normal((BATCH, HIDDEN)).astype(np.float32) for _ in cell.states]
    return cell, params, parts, x, states


def stacked(parts, parameter, order):
    zero = np.zeros_like(next(v for k, v in parts.items() if k.startswith(parameter + ".")))
    return np.concatenate([parts.get(f"{parameter}.{gate}", zero) for gate in order])[None]


def run_onnx(operator, parts, x, states, order_x, order_h, order_bias_h=None, peepholes=None, **attributes):
    """One ONNX operator in onnxruntime; orders name the parts of the cell in ONNX's order of gates."""
    hidden_weight = np.concatenate([parts[k] for k in order_h])[None]
    bias_x = np.concatenate([parts[f"bias.{g}"] for g in order_x])
    bias_h = (
        np.zeros_like(bias_x)
        if order_bias_h is None
        else np.concatenate([np.zeros(HIDDEN, np.float32) if g is None else parts[f"bias.{g}"] for g in order_bias_h])
    )
    feeds = {
        "X": x,
        "W": stacked(parts, "weight_ih", order_x),
        "R": hidden_weight,
        "B": np.concatenate([bias_x, bias_h])[None],
        "L": LENGTHS.astype(np.int32),
        "H": states[0][None],
    }
    names = ["X", "W", "R", "B", "L", "H"]
    if operator == "LSTM":
        feeds["C"] = states[1][None]
        names.append("C")
        if peepholes:
            feeds["P"] = np.concatenate([parts[k] for k in peepholes])[None]
            names.append("P")
    outputs = ["Y", "Y_h", *(["Y_c"] if operator == "LSTM" else [])]
    node = helper.make_node(operator, names, outputs, hidden_size=HIDDEN, **attributes)
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    graph = helper.make_graph(
        [node],
        "judge",
        [helper.make_tensor_value_info(n, kinds[feeds[n].dtype], feeds[n].shape) for n in names],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * (4 if n == "Y" else 3)) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y, *finals = session.run(None, feeds)
    return y[:, 0], [f[0] for f in finals]


def hh(*gates, parameter="weight_hh"):
    return [f"{parameter}.{g}" for g in gates]


ONNX_CASES = {
    "rnn": ("RNN", {"order_x": "a", "order_h": hh("a")}),
    "rnn_relu": ("RNN", {"order_x": "a", "order_h": hh("a"), "activations": ["Relu"]}),
    "lstm": ("LSTM", {"order_x": "iofg", "order_h": hh(*"iofg")}),
    "peephole_lstm": (
        "LSTM",
        {
            "order_x": "iofg",
            "order_h": hh(*"iofg"),
            "peepholes": ["peephole_i.peephole_i", "peephole_o.peephole_o", "peephole_f.peephole_f"],
        },
    ),
    "gru": (
        "GRU",
        {
            "order_x": "zrn",
            "order_h": hh("z", "r", "hn"),
            "order_bias_h": [None, None, "hn"],
            "linear_before_reset": 1,
        },
    ),
    "gru_v1": (
        "GRU",
        {
            "order_x": "zrn",
            "order_h": [*hh("z", "r"), "weight_n.n"],
            "linear_before_reset": 0,
        },
    ),
}


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", sorted(ONNX_CASES))
def test_onnxruntime_computes_the_same(name, reverse):
    operator, options = ONNX_CASES[name]
    cell, params, parts, x, states = layer(name)
    direction = "reverse" if reverse else "forward"
    y, finals = run_onnx(operator, parts, x, states, **options, direction=direction)
    ours, our_finals, _ = run_layer(cell, params, x, states, LENGTHS, reverse)
    np.testing.assert_allclose(ours, y, atol=2e-6)
    for a, b in zip(our_finals, finals, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "peer", "order"),
    [
        ("peephole_lstm", "PeepholeLSTM", "ifgo"),
        ("original_lstm", "OriginalLSTM", None),
        ("lstm", None, "ifgo"),
    ],
)
def test_torchrecurrent_computes_the_same(name, peer, order):
    if peer is None:
        theirs = torch.nn.LSTM(INPUT, HIDDEN)
        module = theirs
        ih, hh_, bias = theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0
        theirs.bias_hh_l0.data.zero_()
    else:
        theirs = getattr(torchrecurrent, peer)(INPUT, HIDDEN)
        module = theirs.cells[0]
        ih, hh_, bias = module.weight_ih, module.weight_hh, module.bias_ih
        module.bias_hh.data.zero_()
    cell, params, parts, x, states = layer(name)
    order = order or [q.name for q in cell.parameters[0].parts]
    with torch.no_grad():
        ih.copy_(torch.tensor(stacked(parts, "weight_ih", order)[0]))
        hh_.copy_(torch.tensor(stacked(parts, "weight_hh", order)[0]))
        bias.copy_(torch.tensor(stacked(parts, "bias", order)[0]))
        if name == "peephole_lstm":
            module.weight_ph.copy_(torch.tensor(np.concatenate([parts[f"peephole_{g}.peephole_{g}"] for g in "ifo"])))
        y, finals = theirs(torch.tensor(x), tuple(torch.tensor(s)[None] for s in states))
    ours, our_finals, _ = run_layer(cell, params, x, states)
    np.testing.assert_allclose(ours, y.numpy(), atol=2e-6)
    for a, b in zip(our_finals, finals, strict=True):
        np.testing.assert_allclose(a, b[0].numpy(), atol=2e-6)


def test_the_coupled_lstm_is_an_lstm_whose_input_gate_mirrors_its_forget_gate():
    """sigmoid(-a) = 1 - sigmoid(a): an LSTM with W_i = -W_f is the coupled one."""
    coupled, params, parts, x, states = layer("coupled_lstm")
    full = {n: np.concatenate([-parts[f"{n}.f"], parts[f"{n}.f"], parts[f"{n}.g"], parts[f"{n}.o"]]) for n in params}
    y, *_ = run_layer(coupled, params, x, states)
    np.testing.assert_allclose(run_layer(cells.get("lstm"), full, x, states)[0], y, atol=2e-6)


def test_the_original_lstm_is_an_lstm_whose_forget_gate_is_open():
    original, params, parts, x, states = layer("original_lstm")
    full = {n: np.concatenate([parts[f"{n}.i"], 0 * parts[f"{n}.i"], parts[f"{n}.g"], parts[f"{n}.o"]]) for n in params}
    full["bias"][HIDDEN : 2 * HIDDEN] = 100
    y, *_ = run_layer(original, params, x, states)
    np.testing.assert_allclose(run_layer(cells.get("lstm"), full, x, states)[0], y, atol=2e-6)


def test_layer_norm_lstm_follows_the_papers_equations():
    """Ba et al. 2016, equations 20 to 22, with torch's layer_norm over all four gates at once."""
    cell, params, _, x, (h, c) = layer("layer_norm_lstm")
    t = {n: torch.tensor(p) for n, p in params.items()}
    h, c = torch.tensor(h), torch.tensor(c)
    norm = torch.nn.functional.layer_norm
    bias = torch.cat([t[f"bias_{g}"] for g in "ifgo"])
    ys = []
    for step in torch.tensor(x):
        a = norm(step @ t["weight_ih"].T, (4 * HIDDEN,), t["norm_x_gain"])
        b = norm(h @ t["weight_hh"].T, (4 * HIDDEN,), t["norm_h_gain"])
        i, f, g, o = (a + b + bias).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * torch.tanh(norm(c, (HIDDEN,), t["norm_c_gain"], t["norm_c_offset"]))
        ys.append(h)
    ours, *_ = run_layer(cell, params, x, layer("layer_norm_lstm")[4])
    np.testing.assert_allclose(ours, torch.stack(ys).numpy(), atol=5e-6)
