"""The cell record: states, trained parameters, named values and the graph of one step. Frozen, and checks itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import GatewiseError
from .constraints import CONSTRAINTS, constrain, trained_shape
from .derive import Backward, reverse
from .graph import SCALAR, Graph, GraphError, Node, verify
from .rules import find_rule

INPUT = "input_size"
HIDDEN = "hidden_size"
FORMAT = 1


class CellError(GatewiseError):
    """A cell breaks a rule of the language: the message names the cell, the place and the remedy.

    about: the parameter and part that it is about, if it is about one.
    """

    def __init__(self, message: str, about: tuple[str, str] | None = None):
        super().__init__(message)
        self.about = about


@dataclass(frozen=True)
class State:
    """What the cell carries from step to step: `dim` units a row."""

    name: str
    dim: str = HIDDEN


def layer_name(layer: int, reverse: bool) -> str:
    """What a layer and direction of a stack is called."""
    return f"layer{layer}{'_reverse' if reverse else ''}"


def units(dim: str, sizes: Mapping[str, int]) -> int:
    """The number of units of a dim; one for a number a row."""
    return 1 if dim == SCALAR else sizes[dim]


@dataclass(frozen=True)
class Part:
    """The rows of a parameter that belong to one name: `dim` rows, started by `init` (a name or a number)."""

    name: str
    dim: str
    init: str | float


@dataclass(frozen=True)
class Parameter:
    """One trained tensor: parts stacked in the order of the equations, as torch.nn stacks the gates of `weight_ih`.

    A matrix is [sum of the parts' dims, in_dim]; a vector (bias, peephole, ...) has in_dim None and is [sum].
    constraint: what the trained tensor is made into before the equations use it, see `constraints`.
    """

    name: str
    parts: tuple[Part, ...]
    in_dim: str | None = None
    is_bias: bool = False
    constraint: str = ""

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """What the equations use."""
        rows = sum(units(p.dim, sizes) for p in self.parts)
        return (rows,) if self.in_dim is None else (rows, sizes[self.in_dim])

    def trained_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """What is trained and stored: the same, unless a constraint asks for another one."""
        return trained_shape(self.constraint, self.shape(sizes))

    def constrained(self, trained: Any, sizes: Mapping[str, int]) -> Any:
        """What the equations use, from the trained array or tensor."""
        return constrain(self.constraint, trained, self.shape(sizes)) if self.constraint else trained

    def slices(self, sizes: Mapping[str, int]) -> Iterator[tuple[Part, int, int]]:
        """Each part with its first row and the row after its last."""
        start = 0
        for part in self.parts:
            stop = start + units(part.dim, sizes)
            yield part, start, stop
            start = stop

    def trained_slices(self, sizes: Mapping[str, int]) -> Iterator[tuple[Part, int, int]]:
        """The same of the trained tensor; a constrained one has one part."""
        if not self.constraint:
            return self.slices(sizes)
        return iter([(self.parts[0], 0, self.trained_shape(sizes)[0])])


@dataclass(frozen=True)
class Cell:
    """One recurrent cell. The first state is the layer's output.

    named: every value that may be recorded while the cell runs (linear maps, gates, states), with its node.
    hyper: the hyper-parameters that were bound when the cell was made.
    """

    name: str
    states: tuple[State, ...]
    parameters: tuple[Parameter, ...]
    graph: Graph
    named: tuple[tuple[str, int], ...]
    hyper: tuple[tuple[str, Any], ...] = ()
    doc: str = field(default="", compare=False)
    paper: str = field(default="", compare=False)

    def __hash__(self) -> int:
        return hash(self.key)

    def __post_init__(self):
        try:
            self._check()
        except GraphError as e:
            raise CellError(f"cell {self.name!r}: {e}") from None

    def _check(self) -> None:
        verify(self.graph, self.matrices, self.vectors)
        for p in self.parameters:
            if p.constraint:
                try:
                    find_rule(p.constraint, CONSTRAINTS, f"constraint of {p.name}")
                except GatewiseError as e:
                    raise CellError(f"cell {self.name!r}: {e}") from None
                if len(p.parts) != 1:
                    raise CellError(f"cell {self.name!r}: constrained parameter {p.name!r} must have one part")
        if not self.states:
            raise CellError(f"cell {self.name!r} has no state; its function needs arguments after the input")
        if [name for name, _ in self.graph.outputs] != [s.name for s in self.states]:
            raise CellError(f"cell {self.name!r}: its outputs are not its states, in their order")
        for state, (_, index) in zip(self.states, self.graph.outputs, strict=True):
            if state.dim == SCALAR:
                raise CellError(
                    f"cell {self.name!r}: state {state.name!r} has size {SCALAR!r}, which is for parameters; give it a size "
                    f"of its own, @cell(widths={{{state.name!r}: 'a_size'}}), and the layer a_size=1"
                )
            if self.graph.nodes[index].dim != state.dim:
                raise CellError(
                    f"cell {self.name!r}: state {state.name!r} has {state.dim} units, but what the function returns for "
                    f"it has {self.graph.nodes[index].dim}; use linear(..., size=) or @cell(widths={{...}})"
                )
        for kind, names in (
            ("state", [s.name for s in self.states]),
            ("parameter", [p.name for p in self.parameters]),
            ("named value", [n for n, _ in self.named]),
        ):
            twice = {n for n in names if names.count(n) > 1}
            if twice:
                raise CellError(f"cell {self.name!r}: {kind} {sorted(twice)[0]!r} is there twice; give each its own name")
        for node in self.graph.nodes:
            if node.op == "state" and State(node.attr, node.dim) not in self.states:
                raise CellError(f"cell {self.name!r}: reads state {node.attr!r}, which it does not have")
            if node.op in ("cotangent", "matmul_t"):
                raise CellError(f"cell {self.name!r}: {node.op} belongs to a backward record, not to a cell")
        graded = {(g.parameter, g.part) for g in (*self.backward.outers, *self.backward.vectors)}
        idle = [(p.name, q.name) for p in self.parameters for q in p.parts if (p.name, q.name) not in graded]
        if idle:
            raise CellError(
                f"cell {self.name!r}: no gradient reaches parameter {', '.join(map('.'.join, idle))}; "
                "use it in what the function returns, or leave it out",
                idle[0],
            )

    @property
    def matrices(self) -> dict[tuple[str, str], tuple[str, str]]:
        return {(p.name, q.name): (q.dim, p.in_dim) for p in self.parameters if p.in_dim for q in p.parts}

    @property
    def vectors(self) -> dict[tuple[str, str], str]:
        return {(p.name, q.name): q.dim for p in self.parameters if p.in_dim is None for q in p.parts}

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """The sizes that a layer of this cell must be given, input_size first."""
        used = [INPUT, *(s.dim for s in self.states), *(n.dim for n in self.graph.nodes)]
        used += [n.attr for n in self.graph.nodes if n.op == "size"]
        return tuple(dict.fromkeys(d for d in used if d != SCALAR))

    @cached_property
    def size_sources(self) -> tuple[tuple[str, str, int, int], ...]:
        """Where the sizes of dims other than the input's can be read: (dim, parameter, axis, parts along it)."""
        found: dict[str, tuple[str, int, int]] = {}
        for p in self.parameters:
            if p.in_dim is not None:
                found.setdefault(p.in_dim, (p.name, 1, 1))
            dims = {q.dim for q in p.parts}
            if len(dims) == 1:
                found.setdefault(dims.pop(), (p.name, 0, len(p.parts)))
        return tuple((dim, *where) for dim, where in found.items() if dim not in (SCALAR, INPUT))

    @cached_property
    def recurrent_matrices(self) -> frozenset[str]:
        """The names of the matrices that are applied to states, or to what was made of them."""
        nodes, found = self.graph.nodes, set()
        for n in nodes:
            if n.op == "matmul" and any(nodes[i].op == "state" for i in self.graph.reachable(n.args)):
                found.add(n.attr[0])
        return frozenset(found)

    @cached_property
    def given(self) -> dict[str, str]:
        """The dims of what the caller gives for every step beside the input, by name."""
        return {n.attr: n.dim for n in self.graph.nodes if n.op == "given"}

    @cached_property
    def named_dims(self) -> dict[str, str]:
        """The dim of every named value."""
        return {name: self.graph.nodes[i].dim for name, i in self.named}

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The names of the values that lie between 0 and 1, by their last operation."""
        return tuple(name for name, i in self.named if self.graph.nodes[i].op == "sigmoid")

    @cached_property
    def keepers(self) -> dict[str, tuple[str, bool]]:
        """The gates that say how much of a state stays: by state, the gate and whether it is 1 minus it that stays.

        A state has one if its next value is a sum with a product of the old value and a gate, or 1 minus a gate, in it.
        """
        nodes, found = self.graph.nodes, {}
        gates = {i: name for name, i in self.named if name in self.gates}
        for state, output in self.graph.outputs:
            for product in (nodes[i] for i in self.graph.summands(output) if nodes[i].op == "mul"):
                if all((nodes[a].op, nodes[a].attr) != ("state", state) for a in product.args):
                    continue
                for a in product.args:
                    one_minus = nodes[a].op == "sub" and nodes[nodes[a].args[0]].attr == 1
                    gate = nodes[a].args[1] if one_minus else a
                    if gate in gates:
                        found[state] = gates[gate], one_minus
        return found

    @property
    def output_dim(self) -> str:
        return self.states[0].dim

    @cached_property
    def backward(self) -> Backward:
        """The backward record: one step of backpropagation through time, derived from the graph."""
        result = reverse(self.graph, self.named)
        verify(result.graph, self.matrices, self.vectors)
        return result

    @cached_property
    def key(self) -> str:
        """A digest of the equations: cells that compute the same have equal keys, however they are called or started."""
        facts = self.to_json()
        for leave_out in ("name", "doc", "paper", "hyper"):
            del facts[leave_out]
        for parameter in facts["parameters"]:
            parameter["parts"] = [part[:2] for part in parameter["parts"]]
            del parameter["constraint"]  # it acts before the equations
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def shapes(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """The shape of every trained tensor, by name, for the given sizes (input_size, hidden_size, ...)."""
        missing = [d for d in self.dims if d not in sizes]
        if missing:
            raise CellError(f"cell {self.name!r} needs {', '.join(missing)}; give it as a keyword, a whole number above 0")
        try:
            return {p.name: p.trained_shape(sizes) for p in self.parameters}
        except GraphError as e:
            raise CellError(f"cell {self.name!r}: {e}") from None

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values. `Cell.from_json` gives back an equal cell."""
        return {
            "format": FORMAT,
            "name": self.name,
            "doc": self.doc,
            "paper": self.paper,
            "hyper": [list(h) for h in self.hyper],
            "states": [[s.name, s.dim] for s in self.states],
            "parameters": [
                {
                    "name": p.name,
                    "in": p.in_dim,
                    "bias": p.is_bias,
                    "constraint": p.constraint,
                    "parts": [[q.name, q.dim, q.init] for q in p.parts],
                }
                for p in self.parameters
            ],
            "nodes": [
                [n.op, list(n.args), n.dim, list(n.attr) if isinstance(n.attr, tuple) else n.attr] for n in self.graph.nodes
            ],
            "outputs": [list(o) for o in self.graph.outputs],
            "named": [list(n) for n in self.named],
        }

    @staticmethod
    def from_json(data: Any) -> Cell:
        """The cell that `to_json` described. Raises CellError when it is not one, or breaks a rule of the language."""
        if not isinstance(data, dict) or not isinstance(data.get("format"), int):
            raise CellError("this is not a cell record: it has no format number")
        if data["format"] > FORMAT:
            raise CellError(f"this cell record has format {data['format']}, newer than {FORMAT}: update gatewise")
        try:
            nodes = tuple(
                Node(str(op), tuple(map(int, args)), str(dim), tuple(attr) if isinstance(attr, list) else attr)
                for op, args, dim, attr in data["nodes"]
            )
            return Cell(
                name=str(data["name"]),
                states=tuple(State(str(n), str(d)) for n, d in data["states"]),
                parameters=tuple(
                    Parameter(
                        str(p["name"]),
                        tuple(Part(*map(_plain, q)) for q in p["parts"]),
                        p["in"],
                        bool(p["bias"]),
                        str(p.get("constraint", "")),
                    )
                    for p in data["parameters"]
                ),
                graph=Graph(nodes, tuple((str(n), int(i)) for n, i in data["outputs"])),
                named=tuple((str(n), int(i)) for n, i in data["named"]),
                hyper=tuple((str(k), v) for k, v in data["hyper"]),
                doc=str(data["doc"]),
                paper=str(data["paper"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            if isinstance(e, GatewiseError):
                raise
            raise CellError(f"this cell record is damaged: {type(e).__name__} at {e}") from None


def _plain(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r}, a name or a number was expected")
    return value
