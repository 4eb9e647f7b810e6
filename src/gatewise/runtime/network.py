"""A trained network on NumPy arrays: the forward pass of an architecture, carrying its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..backends import run_layer
from ..backends.stream import Stream, StreamStack
from ..data.sequences import within
from ..errors import FileError
from ..ir.cell import layer_name
from .architecture import Architecture, Stack

LayerStates = tuple[np.ndarray, ...]
Seen = dict[str, dict[str, np.ndarray]]  # by layer and name, [T, B, units]


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
        self._layers = Layers(stack, architecture.input_size, weights, "recurrent")
        spelling = architecture.spelling
        self._spelling = None if spelling is None else Layers(spelling.stack, spelling.size, weights, "spelling.recurrent")
        self._head = weights["encoder.weight" if architecture.head.tied else "head.weight"]
        self._head_bias = weights["head.bias"]

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """What a step is to vectors [..., E]: token numbers [...]; features [..., F]; or, with spelling, [..., 1 + L]: the
        number of a word and those of its characters, with -1 after its end."""
        if self.architecture.encoder.kind == "features":
            return (inputs - self._weights["encoder.mean"]) / self._weights["encoder.scale"]
        if self._spelling is None:
            return self._rows[inputs]
        words, places = np.unique(inputs[..., 1:].reshape(-1, inputs.shape[-1] - 1), axis=0, return_inverse=True)
        lengths = (words >= 0).sum(1)
        x = self._weights["spelling.weight"][np.maximum(words.T, 0)]
        spelled = last(self._spelling.run(x, None, lengths)[0], lengths, self._spelling.directions)
        return np.concatenate([self._rows[inputs[..., 0]], spelled[places.reshape(inputs.shape[:-1])]], axis=-1)

    def scores(self, read: np.ndarray, x: np.ndarray) -> np.ndarray:
        """What the head reads [..., H], and what the first layer read [..., I], to scores [..., V]."""
        if self.architecture.skip:
            read = np.concatenate([read, x], axis=-1)
        return read @ self._head.T + self._head_bias

    def stream(self, states: list[LayerStates]) -> NetworkStream:
        """The network for a step at a time, from the states that `run` returned."""
        return NetworkStream(self, states)

    def run(
        self,
        inputs: np.ndarray,
        states: list[LayerStates] | None = None,
        lengths: np.ndarray | None = None,
        seen: Seen | None = None,
    ) -> tuple[np.ndarray, list[LayerStates]]:
        """Scores for every step, or for every sequence, as the architecture's readout has it.

        Args:
            inputs: token numbers [T, B], features [T, B, F], or words and their characters, see `encode`.
            states: what an earlier call returned, one tuple of [B, width] a layer and direction; None starts from zero.
            lengths: the number of steps that count in each row [B]; None means T.
            seen: filled with every named value of every layer; and where there is attention, with its weights [T, B] as
                "readout", "attention".

        Returns:
            Scores (logits) [T, B, V] or [B, V], float32, and the states after the last step.
        """
        x = self.encode(inputs)
        if self.architecture.convolution is not None:
            x, lengths = self._convolve(x, lengths)
        y, after = self._layers.run(x, states, lengths, seen)
        if seen is not None and self.architecture.readout.kind == "attention":
            seen["readout"] = {"attention": self.attention(y, lengths)}
        return self.scores(self._read(y, lengths), x), after

    def _convolve(self, x: np.ndarray, lengths: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        convolution = self.architecture.convolution
        assert convolution is not None
        if lengths is not None:
            x = np.where(within(len(x), lengths)[:, :, None], x, np.float32(0))
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
            score = np.where(within(len(y), lengths), score, -np.inf)
        return np.exp(log_softmax(score, axis=0))

    def _read(self, y: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        """What the head reads of outputs y [T, B, H], which are 0 past a row's length."""
        kind = self.architecture.readout.kind
        if kind == "steps":
            return y
        y = y.astype(np.float64)  # so that what stands beside a row in a batch does not show in its last digits
        if kind == "attention":
            return (self.attention(y, lengths)[:, :, None] * y).sum(0)
        steps = np.full(y.shape[1], len(y)) if lengths is None else lengths
        if kind == "last":
            return last(y, steps, self._layers.directions)
        if kind == "mean":
            return y.sum(0) / steps[:, None]
        return np.where(within(len(y), steps)[:, :, None], y, -np.inf).max(0)


class Layers:
    """The recurrent layers of a network.

    Args:
        stack: what they are.
        input_size: what the first reads a step.
        weights: the arrays of the network; theirs begin with the prefix.
    """

    def __init__(self, stack: Stack, input_size: int, weights: Mapping[str, np.ndarray], prefix: str) -> None:
        self.cell, self.directions = stack.running_cell, len(stack.directions)
        self.sizes = stack.layer_sizes(input_size)
        self.parameters = [
            [
                {p.name: p.constrained(weights[f"{prefix}.{p.name}_l{layer}{ending}"], sizes) for p in stack.cell.parameters}
                for ending in stack.directions
            ]
            for layer, sizes in enumerate(self.sizes)
        ]

    def run(
        self, x: np.ndarray, states: Sequence[LayerStates] | None, lengths: np.ndarray | None, seen: Seen | None = None
    ) -> tuple[np.ndarray, list[LayerStates]]:
        """Outputs [T, B, directions * H] of x [T, B, I], and the states after, one tuple a layer and direction."""
        after: list[LayerStates] = []
        record = () if seen is None else tuple(self.cell.named_dims)
        for layer, directions in enumerate(self.parameters):
            outputs = []
            for parameters, reverse in zip(directions, (False, True), strict=False):
                before = None if states is None else states[len(after)]
                y, new, recorded = run_layer(self.cell, parameters, x, before, lengths, reverse, record)
                outputs.append(y)
                after.append(tuple(new))
                if seen is not None:
                    seen[layer_name(layer, reverse)] = recorded
            x = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=2)
        return x, after


def last(y: np.ndarray, lengths: np.ndarray, directions: int) -> np.ndarray:
    """The last output of each direction [B, H] in outputs y [T, B, H]; the second direction's is its first step."""
    half = y.shape[2] // directions
    return np.concatenate([y[lengths - 1, np.arange(len(lengths)), :half], y[0, :, half:]], axis=1)


class NetworkStream:
    """A network that is given tokens as they come and remembers its states; many times faster than `run` with one step."""

    def __init__(self, network: RuntimeNetwork, states: list[LayerStates]) -> None:
        layers, batch = network._layers, len(states[0][0])
        self._network = network
        streams = [Stream(layers.cell, p, s, batch) for (p,), s in zip(layers.parameters, layers.sizes, strict=True)]
        self._stack = StreamStack(streams)
        self._stack.states = states

    def step(self, inputs: np.ndarray) -> np.ndarray:
        """Scores (logits) [B, V] for what follows the inputs of a step, tokens [B] or features [B, F]."""
        x = self._network.encode(inputs)
        return self._network.scores(self._stack.step(x), x)


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


def log_softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """The logarithm of the probabilities along an axis, float64, in nats."""
    shifted = scores.astype(np.float64) - scores.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
