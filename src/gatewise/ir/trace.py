"""The cell language: a Python function of one step becomes a cell record.

    @cell(paper="Hochreiter & Schmidhuber 1997; Gers et al. 2000")
    def lstm(x, h, c):
        i = gate("i", sigmoid, x, h)
        ...
        return h, c

The first argument is the input at time t, the others the states; arguments with a default are hyper-parameters, bound
when the cell is made: `lstm()` or `my_cell(rate=0.5)` gives a `Cell`.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from .cell import HIDDEN, INPUT, Cell, CellError, Parameter, Part, State
from .graph import Builder, Graph, GraphError, Symbol, pruned

_active = threading.local()


class Recipe:
    """A cell before its hyper-parameters are bound. Call it to get the `Cell`."""

    def __init__(self, function: Callable[..., Any], paper: str = "", widths: Mapping[str, str] | None = None):
        self.function = function
        self.paper = paper
        self.widths = dict(widths or {})
        self.__name__ = function.__name__
        self.doc = self.__doc__ = inspect.getdoc(function) or ""
        arguments = inspect.signature(function).parameters.values()
        self.hyper = {a.name: a.default for a in arguments if a.default is not a.empty}
        self.arguments = [a.name for a in arguments if a.default is a.empty]
        if len(self.arguments) < 2:
            raise CellError(f"cell {self.__name__!r} needs the input and at least one state: def {self.__name__}(x, h)")
        unknown = sorted(set(self.widths) - set(self.arguments[1:]))
        if unknown:
            raise CellError(f"cell {self.__name__!r}: widths names {unknown[0]!r}, which is not one of its states")

    def __call__(self, **hyper: Any) -> Cell:
        unknown = sorted(set(hyper) - set(self.hyper))
        if unknown:
            known = ", ".join(self.hyper) or "none"
            raise CellError(f"cell {self.__name__!r} has no hyper-parameter {unknown[0]!r}; it has: {known}")
        return _Tracer(self).trace({**self.hyper, **hyper})

    def __repr__(self) -> str:
        return f"<cell {self.__name__}({', '.join(self.arguments)})>"


def cell(function: Callable[..., Any] | None = None, *, paper: str = "", widths: Mapping[str, str] | None = None) -> Any:
    """Make a cell of a function that computes one step.

    paper: where the equations stand. widths: the dim of a state that is not hidden_size wide, such as
    {"h": "proj_size"}; the layer then takes a keyword of that name.
    """
    if function is None:
        return lambda f: Recipe(f, paper, widths)
    return Recipe(function, paper, widths)


class _Tracer:
    """Collects what the function declares while it runs once on symbols."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.builder = Builder()
        self.named: dict[str, int] = {}
        self.parameters: dict[str, list[Part]] = {}
        self.in_dims: dict[str, str | None] = {}
        self.biases: set[str] = set()
        self.constraints: dict[str, str] = {}
        self.delays: list[tuple[State, Symbol]] = []  # states that the cell did not write down: what they become
        self.sources: dict[int, str] = {}
        self.lines: dict[tuple[str, str], str] = {}  # where each part of a parameter was declared

    def trace(self, hyper: dict[str, Any]) -> Cell:
        recipe = self.recipe
        states = tuple(State(s, recipe.widths.get(s, HIDDEN)) for s in recipe.arguments[1:])
        x = self.builder.leaf("input", INPUT, recipe.arguments[0])
        olds = [self.builder.leaf("state", s.dim, s.name) for s in states]
        self.sources[x.index] = "weight_ih"
        for k, old in enumerate(olds):
            self.sources[old.index] = "weight_hh" if k == 0 else f"weight_from_{states[k].name}"
        if getattr(_active, "tracer", None) is not None:
            raise CellError(f"cell {recipe.__name__!r}: a cell cannot be made inside another cell's function")
        _active.tracer = self
        try:
            result = recipe.function(x, *olds, **hyper)
        except CellError:
            raise
        except GraphError as e:
            raise CellError(f"cell {recipe.__name__!r}, {self.line()}: {e}") from None
        except (TypeError, ValueError) as e:
            raise CellError(f"cell {recipe.__name__!r}, {self.line()}: {type(e).__name__}: {e}") from e
        finally:
            _active.tracer = None
        news = list(result) if isinstance(result, tuple) else [result]
        if len(news) != len(states) or not all(isinstance(n, Symbol) for n in news):
            expected = ", ".join(s.name for s in states)
            raise CellError(
                f"cell {recipe.__name__!r}, {self.line()}: it must return one value for each of its states, in their "
                f"order: return {expected}; it returned {len(news)} of {len(states)}"
            )
        given = [x.index, *(old.index for old in olds)]
        states += tuple(state for state, _ in self.delays)
        news += [new for _, new in self.delays]
        given += [self.builder.leaf("state", s.dim, s.name).index for s, _ in self.delays]
        for state, new in zip(states, news, strict=True):
            self.named.setdefault(state.name, new.index)
        roots = [n.index for n in news] + list(self.named.values())
        nodes, place = pruned(self.builder.nodes, roots + given)
        try:
            return Cell(
                name=recipe.__name__,
                states=states,
                parameters=tuple(
                    Parameter(n, tuple(parts), self.in_dims[n], n in self.biases, self.constraints.get(n, ""))
                    for n, parts in self.parameters.items()
                ),
                graph=Graph(nodes, tuple((s.name, place[n.index]) for s, n in zip(states, news, strict=True))),
                named=tuple((name, place[i]) for name, i in self.named.items()),
                hyper=tuple(hyper.items()),
                doc=recipe.doc,
                paper=recipe.paper,
            )
        except CellError as e:
            where = self.lines[e.about] if e.about else self.line()
            message = str(e).removeprefix(f"cell {recipe.__name__!r}: ")
            raise CellError(f"cell {recipe.__name__!r}, {where}: {message}", e.about) from None

    def line(self) -> str:
        """Where in the cell's own function the mistake stands, or what runs now; else where the function begins."""
        code = self.recipe.function.__code__
        traceback, frame, line = sys.exc_info()[2], sys._getframe(), code.co_firstlineno
        while traceback is not None:
            if traceback.tb_frame.f_code is code:
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        while frame is not None:
            if frame.f_code is code:
                line = frame.f_lineno
            frame = frame.f_back
        return f"line {line} of {code.co_filename}"

    def name(self, name: str, symbol: Symbol) -> Symbol:
        if name in self.named:
            raise GraphError(f"the name {name!r} is used twice; give each gate and linear map its own name")
        self.named[name] = symbol.index
        return symbol

    def part(self, parameter: str, part: Part, in_dim: str | None, constraint: str = "") -> tuple[str, str]:
        if constraint:
            self.constraints[parameter] = constraint
        parts = self.parameters.setdefault(parameter, [])
        if any(p.name == part.name for p in parts):
            raise GraphError(f"the name {part.name!r} is used twice for {parameter}; give each its own name")
        self.in_dims[parameter] = in_dim
        self.lines[parameter, part.name] = self.line()
        parts.append(part)
        return parameter, part.name

    def source(self, name: str, symbol: Symbol) -> str:
        """The parameter that holds the matrices applied to this source: one a source, its gates stacked."""
        if symbol.index not in self.sources:
            taken, k = set(self.sources.values()), 0
            while (held := f"weight_{name}" + (f"_{k}" if k else "")) in taken:
                k += 1
            self.sources[symbol.index] = held
        return self.sources[symbol.index]


def _tracer() -> _Tracer:
    tracer = getattr(_active, "tracer", None)
    if tracer is None:
        raise CellError("gate, linear, parameter and layer_norm work inside a function decorated with @cell")
    return tracer


def linear(
    name: str,
    *sources: Symbol,
    bias: bool | float | str = True,
    size: str = HIDDEN,
    init: str | float = "uniform",
    constraint: str = "",
) -> Symbol:
    """A trained affine map of the sources to `size` units: the sum of W_k source_k, plus b.

    bias: True starts it by `init`'s rule for biases, a number or a rule's name starts it so, False leaves it out.
    init: how the matrices start (see gatewise.cells.initialise). constraint: what they are made into before they are used
    (see gatewise.ir.constraints); each is then a tensor of its own.
    """
    t = _tracer()
    if not sources:
        raise GraphError(f"linear {name!r} needs at least one source")
    total: Symbol | None = None
    for source in sources:
        if not isinstance(source, Symbol):
            raise GraphError(f"linear {name!r}: a source must be a value of the step, got {source!r}")
        if source.dim == "1":
            raise GraphError(f"linear {name!r}: a source must be a row of units, not one number")
        held = t.source(name, source)
        held = f"{held}_{name}" if constraint else held
        matrix = t.part(held, Part(name, size, init), source.dim, constraint)
        product = t.builder.product("matmul", source, size, matrix)
        total = product if total is None else total + product
    assert total is not None
    if bias is not False:
        key = t.part(
            "bias", Part(name, size, "uniform" if bias is True else bias if isinstance(bias, str) else float(bias)), None
        )
        t.biases.add("bias")
        total = total + t.builder.leaf("vector", size, key)
    return total


def gate(name: str, activation: Callable[[Symbol], Symbol], *sources: Symbol, **options: Any) -> Symbol:
    """`activation(linear(name, *sources))`, recorded under `name`."""
    return named(name, activation(linear(name, *sources, **options)))


def named(name: str, value: Symbol) -> Symbol:
    """`value` itself, recorded under `name`, for gates that are not one activation of one linear map."""
    return _tracer().name(name, value)


def parameter(name: str, init: str | float = "zeros", size: str = HIDDEN, constraint: str = "") -> Symbol:
    """One trained number a unit (a peephole, a time constant), started by `init`, and kept by `constraint`."""
    t = _tracer()
    return t.builder.leaf("vector", size, t.part(name, Part(name, size, init), None, constraint))


def window(name: str, value: Symbol, width: int) -> tuple[Symbol, ...]:
    """A value and those of the `width` - 1 steps before it, newest first: a causal convolution is a linear map of them.

    Each delay is a state of the cell, called `name`_1, `name`_2, ..., so that a stream can be cut anywhere and goes on.
    """
    t = _tracer()
    if value.dim == "1":
        raise GraphError(f"window {name!r}: a value must be a row of units, not one number")
    if not isinstance(width, int | float) or width != int(width) or width < 1:
        raise GraphError(f"window {name!r}: width must be a whole number above 0, got {width!r}")
    values = [value]
    for k in range(1, int(width)):
        state = State(f"{name}_{k}", value.dim)
        t.delays.append((state, values[-1]))
        values.append(t.builder.leaf("state", value.dim, state.name))
        t.sources[values[-1].index] = f"weight_from_{state.name}"
    return tuple(values)


def layer_norm(name: str, *values: Symbol, epsilon: float = 1e-5, offset: bool = True) -> Any:
    """Layer normalisation with a trained gain and offset (Ba et al. 2016, equation 4).

    Several values are normalised together, over the units of all of them, and come back as a tuple.
    """
    t = _tracer()
    count, total = 0.0, 0.0
    for value in values:
        count = t.builder.leaf("size", "1", value.dim) + count
        total = sum_units(value) + total
    mean = total / count
    centred = [value - mean for value in values]
    squares = 0.0
    for value in values:  # a sum of squares is smallest about the mean: its gradient with respect to the mean is zero
        squares = sum_units(square(value - t.builder.apply("balanced", mean))) + squares
    scale = 1.0 / sqrt(squares / count + epsilon)
    results = []
    for k, c in enumerate(centred):
        gain = t.part(f"{name}_gain", Part(f"{name}_{k}", c.dim, 1.0), None)
        result = c * scale * t.builder.leaf("vector", c.dim, gain)
        if offset:
            result = result + t.builder.leaf(
                "vector", c.dim, t.part(f"{name}_offset", Part(f"{name}_{k}", c.dim, 0.0), None)
            )
        results.append(result)
    return results[0] if len(results) == 1 else tuple(results)


def softmax(value: Symbol) -> Symbol:
    """exp(value) over its sum across the units of a row, shifted by the largest so that it cannot overflow."""
    e = exp(value - stop_gradient(value.apply("maximum_unit", value)))
    return e / sum_units(e)


def _function(op: str, arity: int = 1) -> Callable[..., Symbol]:
    def apply(*args: Symbol | float) -> Symbol:
        if len(args) != arity:
            raise GraphError(f"{op} takes {arity} arguments, got {len(args)}")
        return _tracer().builder.apply(op, *args)

    apply.__name__ = op
    return apply


sigmoid, tanh, relu, softplus = (_function(n) for n in ("sigmoid", "tanh", "relu", "softplus"))
exp, log, sqrt, sin, cos = (_function(n) for n in ("exp", "log", "sqrt", "sin", "cos"))
minimum, maximum, where = _function("min", 2), _function("max", 2), _function("where", 3)
sum_units, stop_gradient = _function("sum"), _function("stop_gradient")


def square(value: Symbol) -> Symbol:
    return value * value
