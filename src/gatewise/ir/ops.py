"""The op table: beside each op its meaning, shape rule, derivative, cost and the domain that tests sample.

This file is the definition of the language. The interpreter calls `meaning` on arrays, reverse mode calls
`derivative` on symbols, the planner reads `cost`, the verifier reads `arity` and `shape`, and the tests sample `domain`.

A meaning takes a namespace `xp` (NumPy's or torch's, see `namespaces.py beside it`) and then the arguments.
A derivative takes the answer and the arguments first and the incoming gradient last, and returns one gradient an
argument (None where there is none). It may use any op, because its arguments are symbols with operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ELEMENTWISE = "elementwise"  # the dims of the arguments agree, or are "1", which is broadcast
REDUCTION = "reduction"  # [B, n] to [B, 1]: a sum over the units of a row
BROADCAST = "broadcast"  # [B, 1] to [B, n]
PRODUCT = "product"  # a trained matrix times a whole row
LEAF = "leaf"  # a value that the step is given

Domain = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Op:
    """One row of the table."""

    name: str
    arity: int
    shape: str
    meaning: Callable[..., Any] | None = None
    derivative: Callable[..., Any] | None = None
    cost: int = 1  # in additions of a vector; decides what is recomputed and what is stored
    domain: Domain = ()


def _no_gradient(y, *args_and_g):
    return (None,) * (len(args_and_g) - 1)


def _symbol(name: str):
    """The named op applied to symbols (rules need a few ops that have no Python operator)."""

    def apply(*args):
        owner = next(a for a in args if hasattr(a, "apply"))
        return owner.apply(name, *args)

    return apply


_where, _sigmoid, _cos, _sin = _symbol("where"), _symbol("sigmoid"), _symbol("cos"), _symbol("sin")
_WIDE: Domain = ((-6.0, 6.0),)
_PAIR: Domain = ((-3.0, 3.0), (-3.0, 3.0))


def _compare(name: str, meaning) -> Op:
    """Comparisons give 1.0 or 0.0, so that a mask is stored, packed and saved like any other number."""
    return Op(name, 2, ELEMENTWISE, meaning, _no_gradient, domain=_PAIR)


# fmt: off
_TABLE = (
    # leaves: what the step is given
    Op("input", 0, LEAF),
    Op("state", 0, LEAF),
    Op("given", 0, LEAF),  # a row of units that the caller gives for every step; no gradient goes back to it
    Op("vector", 0, LEAF),
    Op("cotangent", 0, LEAF),
    Op("const", 0, LEAF, cost=0),
    Op("size", 0, LEAF, cost=0),  # the number of units of a dim, known when the cell gets its sizes
    # arithmetic
    Op("add", 2, ELEMENTWISE, lambda xp, a, b: a + b, lambda y, a, b, g: (g, g), domain=_PAIR),
    Op("sub", 2, ELEMENTWISE, lambda xp, a, b: a - b, lambda y, a, b, g: (g, -g), domain=_PAIR),
    Op("mul", 2, ELEMENTWISE, lambda xp, a, b: a * b, lambda y, a, b, g: (g * b, g * a), domain=_PAIR),
    Op("div", 2, ELEMENTWISE, lambda xp, a, b: a / b, lambda y, a, b, g: (g / b, -g * y / b), 4,
       ((-3.0, 3.0), (0.5, 3.0))),
    Op("neg", 1, ELEMENTWISE, lambda xp, a: -a, lambda y, a, g: (-g,), domain=_WIDE),
    # activations
    Op("sigmoid", 1, ELEMENTWISE, lambda xp, a: xp.sigmoid(a), lambda y, a, g: (g * (y * (1.0 - y)),), 10, _WIDE),
    Op("tanh", 1, ELEMENTWISE, lambda xp, a: xp.tanh(a), lambda y, a, g: (g * (1.0 - y * y),), 10, _WIDE),
    Op("relu", 1, ELEMENTWISE, lambda xp, a: xp.maximum(a, a * 0.0), lambda y, a, g: (_where(y > 0.0, g, 0.0),),
       domain=_WIDE),
    Op("softplus", 1, ELEMENTWISE, lambda xp, a: xp.softplus(a), lambda y, a, g: (g * _sigmoid(a),), 18, _WIDE),
    # functions
    Op("exp", 1, ELEMENTWISE, lambda xp, a: xp.exp(a), lambda y, a, g: (g * y,), 8, ((-4.0, 3.0),)),
    Op("log", 1, ELEMENTWISE, lambda xp, a: xp.log(a), lambda y, a, g: (g / a,), 10, ((0.1, 6.0),)),
    Op("sqrt", 1, ELEMENTWISE, lambda xp, a: xp.sqrt(a), lambda y, a, g: (g * 0.5 / y,), 4, ((0.1, 6.0),)),
    Op("sin", 1, ELEMENTWISE, lambda xp, a: xp.sin(a), lambda y, a, g: (g * _cos(a),), 12, _WIDE),
    Op("cos", 1, ELEMENTWISE, lambda xp, a: xp.cos(a), lambda y, a, g: (-(g * _sin(a)),), 12, _WIDE),
    Op("abs", 1, ELEMENTWISE, lambda xp, a: xp.abs(a), lambda y, a, g: (_where(a >= 0.0, g, -g),), domain=_WIDE),
    # choices
    Op("min", 2, ELEMENTWISE, lambda xp, a, b: xp.minimum(a, b),
       lambda y, a, b, g: (_where(a <= b, g, 0.0), _where(a <= b, 0.0, g)), domain=_PAIR),
    Op("max", 2, ELEMENTWISE, lambda xp, a, b: xp.maximum(a, b),
       lambda y, a, b, g: (_where(a >= b, g, 0.0), _where(a >= b, 0.0, g)), domain=_PAIR),
    Op("where", 3, ELEMENTWISE, lambda xp, m, a, b: xp.where(m != 0, a, b),
       lambda y, m, a, b, g: (None, _where(m, g, 0.0), _where(m, 0.0, g)), domain=((-1.0, 1.0), *_PAIR)),
    _compare("lt", lambda xp, a, b: xp.mask(a < b, a, b)),
    _compare("le", lambda xp, a, b: xp.mask(a <= b, a, b)),
    _compare("gt", lambda xp, a, b: xp.mask(a > b, a, b)),
    _compare("ge", lambda xp, a, b: xp.mask(a >= b, a, b)),
    Op("stop_gradient", 1, ELEMENTWISE, lambda xp, a: xp.stop_gradient(a), _no_gradient, 0, _WIDE),
    # a itself, where it is known that the gradients that reach it add up to zero: reverse mode passes it by
    Op("balanced", 1, ELEMENTWISE, lambda xp, a: a, _no_gradient, 0, _WIDE),
    # reductions over the units of a row
    Op("sum", 1, REDUCTION, lambda xp, a: xp.sum_units(a), lambda y, a, g: (g,), 2, _WIDE),
    Op("maximum_unit", 1, REDUCTION, lambda xp, a: xp.max_units(a), None, 2, _WIDE),
    Op("broadcast", 1, BROADCAST, lambda xp, a, n: xp.broadcast(a, n), lambda y, a, g: (_symbol("sum")(g),)),
    # products with a trained matrix W [out, in]; attr is (parameter, part)
    Op("matmul", 1, PRODUCT, lambda xp, a, w: xp.matmul(a, w.T)),
    Op("matmul_t", 1, PRODUCT, lambda xp, a, w: xp.matmul(a, w)),
)
# fmt: on

OPS: dict[str, Op] = {op.name: op for op in _TABLE}
