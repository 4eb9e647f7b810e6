"""From the graph of a step to groups: products, then the pointwise work on their results, stage after stage.

A value that a product or a reduction needs whole must be finished for all units before that product starts; this gives
every node a level. All nodes of one level with the same number of units form one group, which a backend runs panel by
panel: first its products into accumulators, then everything elementwise on the accumulators while they are at hand.
A value that a later group needs is stored, or computed again where that is cheaper than a load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..ir.graph import SCALAR as ONE
from ..ir.graph import Graph
from ..ir.ops import LEAF, OPS, PRODUCT, REDUCTION
from .places import CARRY, NEW, PANEL, PARTIAL, ROWS, SCALAR, Place

RECOMPUTE = 12  # additions; a load of a vector that left the first cache costs about as much
_NEVER = 10**6
_UNIFORM = ("const", "size")


@dataclass(frozen=True)
class Product:
    """A matrix times a source row. `transposed` is the backward product, whose source is a panel."""

    matrix: tuple[str, str]
    source: int
    transposed: bool


@dataclass(frozen=True)
class Accumulator:
    """A sum of products, kept in registers: the value of `node`."""

    node: int
    products: tuple[Product, ...]


@dataclass
class Group:
    """One stage of the step for the values of one dim.

    when: "step", or "ahead" or "after": for all rows of a block of steps at once, before or after the steps themselves.
    """

    level: int
    dim: str
    when: str = "step"
    accumulators: tuple[Accumulator, ...] = ()
    compute: tuple[int, ...] = ()  # in topological order; leaves and loads are not among them
    loads: dict[int, Place] = field(default_factory=dict)
    stores: list[tuple[int, Place]] = field(default_factory=list)
    reductions: list[tuple[int, int]] = field(default_factory=list)  # (reduction node, its source)


@dataclass
class Schedule:
    """The groups in the order in which they run, and what they need of the workspace beyond the kept buffers."""

    graph: Graph
    groups: list[Group]
    places: dict[int, Place]
    panels: dict[str, int]  # slots a dim, this step only
    rows: list[str]  # dims, this step only
    scalars: int
    partials: int
    blocks: dict[str, int] = field(default_factory=dict)  # slots a dim, for a block of steps

    def joined(self, other: Schedule, when: str) -> Schedule:
        """This schedule with the groups of another one ahead of the steps or after them."""
        assert not (other.panels or other.rows or other.scalars or other.partials)
        groups = [replace(g, when=when) for g in other.groups]
        self.groups = [*groups, *self.groups] if when == "ahead" else [*self.groups, *groups]
        self.places = {**{i: place for g in groups for i, place in g.stores}, **self.places}
        return self


def recompute_cost(graph: Graph, index: int, at_hand: Mapping[int, object], limit: int = RECOMPUTE) -> int:
    """What it costs to compute a node from values that are in memory; at least _NEVER where it cannot be."""
    node = graph.nodes[index]
    if node.op in _UNIFORM:
        return 0
    if index in at_hand or node.op == "vector":
        return 1
    op = OPS[node.op]
    if op.shape in (LEAF, PRODUCT, REDUCTION):
        return _NEVER
    cost = op.cost
    for a in node.args:
        cost += recompute_cost(graph, a, at_hand, limit)
        if cost > limit:
            return _NEVER
    return cost


def levels(graph: Graph, used: set[int], at_hand: Mapping[int, Place]) -> dict[int, int]:
    """The stage of every used node. A product waits for its source; sums of products move to the stage that uses them."""
    level: dict[int, int] = {}
    sums: set[int] = set()
    for i in sorted(used):
        node = graph.nodes[i]
        op = OPS[node.op]
        if i in at_hand or op.shape == LEAF:
            level[i] = 0
            continue
        wait = 0
        if op.shape == REDUCTION or (op.shape == PRODUCT and node.args[0] not in at_hand):
            wait = 1
        level[i] = max(level[a] for a in node.args) + wait
        if op.shape == PRODUCT or (node.op == "add" and all(a in sums for a in node.args)):
            sums.add(i)
    users = consumers(graph, used, at_hand)
    for i in sorted(sums, reverse=True):
        if users[i]:
            level[i] = max(
                level[i], min(level[u] - (OPS[graph.nodes[u].op].shape in (PRODUCT, REDUCTION)) for u in users[i])
            )
    return level


def consumers(graph: Graph, used: set[int], at_hand: Mapping[int, Place]) -> dict[int, list[int]]:
    """Who reads each used node."""
    users: dict[int, list[int]] = {i: [] for i in used}
    for i in sorted(used):
        if i not in at_hand:
            for a in graph.nodes[i].args:
                users[a].append(i)
    return users


class Scheduler:
    """Builds one schedule. `at_hand`: values in memory before the step; `wanted`: what must be stored, and where."""

    def __init__(
        self,
        graph: Graph,
        at_hand: Mapping[int, Place],
        wanted: list[tuple[int, Place, str]],
        keep: Mapping[int, Place],
    ):
        """wanted: (node, place, dim of the place); keep: homes given beforehand to values that this step computes."""
        self.graph = graph
        self.at_hand = dict(at_hand)
        self.keep = dict(keep)
        self.places: dict[int, Place] = {}
        self.groups: dict[tuple[int, str], Group] = {}
        self.panels: dict[str, int] = {}
        self.rows: list[str] = []
        self.scalars = 0
        self.gathered: dict[int, Place] = {}
        roots = {i for i, _, _ in wanted} | set(keep)
        self.used = graph.reachable(roots, stop=frozenset(self.at_hand))
        self.level = levels(graph, self.used, self.at_hand)
        self.users = consumers(graph, self.used, self.at_hand)
        self.products = self._accumulators({i for i, _, _ in wanted})
        for i, place, dim in wanted:
            if place.kind == NEW:
                self.places.setdefault(i, place)
            level = 0 if graph.nodes[i].op in _UNIFORM or i in self.at_hand else self.level[i]
            if place.kind == CARRY:  # it lies where the incoming gradient of this state is read from
                level = max(level, self._last_read(place.name))
            self._group(level, dim).stores.append((i, place))
        for i, place in keep.items():
            if i not in self.at_hand:
                self._store(i, place)

    def _last_read(self, state: str) -> int:
        """The last level that reads a state's incoming gradient."""
        nodes = self.graph.nodes
        leaves = [i for i in self.used if nodes[i].op == "cotangent" and nodes[i].attr == state]
        return max((self.level[user] for i in leaves for user in self.users[i]), default=0)

    def _group(self, level: int, dim: str) -> Group:
        return self.groups.setdefault((level, dim), Group(level, dim))

    def _accumulators(self, roots: set[int]) -> dict[int, tuple[Product, ...]]:
        """The sums of products that are each one accumulator: node to its products."""
        sums: dict[int, tuple[Product, ...]] = {}
        for i in sorted(self.used):
            node = self.graph.nodes[i]
            if i in self.at_hand:
                continue
            if OPS[node.op].shape == PRODUCT:
                sums[i] = (Product(node.attr, node.args[0], node.op == "matmul_t"),)
            elif node.op == "add" and all(
                a in sums
                and len(self.users[a]) == 1
                and a not in roots
                and a not in self.keep
                and self.level[a] == self.level[i]
                for a in node.args
            ):
                sums[i] = sums.pop(node.args[0]) + sums.pop(node.args[1])
        return sums

    def _store(self, i: int, place: Place) -> Place:
        self.places[i] = place
        group = self._group(self.level[i], self.graph.nodes[i].dim)
        if (i, place) not in group.stores:
            group.stores.append((i, place))
        return place

    def _home(self, i: int, kind: str) -> Place:
        """Where a value that another group needs is stored, in the form that it needs."""
        if i in self.at_hand:
            return self.at_hand[i]
        if i in self.places:
            return self.places[i]
        dim = self.graph.nodes[i].dim
        if dim == ONE:
            self.scalars += 1
            return self._store(i, Place(SCALAR, slot=self.scalars - 1))
        if kind == ROWS:
            self.rows.append(dim)
            return self._store(i, Place(ROWS, dim, len(self.rows) - 1))
        self.panels[dim] = self.panels.get(dim, 0) + 1
        return self._store(i, Place(PANEL, dim, self.panels[dim] - 1))

    def run(self) -> Schedule:
        for node, products in sorted(self.products.items()):
            group = self._group(self.level[node], self.graph.nodes[node].dim)
            group.accumulators += (Accumulator(node, products),)
            for product in products:  # before anything else asks: products read whole rows, which others can read too
                if product.source not in self.at_hand:
                    self._home(product.source, PANEL if product.transposed else ROWS)
        done: set[tuple[int, str]] = set()
        while True:
            left = [k for k in self.groups if k not in done]
            if not left:
                break
            # later groups first, so that a group knows all that is asked of it; numbers a row are asked for last
            key = max(left, key=lambda k: (k[0], k[1] != ONE, k[1]))
            done.add(key)
            self._fill(self.groups[key])
        order = sorted(self.groups.values(), key=lambda g: (g.level, g.dim != ONE, g.dim))
        self._share_slots(order)
        return Schedule(self.graph, order, self.places, self.panels, self.rows, self.scalars, len(self.gathered))

    def _share_slots(self, order: list[Group]) -> None:
        """Give panels of this step the slot of one that is no longer read, so that the step's values stay in the cache."""
        readers: dict[Place, int] = {}
        makers: dict[Place, int] = {}
        for n, group in enumerate(order):
            for place in group.loads.values():
                readers[place] = n  # a group reads all it needs of a row before it writes
            for a in group.accumulators:
                for p in a.products:
                    if p.source in self.places:
                        readers[self.places[p.source]] = n + 1  # but a product reads whole rows while others are written
            for _, place in group.stores:
                if place.kind == PANEL and not place.kept and not place.block:
                    makers[place] = n
        moves: dict[Place, Place] = {}
        free_from: dict[str, list[int]] = {dim: [] for dim in self.panels}
        for place, made in sorted(makers.items(), key=lambda item: (item[1], item[0].slot)):
            slots = free_from[place.name]
            slot = next((s for s, free in enumerate(slots) if free <= made), len(slots))
            if slot == len(slots):
                slots.append(0)
            slots[slot] = readers.get(place, made)
            moves[place] = replace(place, slot=slot)
        self.panels = {dim: len(slots) for dim, slots in free_from.items()}
        self.places = {i: moves.get(p, p) for i, p in self.places.items()}
        for group in order:
            group.stores = [(i, moves.get(p, p)) for i, p in group.stores]
            group.loads = {i: moves.get(p, p) for i, p in group.loads.items()}

    def _fill(self, group: Group) -> None:
        """Find what the group computes and loads, asking earlier groups to store what they alone can give."""
        accumulated = {a.node for a in group.accumulators}
        compute: set[int] = set()
        todo = [i for i, _ in group.stores] + [source for _, source in group.reductions]
        seen: set[int] = set()
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            node = self.graph.nodes[i]
            if i in accumulated or node.op in (*_UNIFORM, "vector", "cotangent"):
                continue
            if i in self.at_hand:
                group.loads[i] = self.at_hand[i]
                continue
            if i in self.places and self.level[i] < group.level:
                group.loads[i] = self.places[i]
                continue
            shape = OPS[node.op].shape
            here = self.level[i] == group.level and (node.dim == group.dim)
            if shape == REDUCTION and group.dim == ONE:
                group.loads[i] = self._reduction(i)
            elif here and shape not in (PRODUCT, REDUCTION):
                compute.add(i)
                todo.extend(node.args)
            elif node.dim == ONE and group.dim != ONE:
                group.loads[i] = self._home(i, SCALAR)
            elif recompute_cost(self.graph, i, {**self.at_hand, **self.places}) <= RECOMPUTE:
                compute.add(i)
                todo.extend(node.args)
            else:
                group.loads[i] = self._home(i, PANEL)
        group.compute = tuple(sorted(compute))

    def _reduction(self, i: int) -> Place:
        """A reduction is gathered lane by lane in the group of its source, and finished where it is first read."""
        if i not in self.gathered:
            source = self.graph.nodes[i].args[0]
            group = self._group(self.level[source], self.graph.nodes[source].dim)
            self.gathered[i] = Place(PARTIAL, slot=len(self.gathered))
            group.reductions.append((i, source))
        return self.gathered[i]
