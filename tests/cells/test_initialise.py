"""How parameters start: the rules by name, on every cell and by choice."""

import math

import pytest
import torch

from gatewise import cells
from gatewise.cells.initialise import RULES, initialise
from gatewise.errors import GatewiseError
from gatewise.nn import Recurrent


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_starts_finite_and_runs(name):
    cell = cells.get(name)
    extra = {d: 4 for d in cell.dims if d not in ("input_size", "hidden_size")}
    layer = Recurrent(cell, 5, 8, num_layers=2, bidirectional=True, **extra)
    y, finals = layer(torch.randn(20, 3, 5))
    assert torch.isfinite(y).all()
    assert len(finals) == len(cell.states)
    y.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def filled(rule, *shape):
    torch.manual_seed(0)
    value = torch.empty(*shape)
    initialise(rule, value, 16)
    return value


def test_rules():
    assert filled("uniform", 64, 64).abs().max() <= 0.25
    q = filled("orthogonal", 16, 16)
    torch.testing.assert_close(q @ q.T, torch.eye(16), atol=1e-5, rtol=0)
    assert torch.equal(filled("identity", 4, 4), torch.eye(4))
    assert torch.equal(filled("identity(0.5)", 4, 4), torch.eye(4) / 2)
    assert filled("xavier", 100, 50).abs().max() <= math.sqrt(6 / 150)
    assert abs(float(filled("he", 400, 200).std()) - math.sqrt(2 / 200)) < 0.002
    chrono = filled("chrono(100)", 1000)
    assert chrono.min() >= 0
    assert chrono.max() <= math.log(99)
    assert filled("minus_chrono(100)", 50).max() <= 0
    assert filled(2.5, 3).eq(2.5).all()
    assert abs(float(filled("normal(0.01)", 10000).std()) - 0.01) < 0.001
    assert filled("zeros", 3).eq(0).all()
    assert filled("ones", 3).eq(1).all()


def test_every_rule_has_been_tried_above():
    tried = {"uniform", "orthogonal", "identity", "xavier", "he", "chrono", "minus_chrono", "normal", "zeros", "ones"}
    assert set(RULES) == tried


def test_a_layer_starts_parameters_as_told():
    layer = Recurrent("lstm", 3, 8, initialisers={"bias.f": 2.0, "weight_hh": "zeros", "bias.i": "minus_chrono(50)"})
    assert layer.bias_l0[8:16].eq(2).all()
    assert layer.weight_hh_l0.eq(0).all()
    assert layer.bias_l0[:8].le(0).all()


@pytest.mark.parametrize(
    ("choice", "match"),
    [
        ({"weight": "zeros"}, "no parameter 'weight'; it has: bias"),
        ({"bias": "warm"}, "no initialiser 'warm'"),
        ({"bias": "chrono"}, "chrono needs the longest dependence"),
    ],
)
def test_a_wrong_choice_is_a_clear_error(choice, match):
    with pytest.raises(GatewiseError, match=match):
        Recurrent("lstm", 3, 8, initialisers=choice)
