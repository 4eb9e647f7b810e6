"""A layer as a dynamical system: the reach of its gradients, the Jacobian of a step, Lyapunov exponents. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..backends import interpret
from ..ir.cell import Cell
from ..ir.namespaces import namespace_of
from ..nn import Recurrent
from .tape import places, record

EXPONENTS = 4
SETTLE, FEWEST = 8, 32  # steps before exponents are counted, and that are counted at least


def reach(model: torch.nn.Module, run: Callable[[], object], seed: int = 0) -> dict[str, list[float]]:
    """How far gradients go back in every layer: by layer, the norm of the gradient of its stack's last output (in a random
    direction, of each row) with respect to the layer's output so many steps earlier, as a share of that at the last step;
    geometric means over the rows that go back so far. Layers that read from the end are asked for their stack's output in
    that direction; a stack that the model does not run is left out.

    Args:
        run: calls the model once, with gradients.
    """
    found: dict[str, list[float]] = {}
    ways: dict[tuple[Recurrent, bool], list[str]] = {}
    for place in places(model):
        ways.setdefault((place.stack, place.reverse), []).append(place.name)
    for (stack, reverse), layers in ways.items():
        found |= _reach_one_way(model, stack, layers, run, reverse, torch.Generator().manual_seed(seed))
    return found


def _reach_one_way(
    model: torch.nn.Module,
    stack: Recurrent,
    layers: list[str],
    run: Callable[[], object],
    reverse: bool,
    random: torch.Generator,
) -> dict[str, list[float]]:
    outputs: list[Any] = []

    def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output[0])

    hook, name = stack.register_forward_hook(keep), stack.cell.states[0].name
    try:
        with record(model, values=[name], gradients=[name]) as tape, torch.enable_grad():
            run()
            if not outputs:
                return {}
            y, lengths = outputs[-1], tape.lengths[layers[0]]
            if isinstance(y, PackedSequence):
                y, _ = pad_packed_sequence(y)
            elif y.dim() == 2:
                y = y[:, None]
            elif stack.batch_first:
                y = y.transpose(0, 1)
            ends = torch.full((y.shape[1],), len(y)) if lengths is None else lengths.cpu()
            _last(stack, y, ends, reverse, random).backward()
        return {layer: _backwards(tape.gradients[layer][name].double().cpu().norm(dim=2), ends, reverse) for layer in layers}
    finally:
        hook.remove()


def _last(stack: Recurrent, y: Tensor, ends: Tensor, reverse: bool, random: torch.Generator) -> Tensor:
    """A random projection of a direction's last output."""
    width, rows = y.shape[2] // stack.directions, torch.arange(y.shape[1])
    last = y[0, :, width:] if reverse else y[(ends - 1).clamp(min=0), rows, :width]
    return (last * torch.randn(last.shape, generator=random).to(y)).sum()


def _backwards(norms: Tensor, ends: Tensor, reverse: bool) -> list[float]:
    """Norms [T, B] by steps back from each row's last, as shares of that at the last step; geometric means over the rows
    that have so many steps."""
    rows, steps = torch.arange(norms.shape[1]), int(ends.max())
    back = torch.arange(steps)[:, None]
    there = back < ends[None]
    places = back.expand(-1, len(rows)) if reverse else (ends[None] - 1 - back).clamp(min=0)
    found = norms[places, rows].clamp(min=1e-300)
    logs = torch.where(there, (found / found[0]).log(), 0.0).sum(1) / there.sum(1).clamp(min=1)
    return torch.exp(logs).clamp(max=1e30).tolist()


def recurrent_radii(cell: Cell, params: Mapping[str, Tensor], sizes: Mapping[str, int]) -> dict[str, float]:
    """The spectral radius of every square part of the matrices that act on states, by the part's name."""
    found = {}
    for p in cell.parameters:
        if p.name in cell.recurrent_matrices:
            for part, start, stop in p.slices(sizes):
                block = params[p.name][start:stop].detach()
                if block.shape[0] == block.shape[1]:
                    found[part.name] = float(torch.linalg.eigvals(block.double()).abs().max())
    return found


def jacobians(
    cell: Cell, params: Mapping[str, np.ndarray], x: np.ndarray, states: Sequence[Sequence[np.ndarray]]
) -> np.ndarray:
    """The Jacobian of each of some steps: d(states after)/d(states before), [steps, S, S], S units of all states together.

    Args:
        params: float64. x: what each step reads, [steps, I]. states: before each step, [width] each.

    Each row of a Jacobian is one backward step with a unit vector, all of them side by side.
    """
    derived = cell.backward
    graph = derived.graph
    sizes = interpret.sizes_of(cell, x[None], params, [s[None] for s in states[0]])
    parts = interpret.parts_of(cell, params, sizes)
    widths = [len(s) for s in states[0]]
    total, cuts = sum(widths), np.cumsum([0, *widths])
    units = np.eye(total)
    results = dict(graph.outputs)
    found = []
    for row, before in zip(x, states, strict=True):
        known = {}
        for i, node in enumerate(graph.nodes):
            if node.op == "input":
                known[i] = np.repeat(row[None], total, 0)
            elif node.op in ("state", "cotangent"):
                k = next(k for k, s in enumerate(cell.states) if s.name == node.attr)
                whole = np.repeat(before[k][None], total, 0)
                known[i] = whole if node.op == "state" else units[:, cuts[k] : cuts[k + 1]]
        wanted = {results[s.name] for s in cell.states if s.name in results}
        values = interpret.evaluate(graph, known, wanted, parts, sizes, namespace_of(x, None))
        columns = [
            np.broadcast_to(values[results[s.name]], (total, w)) if s.name in results else np.zeros((total, w))
            for s, w in zip(cell.states, widths, strict=True)
        ]
        found.append(np.concatenate(columns, 1))
    return np.stack(found)


def singular_values(some: np.ndarray) -> list[float]:
    """Largest, median and smallest singular value of Jacobians [steps, S, S], medians over steps."""
    values = np.linalg.svd(some, compute_uv=False)
    return [float(np.median(v)) for v in (values[:, 0], np.median(values, 1), values[:, -1])]


def lyapunov_exponents(steps: np.ndarray, count: int = EXPONENTS, seed: int = 0) -> list[float]:
    """The leading Lyapunov exponents along a path with these Jacobians [steps, S, S], in nats a step, by repeated QR;
    none of a path that is too short to tell.

    Paper: Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15 (1980); of recurrent networks: Engelken, Wolf & Abbott,
    arXiv 2006.02427."""
    if len(steps) < SETTLE + FEWEST:
        return []
    size = steps.shape[1]
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, min(count, size))))
    logs = []
    for n, jacobian in enumerate(steps):
        q, r = np.linalg.qr(jacobian @ q)
        if n >= SETTLE:
            logs.append(np.log(np.maximum(np.abs(np.diag(r)), 1e-300)))
    return np.sort(np.mean(logs, 0))[::-1].tolist()
