"""A trained network on NumPy arrays: the forward pass of encoder → recurrent stack → head, carrying its state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..backends import run_layer
from ..backends.stream import Stream, StreamStack
from ..errors import FileError
from .architecture import Architecture

LayerStates = tuple[np.ndarray, ...]


class RuntimeNetwork:
    """Runs a model step by step or in long pieces.

    Args:
        architecture: what the model is made of.
        weights: every array that `Architecture.shapes` names, float32.

    Raises:
        FileError: an array is missing or has another shape.
    """

    def __init__(self, architecture: Architecture, weights: Mapping[str, np.ndarray]) -> None:
        self.architecture = architecture
        check_weights(architecture, weights)
        stack = architecture.stack
        self._encoder = weights.get("encoder.weight", np.eye(architecture.encoder.tokens, dtype=np.float32))
        self._cell = stack.running_cell
        self._layers = [
            {p.name: p.constrained(weights[f"recurrent.{p.name}_l{layer}"], sizes) for p in stack.cell.parameters}
            for layer, sizes in enumerate(stack.layer_sizes(architecture.encoder.size))
        ]
        self._head = weights["encoder.weight" if architecture.head.tied else "head.weight"]
        self._head_bias = weights["head.bias"]

    def encode(self, tokens: np.ndarray) -> np.ndarray:
        """Token numbers [...] to what the first layer reads [..., I]."""
        return self._encoder[tokens]

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """The last layer's outputs [..., H] to scores [..., V]."""
        return outputs @ self._head.T + self._head_bias

    def stream(self, states: list[LayerStates]) -> NetworkStream:
        """The network for a step at a time, from the states that `run` returned."""
        return NetworkStream(self, states)

    def run(
        self, tokens: np.ndarray, states: list[LayerStates] | None = None, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, list[LayerStates]]:
        """Scores for what follows each token.

        Args:
            tokens: token numbers [T, B].
            states: what an earlier call returned, one tuple of [B, width] a layer; None starts from zero.
            lengths: the number of steps that count in each row [B]; None means T.

        Returns:
            Scores (logits) [T, B, V], float32, and the states after the last step.
        """
        x = self.encode(tokens)
        after: list[LayerStates] = []
        for layer, parameters in enumerate(self._layers):
            before = None if states is None else states[layer]
            x, new = run_layer(self._cell, parameters, x, before, lengths)
            after.append(tuple(new))
        return self.scores(x), after


class NetworkStream:
    """A network that is given tokens as they come and remembers its states; many times faster than `run` with one step."""

    def __init__(self, network: RuntimeNetwork, states: list[LayerStates]) -> None:
        architecture = network.architecture
        sizes = architecture.stack.layer_sizes(architecture.encoder.size)
        batch = len(states[0][0])
        self._network = network
        self._stack = StreamStack([Stream(network._cell, p, s, batch) for p, s in zip(network._layers, sizes, strict=True)])
        self._stack.states = states

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Scores (logits) [B, V] for what follows the tokens [B]."""
        return self._network.scores(self._stack.step(self._network.encode(tokens)))


def check_weights(architecture: Architecture, weights: Mapping[str, np.ndarray]) -> None:
    """Raise a `FileError` unless ``weights`` are exactly the arrays that the architecture has."""
    shapes = architecture.shapes()
    for name, shape in shapes.items():
        if name not in weights:
            raise FileError(f"the model has no array {name!r}")
        if weights[name].shape != shape:
            raise FileError(f"the model's array {name!r} has shape {weights[name].shape}; {shape} was expected")
    extra = set(weights) - set(shapes)
    if extra:
        raise FileError(f"the model has an array {sorted(extra)[0]!r} that its architecture does not know")


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """The logarithm of the probabilities along the last axis, float64, in nats."""
    shifted = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
