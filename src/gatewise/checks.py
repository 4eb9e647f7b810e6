"""Is a cell right? Numeric gradients and the comparison of backends, for the library's tests and for a cell of your own.

    check_cell(my_cell())    raises CheckFailed, naming the value that is wrong, if a gradient or the kernels are

The gradients of the interpreter are compared with central differences in random directions, in float64; the compiled
kernels with the interpreter. A whole sequence is run: several rows of different lengths, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .backends import interpret
from .errors import GatewiseError
from .ir.cell import HIDDEN, INPUT, Cell


class CheckFailed(GatewiseError):
    """A gradient or a kernel disagrees with the definition."""


@dataclass(frozen=True)
class Case:
    """A cell with random parameters, inputs and gradients of its outputs."""

    cell: Cell
    sizes: dict[str, int]
    params: dict[str, np.ndarray]
    x: np.ndarray
    states: tuple[np.ndarray, ...]
    lengths: np.ndarray | None
    reverse: bool
    dy: np.ndarray
    dfinals: tuple[np.ndarray, ...]

    def inputs(self) -> dict[str, np.ndarray]:
        """Everything that has a gradient, by name."""
        states = {f"initial {s.name}": v for s, v in zip(self.cell.states, self.states, strict=True)}
        return {"x": self.x, **states, **self.params}

    def with_inputs(self, inputs: Mapping[str, np.ndarray]) -> Case:
        states = tuple(inputs[f"initial {s.name}"] for s in self.cell.states)
        return replace(self, x=inputs["x"], states=states, params={n: inputs[n] for n in self.params})

    def astype(self, dtype: str) -> Case:
        def cast(a: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(a, dtype)

        return replace(
            self,
            params={n: cast(a) for n, a in self.params.items()},
            x=cast(self.x),
            dy=cast(self.dy),
            states=tuple(map(cast, self.states)),
            dfinals=tuple(map(cast, self.dfinals)),
        )


def random_case(
    cell: Cell,
    steps: int = 5,
    batch: int = 4,
    input_size: int = 3,
    hidden_size: int = 6,
    ragged: bool = False,
    reverse: bool = False,
    seed: int = 0,
    scale: float = 0.4,
    positive: tuple[str, ...] = (),
    **sizes: int,
) -> Case:
    """A case in float64. Sizes that the cell names and that are not given are hidden_size - 1.

    positive: states that start above zero (a normaliser that the cell divides by, say).
    """
    rng = np.random.default_rng(seed)
    numbers = {d: sizes.get(d, max(1, hidden_size - 1)) for d in cell.dims} | {INPUT: input_size, HIDDEN: hidden_size}
    params = {p.name: rng.standard_normal(p.shape(numbers)) * scale for p in cell.parameters}
    states = tuple(rng.standard_normal((batch, numbers[s.dim])) for s in cell.states)
    states = tuple(abs(v) + 0.1 if s.name in positive else v for s, v in zip(cell.states, states, strict=True))
    lengths = None
    if ragged:
        lengths = rng.integers(0, steps + 1, batch)
        lengths[0] = steps
    return Case(
        cell,
        numbers,
        params,
        rng.standard_normal((steps, batch, input_size)),
        states,
        lengths,
        reverse,
        rng.standard_normal((steps, batch, numbers[cell.output_dim])),
        tuple(rng.standard_normal(s.shape) for s in states),
    )


Outcome = dict[str, np.ndarray]


def interpreted(case: Case, compute_dtype: str | None = None, record: Sequence[str] = ()) -> Outcome:
    """Outputs and gradients by the interpreter, by name. compute_dtype: "bfloat16" rounds the operands of products.
    record: named values that are to be seen at every step, and their gradients."""
    c = case
    options = {"record": record, "compute_dtype": compute_dtype}
    tape = interpret.forward(c.cell, c.params, c.x, c.states, c.lengths, c.reverse, **options)
    g = interpret.backward(c.cell, c.params, c.x, tape, c.dy, c.dfinals, c.lengths, c.reverse, **options)
    return _outcome(case, tape, g)


def compiled(
    case: Case,
    lanes: int | None = None,
    threads: int = 1,
    division: tuple[int, int] | None = None,
    compute_dtype: str | None = None,
    record: tuple[str, ...] = (),
) -> Outcome:
    """The same by the compiled kernels, at a vector width and with a number of threads, or a division of the work into
    groups of rows and threads that share a group's units."""
    from .backends.cpu import runner

    c = case
    result, plain = (
        runner.forward(
            *(c.cell, c.params, c.x, c.states, c.sizes, c.lengths, c.reverse, save),
            threads=threads,
            lanes=lanes,
            division=division,
            compute_dtype=compute_dtype,
            record=record,
            gradients=record if save else (),
        )
        for save in (True, False)
    )
    assert result.saved is not None
    names = ["y", *(f"final {s.name}" for s in c.cell.states)]
    saving, not_saving = (dict(zip(names, (r.y, *r.finals), strict=True)) for r in (result, plain))
    compare(case, not_saving, saving, TOLERANCE[compute_dtype or c.x.dtype.name])
    g = runner.backward(
        *(c.cell, c.params, c.x, c.states, c.sizes, result.saved, c.dy, c.dfinals, c.reverse, True, lanes),
        compute_dtype=compute_dtype,
        record=record,
    )
    return _outcome(case, result, g)


def _outcome(case: Case, tape, g) -> Outcome:
    names = [s.name for s in case.cell.states]
    result = {"y": tape.y, "d x": g.x}
    result |= {f"value {n}": v for n, v in tape.recorded.items()}
    result |= {f"d value {n}": v for n, v in g.recorded.items()}
    result |= {f"final {n}": f for n, f in zip(names, tape.finals, strict=True)}
    result |= {f"d initial {n}": d for n, d in zip(names, g.states, strict=True)}
    return result | {f"d {n}": d for n, d in g.params.items()}


def loss(case: Case) -> float:
    """The random projection of the outputs whose gradients dy and dfinals are."""
    tape = interpret.forward(case.cell, case.params, case.x, case.states, case.lengths, case.reverse)
    return float((tape.y * case.dy).sum() + sum((f * d).sum() for f, d in zip(tape.finals, case.dfinals, strict=True)))


def numeric_slope(case: Case, name: str, direction: np.ndarray, step: float = 1e-5) -> float:
    """The slope of the loss along a direction of one input, by central differences of the fourth order."""

    def at(factor: float) -> float:
        inputs = case.inputs()
        return loss(case.with_inputs({**inputs, name: inputs[name] + factor * step * direction}))

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def compare_with_numeric(case: Case, outcome: Outcome, tolerance: float = 1e-6, seed: int = 1) -> None:
    """Raise CheckFailed unless every gradient gives the slopes that differences give.

    A difference may straddle a kink (of relu, say); a smaller step then does not. A wrong gradient fails at every step.
    """
    rng = np.random.default_rng(seed)
    for name, value in case.inputs().items():
        for _ in range(2):
            direction = rng.standard_normal(value.shape)
            exact = float((outcome[f"d {name}"] * direction).sum())
            scale = max(abs(exact), float(np.linalg.norm(outcome[f"d {name}"])), 1e-3)
            for step in (1e-5, 1e-6, 1e-4):
                numeric = numeric_slope(case, name, direction, step)
                if abs(exact - numeric) <= tolerance * scale:
                    break
            else:
                raise CheckFailed(
                    f"cell {case.cell.name!r}: the gradient of {name} has slope {exact:.9g}, differences give {numeric:.9g}"
                )


def compare(case: Case, got: Outcome, expected: Outcome, tolerance: float) -> None:
    """Raise CheckFailed unless two outcomes agree, each value relative to its largest number."""
    for name, value in expected.items():
        error = float(np.abs(got[name] - value).max(initial=0.0)) / max(float(np.abs(value).max(initial=0.0)), 1e-2)
        if not error <= tolerance:
            raise CheckFailed(f"cell {case.cell.name!r}: {name} is off by {error:.3g} of its largest value")


# About 200 roundings of the largest value. Of bfloat16 one: an operand in the middle between two of its numbers becomes
# either, as the arithmetic before it led there, and what it is multiplied into is off by its last bit, 2^-7 of it.
TOLERANCE = {"float32": 2e-5, "float64": 1e-11, "bfloat16": 2.0**-7}
ROOT_MEAN_SQUARE = 2.0**-11  # so many operands lie far from the middle that the values as a whole are this close


def root_mean_square(got: Outcome, expected: Outcome) -> float:
    """Of the errors of all values, each relative to the largest of its kind."""
    errors = [(got[n] - v).ravel() / max(float(np.abs(v).max(initial=0.0)), 1e-2) for n, v in expected.items()]
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def check_cell(cell: Cell, backend: Callable[[Case], Outcome] | None = compiled) -> None:
    """Raise CheckFailed if the cell's gradients are wrong, or the kernels compute something else than its equations."""
    for ragged in (False, True):
        for reverse in (False, True):
            case = random_case(cell, ragged=ragged, reverse=reverse)
            expected = interpreted(case)
            compare_with_numeric(case, expected)
            if backend is not None:
                compare(case, backend(case), expected, TOLERANCE["float64"])
