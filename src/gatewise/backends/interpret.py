"""The interpreter: runs a record over NumPy or torch arrays, op by op. It is the definition; the kernels agree with it.

It is also the fallback: any device, any dtype, no compiler. Cost: one array call a node a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ir.cell import INPUT, SCALAR, Cell, units
from ..ir.graph import Graph
from ..ir.namespaces import namespace_of
from ..ir.ops import OPS

Array = Any


def sizes_of(cell: Cell, x: Array, params: Mapping[str, Array], states: Sequence[Array] | None = None) -> dict[str, int]:
    """The number of units of every dim, read off the arrays of a layer."""
    return sizes_of_shapes(cell, x.shape, {n: a.shape for n, a in params.items()}, [s.shape for s in states or ()])


def sizes_of_shapes(
    cell: Cell, x: Sequence[int], params: Mapping[str, Sequence[int]], states: Sequence[Sequence[int]]
) -> dict[str, int]:
    """The same, read off the arrays' shapes."""
    sizes = {SCALAR: 1, INPUT: int(x[-1])}
    for dim, name, axis, parts in cell.size_sources:
        sizes[dim] = int(params[name][axis]) // parts
    for state, shape in zip(cell.states, states, strict=False):
        if state.dim not in sizes:
            sizes[state.dim] = int(shape[-1])
    return sizes


def evaluate(
    graph: Graph,
    known: dict[int, Array],
    wanted: set[int],
    parts: Mapping[tuple[str, str], Array],
    sizes: Mapping[str, int],
    xp: Any,
) -> dict[int, Array]:
    """The values of `wanted` nodes and all they need, given the leaves in `known` (node to array)."""
    values = dict(known)
    for i in sorted(graph.reachable(wanted, stop=frozenset(known))):
        if i in values:
            continue
        node = graph.nodes[i]
        meaning = OPS[node.op].meaning
        args = [values[a] for a in node.args]
        if node.op == "const":
            values[i] = node.attr
        elif node.op == "size":
            values[i] = float(sizes[node.attr])
        elif node.op == "vector":
            values[i] = parts[node.attr]
        elif node.op == "broadcast":
            values[i] = xp.broadcast(args[0], sizes[node.dim])
        elif node.op in ("matmul", "matmul_t"):
            assert meaning is not None
            values[i] = meaning(xp, args[0], parts[node.attr])
        else:
            assert meaning is not None, node.op
            values[i] = meaning(xp, *args)
    return values


@dataclass
class Tape:
    """What one pass over a sequence leaves behind."""

    y: Array  # [T, B, output]; zero past a row's length
    finals: tuple[Array, ...]  # [B, width] a state
    recorded: dict[str, Array]  # [T, B, width]
    olds: list[tuple[Array, ...]]  # the states before each step, in the order of time


def parts_of(cell: Cell, params: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[tuple[str, str], Array]:
    """Every part of every parameter as its own array."""
    return {
        (p.name, part.name): params[p.name][start:stop] for p in cell.parameters for part, start, stop in p.slices(sizes)
    }


def _leaves(graph: Graph, op: str) -> dict[str, int]:
    return {n.attr: i for i, n in enumerate(graph.nodes) if n.op == op}


def _given(cell: Cell, graph: Graph, given: Sequence[Array]) -> dict[int, Array]:
    """The leaves that the caller gives for every step, with their arrays."""
    leaves = _leaves(graph, "given")
    return {leaves[name]: a for name, a in zip(cell.given, given, strict=True)}


def _order(steps: int, reverse: bool) -> range:
    return range(steps - 1, -1, -1) if reverse else range(steps)


def forward(
    cell: Cell,
    params: Mapping[str, Array],
    x: Array,
    states: Sequence[Array],
    lengths: Array | None = None,
    reverse: bool = False,
    record: Sequence[str] = (),
    given: Sequence[Array] = (),
    compute_dtype: str | None = None,
    see: Callable[[str, int, Array], None] | None = None,
) -> Tape:
    """All steps of a layer. x [T, B, input_size], states [B, width] each, lengths [B] or None, given [T, B, units] each.

    record: named values to hand out, [T, B, units] each, 0 past a row's length. compute_dtype: "bfloat16" rounds the
    operands of matrix products to it. see: called with the name, the step and the value of every named value, as the
    equations go on with it."""
    xp = namespace_of(x, compute_dtype)
    sizes = sizes_of(cell, x, params, states)
    parts = parts_of(cell, params, sizes)
    graph, steps = cell.graph, x.shape[0]
    input_leaf = next(iter(_leaves(graph, "input").values()))
    state_leaves, given_leaves = _leaves(graph, "state"), _given(cell, graph, given)
    named = dict(cell.named)
    wanted = {i for _, i in graph.outputs} | {named[r] for r in (record if see is None else named)}
    current = tuple(states)
    ys: list[Array] = [None] * steps
    rows: dict[str, list[Array]] = {r: [None] * steps for r in record}
    olds: list[tuple[Array, ...]] = [()] * steps
    for t in _order(steps, reverse):
        olds[t] = current
        known = {input_leaf: x[t], **{i: a[t] for i, a in given_leaves.items()}}
        known |= {state_leaves[s.name]: v for s, v in zip(cell.states, current, strict=True)}
        values = evaluate(graph, known, wanted, parts, sizes, xp)
        if see is not None:
            for name, i in cell.named:
                see(name, t, values[i])
        news = tuple(values[i] for _, i in graph.outputs)
        y = news[0]
        shown = {r: values[named[r]] for r in record}
        if lengths is not None:
            active = xp.active(lengths, t, x)
            zero = xp.zeros((1, 1), x)
            y = xp.where(active, y, zero)
            news = tuple(xp.where(active, new, old) for new, old in zip(news, current, strict=True))
            shown = {r: xp.where(active, v, zero) for r, v in shown.items()}
        ys[t] = y
        for r in record:
            rows[r][t] = shown[r]
        current = news
    y = xp.stack(ys) if steps else xp.zeros((0, x.shape[1], sizes[cell.output_dim]), x)
    return Tape(y, current, {r: xp.stack(v) for r, v in rows.items()}, olds)


@dataclass
class Gradients:
    """The gradients of one pass. `recorded` has those of named values at every step, [T, B, units] each, if asked for."""

    x: Array
    states: tuple[Array, ...]
    params: dict[str, Array]
    recorded: dict[str, Array]


def backward(
    cell: Cell,
    params: Mapping[str, Array],
    x: Array,
    tape: Tape,
    dy: Array | None,
    dfinals: Sequence[Array | None],
    lengths: Array | None = None,
    reverse: bool = False,
    record: Sequence[str] = (),
    given: Sequence[Array] = (),
    compute_dtype: str | None = None,
) -> Gradients:
    """Backpropagation through time by the backward record. dy [T, B, output], dfinals [B, width] each.

    record: named values whose gradients are handed out, [T, B, units] each, 0 past a row's length."""
    xp = namespace_of(x, compute_dtype)
    derived = cell.backward
    graph = derived.graph
    states = tape.olds[0] if tape.olds else tape.finals
    sizes = sizes_of(cell, x, params, states)
    parts = parts_of(cell, params, sizes)
    input_leaf, given_leaves = next(iter(_leaves(graph, "input").values())), _given(cell, graph, given)
    state_leaves, cotangents = _leaves(graph, "state"), _leaves(graph, "cotangent")
    results = dict(graph.outputs)
    wanted = {*results.values(), *(o.cotangent for o in derived.outers), *(v.cotangent for v in derived.vectors)}
    wanted |= {o.source for o in derived.outers}
    named = {name: i for name, i in derived.named if name in record}
    wanted |= set(named.values())
    carried = [
        xp.zeros((x.shape[1], sizes[s.dim]), x) if d is None else d for s, d in zip(cell.states, dfinals, strict=True)
    ]
    sums = {k: xp.zeros(tuple(v.shape), x) for k, v in parts.items()}
    dx = [xp.zeros((x.shape[1], x.shape[2]), x)] * x.shape[0]
    rows = {r: [xp.zeros((x.shape[1], units(cell.named_dims[r], sizes)), x)] * x.shape[0] for r in record}
    for t in reversed(_order(x.shape[0], reverse)):
        active = None if lengths is None else xp.active(lengths, t, x)
        incoming = list(carried)
        if dy is not None:
            incoming[0] = incoming[0] + dy[t]
        if active is not None:
            incoming = [xp.where(active, g, xp.zeros((1, 1), x)) for g in incoming]
        known = {input_leaf: x[t], **{i: a[t] for i, a in given_leaves.items()}}
        known |= {state_leaves[s.name]: v for s, v in zip(cell.states, tape.olds[t], strict=True)}
        known |= {cotangents[s.name]: g for s, g in zip(cell.states, incoming, strict=True) if s.name in cotangents}
        values = evaluate(graph, known, wanted, parts, sizes, xp)
        for o in derived.outers:
            key = (o.parameter, o.part)
            sums[key] = sums[key] + xp.matmul(values[o.cotangent].T, values[o.source])
        for v in derived.vectors:
            key = (v.parameter, v.part)
            sums[key] = sums[key] + values[v.cotangent].sum(0)
        for name, i in named.items():
            rows[name][t] = values[i] if active is None else xp.where(active, values[i], xp.zeros((1, 1), x))
        if "input" in results:
            dx[t] = values[results["input"]]
        for k, s in enumerate(cell.states):
            g = values[results[s.name]] if s.name in results else xp.zeros((1, 1), x) * carried[k]
            carried[k] = g if active is None else xp.where(active, g, carried[k])
    gathered = {}
    for p in cell.parameters:
        out = xp.zeros(p.shape(sizes), x)
        for part, start, stop in p.slices(sizes):
            out[start:stop] = sums[p.name, part.name]
        gathered[p.name] = out
    recorded = {name: xp.stack(found) for name, found in rows.items()}
    return Gradients(xp.stack(dx) if dx else xp.zeros(tuple(x.shape), x), tuple(carried), gathered, recorded)
