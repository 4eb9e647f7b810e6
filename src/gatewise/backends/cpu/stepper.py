"""One step of a kernel at a time, at the least cost of a call: weights packed once, arguments filled in once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...ir.cell import INPUT, Cell
from .blueprint import Blueprint
from .division import deal_rows
from .memory import POOL, address
from .runner import Wanted, kernel, way
from .team import HEADER


class Stepper:
    """Steps of one layer on one thread. `x` and `states` are the memory that a step reads; it leaves the new states in
    `states`, which are other arrays after every step, and the first of them is the output."""

    def __init__(
        self,
        cell: Cell,
        params: Mapping[str, np.ndarray],
        sizes: Mapping[str, int],
        batch: int,
        dtype: str,
        compute_dtype: str | None = None,
    ):
        self._kernel = k = kernel(Wanted(cell, tuple(sizes.items()), dtype, "infer", bfloat16=way(compute_dtype)))
        self.x = np.zeros((1, batch, sizes[INPUT]), dtype)
        sets = [tuple(np.zeros((1, batch, sizes[s.dim]), dtype) for s in cell.states) for _ in range(2)]
        self._held = held = {p.name: np.array(params[p.name], dtype, order="C") for p in cell.parameters}
        self._rows = rows = deal_rows(1, batch, None, False, 1)  # which the tables point to
        blueprint = Blueprint(k.layout, rows, 1, 1, batch, False)
        self._work = POOL.empty((blueprint.work_bytes,), np.uint8)
        weights = [held[p.name] for p in cell.parameters]
        self._tables = [
            blueprint.data([address(a) for a in (self._work, self.x, *after, *before, *weights)], rows)[HEADER:]
            for before, after in (sets, sets[::-1])
        ]
        # what a step calls, and what it leaves, in turn
        self._now = self._tables[0].ctypes.data, tuple(s[0] for s in sets[1])
        self._next = self._tables[1].ctypes.data, tuple(s[0] for s in sets[0])
        self._run = k.run
        self.states: Sequence[np.ndarray] = self._next[1]
        k.pack(self._now[0])

    def step(self) -> None:
        self._run(self._now[0])
        self.states = self._now[1]
        self._now, self._next = self._next, self._now
