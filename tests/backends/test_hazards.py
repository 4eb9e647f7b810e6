"""Cells whose values are read late, written early, or not at all: what a schedule could get wrong."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gatewise import CellError, cell, checks, gate, linear, maximum, minimum, relu, sigmoid, sum_units, tanh, window
from gatewise.nn import Recurrent


@cell
def fed_both_ways(x, h, c):
    return tanh(linear("b", x, h)), c * 0.5 + h


@cell
def hands_on(x, h, c):
    return tanh(linear("b", x, h) + c), h


@cell
def delayed_state(x, h, c):
    now, before, long_ago = window("v", c, 3)
    return tanh(linear("b", x, h) + long_ago * before), now * 0.5 + h


@cell
def deaf(x, h):
    return tanh(linear("a", h))


@pytest.mark.parametrize("recipe", [fed_both_ways, hands_on, delayed_state], ids=lambda r: r.__name__)
def test_an_incoming_gradient_is_read_before_it_is_overwritten(recipe):
    checks.check_cell(recipe())


def test_an_input_that_nothing_hears_has_a_gradient_of_zero():
    layer = Recurrent(deaf, 3, 4)
    for _ in range(3):  # so that memory is used again
        x = torch.randn(5, 2, 3, requires_grad=True)
        Recurrent("lstm", 3, 4)(torch.randn(5, 2, 3, requires_grad=True))[0].sum().backward()
        layer(x)[0].sum().backward()
        assert x.grad is not None and not x.grad.any()


@cell(widths={"h": "input_size"})
def needs_more_for_x(x, h):
    width = {"size": "input_size"}
    return h * 0.5 + x * linear("v", h, bias=False, **width) + sigmoid(linear("w", h, **width)) * linear("k", x, **width)


def test_weights_learn_the_same_whether_the_input_does():
    torch.manual_seed(0)
    layer = Recurrent(needs_more_for_x, 6, 6, dtype=torch.float64)
    x = torch.randn(7, 3, 6, dtype=torch.float64)
    found = []
    for learned in (False, True):
        layer.zero_grad()
        layer(x.clone().requires_grad_(learned))[0].square().sum().backward()
        found.append([p.grad.clone() for p in layer.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_products_of_one_unit_and_delays_of_one_number_are_refused():
    @cell
    def one(x, h):
        return sigmoid(linear("a", x, h, size="1")) * h + linear("b", x)

    @cell
    def number(x, h):
        return gate("a", tanh, x, h) * window("s", sum_units(h), 2)[1]

    with pytest.raises(CellError, match="a matrix gives a row of units"):
        one()
    with pytest.raises(CellError, match="window 's': a value must be a row of units"):
        number()


def test_a_nan_goes_on_through_choices():
    @cell
    def choices(x, h):
        a = linear("a", x)
        return relu(a) + maximum(a, 0.0) + minimum(a, 0.0) + 0.1 * h

    layer = Recurrent(choices, 3, 4)
    x = torch.zeros(2, 2, 3)
    x[0, 0, 0] = float("nan")
    y, _ = layer(x)
    assert y[:, 0].isnan().all() and not y[:, 1].isnan().any()


def test_a_team_that_is_smaller_than_asked_for_does_all_the_work():
    script = """
import torch
torch.set_num_threads(2)
from gatewise.nn import GRU
torch.manual_seed(0)
layer, x = GRU(3, 5), torch.randn(4, 6, 3)
y = layer(x)[0]
torch.set_num_threads(1)
torch.testing.assert_close(y, layer(x)[0], rtol=0, atol=0)
"""
    import os

    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=120)


def test_a_trace_does_not_take_an_output_for_a_constant():
    """torch warns of every Python number that a trace turns into a constant, and that tracing is going out of use."""
    layer = Recurrent("gru", 3, 4).eval()
    expected = pytest.warns(DeprecationWarning, match="torch.jit.trace"), pytest.warns(torch.jit.TracerWarning)
    with torch.no_grad(), expected[0], expected[1], pytest.raises((RuntimeError, TypeError)):
        torch.jit.trace(layer, (torch.randn(5, 2, 3),), check_trace=False)(torch.randn(5, 2, 3))
    assert np.isfinite(layer(torch.randn(5, 2, 3))[0].detach().numpy()).all()
