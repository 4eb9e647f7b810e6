"""Every cell that torchrecurrent has too, with weights copied over by name: the same numbers over a sequence.

Not compared, because the readings differ, and we follow the paper:
* LEM: theirs feeds the old inner state to the output; equation 3 of arXiv 2110.04744 feeds the new one.
* SCRN: theirs passes the hidden layer through a second layer into a tanh; the paper's softmax reads it directly.
* WMCLSTM and MCLSTM: theirs named MCLSTM is a working-memory variant, not the mass-conserving LSTM.
"""

import numpy as np
import pytest
import torch
import torchrecurrent

from gatewise import cells
from gatewise.backends import run_layer

HIDDEN, STEPS, BATCH = 8, 7, 3

FOUR = ["i", "f", "g", "o"]


def ih(*parts):
    return [f"weight_ih.{p}" for p in parts]


def hh(*parts):
    return [f"weight_hh.{p}" for p in parts]


def bias(*parts):
    return [None if p is None else f"bias.{p}" for p in parts]


def alone(*names):
    return [f"{n}.{n}" for n in names]


# our cell: their class, its keywords, their parameters as lists of our parts; what is not named is zero there
PEERS = {
    "atr": ("ATR", {}, {"weight_ih": ih("p"), "weight_hh": hh("q"), "bias_ih": bias("p")}),
    "brc": (
        "BR",
        {},
        {"weight_ih": ih("a", "c", "n"), "weight_hh": alone("own_a", "own_c"), "bias_ih": bias("a", "c", "n")},
    ),
    "nbrc": ("NBR", {}, {"weight_ih": ih("a", "c", "n"), "weight_hh": hh("a", "c"), "bias_ih": bias("a", "c", "n")}),
    "cfn": (
        "CFN",
        {},
        {
            "weight_ih": ih("theta", "eta", "n"),
            "weight_hh": hh("theta", "eta"),
            "bias_ih": bias("theta", "eta", None),
        },
    ),
    "sgu": (
        "SGU",
        {},
        {
            "weight_ih": ih("x", "z"),
            "weight_hh": ["weight_g.g", "weight_hh.z"],
            "bias_ih": bias(None, "z"),
            "bias_hh": bias("g", None),
        },
    ),
    "dsgu": (
        "DSGU",
        {},
        {
            "weight_ih": ih("x", "z"),
            "weight_hh": ["weight_g.g", "weight_hh.z"],
            "bias_ih": bias(None, "z"),
            "bias_hh": bias("g", None),
            "weight_ho": ["weight_out.out"],
        },
    ),
    "fast_rnn": (
        "FastRNN",
        {},
        {
            "weight_ih": ih("a"),
            "weight_hh": hh("a"),
            "bias_ih": bias("a"),
            "alpha": alone("alpha"),
            "beta": alone("beta"),
        },
    ),
    "fast_grnn": (
        "FastGRNN",
        {"nonlinearity": "sigmoid"},
        {
            "weight_ih": ih("a"),
            "weight_hh": hh("a"),
            "bias_ih": alone("bias_z", "bias_n"),
            "zeta": alone("zeta"),
            "nu": alone("nu"),
        },
    ),
    "ind_rnn": ("IndRNN", {"nonlinearity": "relu"}, {"weight_ih": ih("a"), "vector_u": alone("own"), "bias_ih": bias("a")}),
    "janet": ("JANET", {}, {"weight_ih": ih("f", "g"), "weight_hh": hh("f", "g"), "bias_ih": bias("f", "g")}),
    "li_gru": ("LiGRU", {}, {"weight_ih": ih("z", "n"), "weight_hh": hh("z", "n"), "bias_ih": bias("z", "n")}),
    "light_ru": ("LightRU", {}, {"weight_ih": ih("n", "f"), "weight_hh": hh("f"), "bias_ih": bias("n", "f")}),
    "mgu": ("MGU", {}, {"weight_ih": ih("f", "n"), "weight_hh": ["weight_hh.f", "weight_n.n"], "bias_ih": bias("f", "n")}),
    "mut1": (
        "MUT1",
        {},
        {
            "weight_ih": ih("z", "r", "nx"),
            "weight_hh": ["weight_hh.r", "weight_n.n"],
            "bias_ih": bias("z", "r", "nx"),
            "bias_hh": bias(None, "n"),
        },
    ),
    "mut2": (
        "MUT2",
        {},
        {
            "weight_ih": ih("z", "r", "n"),
            "weight_hh": [*hh("z", "r"), "weight_n.n"],
            "bias_ih": bias("z", "r", "n"),
        },
    ),
    "mut3": (
        "MUT3",
        {},
        {
            "weight_ih": ih("z", "r", "n"),
            "weight_hh": ["weight_z.z", "weight_hh.r", "weight_n.n"],
            "bias_ih": bias("z", "r", "n"),
        },
    ),
    "minimal_rnn": (
        "MinimalRNN",
        {},
        {
            "weight_ih": ih("z"),
            "weight_hh": hh("u"),
            "weight_mm": ["weight_u.u"],
            "bias_ih": bias("z"),
            "bias_hh": bias("u"),
        },
    ),
    "multiplicative_lstm": (
        "MultiplicativeLSTM",
        {},
        {
            "weight_ih": ih("mx", *FOUR),
            "weight_hh": hh("m"),
            "weight_mh": [f"weight_i.{p}" for p in FOUR],
            "bias_ih": bias(None, *FOUR),
            "bias_hh": bias("m"),
        },
    ),
    "nas": (
        "NAS",
        {},
        {
            "weight_ih": ih(*(f"a{k}" for k in range(8))),
            "weight_hh": hh(*(f"a{k}" for k in range(8))),
            "bias_ih": bias(*(f"a{k}" for k in range(8))),
        },
    ),
    "original_lstm": (
        "OriginalLSTM",
        {},
        {
            "weight_ih": ih("i", "g", "o"),
            "weight_hh": hh("i", "g", "o"),
            "bias_ih": bias("i", "g", "o"),
        },
    ),
    "peephole_lstm": (
        "PeepholeLSTM",
        {},
        {
            "weight_ih": ih(*FOUR),
            "weight_hh": hh(*FOUR),
            "bias_ih": bias(*FOUR),
            "weight_ph": alone("peephole_i", "peephole_f", "peephole_o"),
        },
    ),
    "ran": ("RAN", {}, {"weight_ih": ih("g", "i", "f"), "weight_hh": hh("i", "f"), "bias_ih": bias("i", "f")}),
    "residual_lstm": (
        "ResLSTM",
        {},
        {
            "weight_ih": ih(*FOUR),
            "weight_hh": hh(*FOUR),
            "bias_ih": bias(*FOUR),
            "weight_ph": alone("peephole_i", "peephole_f", "peephole_o"),
            "weight_proj": ["weight_projection.projection"],
            "weight_res": ih("residual"),
        },
    ),
    "star": ("STAR", {}, {"weight_ih": ih("z", "k"), "weight_hh": hh("k"), "bias_ih": bias("z", "k")}),
    "t_rnn": ("TRNN", {}, {"weight_ih": ih("z", "f"), "bias_ih": bias("z", "f")}),
    "t_gru": (
        "TGRU",
        {},
        {
            "weight_ih": ih("z", "f", "o"),
            "weight_hh": [f"weight_from_past.{p}" for p in "zfo"],
            "bias_ih": bias("z", "f", "o"),
        },
    ),
    "t_lstm": (
        "TLSTM",
        {},
        {
            "weight_ih": ih("z", "f", "o"),
            "weight_hh": [f"weight_from_past.{p}" for p in "zfo"],
            "bias_ih": bias("z", "f", "o"),
        },
    ),
    "ugrnn": ("UGRNN", {}, {"weight_ih": ih("n", "g"), "weight_hh": hh("n", "g"), "bias_ih": bias("n", "g")}),
    "unicornn": (
        "UnICORNN",
        {"dt": 0.1, "alpha": 1.0},
        {
            "weight_ih": ih("a"),
            "weight_hh": alone("own"),
            "weight_ch": alone("time_scale"),
            "bias_ih": bias("a"),
        },
    ),
    "cornn": (
        "coRNN",
        {"dt": 0.1, "gamma": 1.0, "epsilon": 1.0},
        {
            "weight_ih": ih("a"),
            "weight_hh": hh("a"),
            "weight_ch": ["weight_from_z.a"],
            "bias_ih": bias("a"),
        },
    ),
    "intersection_rnn": (
        "IntersectionRNN",
        {},
        {
            "weight_ih": ih("depth", "n", "gy", "gh"),
            "weight_hh": [f"weight_from_h.{p}" for p in ("depth", "n", "gy", "gh")],
            "bias_ih": bias("depth", "n", "gy", "gh"),
        },
    ),
    "antisymmetric_rnn": (
        "AntisymmetricRNN",
        {"epsilon": 0.1, "gamma": 0.1},
        {"weight_ih": ih("a"), "weight_hh": ["weight_hh_u.u"], "bias_ih": bias("a")},
    ),
    "gated_antisymmetric_rnn": (
        "GatedAntisymmetricRNN",
        {"epsilon": 0.1, "gamma": 0.1},
        {"weight_ih": ih("z", "a"), "weight_hh": ["weight_hh_u.u"], "bias_ih": bias("z", "a")},
    ),
    "sgrn": ("SGRN", {}, {"weight_ih": ih("n"), "weight_hh": hh("f"), "bias_ih": bias("n")}),
    "miru1": (
        "MiRU1",
        {},
        {"weight_ih": ih("r", "n"), "weight_hh": ["weight_hh.r", "weight_n_r.n_r"], "bias_ih": bias("r", "n")},
    ),
    "miru2": ("MiRU2", {}, {"weight_ih": ih("n"), "weight_hh": ["weight_n.n"], "bias_ih": bias("n")}),
    "working_memory_lstm": (
        "WMCLSTM",
        {},
        {
            "weight_ih": ih(*FOUR),
            "weight_hh": hh(*FOUR),
            "bias_ih": bias(*FOUR),
            "weight_mh": ["weight_from_c.memory_i", "weight_from_c.memory_f", "weight_memory_o.memory_o"],
            "bias_mh": bias("memory_i", "memory_f", "memory_o"),
        },
    ),
}
HYPER = {"sgu": {"slope": 1 / 6}, "dsgu": {"slope": 1 / 6}}  # theirs is torch's hard sigmoid, the paper's is Keras'


@pytest.mark.parametrize("name", sorted(PEERS))
def test_the_same_numbers(name):
    kind, keywords, correspondence = PEERS[name]
    rng = np.random.default_rng(4)
    cell = cells.get(name, **HYPER.get(name, {}))
    sizes = {"input_size": HIDDEN, "hidden_size": HIDDEN}
    trained = {n: (rng.standard_normal(s) * 0.5).astype(np.float32) for n, s in cell.shapes(sizes).items()}
    if name == "intersection_rnn":  # the paper has no projection of the input
        start = {q.name: a for q, a, _ in cell.parameters[0].slices(sizes)}["passed"]
        trained["weight_ih"][start : start + HIDDEN] = np.eye(HIDDEN)
    params = {p.name: p.constrained(trained[p.name], sizes) for p in cell.parameters}
    parts = {f"{p.name}.{q.name}": trained[p.name][a:b] for p in cell.parameters for q, a, b in p.slices(sizes)}
    peer = getattr(torchrecurrent, f"{kind}Cell")(HIDDEN, HIDDEN, **keywords)
    theirs = dict(peer.named_parameters())
    with torch.no_grad():
        for parameter, value in theirs.items():
            if "bias" in parameter:
                value.zero_()
            if parameter in correspondence:
                zero = np.zeros(HIDDEN, np.float32)
                given = [zero if k is None else parts[k] for k in correspondence[parameter]]
                value.copy_(torch.tensor(np.concatenate(given)).reshape(value.shape))
        x = rng.standard_normal((STEPS, BATCH, HIDDEN)).astype(np.float32)
        state, ys = None, []
        for step in torch.tensor(x):
            state = peer(step, state)
            ys.append(state[0] if isinstance(state, tuple) else state)
            if name == "intersection_rnn" or (isinstance(state, tuple) and isinstance(state[1], tuple)):
                state = state[1]
    assert set(correspondence) <= set(theirs)
    ours, *_ = run_layer(cell, params, x)
    np.testing.assert_allclose(ours, torch.stack(ys).numpy(), atol=3e-6)
