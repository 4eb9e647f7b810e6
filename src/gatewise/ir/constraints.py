"""Constraints: what a trained tensor is made into before the equations use it, once a call, outside the loop over time.

The trained tensor is free, so that any optimiser can move it; the equations see a matrix or vector that obeys. Each
constraint works on NumPy arrays and on torch tensors, through whose autograd the gradient reaches the trained tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .graph import GraphError
from .namespaces import namespace_of
from .rules import find_rule

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Constraint:
    """apply(xp, trained, shape, number) gives the constrained tensor of that shape; trained_shape says what it takes."""

    apply: Callable[[Any, Any, Shape, float], Any]
    trained_shape: Callable[[Shape, float], Shape] = lambda shape, number: shape
    matrix: bool = True


def _square(shape: Shape, number: float) -> Shape:
    if shape[0] != shape[1]:
        raise GraphError(f"an antisymmetric matrix is square, this one is {shape[0]} by {shape[1]}")
    return shape


def _column_stochastic(xp, a, shape, number):
    """Every column at least 0 and of sum 1, by a softmax: the map moves what it is given and loses nothing."""
    a = a.T
    e = xp.exp(a - xp.stop_gradient(xp.max_units(a)))
    return (e / xp.sum_units(e)).T


def _blocks(shape: Shape, number: float) -> Shape:
    if number < 1 or number != int(number) or shape[0] % number or shape[1] % number:
        raise GraphError(f"a matrix of {shape[0]} by {shape[1]} cannot be cut into {number:g} equal blocks")
    return shape[0], shape[1] // int(number)


def _block_diagonal(xp, a, shape, number):
    blocks = int(number)
    rows, columns = shape[0] // blocks, shape[1] // blocks
    inside = xp.zeros(shape, a)
    for k in range(blocks):
        inside[k * rows : (k + 1) * rows, k * columns : (k + 1) * columns] = 1.0
    return xp.concatenate([a] * blocks, 1) * inside


def _rank(shape: Shape, number: float) -> Shape:
    if number < 1 or number != int(number):
        raise GraphError("low_rank needs the rank, a whole number, as in low_rank(8)")
    return shape[0] + shape[1], int(number)


def _bounded(xp, a, shape, number):
    return xp.bounded(a, number)


def _bound(shape: Shape, number: float) -> Shape:
    if number <= 0:
        raise GraphError("bounded needs the largest magnitude, as in bounded(1.0)")
    return shape


def _leading(xp, a, shape, number):
    ones = xp.zeros(shape, a)
    ones[: int(number)] = 1.0
    return ones


def _nothing(shape: Shape, number: float) -> Shape:
    if number != int(number) or not 1 <= number <= shape[0]:
        raise GraphError(f"leading({number:g}) needs a whole number from 1 to the {shape[0]} units that there are")
    return (0,)


CONSTRAINTS: dict[str, Constraint] = {
    "antisymmetric": Constraint(lambda xp, a, shape, _: a - a.T, _square),  # eigenvalues on the imaginary axis
    "column_stochastic": Constraint(_column_stochastic),
    "block_diagonal": Constraint(_block_diagonal, _blocks),  # of so many heads that do not see one another
    "low_rank": Constraint(lambda xp, a, shape, _: xp.matmul(a[: shape[0]], a[shape[0] :].T), _rank),
    # cut at the bound; the gradient ends there where it points outwards, as when weights are clipped after each update
    "bounded": Constraint(_bounded, _bound, matrix=False),
    "leading": Constraint(
        _leading, _nothing, matrix=False
    ),  # 1 for so many first units, 0 for the others: nothing is trained
}


def trained_shape(constraint: str, shape: Shape) -> Shape:
    """The shape of the trained tensor behind a constrained one."""
    if not constraint:
        return shape
    rule, number = find_rule(constraint, CONSTRAINTS, "constraint")
    if rule.matrix and len(shape) != 2:
        raise GraphError(f"constraint {constraint!r} is one of matrices, this is a vector")
    return rule.trained_shape(shape, number)


def constrain(constraint: str, trained: Any, shape: Shape) -> Any:
    """The tensor of `shape` that the equations use, from the trained one."""
    rule, number = find_rule(constraint, CONSTRAINTS, "constraint")
    return rule.apply(namespace_of(trained), trained, shape, number)
