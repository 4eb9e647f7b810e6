"""The argument tables of kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .division import Rows
from .layout import BLOCK_ROWS, ROW_FIELDS, Layout
from .memory import ALIGNMENT, aligned
from .team import HEADER

_CHUNK_BYTES = 1 << 20  # what backward keeps in the cache between its steps and the weights' gradients


def block_steps(rows: int) -> int:
    """How many steps of a group with so many rows go through weights together."""
    return max(1, BLOCK_ROWS // rows)


class Blueprint:
    """The argument tables of a kernel before the arrays and the lengths of rows are known: each entry is an address plus an
    offset. It depends on the shape of a call alone, so that a training loop makes it once. Each group of threads has
    `members` tables: its members share rows and what is computed of them, and each does some of the panels.

    rows: those of each group; their lengths are filled in where a call has no others (`data`).
    silent: no gradient comes to the outputs of single steps: "dy" is one step of zeros, which all of them read.
    packed: the weights are packed before the kernel runs; else each thread packs a panel when it comes to it, at every step.
    work_bytes: the workspace, one block that is called "work".
    """

    def __init__(
        self,
        layout: Layout,
        rows: Rows,
        members: int,
        steps: int,
        batch: int,
        reverse: bool,
        silent: bool = False,
        packed: bool = True,
    ):
        self.packed = packed
        self.layout, self.rows, self.members = layout, rows, members
        self.groups = groups = rows.sizes
        self.threads = len(groups) * members
        first = layout.fields[ROW_FIELDS[0]]
        self._row_fields = slice(first, first + len(ROW_FIELDS))
        self._bases = {name: n for n, name in enumerate(["", *layout.arrays])}  # "" is no array, its address is 0
        self._data = np.zeros(HEADER + self.threads * len(layout.fields), np.int64)
        self._data[HEADER - 1] = self.threads
        self._bases_of = np.zeros_like(self._data)
        self.offsets, self.which = self._tables(self._data), self._tables(self._bases_of)
        self.work_bytes = 0
        size = layout.itemsize
        for g in range(len(groups)):
            self._numbers(g, steps, batch, reverse)
        for name in layout.user_arrays:
            if not name.startswith("old:"):
                self._all(name, name)
        for n, s in enumerate(layout.cell.states):
            self._all(f"initial:{s.name}", f"initial:{s.name}")
            self._all(f"stride:{s.name}", "", batch * layout.units(s.dim) * size)
            self._all(f"mask:{s.name}", "", -1 if layout.held_steps(n, steps) == steps else 1)
        for p in layout.cell.parameters:
            self._all(f"param:{p.name}", f"param:{p.name}")
        if packed:
            self._all("packed", "work", self._take(layout.packed_offsets[-1]))
        self.barrier_bytes = ALIGNMENT * members * len(groups)
        self.barriers = self._take(self.barrier_bytes)
        kept = 0
        for g, n in enumerate(groups):
            self._put(g, "barrier", "work", self.barriers + ALIGNMENT * members * g)
            if not packed:
                self._own_work(g, "panel", layout.most_panel_bytes)
            block = block_steps(n)
            self._own_work(g, "tables", 8 * len(layout.user_arrays) * n)
            if layout.block_arrays:
                self._own_work(g, "block_tables", 8 * len(layout.block_arrays) * n * block)
            if layout.bfloat16:
                self._own_work(g, "operands", layout.most_operands_bytes(n, block))
            for name, per_row in layout.buffers.items():
                place = self._own_work if name in layout.own_buffers else self._work
                place(g, name, per_row * n * (block if name.startswith("block_") else 1))
            for name, per_row in layout.kept_buffers.items():
                self._put(g, name, "kept", kept)
                kept += aligned(per_row * steps * n)  # room for full rows; shorter ones lie without holes
        self.offsets[:, self._row_fields] = rows.numbers.repeat(members, 0)
        if layout.mode == "backward":
            self._all("mask:dy", "", 0 if silent else -1)
            self._backward()

    def _tables(self, data: np.ndarray) -> np.ndarray:
        """The part of the data that is tables: [threads, fields]."""
        return data[HEADER:].reshape(self.threads, len(self.layout.fields))

    def data(self, arrays: Sequence[int], rows: Rows) -> np.ndarray:
        """What `team.run` takes: a header, and a table for each thread, for arrays at these addresses, in the order of
        `Layout.arrays`. rows: others than this blueprint's, in groups of the same sizes; they must outlive the data."""
        assert len(arrays) == len(self._bases) - 1
        found = np.array((0, *arrays), np.int64).take(self._bases_of)
        found += self._data
        if rows is not self.rows:
            self._tables(found)[:, self._row_fields] = rows.numbers.repeat(self.members, 0)
        return found

    def _put(self, group: int, name: str, base: str, offset: int | list[int] = 0) -> None:
        """The same for all members of a group, or a list of each one's own."""
        field, members = self.layout.fields[name], slice(group * self.members, (group + 1) * self.members)
        self.which[members, field] = self._bases[base]
        self.offsets[members, field] = offset

    def _all(self, name: str, base: str, offset: int = 0) -> None:
        for g in range(len(self.groups)):
            self._put(g, name, base, offset)

    def _take(self, size: int) -> int:
        start = self.work_bytes
        self.work_bytes += aligned(size)
        return start

    def _work(self, group: int, name: str, size: int) -> None:
        """Workspace that the members of a group share."""
        self._put(group, name, "work", self._take(size))

    def _own_work(self, group: int, name: str, size: int) -> None:
        """Workspace for each member of a group."""
        self._put(group, name, "work", [self._take(size) for _ in range(self.members)])

    def _numbers(self, g: int, steps: int, batch: int, reverse: bool) -> None:
        members = range(self.members)
        values = {
            "thread": [g * self.members + k for k in members],
            "threads": len(self.offsets),
            "member": list(members),
            "members": self.members,
            "steps": steps,
            "first": steps - 1 if reverse else 0,
            "step": -1 if reverse else 1,
            "batch": batch,
            "rows": self.groups[g],
            "block": block_steps(self.groups[g]),
        }
        for name, value in values.items():
            self._put(g, name, "", value)

    def _backward(self) -> None:
        layout = self.layout
        matrices = [p for p in layout.cell.parameters if p.in_dim]
        self.matrix_bytes = layout.gradient_sizes[0] * layout.itemsize
        kept_row = max(1, sum(layout.kept_buffers.values()))
        budget = max(_CHUNK_BYTES, 16 * self.matrix_bytes)  # a weight's gradient goes through memory once a chunk
        widest = max((layout.vectors(dim) for _, dim, _ in layout.outer_sources), default=0) * layout.vector_bytes
        self.partials: list[int] = []  # in the workspace, in numbers: matrices' gradients of all groups but the first
        self.lanes: list[np.ndarray] = []  # the same of every number of vectors' gradients, by group
        sum_bytes = sum(layout.vectors(dim) for _, dim in layout.gradient_names) * layout.vector_bytes
        for g, n in enumerate(self.groups):
            block = block_steps(n)
            self._put(g, "chunk", "", -(-max(1, budget // (kept_row * n)) // block) * block)
            self._own_work(g, "packed_rows", widest * n * block)  # in bfloat16 half is needed, and up to 31 rows more
            place = self._take(sum_bytes)
            self.lanes.append(place // layout.itemsize + layout.vector_lanes)
            for name, dim in layout.gradient_names:
                self._put(g, f"gradient:{name}", "work", place)
                place += layout.vectors(dim) * layout.vector_bytes
            base, start = ("work", self._take(self.matrix_bytes)) if g else ("gradients", 0)
            if g:
                self.partials.append(start // layout.itemsize)
            for p in matrices:
                self._put(g, f"dmatrix:{p.name}", base, start + layout.gradient_places[p.name][0] * layout.itemsize)
