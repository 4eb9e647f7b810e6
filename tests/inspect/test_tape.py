"""The tape: every layer, cell and kind of pass, against torch's own gradients and a hand-written loop."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gatewise.nn
from gatewise import cells
from gatewise.errors import GatewiseError
from gatewise.inspect import record
from gatewise.nn import Recurrent

KINDS = {
    "plain": {},
    "stacked": {"num_layers": 2, "bidirectional": True},
    "checkpointed": {"checkpoint_steps": 2},
    "batch first": {"batch_first": True},
}
SOME = ("lstm", "gru", "gru_v1", "layer_norm_lstm", "sru", "qrnn")  # the other kinds differ outside the cell
CASES = [(name, "plain") for name in cells.names()] + [(name, kind) for name in SOME for kind in KINDS if kind != "plain"]


def by_hand(layer, x, weight):
    """An LSTM as a loop in torch: values and gradients [T, B, units] by name, of the loss sum(weight * y)."""
    w_x, w_h, bias = layer.cell_parameters(0, "_l0")
    h = c = x.new_zeros(x.shape[1], layer.hidden_size)
    rows, loss = [], 0.0
    for t in range(len(x)):
        i, f, g, o = (x[t] @ w_x.T + h @ w_h.T + bias).chunk(4, -1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        row = {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}
        for value in row.values():
            value.retain_grad()
        rows.append(row)
        loss = loss + (weight[t] * h).sum()
    loss.backward()
    values = {n: torch.stack([row[n] for row in rows]).detach() for n in rows[0]}
    return values, {n: torch.stack([row[n].grad for row in rows]) for n in rows[0]}


def test_values_and_gradients_are_those_of_a_loop_by_hand():
    torch.manual_seed(0)
    layer = gatewise.nn.LSTM(5, 7).double()
    x, weight = torch.randn(6, 3, 5).double(), torch.randn(6, 3, 7).double()
    with record(layer) as tape:
        y, _ = layer(x)
        (weight * y).sum().backward()
    values, gradients = by_hand(layer, x, weight)
    assert set(tape.values) == {"layer0"} and set(tape.values["layer0"]) == set("ifgohc")
    for name in values:
        torch.testing.assert_close(tape.values["layer0"][name], values[name], rtol=0, atol=1e-12)
        torch.testing.assert_close(tape.gradients["layer0"][name], gradients[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_cell_shows_the_same_as_the_interpreter_and_computes_what_it_did(name, kind):
    torch.manual_seed(0)
    sizes = {d: 5 for d in cells.get(name).dims if d not in ("input_size", "hidden_size")}
    layer = Recurrent(name, 4, 6, dtype=torch.float64, **KINDS[kind], **sizes)
    x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 2, 4])
    if layer.batch_first:
        x = x.transpose(0, 1)
    plain, _ = layer(x, lengths=lengths)
    plain.square().sum().backward()
    expected = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    with record(layer) as tape:
        y, _ = layer(x, lengths=lengths)
        y.square().sum().backward()
    torch.testing.assert_close(y, plain, rtol=0, atol=1e-12)
    for p, gradient in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=0, atol=1e-11)
    half = interpreted(layer, x, lengths)
    names = [n for n, _ in layer.cell.named]
    for layer_name, values in half.values.items():
        for n in names:
            got, got_gradient = tape.values[layer_name][n], tape.gradients[layer_name][n]
            torch.testing.assert_close(got, values[n], rtol=0, atol=1e-12)
            torch.testing.assert_close(got_gradient, half.gradients[layer_name][n], rtol=0, atol=1e-11)
            for b, length in enumerate(lengths):
                assert not got[length:, b].any() and not got_gradient[length:, b].any()


def interpreted(layer, x, lengths):
    """The tape of the same pass through the interpreter and torch's autograd."""
    layer.zero_grad()
    with pytest.MonkeyPatch.context() as patch, record(layer) as tape:
        patch.setattr("gatewise.nn.recurrent._KERNELS", False)
        y, _ = layer(x, lengths=lengths)
        y.square().sum().backward()
    return tape


def test_values_alone_need_no_gradient():
    layer = Recurrent("gru", 4, 6)
    with torch.no_grad(), record(layer, values=["z"], gradients=()) as tape:
        layer(torch.randn(5, 3, 4))
    assert tape.values["layer0"]["z"].shape == (5, 3, 6) and set(tape.values["layer0"]) == {"z"}
    assert tape.gradients == {"layer0": {}}


def test_a_packed_sequence_comes_back_in_the_callers_order():
    torch.manual_seed(0)
    layer = gatewise.nn.LSTM(4, 6)
    x, lengths = torch.randn(5, 3, 4), torch.tensor([2, 5, 4])
    with record(layer) as padded:
        layer(x, lengths=lengths)[0].sum().backward()
    with record(layer) as packed:
        y, _ = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
        y.data.sum().backward()
    for tape in (padded, packed):
        assert tape.values["layer0"]["c"].shape == (5, 3, 6)
    for name in "ifgohc":
        torch.testing.assert_close(packed.values["layer0"][name], padded.values["layer0"][name])
        torch.testing.assert_close(packed.gradients["layer0"][name], padded.gradients["layer0"][name])


def test_a_second_backward_adds_up_and_a_gradient_of_gradients_is_seen():
    torch.manual_seed(0)
    layer = Recurrent("gru", 4, 6, dtype=torch.float64)
    x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    with record(layer) as tape:
        y, _ = layer(x)
        y.sum().backward(retain_graph=True)
        once = tape.gradients["layer0"]["h"].clone()
        y.sum().backward()
        torch.testing.assert_close(tape.gradients["layer0"]["h"], 2 * once)
        y, _ = layer(x)
        torch.autograd.grad(y.sum(), x, create_graph=True)
    torch.testing.assert_close(tape.gradients["layer0"]["h"], once)


def test_layers_inside_a_model_are_named_by_their_place_and_passes_are_kept():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.write = gatewise.nn.GRU(4, 6), gatewise.nn.LSTM(6, 5, num_layers=2)

        def forward(self, x):
            return self.write(self.read(x)[0])[0]

    model = Model()
    with record(model, keep=2) as tape:
        for _ in range(3):
            model(torch.randn(5, 3, 4))
    assert set(tape.values) == {"read.layer0", "write.layer0", "write.layer1"}
    assert [len(p) for p in tape.passes.values()] == [2, 2, 2]
    assert set(tape.values["read.layer0"]) == {"r", "z", "n", "h"}
    assert model.read.observer is None


def test_zoneout_shows_the_states_that_went_on():
    torch.manual_seed(0)
    layer = Recurrent("lstm", 4, 6, zoneout=0.5)
    with record(layer) as tape:
        y, (_, c) = layer(torch.randn(5, 3, 4))
    torch.testing.assert_close(tape.values["layer0"]["h"], y)
    torch.testing.assert_close(tape.values["layer0"]["c"][-1], c[0])


def test_half_precision_goes_through_the_interpreter():
    layer = Recurrent("lstm", 4, 6, dtype=torch.bfloat16)
    with record(layer) as tape:
        layer(torch.randn(5, 3, 4, dtype=torch.bfloat16))[0].sum().backward()
    assert tape.gradients["layer0"]["f"].dtype == torch.bfloat16 and tape.gradients["layer0"]["f"].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: record(nn.Linear(2, 2)), "Linear has no recurrent layer"),
        (lambda m: record(m, values=["q"]), "no layer of this model has a value 'q'; there are: h, n, r, z"),
        (lambda m: record(m, keep=0), "keep must be a number of passes above 0"),
    ],
)
def test_what_cannot_be_recorded_is_said(call, message):
    with pytest.raises(GatewiseError, match=message), call(Recurrent("gru", 2, 3)):
        pass


def test_one_tape_at_a_time_and_never_inside_a_transform():
    layer = Recurrent("gru", 2, 3)
    with record(layer):
        with pytest.raises(GatewiseError, match="one at a time"), record(layer):
            pass
        with pytest.raises(GatewiseError, match="call the layer itself"):
            torch.func.grad(lambda x: layer(x)[0].sum())(torch.randn(4, 1, 2))
    assert layer.observer is None
