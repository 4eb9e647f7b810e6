"""The plan of a cell: what forward keeps for backward, and the schedules of both.

Decided from the record alone. A forward value that backward needs is read from memory if it is there anyway (the input,
the states), computed again if that is cheap, and otherwise kept for every step. The gradients that backward leaves for
the weights' products take the slots of kept values that nothing reads any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from ..ir.cell import INPUT as INPUT_DIM
from ..ir.cell import Cell
from ..ir.derive import INPUT_GRADIENT, Backward
from ..ir.graph import SCALAR as ONE
from ..ir.graph import Graph, Node
from ..ir.ops import ELEMENTWISE, LEAF, OPS
from .places import CARRY, DX, GIVEN, GRADIENT, INPUT, NEW, OLD, PANEL, RECORD, ROWS, SCALAR, Place
from .schedule import Schedule, Scheduler, recompute_cost

KEEP = 30  # additions that backward rather spends than have a row of units kept for every step


@dataclass(frozen=True)
class OuterProduct:
    """The gradient of a matrix's part: rows of units at `source` against the panel slot `cotangent`."""

    matrix: tuple[str, str]
    source: Place
    cotangent: Place


@dataclass
class Kept:
    """The buffers that hold something for every step and row."""

    panels: dict[str, int]  # slots a dim
    rows: list[str]  # dims
    scalars: int


@dataclass
class Plan:
    """Everything a backend needs to know of a cell."""

    cell: Cell
    record: tuple[str, ...]
    input_gradient: bool
    gradients: tuple[str, ...]
    infer: Schedule
    save: Schedule
    backward: Schedule
    outers: list[OuterProduct]
    kept: Kept


def leaves(cell: Cell) -> dict[int, Place]:
    """The values that every step starts with: the input, the old states, and what the caller gives beside them."""
    places = {}
    for i, node in enumerate(cell.graph.nodes):
        if node.op == "input":
            places[i] = Place(INPUT)
        elif node.op == "state":
            places[i] = Place(OLD, node.attr)
        elif node.op == "given":
            places[i] = Place(GIVEN, node.attr)
    return places


def needed_by_backward(record: Backward, roots: list[int]) -> list[int]:
    """The forward values that the backward record reads directly, in topological order."""
    graph, count = record.graph, record.forward_count
    found = {o.source for o in record.outers}
    stop = frozenset(range(count))
    for i in graph.reachable(roots, stop=stop):
        if i < count:
            found.add(i)
    return sorted(found)


def choose_saved(cell: Cell, needed: list[int], at_hand: dict[int, Place]) -> list[int]:
    """Of the values that backward needs, those that must be kept: neither at hand nor cheap to compute again."""
    nodes = cell.graph.nodes
    have: dict[int, object] = dict(at_hand)
    numbers = {i: True for i, n in enumerate(nodes) if n.dim == ONE}  # one a row: kept for next to nothing
    saved: set[int] = set()
    for i in needed:
        if i in have or nodes[i].dim == ONE or OPS[nodes[i].op].shape == LEAF:
            continue
        if recompute_cost(cell.graph, i, {**numbers, **have}, KEEP) > KEEP:
            i = _behind(cell.graph, i, {**numbers, **have})
            have[i] = True
            saved.add(i)
    for i in cell.graph.reachable(needed, stop=frozenset(have)):
        if nodes[i].dim == ONE and OPS[nodes[i].op].shape != LEAF and _is_read(cell, i, needed, have):
            saved.add(i)
    return sorted(saved)


def _behind(graph: Graph, i: int, at_hand: dict[int, object]) -> int:
    """The value to keep for `i`: where it is one addition or product away from one that is not at hand, that one, since
    others may be as near to it."""
    node = graph.nodes[i]
    far = {a for a in node.args if recompute_cost(graph, a, at_hand, KEEP) > KEEP}
    if OPS[node.op].shape != ELEMENTWISE or OPS[node.op].cost > 1 or len(far) != 1:
        return i
    (source,) = far
    return _behind(graph, source, at_hand) if graph.nodes[source].dim == node.dim else i


def _is_read(cell: Cell, number: int, needed: list[int], have: dict[int, object]) -> bool:
    """Whether a number a row is read by backward, or by a row of units that backward computes again."""
    nodes = cell.graph.nodes
    if all(nodes[i].op not in ("input", "state", "given") for i in cell.graph.reachable([number])):
        return False  # the same in every row: it costs nothing to compute again
    again = cell.graph.reachable([i for i in needed if nodes[i].dim != ONE], stop=frozenset(have))
    return number in needed or any(number in nodes[i].args for i in again if i not in have and nodes[i].dim != ONE)


@lru_cache(maxsize=256)
def plan(cell: Cell, record: tuple[str, ...] = (), input_gradient: bool = True, gradients: tuple[str, ...] = ()) -> Plan:
    """The plan of a cell. record: named values to hand out; input_gradient: whether dx is wanted; gradients: named values
    whose gradients backward hands out."""
    given = leaves(cell)
    news = {i: Place(NEW, name) for name, i in reversed(cell.graph.outputs) if i not in given}
    back = cell.backward
    grads = dict(back.graph.outputs)
    if not input_gradient:
        grads.pop(INPUT_GRADIENT, None)
    # all gradients, whether that of the input is wanted or not: forward keeps the same for both
    roots = [*dict(back.graph.outputs).values(), *(o.cotangent for o in back.outers), *(v.cotangent for v in back.vectors)]
    needed = needed_by_backward(back, roots)
    saved = choose_saved(cell, needed, {**given, **news})
    kept = Kept({}, [], 0)
    keep: dict[int, Place] = {}
    for o in back.outers:
        if o.source not in given and o.source not in news and o.source not in keep:
            dim = cell.graph.nodes[o.source].dim
            keep[o.source] = Place(ROWS, dim, len(kept.rows), kept=True)
            kept.rows.append(dim)
    for i in saved:
        if i in keep:
            continue
        dim = cell.graph.nodes[i].dim
        if dim == ONE:
            keep[i] = Place(SCALAR, slot=kept.scalars, kept=True)
            kept.scalars += 1
        else:
            keep[i] = Place(PANEL, dim, kept.panels.get(dim, 0), kept=True)
            kept.panels[dim] = keep[i].slot + 1

    wanted = [(i, Place(NEW, name), _dim(cell, name)) for name, i in cell.graph.outputs]
    named = dict(cell.named)
    wanted += [(named[r], Place(RECORD, r), cell.named_dims[r]) for r in record]
    infer, save = (_forward(cell, given, wanted, k) for k in ({}, keep))
    backward, outers = _backward(cell, back, grads, {**news, **keep, **given}, kept, gradients)
    if not input_gradient:
        kept.panels = plan(cell, record, True, gradients).kept.panels  # as wide as forward makes them
    return Plan(cell, record, input_gradient, gradients, infer, save, backward, outers, kept)


def delayed_inputs(cell: Cell) -> list[str]:
    """The states that only hand on the input: their values are known for all steps before the first one runs."""
    nodes, found = cell.graph.nodes, []
    known = {i for i, n in enumerate(nodes) if n.op == "input"}
    while True:
        new = [name for name, i in cell.graph.outputs if i in known and name not in found]
        if not new:
            return found
        found += new
        known |= {i for i, n in enumerate(nodes) if n.op == "state" and n.attr in new}


def values_ahead(cell: Cell, keep: dict[int, Place]) -> set[int]:
    """What is computed for a block of steps at once: the values that depend on inputs alone, products among them, and
    that a step or backward reads. A block's rows go through the weights together, which a step would read anew."""
    nodes, delayed = cell.graph.nodes, delayed_inputs(cell)
    sources = {n.args[0] for n in nodes if n.op == "matmul"}  # a step's products read rows of this step alone
    known: set[int] = set()
    products: set[int] = set()
    for i, n in enumerate(nodes):
        if n.op == "matmul":
            source = nodes[n.args[0]]
            if source.op == "input" or (source.op == "state" and source.attr in delayed):
                known.add(i)
                products.add(i)
        elif n.op in ("input", "vector", "const", "size") or (n.op == "state" and n.attr in delayed):
            known.add(i)
        elif OPS[n.op].shape == ELEMENTWISE and n.dim != ONE and i not in sources and all(a in known for a in n.args):
            known.add(i)
            if any(a in products for a in n.args):
                products.add(i)
    read = {a for i, n in enumerate(nodes) if i not in known for a in n.args} | {i for _, i in cell.graph.outputs}
    at_hand: dict[int, object] = {i: True for i, n in enumerate(nodes) if OPS[n.op].shape == LEAF}
    wanted = {_behind(cell.graph, i, at_hand) for i in read & products}
    wanted = {i for i in wanted if recompute_cost(cell.graph, i, {**at_hand, **keep}) > 3}  # a product of two kept values
    return wanted | (set(keep) & products)


def _forward(cell: Cell, given: dict[int, Place], wanted: list[tuple[int, Place, str]], keep: dict[int, Place]) -> Schedule:
    """The schedule of a forward step, and what runs ahead of it."""
    nodes, ahead = cell.graph.nodes, values_ahead(cell, keep)
    if not ahead:
        return Scheduler(cell.graph, given, wanted, keep).run()
    blocks: dict[str, int] = {}
    places: dict[int, Place] = {}
    for i in sorted(ahead):
        dim = nodes[i].dim
        if i in keep:
            places[i] = keep[i]
        else:
            places[i] = Place(PANEL, dim, blocks.get(dim, 0), block=True)
            blocks[dim] = places[i].slot + 1
    handed = [Place(NEW, name) for name in delayed_inputs(cell)]
    step = Scheduler(cell.graph, {**given, **places}, [w for w in wanted if w[1] not in handed], keep).run()
    step.joined(Scheduler(cell.graph, given, [(i, p, nodes[i].dim) for i, p in places.items()], {}).run(), "ahead")
    if handed:
        step.joined(Scheduler(cell.graph, given, [w for w in wanted if w[1] in handed], {}).run(), "ahead")
    step.blocks = blocks
    return step


def _dim(cell: Cell, state: str) -> str:
    return next(s.dim for s in cell.states if s.name == state)


def _backward(
    cell: Cell,
    back: Backward,
    grads: dict[str, int],
    at_hand: dict[int, Place],
    kept: Kept,
    gradients: tuple[str, ...],
) -> tuple[Schedule, list[OuterProduct]]:
    """The backward schedule and the weights' products; widens `kept` by the slots that gradients need."""
    nodes, named = list(back.graph.nodes), dict(back.named)
    wanted: list[tuple[int, Place, str]] = []
    for name, i in grads.items():
        place, dim = (Place(DX), INPUT_DIM) if name == INPUT_GRADIENT else (Place(CARRY, name), _dim(cell, name))
        wanted.append((i, place, dim))
    for state in cell.states:
        if state.name not in grads:  # nothing depends on the old state: no gradient goes further back
            nodes.append(Node("const", (), ONE, 0.0))
            wanted.append((len(nodes) - 1, Place(CARRY, state.name), state.dim))
    wanted += [(named[g], Place(RECORD, g), cell.named_dims[g]) for g in gradients if g in named]
    for v in back.vectors:
        wanted.append((v.cotangent, Place(GRADIENT, f"{v.parameter}.{v.part}"), nodes[v.cotangent].dim))
    graph = Graph(tuple(nodes), back.graph.outputs)
    first = dict(kept.panels)
    keep: dict[int, Place] = {}
    for o in back.outers:
        if o.cotangent not in keep:
            dim = graph.nodes[o.cotangent].dim
            keep[o.cotangent] = Place(PANEL, dim, first.get(dim, 0), kept=True)
            first[dim] = keep[o.cotangent].slot + 1
    after = [w for w in wanted if w[1].kind == DX and _of_kept(graph, w[0], keep)]
    schedule = Scheduler(graph, at_hand, [w for w in wanted if w not in after], keep).run()
    moves = _reuse_slots(schedule, keep, kept)
    for group in schedule.groups:
        group.stores = [(i, moves.get(p, p)) for i, p in group.stores]
        group.loads = {i: moves.get(p, p) for i, p in group.loads.items()}
    schedule.places = {i: moves.get(p, p) for i, p in schedule.places.items()}
    if after:
        known = {**at_hand, **{i: moves[p] for i, p in keep.items()}}
        schedule.joined(Scheduler(graph, known, after, {}).run(), "after")
    outers = [OuterProduct((o.parameter, o.part), at_hand[o.source], moves[keep[o.cotangent]]) for o in back.outers]
    return schedule, outers


def _of_kept(graph: Graph, i: int, keep: dict[int, Place]) -> bool:
    """Whether a value is a sum of products of kept values alone: it can wait until a block of steps is done."""
    node = graph.nodes[i]
    if node.op == "add":
        return all(_of_kept(graph, a, keep) for a in node.args)
    return node.op == "matmul_t" and node.args[0] in keep


def _reuse_slots(schedule: Schedule, keep: dict[int, Place], kept: Kept) -> dict[Place, Place]:
    """Give each kept gradient the slot of a kept value whose last reader is the group that makes the gradient, or an
    earlier one: an epilogue reads all it needs of a row before it writes."""
    moves: dict[Place, Place] = {}
    made = {p: g.level for g in schedule.groups for _, p in g.stores if p in keep.values()}
    for dim in {p.name for p in made}:
        last = dict.fromkeys(range(kept.panels.get(dim, 0)), -1)
        for group in schedule.groups:
            for place in group.loads.values():
                if place.kind == PANEL and place.kept and place.name == dim and place.slot in last:
                    last[place.slot] = max(last[place.slot], group.level)
        free = dict(last)
        for place, level in sorted(made.items(), key=lambda item: (item[1], item[0].slot)):
            if place.name != dim:
                continue
            slot = next((s for s, reader in sorted(free.items()) if reader <= level), None)
            if slot is None:
                slot = kept.panels.get(dim, 0)
                kept.panels[dim] = slot + 1
            else:
                del free[slot]
            moves[place] = replace(place, slot=slot)
    return moves


__all__ = ["Kept", "OuterProduct", "Plan", "plan"]
