"""A trained network on NumPy arrays: the forward pass of an architecture, carrying its state."""

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
        self._weights = weights
        stack, encoder = architecture.stack, architecture.encoder
        self._rows = weights.get("encoder.weight", np.eye(encoder.tokens, dtype=np.float32))
        self._cell = stack.running_cell
        self._layers = [
            [self._cell_parameters(f"_l{layer}{ending}", sizes) for ending in stack.directions]
            for layer, sizes in enumerate(stack.layer_sizes(architecture.input_size))
        ]
        self._head = weights["encoder.weight" if architecture.head.tied else "head.weight"]
        self._head_bias = weights["head.bias"]

    def _cell_parameters(self, ending: str, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
        parameters = self.architecture.stack.cell.parameters
        return {p.name: p.constrained(self._weights[f"recurrent.{p.name}{ending}"], sizes) for p in parameters}

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """Token numbers [...], or features [..., F], to vectors [..., E]."""
        if self.architecture.encoder.kind == "features":
            return (inputs - self._weights["encoder.mean"]) / self._weights["encoder.scale"]
        return self._rows[inputs]

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """The last layer's outputs [..., H] to scores [..., V]."""
        return outputs @ self._head.T + self._head_bias

    def stream(self, states: list[LayerStates]) -> NetworkStream:
        """The network for a step at a time, from the states that `run` returned."""
        return NetworkStream(self, states)

    def run(
        self, inputs: np.ndarray, states: list[LayerStates] | None = None, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, list[LayerStates]]:
        """Scores for every step, or for every sequence, as the architecture's readout has it.

        Args:
            inputs: token numbers [T, B], or features [T, B, F].
            states: what an earlier call returned, one tuple of [B, width] a layer and direction; None starts from zero.
            lengths: the number of steps that count in each row [B]; None means T.

        Returns:
            Scores (logits) [T, B, V] or [B, V], float32, and the states after the last step.
        """
        x = self.encode(inputs)
        if self.architecture.convolution is not None:
            x, lengths = self._convolve(x, lengths)
        after: list[LayerStates] = []
        for directions in self._layers:
            outputs = []
            for parameters, reverse in zip(directions, (False, True), strict=False):
                before = None if states is None else states[len(after)]
                y, new = run_layer(self._cell, parameters, x, before, lengths, reverse)
                outputs.append(y)
                after.append(tuple(new))
            x = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=2)
        return self.scores(self._read(x, lengths)), after

    def _convolve(self, x: np.ndarray, lengths: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        convolution = self.architecture.convolution
        assert convolution is not None
        if lengths is not None:
            x = np.where((np.arange(len(x))[:, None] < lengths)[:, :, None], x, np.float32(0))
            lengths = convolution.steps(lengths)
        side = convolution.width // 2
        seen = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((side, side), (0, 0), (0, 0))), convolution.width, axis=0)
        seen = seen[:: convolution.stride]
        weight = self._weights["convolution.weight"].reshape(convolution.size, -1)
        y = seen.reshape(*seen.shape[:2], -1) @ weight.T + self._weights["convolution.bias"]
        return np.maximum(y, 0), lengths

    def attention(self, y: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """The weight of every step [T, B] in the readout of outputs y [T, B, H]; each row's sum is 1."""
        w = self._weights
        score = np.tanh(y @ w["readout.weight"].T + w["readout.bias"]) @ w["readout.query"]
        if lengths is not None:
            score = np.where(np.arange(len(y))[:, None] < lengths, score, -np.inf)
        share = np.exp(score - score.max(0))
        return share / share.sum(0)

    def _read(self, y: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """What the head reads of outputs y [T, B, H], which are 0 past a row's length."""
        kind = self.architecture.readout.kind
        if kind == "steps":
            return y
        if kind == "attention":
            return (self.attention(y, lengths)[:, :, None] * y).sum(0)
        steps = np.full(y.shape[1], len(y)) if lengths is None else lengths
        if kind == "last":
            half = y.shape[2] // len(self.architecture.stack.directions)
            last = y[steps - 1, np.arange(len(steps)), :half]
            return np.concatenate([last, y[0, :, half:]], axis=1)
        if kind == "mean":
            return y.sum(0) / steps[:, None].astype(y.dtype)
        return np.where((np.arange(len(y))[:, None] < steps)[:, :, None], y, -np.inf).max(0).astype(y.dtype)


class NetworkStream:
    """A network that is given tokens as they come and remembers its states; many times faster than `run` with one step."""

    def __init__(self, network: RuntimeNetwork, states: list[LayerStates]) -> None:
        architecture = network.architecture
        sizes = architecture.stack.layer_sizes(architecture.input_size)
        batch = len(states[0][0])
        self._network = network
        layers = [Stream(network._cell, p, s, batch) for (p,), s in zip(network._layers, sizes, strict=True)]
        self._stack = StreamStack(layers)
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
