"""Every illness: a network that was built to have it, and a healthy one; the verdict must be right on both."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import gatewise.nn
from gatewise.errors import GatewiseError
from gatewise.inspect import diagnose
from gatewise.inspect.diagnosis import Diagnosis, measure_padding
from gatewise.inspect.dynamics import jacobians, lyapunov_exponents, recurrent_radii, singular_values
from gatewise.inspect.findings import find
from gatewise.inspect.measures import Gate, LayerMeasures, Measures, Memory, decay, horizon
from gatewise.inspect.recorder import Recorder, read_watch
from gatewise.nn import Recurrent

STEPS, BATCH, INPUTS, UNITS = 64, 8, 4, 16


def inputs(scale=1.0):
    return scale * torch.randn(STEPS, BATCH, INPUTS, generator=torch.Generator().manual_seed(0))


def rotation(size, factor):
    """A random orthogonal matrix times a factor."""
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(1)))
    return factor * q


def set_part(layer, matrix, part, value):
    """Write a part of a parameter of layer 0."""
    p = next(p for p in layer.cell.parameters if p.name == matrix)
    for found, start, stop in p.slices(layer.layer_sizes(0)):
        if found.name == part:
            with torch.no_grad():
                getattr(layer, f"{matrix}_l0")[start:stop] = value


def plain(factor, input_scale=0.1):
    """A tanh network whose recurrent matrix is a rotation times a factor, and that its inputs hardly push."""
    torch.manual_seed(0)
    layer = Recurrent("rnn", INPUTS, UNITS)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(rotation(UNITS, factor))
        layer.weight_ih_l0.mul_(input_scale)
        layer.bias_l0.zero_()
    return layer


def lstm(forget_bias=5.0):
    """An LSTM that keeps what it has."""
    torch.manual_seed(0)
    layer = Recurrent("lstm", INPUTS, UNITS)
    set_part(layer, "bias", "f", forget_bias)
    return layer


def kinds(diagnosis):
    return {f.kind for f in diagnosis.findings}


def test_gradients_that_vanish():
    sick, healthy = diagnose(plain(0.5), inputs()), diagnose(plain(1.0, 0.01), inputs())
    (found,) = [f for f in sick.findings if f.kind == "vanishing gradient"]
    # 0.5 a step: a tenth every log(10) / log(2) = 3.3 steps, below a hundredth after 6.6
    assert decay(sick.measures.layers["layer0"].reach) == pytest.approx(math.log(10) / math.log(2), rel=0.05)
    assert found.where == "layer0" and "gradients reach 7 of 64 steps" in found.title and "an LSTM or a GRU" in found.remedy
    assert "vanishing gradient" not in kinds(healthy) and horizon(healthy.measures.layers["layer0"].reach) is None


def test_an_lstm_that_forgets_and_one_that_remembers():
    sick, healthy = diagnose(lstm(0.0), inputs()), diagnose(lstm(), inputs())
    (found,) = [f for f in sick.findings if f.kind == "vanishing gradient"]
    assert "forget bias" in found.remedy
    assert "vanishing gradient" not in kinds(healthy)


def test_gradients_that_explode_and_where_it_begins():
    layer = plain(1.15, 1e-6)  # so still that tanh is a line
    sick, healthy = diagnose(layer, inputs()), diagnose(plain(1.0, 0.01), inputs())
    (found,) = [f for f in sick.findings if f.kind == "exploding gradient"]
    assert found.where == "layer0" and "From 0 steps back on" in found.evidence and "clip_norm" in found.remedy
    assert decay(sick.measures.layers["layer0"].reach) == pytest.approx(-math.log(10) / math.log(1.15), rel=0.02)
    assert "spectral radius of U 1.15" in found.evidence
    assert "exploding gradient" not in kinds(healthy)


def test_chaos_and_calm():
    torch.manual_seed(0)
    wild = Recurrent("rnn", INPUTS, 64)
    with torch.no_grad():
        wild.weight_hh_l0.normal_(0, 3 / 8)  # spectral radius 3: Sompolinsky, Crisanti & Sommers, PRL 61 (1988)
    sick, healthy = diagnose(wild, inputs(0.1)), diagnose(plain(0.9), inputs())
    (found,) = [f for f in sick.findings if f.kind == "chaos"]
    assert "parts" in found.title or "part" in found.title
    assert "chaos" not in kinds(healthy) and healthy.measures.layers["layer0"].lyapunov[0] < 0


def test_gates_that_are_stuck():
    shut, open_, healthy = lstm(), lstm(), lstm()
    set_part(shut, "bias", "i", -12.0)
    set_part(open_, "bias", "o", 12.0)
    for sick, gate, word in ((shut, "i", "shut"), (open_, "o", "open")):
        found = [f for f in diagnose(sick, inputs()).findings if f.kind == "saturated gate" and f.where == f"layer0, {gate}"]
        assert len(found) == 1 and f"always {word}" in found[0].title
    assert not [f for f in diagnose(healthy, inputs()).findings if f.where in ("layer0, i", "layer0, o")]


def test_units_that_never_change():
    torch.manual_seed(0)
    sick, healthy = Recurrent("rnn_relu", INPUTS, UNITS), Recurrent("rnn", INPUTS, UNITS)
    with torch.no_grad():
        sick.bias_l0[:10] = -100.0
    (found,) = [f for f in diagnose(sick, inputs()).findings if f.kind == "still units"]
    assert "10 of 16" in found.evidence
    assert "still units" not in kinds(diagnose(healthy, inputs()))


def test_a_state_that_drifts_away():
    torch.manual_seed(0)
    sick, healthy = Recurrent("original_lstm", INPUTS, UNITS), Recurrent("lstm", INPUTS, UNITS)
    for layer in (sick, healthy):
        set_part(layer, "bias", "i", 3.0)
        set_part(layer, "bias", "g", 1.5)
    (found,) = [f for f in diagnose(sick, inputs(0.1)).findings if f.kind == "state drift"]
    assert found.where == "layer0, c"
    assert "state drift" not in kinds(diagnose(healthy, inputs(0.1)))


def test_a_window_that_cuts_gradients_off():
    long, short = diagnose(plain(1.0, 0.01), inputs()).measures, diagnose(plain(0.5), inputs()).measures
    for m in (long, short):
        m.window, m.memory = 16, Memory(16, 1.0, 1.2)
    (found,) = [f for f in find(long) if f.kind == "truncated gradient"]
    assert "windows of 16 steps" in found.title
    assert "truncated gradient" not in {f.kind for f in find(short)}


def test_a_training_step_that_explodes_is_found_with_its_layer_and_time(tmp_path):
    def train(explodes):
        layer = plain(0.9, 1e-6)
        recorder = Recorder(tmp_path / "run.watch", 1, task="test")
        recorder.begin(resumed=False)
        for step in range(1, 31):
            sick = step == explodes
            with torch.no_grad():
                layer.weight_hh_l0.copy_(rotation(UNITS, 1.15 if sick else 0.9))  # for one step the matrix stretches
            layer.zero_grad()
            with recorder.watching(step, layer):
                loss = layer(inputs())[0][-1].sum()
                loss.backward()
            norm = float(nn.utils.get_total_norm([p.grad for p in layer.parameters()]))
            recorder.saw(step, 0.0, float(loss.detach()), norm, 0.01)
            if sick:
                break
        return find(read_watch(recorder.path).latest())

    (found,) = [f for f in train(30) if f.kind == "exploding step"]
    assert found.where == "step 30, layer0" and "begins to grow 100% into the sequence" in found.evidence
    assert "exploding step" not in {f.kind for f in train(None)}


def test_how_a_spike_and_clipping_that_is_the_rule_are_told():
    layer = LayerMeasures("rnn", 4, gradients=[50.0, 20.0, 5.0, 1.0, 0.1, 0.2])
    sick = Measures(6, layers={"layer1": layer}, norms=[1.0] * 9 + [40.0], spikes=[(120, 40.0)], clip_norm=0.25, clipped=1.0)
    healthy = Measures(6, norms=[1.0] * 9 + [2.0], clip_norm=5.0, clipped=0.0)
    found = {f.kind: f for f in find(sick)}
    assert set(found) == {"exploding step", "clipping"} and find(healthy) == []
    assert found["exploding step"].where == "step 120, layer1" and "begins to grow 83%" in found["exploding step"].evidence
    assert found["clipping"].remedy == "clip_norm=2"


def test_padding_that_is_read_as_data():
    torch.manual_seed(0)
    layer, random = Recurrent("gru", 2, 8), np.random.default_rng(0)

    def outputs(items):
        with torch.no_grad():
            ends = [layer(torch.tensor(item)[:, None])[0][-1, 0] for item in items]
        return torch.stack(ends).sigmoid().numpy()

    ragged = [random.standard_normal((int(n), 2)).astype(np.float32) for n in random.integers(5, 20, 30)]
    filled = [np.pad(item, ((0, 20 - len(item)), (0, 0))) for item in ragged]
    framed = [np.pad(random.standard_normal((16, 2)).astype(np.float32), ((0, 4), (0, 0))) for _ in range(30)]
    assert measure_padding(framed, outputs) is None  # all the same count: a frame, as images have
    assert measure_padding(ragged, outputs) is None
    found = measure_padding(filled, outputs)
    assert found.share > 0.8 and found.value == "[0. 0.]" and found.effect > 0.01
    (finding,) = find(Measures(20, padding=found))
    assert finding.kind == "padding read as data" and "lengths=" in finding.remedy
    harmless = measure_padding(filled, lambda items: outputs([item[~(item == 0).all(1)] for item in items]))
    assert harmless.effect == 0 and find(Measures(20, padding=harmless)) == []


def test_a_healthy_network_has_no_findings_and_says_so():
    diagnosis = diagnose(lstm(2.0), inputs(), window=32)
    assert [f for f in diagnosis.findings if f.weight >= 4] == []
    said = str(Diagnosis.of(Measures(4)))
    assert "Nothing is wrong" in said


def test_stacks_directions_lengths_and_modules():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(10, INPUTS)
            self.layers = gatewise.nn.LSTM(INPUTS, UNITS, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(2 * UNITS, 1)

        def forward(self, tokens, lengths=None):
            return self.head(self.layers(self.embedding(tokens), lengths=lengths)[0])

    torch.manual_seed(0)
    tokens, model = torch.randint(0, 10, (BATCH, 24)), Model().train()
    lengths = torch.tensor([24, 24, 24, 20, 18, 24, 20, 12])
    diagnosis = diagnose(model, tokens, lengths, loss=lambda y: y.square().mean())
    layers = diagnosis.measures.layers
    assert list(layers) == ["layer0", "layer0_reverse", "layer1", "layer1_reverse"]
    for layer in layers.values():
        assert len(layer.reach) == 24 and layer.reach[0] == pytest.approx(1)
        assert len(layer.singular) == 3 and layer.lyapunov == [] and set(layer.radius) == set("ifgo")
    assert model.training and all(p.grad is None for p in model.parameters())
    assert "layer1_reverse: lstm, 16 units; " in str(diagnosis)


def test_a_short_row_does_not_hide_what_long_ones_show():
    sick = plain(0.3)
    alone, beside = diagnose(sick, inputs()), diagnose(sick, inputs(), torch.tensor([STEPS] * 6 + [1, 0]))
    assert [f.kind for f in alone.findings] == [f.kind for f in beside.findings] == ["vanishing gradient"]


def test_each_direction_of_a_stack_is_asked_for_its_own_way():
    torch.manual_seed(0)
    stack = Recurrent("rnn", INPUTS, UNITS, num_layers=2, bidirectional=True)
    with torch.no_grad():
        for name, p in stack.named_parameters():
            if name.startswith("weight_hh"):
                p.copy_(rotation(UNITS, 0.2))
    found = [f.where for f in diagnose(stack, inputs()).findings if f.kind == "vanishing gradient"]
    assert sorted(found) == ["layer0", "layer0_reverse", "layer1", "layer1_reverse"]


class Packing(nn.Module):
    """A module that packs what it reads, and has a stack that it does not run."""

    def __init__(self):
        super().__init__()
        self.read, self.idle = gatewise.nn.LSTM(INPUTS, UNITS), gatewise.nn.GRU(INPUTS, UNITS)

    def forward(self, x):
        lengths = torch.arange(x.shape[1]) * 4 + 20
        return nn.utils.rnn.pad_packed_sequence(
            self.read(nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))[0]
        )[0]


def test_modules_as_they_come_are_left_as_they_were():
    torch.manual_seed(0)
    model, x = Packing(), inputs().requires_grad_()
    model.idle.eval()
    model.read.requires_grad_(False)
    model.idle.weight_ih_l0.grad = torch.ones_like(model.idle.weight_ih_l0)
    assert list(diagnose(model, x).measures.layers) == ["read.layer0"]
    assert model.training and not model.idle.training and not model.read.weight_ih_l0.requires_grad
    assert model.idle.weight_ih_l0.grad.all() and model.read.weight_ih_l0.grad is None
    assert len(diagnose(lstm(), inputs()[:, 0]).measures.layers["layer0"].reach) == STEPS  # one sequence, unbatched


def test_a_module_that_steps_through_a_sequence_is_refused():
    class Stepping(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = gatewise.nn.LSTM(INPUTS, UNITS)

        def forward(self, x):
            y, state = None, None
            for row in x:
                y, state = self.cell(row[None], state)
            return y

    with pytest.raises(GatewiseError, match="layer0 ran 64 times in one call of the model: examine it on whole sequences"):
        diagnose(Stepping(), inputs())


def test_a_memory_that_keeps_is_not_ill():
    torch.manual_seed(0)
    layer = Recurrent("lstm", INPUTS, UNITS, initialisers={"bias.f": "chrono(1000)"})
    assert not kinds(diagnose(layer, inputs())) & {"saturated gate", "state drift", "vanishing gradient"}


def test_what_is_too_little_to_tell_is_not_told():
    torch.manual_seed(0)
    few = diagnose(Recurrent("lstm", INPUTS, UNITS), inputs()[:6, :1])
    assert few.findings == [] and few.measures.layers["layer0"].lyapunov == []
    assert [f.kind for f in find(Measures(10, norms=[0.0, 0.0, 0.0, 1.0], spikes=[(4, 1.0)]))] == ["exploding step"]


def test_a_loss_that_is_not_finite_is_refused():
    with pytest.raises(GatewiseError, match="the loss is nan"):
        diagnose(plain(1.0), inputs() * math.nan)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "gru_v1", "layer_norm_lstm", "qrnn", "peephole_lstm"])
def test_jacobians_are_those_of_torch(name):
    torch.manual_seed(0)
    layer = Recurrent(name, 3, 5, dtype=torch.float64)
    cell, sizes = layer.cell, layer.layer_sizes(0)
    params = dict(zip([p.name for p in cell.parameters], layer.cell_parameters(0, "_l0"), strict=True))
    x = torch.randn(1, 1, 3, dtype=torch.float64)
    before = [torch.randn(1, 1, sizes[s.dim], dtype=torch.float64) for s in cell.states]

    def step(*states):
        return torch.cat([s.flatten() for s in layer(x, states)[1]])

    blocks = torch.autograd.functional.jacobian(step, tuple(before))
    expected = torch.cat([b.reshape(b.shape[0], -1) for b in blocks], 1)
    arrays = {n: p.detach().numpy() for n, p in params.items()}
    found = jacobians(cell, arrays, x[0].numpy(), [[s[0, 0].numpy() for s in before]])
    np.testing.assert_allclose(found[0], expected.numpy(), atol=1e-12)


def test_what_follows_from_jacobians_that_are_known():
    q = rotation(6, 1.0).double().numpy()
    steps = np.stack([q.T @ np.diag([2.0, 1.0, 0.5, 0.5, 0.25, 0.1]) @ q] * 200)
    assert singular_values(steps) == pytest.approx([2.0, 0.5, 0.1])
    np.testing.assert_allclose(lyapunov_exponents(steps, 3), np.log([2.0, 1.0, 0.5]), atol=1e-3)
    layer = plain(0.7)
    params = {"weight_hh": layer.weight_hh_l0, "weight_ih": layer.weight_ih_l0}
    assert recurrent_radii(layer.cell, params, layer.layer_sizes(0)) == pytest.approx({"a": 0.7}, rel=1e-5)


def test_horizons_and_decays_of_known_curves():
    curve = [0.5**k for k in range(40)]
    assert horizon(curve) == 7 and decay(curve) == pytest.approx(3.32, abs=0.01)
    assert horizon([1.0] * 40) is None and decay([1.0] * 40) == math.inf
    assert decay([1.1**k for k in range(40)]) == pytest.approx(-24.2, abs=0.1) and decay([1.0, 0.5]) is None


def test_measures_are_written_and_read():
    found = diagnose(lstm(), inputs(), window=32).measures
    found.spikes, found.memory = [(3, 40.0)], Memory(16, 1.0, 2.0)
    again = Measures.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json() and isinstance(again.layers["layer0"].gates["f"], Gate)
    assert again.spikes == [(3, 40.0)] and again.memory == Memory(16, 1.0, 2.0)
    assert len(json.dumps(found.to_json())) < 6000
