"""Constraints: what they promise, the same in NumPy and torch, with a gradient to the trained tensor."""

import numpy as np
import pytest
import torch

from gatewise import Cell, CellError, GatewiseError, cell, cells, linear, parameter, tanh
from gatewise.ir.constraints import CONSTRAINTS, constrain, trained_shape
from gatewise.nn import Recurrent

ARGUMENT = {"block_diagonal": "(2)", "low_rank": "(2)", "bounded": "(0.7)"}
RULES = [name + ARGUMENT.get(name, "") for name in CONSTRAINTS if name != "leading"]  # which trains nothing


def pair(rule, shape=(6, 6)):
    trained = np.random.default_rng(0).standard_normal(trained_shape(rule, shape))
    return trained, constrain(rule, trained, shape)


@pytest.mark.parametrize("rule", RULES)
def test_numpy_and_torch_agree_and_gradients_reach_the_trained_tensor(rule):
    trained, value = pair(rule)
    assert value.shape == (6, 6)
    np.testing.assert_allclose(constrain(rule, torch.tensor(trained), (6, 6)).numpy(), value, atol=1e-15)
    inside = torch.tensor(trained * (0.2 if rule.startswith("bounded") else 1.0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: constrain(rule, a, (6, 6)), inside)


def test_what_each_promises():
    value = pair("antisymmetric")[1]
    np.testing.assert_array_equal(value, -value.T)
    value = pair("column_stochastic")[1]
    assert (value > 0).all()
    np.testing.assert_allclose(value.sum(0), 1.0, atol=1e-15)
    trained, value = pair("block_diagonal(2)", (6, 4))
    assert trained.shape == (6, 2)
    np.testing.assert_array_equal(value[:3, :2], trained[:3])
    assert not value[:3, 2:].any() and not value[3:, :2].any()
    assert np.linalg.matrix_rank(pair("low_rank(2)", (6, 5))[1]) == 2
    trained, value = pair("bounded(0.7)", (40,))
    np.testing.assert_array_equal(value, np.clip(trained, -0.7, 0.7))
    trained, value = pair("leading(2)", (5,))
    assert trained.shape == (0,)
    assert value.tolist() == constrain("leading(2)", torch.tensor(trained), (5,)).tolist() == [1, 1, 0, 0, 0]


def test_past_a_bound_the_gradient_passes_only_back():
    a = torch.tensor([2.0, 2.0, -2.0, -2.0, 0.1], requires_grad=True)
    constrain("bounded(1.0)", a, (5,)).backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]))
    assert a.grad is not None
    assert a.grad.tolist() == [1.0, 0.0, 0.0, -1.0, 1.0]  # descent moves against the gradient: 1 at +2 leads back


def test_clipping_as_the_paper_does_it():
    """Gradient descent through the bound ends where projected gradient descent ends (arXiv 1803.04831)."""
    a = torch.tensor([0.5, -0.5], requires_grad=True)
    optimizer = torch.optim.SGD([a], 0.1)
    target = torch.tensor([3.0, -0.2])
    for _ in range(200):
        optimizer.zero_grad()
        ((constrain("bounded(1.0)", a, (2,)) - target) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(constrain("bounded(1.0)", a, (2,)).detach(), [1.0, -0.2], atol=1e-6)


@cell
def held(x, h):
    return tanh(
        linear("a", x)
        + linear("u", h, bias=False, constraint="antisymmetric") * parameter("s", 0.5, constraint="bounded(1)")
    )


def test_a_layer_of_a_constrained_cell_is_trained_and_copied():
    layer = Recurrent(held, 3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    assert layer.weight_hh_u_l1_reverse.shape == (4, 4)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    free = layer.weight_hh_u_l0
    assert torch.autograd.gradcheck(lambda w: torch.func.functional_call(layer, {"weight_hh_u_l0": w}, (x,))[0], free)
    other = Recurrent(Cell.from_json(layer.cell.to_json()), 3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x)[0], layer(x)[0], rtol=0, atol=0)


def test_the_record_keeps_the_constraint_and_the_kernel_does_not_care():
    record = held()
    assert Cell.from_json(record.to_json()) == record
    plain = record.to_json()
    for p in plain["parameters"]:
        p["constraint"] = ""
    assert Cell.from_json(plain).key == record.key


def test_mistakes_name_the_cell_and_the_remedy():
    @cell
    def wrong(x, h):
        return linear("a", x) + linear("u", h, bias=False, constraint="symmetric")

    with pytest.raises(GatewiseError, match="no constraint of weight_hh_u 'symmetric'; there are: antisymmetric"):
        wrong()

    @cell
    def vector(x, h):
        return linear("a", x) + parameter("u", constraint="antisymmetric") * h

    with pytest.raises(CellError, match="'vector': constraint 'antisymmetric' is one of matrices"):
        vector().shapes({"input_size": 2, "hidden_size": 3})
    with pytest.raises(CellError, match="'slstm': a matrix of 5 by 5 cannot be cut into 2 equal blocks"):
        Recurrent(cells.get("slstm", heads=2), 3, 5)
    with pytest.raises(CellError, match="cannot be cut into 2.5 equal blocks"):
        Recurrent(cells.get("slstm", heads=2.5), 3, 5)
    with pytest.raises(CellError, match="'fast_grnn': low_rank needs the rank, a whole number"):
        Recurrent(cells.get("fast_grnn", rank=2.7), 3, 5)
    with pytest.raises(CellError, match="'mass_conserving_lstm': leading.4. needs a whole number from 1 to the 3 units"):
        Recurrent(cells.get("mass_conserving_lstm", mass_inputs=4), 3, 5)
    with pytest.raises(CellError, match="an antisymmetric matrix is square, this one is 4 by 3"):

        @cell
        def narrow(x, h):
            return h + linear("u", x, bias=False, constraint="antisymmetric")

        narrow().shapes({"input_size": 3, "hidden_size": 4})
