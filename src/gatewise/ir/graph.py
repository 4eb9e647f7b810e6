"""The graph of one time step: hash-consed nodes in topological order, the builder, and symbols with operators.

Every value of a step is a row of units for each sequence of the batch, [B, dim]. A dim is a name ("input_size",
"hidden_size", ...) that gets its number when a layer is built; "1" is one number a row, and is broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import GatewiseError
from .ops import BROADCAST, ELEMENTWISE, LEAF, OPS, PRODUCT, REDUCTION

SCALAR = "1"


class GraphError(GatewiseError):
    """A graph breaks a rule of the language: the message says which node and which rule."""


@dataclass(frozen=True)
class Node:
    """One operation. `args` are positions in the node list; `attr` is a leaf's name or number, or a product's matrix."""

    op: str
    args: tuple[int, ...]
    dim: str
    attr: Any = None


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order and the named results."""

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]

    def reachable(self, roots: Iterable[int], stop: frozenset[int] = frozenset()) -> set[int]:
        """The nodes that `roots` depend on, themselves included, not looking behind `stop`."""
        seen: set[int] = set()
        todo = list(roots)
        while todo:
            i = todo.pop()
            if i in seen:
                continue
            seen.add(i)
            if i not in stop:
                todo.extend(self.nodes[i].args)
        return seen

    def summands(self, i: int) -> Iterator[int]:
        """The nodes whose sum a node is; itself if it is no sum."""
        if self.nodes[i].op != "add":
            yield i
            return
        for a in self.nodes[i].args:
            yield from self.summands(a)


def pruned(nodes: Sequence[Node], roots: Iterable[int], always: int = 0) -> tuple[tuple[Node, ...], dict[int, int]]:
    """The nodes that `roots` need, and the first `always` in any case; and where each of them went."""
    used = Graph(tuple(nodes), ()).reachable(roots)
    keep = [i for i in range(len(nodes)) if i < always or i in used]
    place = {old: new for new, old in enumerate(keep)}
    kept = (nodes[i] for i in keep)
    return tuple(Node(n.op, tuple(place[a] for a in n.args), n.dim, n.attr) for n in kept), place


def elementwise_dim(dims: Iterable[str], what: str) -> str:
    """The dim of an elementwise result: the one dim that is not "1"; an error if there are two."""
    wide = sorted({d for d in dims if d != SCALAR})
    if len(wide) > 1:
        raise GraphError(
            f"{what} combines values of different sizes: {' and '.join(wide)}; a linear map brings one to another size: "
            'linear(..., size="...")'
        )
    return wide[0] if wide else SCALAR


class Builder:
    """Adds nodes to a growing graph. Equal nodes become one; constants fold by calling the interpreter's meaning."""

    def __init__(self, nodes: Iterable[Node] = ()):
        self.nodes: list[Node] = []
        self._ids: dict[Node, int] = {}
        for node in nodes:
            self._ids[node] = len(self.nodes)
            self.nodes.append(node)

    def symbol(self, index: int) -> Symbol:
        return Symbol(self, index)

    def const(self, value: float) -> Symbol:
        return self.leaf("const", SCALAR, float(value))

    def leaf(self, op: str, dim: str, attr: Any) -> Symbol:
        return self._add(Node(op, (), dim, attr))

    def product(self, op: str, source: Symbol, dim: str, matrix: tuple[str, str]) -> Symbol:
        return self._add(Node(op, (source.index,), dim, matrix))

    def broadcast(self, source: Symbol, dim: str) -> Symbol:
        """One number a row, as `dim` equal units."""
        return source if source.dim == dim else self._add(Node("broadcast", (source.index,), dim))

    def apply(self, name: str, *args: Symbol | float) -> Symbol:
        """`name` applied to symbols or Python numbers, folded and simplified where the result is the same."""
        op = OPS[name]
        symbols = [a if isinstance(a, Symbol) else self.const(a) for a in args]
        values = [s.constant for s in symbols]
        if op.shape == REDUCTION:
            dim = SCALAR
            if name == "sum":
                return self._sum(symbols[0])
        else:
            dim = elementwise_dim((s.dim for s in symbols), name)
            if all(v is not None for v in values):
                return self.const(_fold(name, values))
            simpler = _simplify(name, symbols, values)
            if simpler is not None:
                return simpler
        return self._add(Node(name, tuple(s.index for s in symbols), dim))

    def _sum(self, value: Symbol) -> Symbol:
        """The sum over units, with numbers a row taken out: sum(a s + b t) = s sum(a) + t sum(b).

        The sums then wait for a and b only, not for s and t, which may themselves be sums: one pass over the units less.
        """
        grouped: dict[int | None, list[Symbol]] = {}
        for factor, term in self._terms(value, value.dim, None):
            grouped.setdefault(None if factor is None else factor.index, []).append(term)
        result = None
        for factor, terms in grouped.items():
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            if total.dim != SCALAR:
                total = self._add(Node("sum", (total.index,), SCALAR))
            total = total if factor is None else total * self.symbol(factor)
            result = total if result is None else result + total
        assert result is not None
        return result

    def _terms(self, value: Symbol, dim: str, factor: Symbol | None) -> list[tuple[Symbol | None, Symbol]]:
        """A value as a sum of rows of units, each times a number a row (None for one)."""
        node, args = value.node, [self.symbol(a) for a in value.node.args]
        if value.dim == SCALAR:  # the same number in every unit
            count = self.leaf("size", SCALAR, dim)
            return [(value if factor is None else factor * value, count)]
        if node.op == "broadcast":
            return self._terms(args[0], dim, factor)
        if node.op == "neg":
            return self._terms(args[0], dim, self.const(-1.0) if factor is None else -factor)
        if node.op in ("add", "sub"):
            second = factor
            if node.op == "sub":
                second = self.const(-1.0) if factor is None else -factor
            return self._terms(args[0], dim, factor) + self._terms(args[1], dim, second)
        if node.op in ("mul", "div"):
            for one, other in ((0, 1), (1, 0))[: 2 if node.op == "mul" else 1]:
                number = args[other]
                if number.node.op == "broadcast":
                    number = self.symbol(number.node.args[0])
                if number.dim == SCALAR:
                    number = number if node.op == "mul" else 1.0 / number
                    return self._terms(args[one], dim, number if factor is None else factor * number)
        return [(factor, value)]

    def _add(self, node: Node) -> Symbol:
        index = self._ids.get(node)
        if index is None:
            index = self._ids[node] = len(self.nodes)
            self.nodes.append(node)
        return Symbol(self, index)


def _fold(name: str, values) -> float:
    import numpy as np

    from .namespaces import NUMPY

    meaning = OPS[name].meaning
    assert meaning is not None
    with np.errstate(all="ignore"):
        return float(meaning(NUMPY, *(np.float64(v) for v in values)))


def _scaled_sum(value: Symbol) -> tuple[int, int | None] | None:
    """Of a sum over units, or of one times a number a row: its source and the number (None for one)."""
    node = value.node
    if node.op == "sum":
        return node.args[0], None
    if node.op == "mul" and value.dim == SCALAR:
        for k in (0, 1):
            inner = value.builder.nodes[node.args[k]]
            if inner.op == "sum":
                return inner.args[0], node.args[1 - k]
    return None


def _simplify(name: str, s: list[Symbol], v: list[float | None]) -> Symbol | None:
    """Rewrites that keep the value for every finite argument: x+0, x*1, x*0, -(-x), s sum(a) + s sum(b)."""
    if name == "add":
        one, other = map(_scaled_sum, s)
        if one and other and one[1:] == other[1:]:  # one reduction instead of two
            a, b = (s[0].builder.symbol(source) for source in (one[0], other[0]))
            if a.dim == b.dim:
                total = a.apply("sum", a + b)
                return total if one[1] is None else total * s[0].builder.symbol(one[1])
        return s[1] if v[0] == 0.0 else s[0] if v[1] == 0.0 else None
    if name == "sub":
        return s[0] if v[1] == 0.0 else -s[1] if v[0] == 0.0 else None
    if name == "mul":
        for one, other in ((0, 1), (1, 0)):
            if v[one] == 1.0:
                return s[other]
            if v[one] == 0.0:
                return s[one]
            if v[one] == -1.0:
                return -s[other]
    if name == "div" and v[1] == 1.0:
        return s[0]
    if name == "neg" and s[0].node.op == "neg":
        return s[0].builder.symbol(s[0].node.args[0])
    return None


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value of the step while its graph is being written: use it in arithmetic, comparisons and the cell language."""

    builder: Builder = field(repr=False)
    index: int

    @property
    def node(self) -> Node:
        return self.builder.nodes[self.index]

    @property
    def dim(self) -> str:
        return self.node.dim

    @property
    def constant(self) -> float | None:
        return self.node.attr if self.node.op == "const" else None

    def apply(self, name: str, *args: Symbol | float) -> Symbol:
        return self.builder.apply(name, *args)

    def __add__(self, other):
        return self.apply("add", self, other)

    def __radd__(self, other):
        return self.apply("add", other, self)

    def __sub__(self, other):
        return self.apply("sub", self, other)

    def __rsub__(self, other):
        return self.apply("sub", other, self)

    def __mul__(self, other):
        return self.apply("mul", self, other)

    def __rmul__(self, other):
        return self.apply("mul", other, self)

    def __truediv__(self, other):
        return self.apply("div", self, other)

    def __rtruediv__(self, other):
        return self.apply("div", other, self)

    def __neg__(self):
        return self.apply("neg", self)

    def __pos__(self):
        return self

    def __abs__(self):
        return self.apply("abs", self)

    def __pow__(self, exponent):
        if exponent != 2:
            raise GraphError(f"a symbol can be squared (** 2), not raised to {exponent!r}; write exp(p * log(x))")
        return self.apply("mul", self, self)

    def __lt__(self, other):
        return self.apply("lt", self, other)

    def __le__(self, other):
        return self.apply("le", self, other)

    def __gt__(self, other):
        return self.apply("gt", self, other)

    def __ge__(self, other):
        return self.apply("ge", self, other)

    def __bool__(self):
        raise GraphError(
            "a value of the step has no truth while the cell is being traced: "
            "use where(mask, a, b) instead of `if`, `and`, `or`, min() or max()"
        )

    def __iter__(self):
        raise GraphError("a value of the step is a whole row of units and cannot be unpacked or looped over")


def verify(graph: Graph, matrices: dict[tuple[str, str], tuple[str, str]], vectors: dict[tuple[str, str], str]) -> None:
    """Raise GraphError unless every node obeys the op table.

    matrices: (parameter, part) to (out dim, in dim); vectors: (parameter, part) to dim. Runs after tracing, after
    reverse mode and on every graph that is read from a file.
    """
    for i, node in enumerate(graph.nodes):
        where = f"node {i} ({node.op})"
        op = OPS.get(node.op)
        if op is None:
            raise GraphError(f"{where}: unknown op; the known ones are {', '.join(OPS)}")
        if len(node.args) != op.arity:
            raise GraphError(f"{where}: takes {op.arity} arguments, has {len(node.args)}")
        if any(not 0 <= a < i for a in node.args):
            raise GraphError(f"{where}: an argument does not come before it")
        dims = [graph.nodes[a].dim for a in node.args]
        expected = node.dim
        if op.shape == ELEMENTWISE:
            expected = elementwise_dim(dims, where)
        elif op.shape == REDUCTION:
            expected = SCALAR
        elif op.shape == BROADCAST:
            if dims[0] != SCALAR or node.dim == SCALAR:
                raise GraphError(f"{where}: turns one number a row into a row of units, got {dims[0]} to {node.dim}")
        elif op.shape == PRODUCT:
            if node.attr not in matrices:
                raise GraphError(f"{where}: no matrix {node.attr!r} among the cell's parameters")
            out_dim, in_dim = matrices[node.attr]
            if out_dim == SCALAR:
                raise GraphError(f"{where}: a matrix gives a row of units; for one number a row write sum_units(...)")
            expected, source = (out_dim, in_dim) if node.op == "matmul" else (in_dim, out_dim)
            if dims[0] != source:
                raise GraphError(f"{where}: matrix {node.attr!r} takes {source} units, its source has {dims[0]}")
        elif op.shape == LEAF:
            _verify_leaf(node, where, vectors)
            if node.op in ("const", "size"):
                expected = SCALAR
        if node.dim != expected:
            raise GraphError(f"{where}: says it has {node.dim} units, its arguments give {expected}")
    for name, index in graph.outputs:
        if not 0 <= index < len(graph.nodes):
            raise GraphError(f"output {name!r} is node {index}, which does not exist")


def _verify_leaf(node: Node, where: str, vectors: dict[tuple[str, str], str]) -> None:
    if node.op == "const":
        if not isinstance(node.attr, float) or math.isnan(node.attr):
            raise GraphError(f"{where}: a constant must be a number, got {node.attr!r}")
    elif node.op == "vector":
        if vectors.get(node.attr) != node.dim:
            raise GraphError(f"{where}: no vector {node.attr!r} of {node.dim} units among the cell's parameters")
    elif not isinstance(node.attr, str):
        raise GraphError(f"{where}: needs a name, got {node.attr!r}")
