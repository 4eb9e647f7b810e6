"""A layer that is run a step at a time and remembers its states: for what comes in as it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import GatewiseError
from ..ir.cell import INPUT, Cell
from . import compiler_available, interpret


class Stream:
    """One layer over `batch` sequences at once, a step a call, on NumPy arrays. Weights are taken as they are now.

    params by name, as the equations use them (`Parameter.constrained`); sizes: every dim of the cell; dtype: float32 or
    float64; shift [input_size]: what is taken from every input first; compute_dtype: "bfloat16" rounds the operands of
    products to it, in float32 alone. It runs on the caller's thread, compiled where llvmlite is installed, else interpreted;
    compiled, the numbers are those of the layer over a whole sequence to the bit.

        >>> from gatewise import cells
        >>> sizes = {"input_size": 2, "hidden_size": 3}
        >>> cell = cells.get("rnn")
        >>> stream = Stream(cell, {p.name: np.ones(p.shape(sizes)) for p in cell.parameters}, sizes)
        >>> stream.step([[0.5, 0.5]]).shape
        (1, 3)
    """

    def __init__(
        self,
        cell: Cell,
        params: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
        batch: int = 1,
        dtype: str = "float32",
        shift: np.ndarray | None = None,
        compute_dtype: str | None = None,
    ):
        if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
            raise GatewiseError(f"batch must be a whole number above 0, got {batch!r}")
        self.cell, self.batch = cell, batch
        self.shift = None if shift is None else np.array(shift, dtype)
        if compiler_available():
            from .cpu.stepper import Stepper

            make = Stepper
        else:
            make = _Interpreted
        self._stepper = make(cell, params, sizes, batch, dtype, compute_dtype)
        self._x = self._stepper.x[0]

    def step(self, x: np.ndarray | Sequence) -> np.ndarray:
        """The outputs [batch, width of the first state] for inputs [batch, input_size]."""
        x = np.asarray(x)
        if x.shape != self._x.shape:
            raise GatewiseError(f"a step's input must be {list(self._x.shape)}, got {list(x.shape)}")
        self._x[...] = x
        if self.shift is not None:
            self._x -= self.shift
        self._stepper.step()
        return self._stepper.states[0].copy()

    @property
    def states(self) -> tuple[np.ndarray, ...]:
        """The states now, [batch, width] each; set them to go on from elsewhere."""
        return tuple(s.copy() for s in self._stepper.states)

    @states.setter
    def states(self, values: Sequence[np.ndarray]) -> None:
        if len(values) != len(self.cell.states):
            names = ", ".join(s.name for s in self.cell.states)
            raise GatewiseError(f"cell {self.cell.name!r} has the states {names}; {len(values)} were given")
        for state, held, value in zip(self.cell.states, self._stepper.states, values, strict=True):
            if np.shape(value) != held.shape:
                raise GatewiseError(f"state {state.name!r} must be {list(held.shape)}, got {list(np.shape(value))}")
        for held, value in zip(self._stepper.states, values, strict=True):
            held[...] = value

    def reset(self) -> None:
        """Begin anew, with states of zero."""
        for held in self._stepper.states:
            held[...] = 0


class StreamStack:
    """Streams of layers on top of one another, as one."""

    def __init__(self, layers: Sequence[Stream]):
        self.layers = tuple(layers)

    def step(self, x: np.ndarray | Sequence) -> np.ndarray:
        """The outputs [batch, units] of the last layer for inputs [batch, input_size] of the first."""
        for layer in self.layers:
            x = layer.step(x)
        return np.asarray(x)

    @property
    def states(self) -> list[tuple[np.ndarray, ...]]:
        """The states of every layer; set them to go on from elsewhere."""
        return [layer.states for layer in self.layers]

    @states.setter
    def states(self, values: Sequence[Sequence[np.ndarray]]) -> None:
        if len(values) != len(self.layers):
            raise GatewiseError(f"there are {len(self.layers)} layers; states of {len(values)} were given")
        for layer, value in zip(self.layers, values, strict=True):
            layer.states = value

    def reset(self) -> None:
        """Begin anew, with states of zero."""
        for layer in self.layers:
            layer.reset()


class _Interpreted:
    """What `Stepper` does, op by op."""

    def __init__(
        self,
        cell: Cell,
        params: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
        batch: int,
        dtype: str,
        compute_dtype: str | None,
    ):
        self.cell, self.compute_dtype = cell, compute_dtype
        self.params = {name: np.array(a, dtype) for name, a in params.items()}
        self.x = np.zeros((1, batch, sizes[INPUT]), dtype)
        self.states: Sequence[np.ndarray] = tuple(np.zeros((batch, sizes[s.dim]), dtype) for s in cell.states)

    def step(self) -> None:
        x = self.x.copy()  # a state may be the input itself
        self.states = interpret.forward(self.cell, self.params, x, self.states, compute_dtype=self.compute_dtype).finals
