"""Reverse mode on the graph of a step (Linnainmaa 1970; for recurrent networks, Werbos 1990).

The result is itself a graph that the interpreter and the kernels run. Its first nodes are the forward nodes at their
own positions, so "the forward value that backward needs" is simply a node below `forward_count`; what is saved of them,
and what is computed again, is the planner's choice. Cost: about twice the products of the forward step, the usual
figure of reverse mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .graph import SCALAR, Builder, Graph, GraphError, Symbol, pruned
from .ops import OPS

INPUT_GRADIENT = "input"


@dataclass(frozen=True)
class Outer:
    """The gradient of a matrix's part: the sum over steps and rows of outer(cotangent, source)."""

    parameter: str
    part: str
    source: int
    cotangent: int


@dataclass(frozen=True)
class VectorGradient:
    """The gradient of a vector's part: the sum over steps and rows of the cotangent."""

    parameter: str
    part: str
    cotangent: int


@dataclass(frozen=True)
class Backward:
    """One step of backpropagation through time.

    graph.outputs: the gradient of the input (named "input", absent if it has none) and of each old state.
    Leaves "cotangent" stand for the gradients that the new states get from later steps and from outside, one a state.
    named: the node of each named value's whole gradient; a value that none reaches is not there.
    """

    graph: Graph
    forward_count: int
    outers: tuple[Outer, ...]
    vectors: tuple[VectorGradient, ...]
    named: tuple[tuple[str, int], ...]


def reverse(forward: Graph, named: tuple[tuple[str, int], ...] = ()) -> Backward:
    """The backward record of a step's graph, whose outputs are its new states, and which has these named values."""
    b = Builder(forward.nodes)
    gradients: dict[int, list[Symbol]] = {}

    def accumulate(index: int, g: Symbol | None) -> None:
        if g is None or g.constant == 0.0:
            return
        dim = forward.nodes[index].dim
        if dim == SCALAR and g.dim != SCALAR:
            g = g.apply("sum", g)
        elif g.dim != dim:
            g = b.broadcast(g, dim)
        gradients.setdefault(index, []).append(g)

    def total(index: int) -> Symbol | None:
        """The sum of a node's gradients, products first: sums of products share one accumulator in a kernel."""
        found = sorted(gradients.get(index, ()), key=lambda g: g.node.op != "matmul_t")
        result = None
        for g in found:
            result = g if result is None else result + g
        return result

    for name, index in forward.outputs:
        accumulate(index, b.leaf("cotangent", forward.nodes[index].dim, name))

    outers: list[Outer] = []
    vectors: list[VectorGradient] = []
    results: dict[str, int] = {}
    totals: dict[int, int] = {}
    for index in range(len(forward.nodes) - 1, -1, -1):
        g = total(index)
        if g is None:
            continue
        totals[index] = g.index
        node = forward.nodes[index]
        if node.op == "matmul":
            parameter, part = node.attr
            outers.append(Outer(parameter, part, node.args[0], g.index))
            source_dim = forward.nodes[node.args[0]].dim
            accumulate(node.args[0], b.product("matmul_t", g, source_dim, node.attr))
        elif node.op == "vector":
            parameter, part = node.attr
            vectors.append(VectorGradient(parameter, part, g.index))
        elif node.op == "state":
            results[node.attr] = g.index
        elif node.op == "input":
            results[INPUT_GRADIENT] = g.index
        elif node.args:
            rule = OPS[node.op].derivative
            if rule is None:
                raise GraphError(f"node {index} ({node.op}) has no derivative; wrap it in stop_gradient(...)")
            args = [b.symbol(a) for a in node.args]
            for a, ga in zip(node.args, rule(b.symbol(index), *args, g), strict=True):
                accumulate(a, ga)
    gradients_of_named = tuple((name, totals[i]) for name, i in named if i in totals)
    roots = [*results.values(), *(o.cotangent for o in outers), *(v.cotangent for v in vectors)]
    roots += [g for _, g in gradients_of_named]
    nodes, place = pruned(b.nodes, roots, always=len(forward.nodes))
    return Backward(
        Graph(nodes, tuple((name, place[i]) for name, i in results.items())),
        len(forward.nodes),
        tuple(replace(o, source=place[o.source], cotangent=place[o.cotangent]) for o in outers),
        tuple(replace(v, cotangent=place[v.cotangent]) for v in vectors),
        tuple((name, place[g]) for name, g in gradients_of_named),
    )
