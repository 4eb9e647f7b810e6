"""Backends: the interpreter, which is the definition, and the compiled kernels for the CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ..ir.cell import Cell
from . import interpret


@cache
def compiler_available() -> bool:
    """Whether kernels can be compiled here: llvmlite is installed."""
    return importlib.util.find_spec("llvmlite") is not None


class LayerRun(NamedTuple):
    """y [T, B, width of the first state], the final states [B, width], and named values [T, B, units] that were asked for;
    y and values are 0 past a row's length."""

    y: np.ndarray
    finals: tuple[np.ndarray, ...]
    recorded: dict[str, np.ndarray]


def run_layer(
    cell: Cell,
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    states: Sequence[np.ndarray] | None = None,
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    record: Sequence[str] = (),
) -> LayerRun:
    """One layer over a batch of sequences, on NumPy arrays: compiled where llvmlite is installed, else interpreted.

    params by name, as the equations use them (`Parameter.constrained`); x [T, B, input_size]; states [B, width] each,
    zero if None; lengths [B]. All arrays are of x's dtype, float32 or float64. record: named values to hand out.
    """
    sizes = interpret.sizes_of(cell, x, params, states)
    if states is None:
        states = tuple(np.zeros((x.shape[1], sizes[s.dim]), x.dtype) for s in cell.states)
    if x.dtype.name in ("float32", "float64") and compiler_available():
        from .cpu import runner

        arrays = {n: np.ascontiguousarray(a, x.dtype) for n, a in params.items()}
        initial = [np.ascontiguousarray(s, x.dtype) for s in states]
        lengths = None if lengths is None else np.asarray(lengths, np.int64)
        x = np.ascontiguousarray(x)
        result = runner.forward(cell, arrays, x, initial, sizes, lengths, reverse, record=tuple(record))
        return LayerRun(result.y, result.finals, result.recorded)
    tape = interpret.forward(cell, params, x, states, lengths, reverse, record)
    return LayerRun(tape.y, tape.finals, tape.recorded)
