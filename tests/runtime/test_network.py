"""The runtime gives what the trained torch network gives, and refuses weights that do not fit."""

import numpy as np
import pytest
import torch

from gatewise import cells
from gatewise.errors import FileError, ParameterError
from gatewise.runtime.architecture import Architecture, Encoder, Head, Stack
from gatewise.runtime.network import RuntimeNetwork, log_softmax
from gatewise.tasks.network import Network, export_weights

ARCHITECTURES = {
    "one-hot": (Encoder("one_hot", 7, 7), ("lstm", 5, 1, {}), False),
    "deep": (Encoder("embedding", 7, 3), ("gru", 5, 3, {}), False),
    "tied": (Encoder("embedding", 7, 5), ("lstm", 5, 2, {}), True),
    "projected": (Encoder("embedding", 7, 3), ("projected_lstm", 5, 2, {"proj_size": 3}), True),
    "norm": (Encoder("one_hot", 7, 7), ("layer_norm_lstm", 5, 1, {}), False),
}


def build(name: str) -> tuple[Architecture, Network]:
    encoder, (cell, *stack), tied = ARCHITECTURES[name]
    architecture = Architecture(encoder, Stack(cells.get(cell), *stack), Head(7, tied))
    torch.manual_seed(3)
    return architecture, Network(architecture).eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_and_states_are_those_of_the_torch_network(name):
    architecture, network = build(name)
    weights = export_weights(network)
    assert {key: array.shape for key, array in weights.items()} == architecture.shapes()
    runtime = RuntimeNetwork(architecture, weights)
    tokens = np.random.default_rng(0).integers(0, 7, (6, 4))
    lengths = np.array([6, 1, 4, 5])
    with torch.no_grad():
        scores, states, _ = network(torch.from_numpy(tokens), None, torch.from_numpy(lengths))
    found, layers = runtime.run(tokens, None, lengths)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, scores.numpy(), rtol=1e-5, atol=1e-6)
    for layer, after in enumerate(layers):
        for state, array in zip(states, after, strict=True):
            np.testing.assert_allclose(array, state[layer].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_split_sequence_is_the_whole(name):
    architecture, network = build(name)
    runtime = RuntimeNetwork(architecture, export_weights(network))
    tokens = np.random.default_rng(0).integers(0, 7, (9, 2))
    whole, after_whole = runtime.run(tokens)
    first, states = runtime.run(tokens[:4])
    second, after = runtime.run(tokens[4:], states)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-6, atol=1e-6)
    for x, y in zip(after_whole, after, strict=True):
        for a, b in zip(x, y, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_goes_to_json_and_back(name):
    architecture, _ = build(name)
    assert Architecture.from_json(architecture.to_json()) == architecture


def test_weights_that_do_not_fit_are_named():
    architecture, network = build("one-hot")
    weights = export_weights(network)
    with pytest.raises(FileError, match=r"'head.bias' has shape \(3,\); \(7,\) was expected"):
        RuntimeNetwork(architecture, {**weights, "head.bias": np.zeros(3, np.float32)})
    with pytest.raises(FileError, match="'other' that its architecture does not know"):
        RuntimeNetwork(architecture, {**weights, "other": np.zeros(3, np.float32)})
    del weights["head.bias"]
    with pytest.raises(FileError, match="no array 'head.bias'"):
        RuntimeNetwork(architecture, weights)


def test_parts_that_do_not_fit_are_named():
    stack = Stack(cells.get("lstm"), 5, 1)
    with pytest.raises(ParameterError, match="tie_weights needs an embedding"):
        Architecture(Encoder("one_hot", 7, 7), stack, Head(7, tied=True))
    with pytest.raises(ParameterError, match="embedding_size is 3, the output has 5"):
        Architecture(Encoder("embedding", 7, 3), stack, Head(7, tied=True))
    with pytest.raises(ParameterError, match="needs cell_sizes=.*proj_size"):
        Architecture(Encoder("one_hot", 7, 7), Stack(cells.get("projected_lstm"), 5, 1), Head(7))
    with pytest.raises(ParameterError, match="has no size 'proj_size'"):
        Architecture(Encoder("one_hot", 7, 7), Stack(cells.get("lstm"), 5, 1, {"proj_size": 2}), Head(7))
    with pytest.raises(FileError, match="encoder of kind 'fourier'"):
        Encoder("fourier", 7, 7)  # pyright: ignore[reportArgumentType]


def test_log_softmax_is_stable():
    scores = np.array([[1e4, 0.0, -1e4], [0.0, 0.0, -np.inf]], np.float32)
    expected = [[0, -1e4, -2e4], [-np.log(2), -np.log(2), -np.inf]]
    np.testing.assert_allclose(log_softmax(scores), expected)
