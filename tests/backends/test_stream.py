"""Streams: a step at a time gives what a whole sequence gives."""

import numpy as np
import pytest
import torch

from gatewise import GatewiseError, cells
from gatewise.backends import compiler_available, run_layer, stream
from gatewise.backends.stream import Stream
from gatewise.checks import TOLERANCE
from gatewise.nn import GRU, Recurrent

SIZES = {"input_size": 5, "hidden_size": 18, "proj_size": 7}


def layer_of(name, dtype):
    cell, random = cells.get(name), np.random.default_rng(0)
    params = {p.name: random.standard_normal(p.shape(SIZES)).astype(dtype) * 0.5 for p in cell.parameters}
    return cell, params


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["lstm", "projected_lstm", "gru_v1", "qrnn", "layer_norm_lstm", "slstm", "rhn"])
def test_a_stream_gives_what_the_whole_sequence_gives(name, dtype, compiled, monkeypatch):
    cell, params = layer_of(name, dtype)
    x = np.random.default_rng(1).standard_normal((9, 3, 5)).astype(dtype)
    expected, finals, _ = run_layer(cell, params, x)
    monkeypatch.setattr(stream, "compiler_available", lambda: compiled and compiler_available())
    s = Stream(cell, params, SIZES, 3, dtype)
    ys = np.stack([s.step(step) for step in x])

    def compare(got, want):
        if compiled:
            np.testing.assert_array_equal(got, want)
        else:
            np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype] * max(1e-2, np.abs(want).max()))

    compare(ys, expected)
    for a, b in zip(s.states, finals, strict=True):
        compare(a, b)
    middle = run_layer(cell, params, x[:4])[1]
    s.states = middle
    compare(s.step(x[4]), expected[4])
    s.reset()
    kept = s.step(x[0])
    s.step(x[1])
    compare(kept, expected[0])  # a result is not written over


def test_weights_are_taken_as_they_are_when_the_stream_begins():
    cell, params = layer_of("lstm", "float32")
    x = np.ones((1, 5), np.float32)
    s = Stream(cell, params, SIZES)
    before = s.step(x)
    for a in params.values():
        a[...] = 0
    s.reset()
    np.testing.assert_array_equal(s.step(x), before)


def test_a_layer_that_goes_on_learning_does_not_change_its_stream():
    layer = Recurrent("li_gru", 5, 8, batch_norm=True)
    s = layer.stream(2)
    x = np.ones((2, 5), np.float32)
    before = s.step(x)
    with torch.no_grad():
        for value in (*layer.parameters(), *layer.buffers()):
            value += 1.0
    s.reset()
    np.testing.assert_array_equal(s.step(x), before)


@pytest.mark.parametrize("options", [{}, {"zoneout": 0.3}, {"batch_norm": True}], ids=["plain", "zoneout", "batch_norm"])
def test_the_stream_of_a_layer(options):
    torch.manual_seed(0)
    layer = Recurrent("gru_v1", 5, 8, num_layers=2, dtype=torch.float64, **options)
    x = torch.randn(7, 3, 5, dtype=torch.float64) + 2.0
    for _ in range(3):
        layer(x)
    layer.eval()
    s = layer.stream(3)
    ys = np.stack([s.step(step.numpy()) for step in x])
    y, finals = layer(x)
    np.testing.assert_allclose(ys, y.detach(), atol=1e-12)
    np.testing.assert_allclose(np.stack([states[0] for states in s.states]), finals[0].detach(), atol=1e-12)


def test_torchs_parameters_stream_too():
    layer = GRU(5, 8)
    x = torch.randn(4, 1, 5)
    s = layer.stream()
    np.testing.assert_allclose(np.stack([s.step(step.numpy()) for step in x]), layer(x)[0].detach(), atol=1e-6)


def test_mistakes():
    cell, params = layer_of("lstm", "float32")
    s = Stream(cell, params, SIZES, 2)
    with pytest.raises(GatewiseError, match=r"must be \[2, 5\], got \[5\]"):
        s.step(np.zeros(5))
    with pytest.raises(GatewiseError, match="has the states h, c; 1 were given"):
        s.states = (np.zeros((2, 18)),)
    with pytest.raises(GatewiseError, match=r"state 'c' must be \[2, 18\], got \[1, 18\]"):
        s.states = (np.zeros((2, 18)), np.zeros((1, 18)))
    with pytest.raises(GatewiseError, match="batch must be a whole number"):
        Stream(cell, params, SIZES, 0)
    with pytest.raises(GatewiseError, match="reads the future"):
        Recurrent("lstm", 5, 8, bidirectional=True).stream()
    with pytest.raises(GatewiseError, match="float32 or float64"):
        Recurrent("lstm", 5, 8, dtype=torch.bfloat16).stream()
    with pytest.raises(GatewiseError, match="2 layers; states of 1"):
        Recurrent("lstm", 5, 8, 2).stream().states = [(np.zeros((1, 8)), np.zeros((1, 8)))]
