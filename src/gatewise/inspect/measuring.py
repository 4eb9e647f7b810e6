"""From a tape to measures. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..ir.cell import Cell
from .measures import NEARLY_ALWAYS, OPEN, SHUT, STILL, STRETCHES, Gate, LayerMeasures, Measures
from .tape import Tape, places

FEWEST_ROWS = 16  # steps of all sequences, from which on it is said that a unit does not change
MOST_NUMBERS = 64  # that are kept of a sequence's gradients


def measure_tape(model: nn.Module, tape: Tape) -> Measures:
    """What the last pass of every layer on a tape comes to."""
    measures = Measures(0)
    for place in places(model):
        if place.name not in tape.passes:
            continue  # the model did not run this stack
        seen = tape.passes[place.name][-1]
        measures.layers[place.name] = measure_layer(
            place.stack.cell, seen.values, seen.gradients, seen.lengths, place.reverse
        )
        measures.steps = max(measures.steps, len(seen.x))
    return measures


def measure_layer(
    cell: Cell, values: Mapping[str, Tensor], gradients: Mapping[str, Tensor], lengths: Tensor | None, reverse: bool = False
) -> LayerMeasures:
    """Of one pass: values and gradients [T, B, units] by name, as `Tape` has them; lengths [B]."""
    values = {name: value.float().cpu() for name, value in values.items()}
    output = values[cell.states[0].name]
    steps = len(output)
    real = None if lengths is None else torch.arange(steps)[:, None] < lengths.to("cpu")
    if real is not None and bool(real.all()):
        real = None
    found = LayerMeasures(cell.name, output.shape[2])
    keeping = {gate: "shut" if one_minus else "open" for gate, one_minus in cell.keepers.values()}
    for name in cell.gates:
        found.gates[name] = replace(_gate(values[name], real), keeps=keeping.get(name, ""))
    found.still = _still(output, real)
    for state in cell.states:
        if state.name in values and values[state.name].shape[2] and cell.graph.nodes[dict(cell.named)[state.name]].args:
            found.states[state.name] = _stretches(values[state.name], real, reverse)
    gradient = gradients.get(cell.states[0].name)
    if gradient is not None:
        norms = gradient.float().cpu().square().sum(2).sqrt().mean(1)
        norms = norms.flip(0) if reverse else norms
        parts = norms.tensor_split(min(MOST_NUMBERS, steps))
        found.gradients = [float(p.max()) for p in parts]
    return found


def _gate(value: Tensor, real: Tensor | None) -> Gate:
    rows = value.flatten(0, 1) if real is None else value[real]
    low, high = (rows < SHUT).float().mean(0), (rows > OPEN).float().mean(0)
    spread = torch.histc(rows, 10, 0.0, 1.0) / max(1, rows.numel())
    return Gate(
        float(rows.mean()),
        float(low.mean()),
        float(high.mean()),
        float((low > NEARLY_ALWAYS).float().mean()),
        float((high > NEARLY_ALWAYS).float().mean()),
        spread.tolist(),
    )


def _still(output: Tensor, real: Tensor | None) -> float:
    rows = output.flatten(0, 1) if real is None else output[real]
    if len(rows) < FEWEST_ROWS:
        return 0.0
    spread = rows.std(0, correction=0)
    return float((spread <= STILL * spread.median().clamp(min=1e-6)).float().mean())


def _stretches(state: Tensor, real: Tensor | None, reverse: bool) -> list[float]:
    squares = state.square().mean(2)
    counts = torch.ones_like(squares) if real is None else real.to(squares.dtype)
    squares, counts = (squares * counts).sum(1), counts.sum(1)
    if reverse:
        squares, counts = squares.flip(0), counts.flip(0)
    parts = min(STRETCHES, len(squares))
    pairs = zip(squares.tensor_split(parts), counts.tensor_split(parts), strict=True)
    return [float((s.sum() / c.sum().clamp(min=1)).sqrt()) for s, c in pairs]
