"""Every cell, crossed: numeric gradients, interpreter, compiled kernels at every width, dtype, direction, raggedness.

One list, `cells.names()`: a new cell gets every test.
"""

from itertools import product

import numpy as np
import pytest
import torch

from gatewise import cells, checks
from gatewise.backends import interpret
from gatewise.backends.cpu.target import WIDTHS, host
from gatewise.errors import GatewiseError


def widths():
    found = []
    for w in WIDTHS:
        try:
            found.append(host(w).lanes)
        except GatewiseError:
            continue
    return found


POSITIVE = {"slstm": ("n",)}  # it is divided by
SCALE = {"multiplicative_lstm": 0.3}  # at 0.4 its products of products are chaotic: an error grows fourfold each step
SHAPES = [  # steps, batch, input, hidden: a step alone, tails of every kind, more rows than a tile, more than a panel
    (1, 2, 1, 3),
    (1, 13, 17, 37),
    (2, 7, 5, 16),
    (5, 13, 17, 37),
]


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("name", cells.names())
def test_gradients_agree_with_differences(name, ragged, reverse):
    for steps in (1, 2, 5):
        case = checks.random_case(cells.get(name), steps=steps, ragged=ragged, reverse=reverse)
        checks.compare_with_numeric(case, checks.interpreted(case))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", cells.names())
def test_kernels_agree_with_the_interpreter(name, dtype):
    for steps, batch, inputs, hidden in SHAPES:
        for ragged, reverse in product((False, True), (False, True)):
            given = {"scale": SCALE.get(name, 0.4), "positive": POSITIVE.get(name, ()), "proj_size": 7}
            case = checks.random_case(cells.get(name), steps, batch, inputs, hidden, ragged, reverse, **given)
            got = checks.compiled(case.astype(dtype), threads=min(steps, 2))
            checks.compare(case, got, checks.interpreted(case), checks.TOLERANCE[dtype])


@pytest.mark.parametrize("name", cells.names())
def test_kernels_hand_out_every_value_and_its_gradient(name):
    cell = cells.get(name)
    named = tuple(n for n, _ in cell.named)
    for ragged, reverse in product((False, True), (False, True)):
        given = {"scale": SCALE.get(name, 0.4), "positive": POSITIVE.get(name, ()), "proj_size": 7}
        case = checks.random_case(cell, 5, 13, 17, 37, ragged, reverse, **given)
        expected = checks.interpreted(case, record=named)
        assert {f"d value {n}" for n in named} < set(expected)
        got = checks.compiled(case.astype("float32"), threads=2, record=named)
        checks.compare(case, got, expected, checks.TOLERANCE["float32"])


@pytest.mark.parametrize("name", cells.names())
def test_gradients_of_named_values_are_those_of_torch(name):
    cell = cells.get(name)
    named = tuple(n for n, _ in cell.named)
    case = checks.random_case(cell, ragged=True, scale=SCALE.get(name, 0.4), positive=POSITIVE.get(name, ()))
    found = {n: np.zeros_like(v) for n, v in checks.interpreted(case, record=named).items() if n.startswith("d value")}
    tensors = {n: torch.tensor(v, requires_grad=True) for n, v in case.inputs().items()}
    states = [tensors[f"initial {s.name}"] for s in cell.states]

    def see(value, step, seen):
        def keep(gradient):
            found[f"d value {value}"][step] += gradient.numpy()

        if isinstance(seen, torch.Tensor) and seen.requires_grad:
            seen.register_hook(keep)

    lengths = torch.tensor(case.lengths)
    tape = interpret.forward(cell, {p: tensors[p] for p in case.params}, tensors["x"], states, lengths, see=see)
    loss = (tape.y * torch.tensor(case.dy)).sum()
    loss = loss + sum((f * torch.tensor(d)).sum() for f, d in zip(tape.finals, case.dfinals, strict=True))
    loss.backward()
    expected = checks.interpreted(case, record=named)
    checks.compare(case, found, {n: expected[n] for n in found}, 1e-11)


@pytest.mark.parametrize("name", cells.names())
def test_kernels_round_the_operands_of_products_as_the_interpreter_does(name, bfloat16_here):
    for steps, batch, inputs, hidden in SHAPES:
        for ragged, reverse in product((False, True), (False, True)):
            given = {"scale": SCALE.get(name, 0.4), "positive": POSITIVE.get(name, ()), "proj_size": 7}
            case = checks.random_case(cells.get(name), steps, batch, inputs, hidden, ragged, reverse, **given)
            case = case.astype("float32")
            expected = checks.interpreted(case.astype("float64"), "bfloat16")
            got = checks.compiled(case, threads=2, compute_dtype="bfloat16")
            checks.compare(case, got, expected, checks.TOLERANCE["bfloat16"])
            assert checks.root_mean_square(got, expected) <= checks.ROOT_MEAN_SQUARE


@pytest.mark.parametrize("lanes", widths())
@pytest.mark.parametrize("name", cells.names())
def test_every_vector_width_computes_the_same(name, lanes):
    case = checks.random_case(cells.get(name), 3, 5, 6, 19, ragged=True, proj_size=5)
    checks.compare(
        case, checks.compiled(case.astype("float32"), lanes), checks.interpreted(case), checks.TOLERANCE["float32"]
    )


@pytest.mark.parametrize(
    ("name", "hyper"),
    [("mass_conserving_lstm", {"mass_inputs": 2}), ("slstm", {"heads": 2}), ("qrnn", {"width": 1}), ("rhn", {"depth": 1}),
     ("mogrifier_lstm", {"rounds": 2}), ("fast_grnn", {"rank": 2}), ("ind_rnn", {"steps": 10})],
)  # fmt: skip
def test_hyper_parameters_that_change_the_equations(name, hyper):
    checks.check_cell(cells.get(name, **hyper))


def test_a_rule_that_is_wrong_by_a_thousandth_is_found(monkeypatch):
    from gatewise.ir import ops

    right = ops.OPS["tanh"]
    wrong = ops.Op(right.name, 1, right.shape, right.meaning, lambda y, a, g: (g * (1.0 - y * y) * 1.001,), right.cost)
    monkeypatch.setitem(ops.OPS, "tanh", wrong)
    cell = cells.lstm.lstm()  # traced and derived anew
    with pytest.raises(checks.CheckFailed, match="the gradient of"):
        checks.check_cell(cell, backend=None)


def test_a_backend_that_returns_zeros_is_found():
    def zeros(case):
        return {n: np.zeros_like(v) for n, v in checks.interpreted(case).items()}

    with pytest.raises(checks.CheckFailed, match="y is off by"):
        checks.check_cell(cells.get("gru"), backend=zeros)


def test_a_backend_with_one_wrong_gradient_is_found():
    def wrong(case):
        outcome = checks.compiled(case)
        return {**outcome, "d bias": outcome["d bias"] * 1.001}

    with pytest.raises(checks.CheckFailed, match="d bias is off"):
        checks.check_cell(cells.get("gru"), backend=wrong)
