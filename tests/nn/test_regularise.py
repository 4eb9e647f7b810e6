"""Weight drop, variational dropout, zoneout and penalties, for any cell."""

import numpy as np
import pytest
import torch

from gatewise import GatewiseError, cells
from gatewise.backends import interpret
from gatewise.ir.transform import zoneout
from gatewise.nn import Recurrent
from gatewise.nn.recurrent import run_direction
from gatewise.nn.regularise import activation_penalty, drop, temporal_activation_penalty, zoneout_masks

CELLS = ["lstm", "gru_v1", "layer_norm_lstm", "min_gru", "qrnn"]


def case(name, batch=3, steps=5):
    torch.manual_seed(0)
    cell = cells.get(name)
    sizes = {"input_size": 4, "hidden_size": 6}
    params = [torch.randn(p.shape(sizes), dtype=torch.float64) * 0.5 for p in cell.parameters]
    states = [torch.randn(batch, sizes[s.dim], dtype=torch.float64) for s in cell.states]
    return cell, sizes, params, states, torch.randn(steps, batch, 4, dtype=torch.float64)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_zoneout_is_a_mixture_of_every_new_state_with_the_old(name, reverse):
    """Against a loop of single steps of the plain cell, mixed by hand; ragged."""
    cell, sizes, params, states, x = case(name)
    zoned = zoneout(cell)
    masks = zoneout_masks(5, 3, [sizes[d] for d in zoned.given.values()], 0.4, x)
    held = dict(zip(zoned.given, masks, strict=True))
    lengths = torch.tensor([5, 2, 4])
    y, finals = run_direction(zoned, x, states, params, lengths, reverse, masks)
    current = states
    for t in range(4, -1, -1) if reverse else range(5):
        _, new = run_direction(cell, x[t : t + 1], current, params, None, False)
        mixed = []
        for s, a, b in zip(cell.states, current, new, strict=True):
            d = held[f"zoneout_{s.name}"][t] if f"zoneout_{s.name}" in held else torch.zeros_like(a)
            mixed.append(torch.where((lengths > t)[:, None], d * a + (1 - d) * b, a))
        current = mixed
        torch.testing.assert_close(y[t], torch.where((lengths > t)[:, None], mixed[0], 0.0))
    for a, b in zip(finals, current, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", CELLS)
def test_zoneouts_gradients(name):
    cell, sizes, params, states, x = case(name)
    zoned = zoneout(cell)
    masks = zoneout_masks(5, 3, [sizes[d] for d in zoned.given.values()], 0.4, x)
    leaves = [t.clone().requires_grad_() for t in (x, *states, *params)]

    def run(*tensors):
        y, finals = run_direction(
            zoned, tensors[0], tensors[1 : 1 + len(states)], tensors[1 + len(states) :], None, False, masks
        )
        return (y, *finals)

    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)
    named = {p.name: value.numpy() for p, value in zip(cell.parameters, params, strict=True)}
    arrays = [m.numpy() for m in masks]
    tape = interpret.forward(zoned, named, x.numpy(), [s.numpy() for s in states], given=arrays)
    np.testing.assert_allclose(run(*leaves)[0].detach().numpy(), tape.y, atol=1e-12)
    dy = torch.ones_like(x[:, :, :1]).expand(-1, -1, 6)
    found = interpret.backward(zoned, named, x.numpy(), tape, dy.numpy(), [None] * len(states), given=arrays)
    run(*leaves)[0].backward(dy)
    np.testing.assert_allclose(leaves[0].grad.numpy(), found.x, atol=1e-11)


def test_zoneout_of_a_layer_draws_in_training_and_is_its_mean_afterwards():
    torch.manual_seed(0)
    layer = Recurrent("lstm", 4, 6, zoneout=0.3, dtype=torch.float64)
    x = torch.randn(7, 2, 4, dtype=torch.float64)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    plain = Recurrent(zoneout(cells.get("lstm"), 0.3), 4, 6, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], plain(x)[0])
    still = Recurrent("lstm", 4, 6, zoneout=1.0, dtype=torch.float64)
    h, c = torch.randn(2, 1, 2, 6, dtype=torch.float64)
    _, finals = still(x, (h, c))
    torch.testing.assert_close(finals, (h, c))


def test_states_that_hand_on_an_input_are_not_zoned():
    assert list(zoneout(cells.get("qrnn")).given) == ["zoneout_h", "zoneout_c"]


def test_weight_drop_takes_recurrent_matrices_only():
    torch.manual_seed(0)
    layer = Recurrent("gru_v1", 4, 6, weight_dropout=1.0)
    x = torch.randn(5, 2, 4)
    y, _ = layer(x)
    assert layer.cell.recurrent_matrices == {"weight_hh", "weight_n"}
    with torch.no_grad():
        for name in ("weight_hh_l0", "weight_n_l0"):
            layer.get_parameter(name).zero_()
    torch.testing.assert_close(y, layer.eval()(x)[0])


def test_weight_drop_uses_one_mask_a_call():
    """All steps see the same matrix: equal inputs of a batch give equal outputs, and another call gives others."""
    torch.manual_seed(0)
    layer = Recurrent("rnn", 4, 32, weight_dropout=0.5)
    x = torch.randn(6, 1, 4).repeat(1, 2, 1)
    y, _ = layer(x)
    torch.testing.assert_close(y[:, 0], y[:, 1], rtol=0, atol=0)
    assert not torch.equal(y, layer(x)[0])
    y.sum().backward()
    gradient = layer.get_parameter("weight_hh_l0").grad
    assert 0.3 < (gradient == 0).double().mean() < 0.7  # a dropped number has no gradient


def test_variational_dropout_keeps_its_mask_for_all_steps():
    torch.manual_seed(0)
    x = torch.ones(50, 4, 100)
    fixed, fresh = drop(x, 0.5, True, True), drop(x, 0.5, True, False)
    assert (fixed == fixed[:1]).all() and not (fresh == fresh[:1]).all()
    assert set(fixed.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(fixed[0, 0], fixed[0, 1])  # each row has its own
    assert drop(x, 0.5, False, True) is x


def test_input_and_output_dropout():
    torch.manual_seed(0)
    x = torch.ones(4, 2, 3)
    layer = Recurrent("rnn", 3, 8, input_dropout=1.0)
    torch.testing.assert_close(layer(x)[0], layer(x * 0)[0])
    assert not Recurrent("rnn", 3, 8, output_dropout=1.0)(x)[0].any()
    with pytest.raises(GatewiseError, match="zoneout is a probability between 0 and 1, got 2"):
        Recurrent("rnn", 3, 8, zoneout=2)


def test_penalties_count_real_steps_only():
    y = torch.tensor([[[1.0], [2.0]], [[3.0], [9.0]], [[6.0], [9.0]]])
    lengths = torch.tensor([3, 1])
    assert activation_penalty(y, lengths).item() == pytest.approx((1 + 9 + 36 + 4) / 4)
    assert temporal_activation_penalty(y, lengths).item() == pytest.approx((4 + 9) / 2)
    assert activation_penalty(y).item() == pytest.approx((1 + 9 + 36 + 4 + 81 + 81) / 6)
    assert temporal_activation_penalty(y[:1]).item() == 0.0
