"""Running compiled kernels on NumPy arrays: rows to threads, workspace, argument tables, results."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ...ir.cell import Cell
from ...plan import plan
from . import team
from .compile import Kernel, build_kernel
from .layout import BLOCK_ROWS, ROW_FIELDS, Layout
from .memory import ALIGNMENT, POOL
from .target import Target, bfloat16_products, host

_CHUNK_BYTES = 1 << 20  # what backward keeps in the cache between its steps and the weights' gradients
MOST_THREADS = 256
_SHARE_BYTES = 1 << 15  # of weights that take as long to read as a row's part in threads' meeting, see `split`
_ROW_BYTES = 1 << 11  # of weights that take as long to read as the elementwise part of a row
_THREAD_BYTES = 1 << 25  # of weights, read for row after row in about 0.2 ms: less work is done by one thread
_CACHE_BYTES = 1 << 21  # of weights that stay in the cache of one processor
_BLUEPRINTS = 64  # of one kernel
_building = threading.Lock()

Array = Any  # of NumPy's, or a tensor of torch's, dense; kernels are told where it begins


@lru_cache(maxsize=512)
def _kernel(
    cell: Cell,
    sizes: tuple[tuple[str, int], ...],
    dtype: str,
    mode: str,
    record: tuple[str, ...],
    input_gradient: bool,
    gradients: tuple[str, ...],
    target: Target,
    bfloat16: str,
) -> Kernel:
    return build_kernel(plan(cell, record, input_gradient, gradients), dict(sizes), dtype, mode, target, bfloat16)


def kernel(
    cell: Cell,
    sizes: Mapping[str, int],
    dtype: str,
    mode: str,
    record: tuple[str, ...] = (),
    input_gradient: bool = True,
    lanes: int | None = None,
    compute_dtype: str | None = None,
    gradients: tuple[str, ...] = (),
) -> Kernel:
    """The kernel of a cell for a mode ("infer", "save", "backward"), built on first use.

    gradients: the named values whose gradients backward hands out; the kernel that saves for it is asked for the same.
    compute_dtype: "bfloat16" rounds the operands of products to it, in a kernel of float32; else products are of `dtype`.
    Raises GatewiseError where the processor has no such products."""
    key = tuple((d, int(sizes[d])) for d in cell.dims)
    narrow = bfloat16_products(lanes) if compute_dtype == "bfloat16" else ""
    with _building:
        return _kernel(cell, key, dtype, mode, record, input_gradient, gradients, host(lanes), narrow)


@dataclass(frozen=True)
class Rows:
    """Which rows of the batch each group of threads runs, and how many of them are within their length at each step."""

    index: tuple[np.ndarray, ...]  # [rows of the group], longest first
    counts: tuple[np.ndarray, ...]  # [steps], in the order in which the kernel takes the steps
    offsets: tuple[np.ndarray, ...]  # [steps], rows on the tape before each step
    totals: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(map(len, self.index))

    @cached_property
    def numbers(self) -> np.ndarray:
        """What kernels are told of each group, in the order of `layout.ROW_FIELDS`."""
        groups = zip(self.totals, self.index, self.counts, self.offsets, strict=True)
        return np.array([[total, *map(address, arrays)] for total, *arrays in groups], np.int64)


@lru_cache(maxsize=64)
def _full_rows(steps: int, batch: int, groups: int) -> Rows:
    bounds = [batch * k // groups for k in range(groups + 1)]
    index = tuple(np.arange(a, b, dtype=np.int64) for a, b in pairwise(bounds))
    counts = tuple(np.full(max(1, steps), len(i), np.int64) for i in index)
    return Rows(index, counts, *_offsets(counts, steps))


def _offsets(counts: tuple[np.ndarray, ...], steps: int):
    offsets = tuple(np.concatenate(([0], np.cumsum(c[:-1]))).astype(np.int64) for c in counts)
    return offsets, tuple(int(c[:steps].sum()) for c in counts)


def deal_rows(steps: int, batch: int, lengths: np.ndarray | None, reverse: bool, groups: int) -> Rows:
    """Rows to groups: in order when all are full, else longest first and dealt in turn, so that groups end together."""
    groups = max(1, min(groups, batch))
    if lengths is None:
        return _full_rows(steps, batch, groups)
    return _ragged_rows(steps, np.asarray(lengths, np.int64).tobytes(), reverse, groups)


@lru_cache(maxsize=64)  # backward, further layers and directions ask for the same again
def _ragged_rows(steps: int, bytes_of_lengths: bytes, reverse: bool, groups: int) -> Rows:
    lengths = np.frombuffer(bytes_of_lengths, np.int64)
    order = np.argsort(-lengths, kind="stable")
    times = np.arange(steps - 1, -1, -1) if reverse else np.arange(steps)
    index = tuple(np.array(order[k::groups], np.int64) for k in range(groups))
    counts = []
    for i in index:
        rising = np.sort(lengths[i])
        counts.append(
            (len(i) - np.searchsorted(rising, times, side="right")).astype(np.int64) if steps else np.zeros(1, np.int64)
        )
    return Rows(index, tuple(counts), *_offsets(tuple(counts), steps))


def address(array: Array) -> int:
    """Where an array of NumPy's or a tensor of torch's begins in memory."""
    pointer = getattr(array, "data_ptr", None)
    if pointer is not None:
        return pointer()
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # a third of the time of the way below
    except (TypeError, ValueError):  # it cannot be written to, or is empty
        return array.__array_interface__["data"][0]


def _dtype(array: Array) -> str:
    return array.dtype.name if isinstance(array, np.ndarray) else str(array.dtype).removeprefix("torch.")


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def block_steps(rows: int) -> int:
    """How many steps of a group with so many rows go through weights together."""
    return max(1, BLOCK_ROWS // rows)


class Blueprint:
    """The argument tables of a kernel before the arrays and the lengths of rows are known: each entry is an address plus an
    offset. It depends on the shape of a call alone, so that a training loop makes it once. Each group of threads has
    `members` tables: its members share rows and what is computed of them, and each does some of the panels.

    groups: the rows of each group.
    silent: no gradient comes to the outputs of single steps: "dy" is one step of zeros, which all of them read.
    work_bytes: the workspace, one block that is called "work".
    """

    def __init__(
        self,
        layout: Layout,
        groups: tuple[int, ...],
        members: int,
        steps: int,
        batch: int,
        reverse: bool,
        silent: bool = False,
    ):
        self.layout, self.groups, self.members = layout, groups, members
        first = layout.fields[ROW_FIELDS[0]]
        self._row_fields = slice(first, first + len(ROW_FIELDS))
        self._bases = {name: n for n, name in enumerate(["", *layout.arrays])}  # "" is no array, its address is 0
        self.offsets = np.zeros((len(groups) * members, len(layout.fields)), np.int64)
        self.which = np.zeros_like(self.offsets)
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
        self._all("packed", "work", self._take(layout.packed_offsets[-1]))
        self.barrier_bytes = ALIGNMENT * members * len(groups)
        self.barriers = self._take(self.barrier_bytes)
        kept = 0
        for g, n in enumerate(groups):
            self._put(g, "barrier", "work", self.barriers + ALIGNMENT * members * g)
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
                kept += _aligned(per_row * steps * n)  # room for full rows; shorter ones lie without holes
        if layout.mode == "backward":
            self._all("mask:dy", "", 0 if silent else -1)
            self._backward()

    def tables(self, rows: Rows, arrays: Sequence[int]) -> np.ndarray:
        """The tables [threads, fields] for rows in groups of these sizes, which must outlive them, and arrays at these
        addresses, in the order of `Layout.arrays`."""
        assert len(arrays) == len(self.layout.arrays)
        table = np.array((0, *arrays), np.int64)[self.which]
        table += self.offsets
        table[:, self._row_fields] = rows.numbers.repeat(self.members, 0)
        return table

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
        self.work_bytes += _aligned(size)
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


def _blueprint(
    k: Kernel, rows: Rows, members: int, steps: int, batch: int, reverse: bool, silent: bool = False
) -> Blueprint:
    """The blueprint of a call, kept for the next one of this shape."""
    key = rows.sizes, members, steps, batch, reverse, silent
    found = k.blueprints.get(key)
    if found is None:
        if len(k.blueprints) >= _BLUEPRINTS:
            k.blueprints.clear()
        found = k.blueprints[key] = Blueprint(k.layout, *key)
    return found


@dataclass
class Saved:
    """What forward leaves for backward.

    histories: every state after every step, [T, B, width]. kept: the kept buffers of all groups of threads, and a trailer
    of three numbers: the groups, their members, and whether backward has written over the buffers.
    """

    histories: tuple[Array, ...]
    kept: np.ndarray
    lengths: np.ndarray | None

    @property
    def trailer(self) -> np.ndarray:
        return self.kept[-ALIGNMENT:].view(np.int64)

    @property
    def division(self) -> tuple[int, int]:
        groups, members, _ = self.trailer[:3].tolist()
        return groups, members

    @property
    def used(self) -> bool:
        return bool(self.trailer[2])


@dataclass
class Result:
    """y is histories[0] where forward saved; past a row's length it is zero."""

    y: np.ndarray
    finals: tuple[np.ndarray, ...]
    recorded: dict[str, np.ndarray]
    saved: Saved | None


def kept_bytes(layout: Layout, steps: int, batch: int) -> int:
    """The size of the kept block, for any number of threads. Its last bytes are a trailer, see `Saved`."""
    pieces = len(layout.kept_buffers) * MOST_THREADS + 2
    return sum(layout.kept_buffers.values()) * steps * batch + ALIGNMENT * pieces


def worth(layout: Layout, steps: int, batch: int) -> int:
    """How many threads a call is worth: a short one is over before a second thread has begun, and where other programs use
    the processors it would wait for it a thousand times longer than it works."""
    return team.available() if steps * batch * (layout.packed_offsets[-1] + _ROW_BYTES) >= _THREAD_BYTES else 1


def split(layout: Layout, batch: int, threads: int) -> tuple[int, int]:
    """Into how many groups the rows are dealt, and how many threads share the units of each group.

    A group's threads meet some times a step and read what the others wrote: a step costs as much more as reading
    rows * (meetings + 1) * `_SHARE_BYTES` of weights. It pays where there are more threads than rows (an LSTM of 64 units
    for a single row), and where all weights together do not stay in a processor's own cache, of `_CACHE_BYTES` at least.
    """
    threads = max(1, min(threads, MOST_THREADS))
    members = _members(layout.step_bytes, layout.meetings_a_step, batch, threads)
    if members > 1 and not team.meets(threads):
        members = 1
    return max(1, min(threads // members, batch)), members


@lru_cache(maxsize=256)
def _members(weights: int, meetings: int, batch: int, threads: int) -> int:
    """The most of so many threads, a divisor of them, for which sharing pays."""
    found = 1
    for members in range(2, threads + 1):
        rows = -(-batch * members // threads)
        if threads % members == 0 and weights >= min(_CACHE_BYTES, rows * (meetings + 1) * _SHARE_BYTES) * members / 2:
            found = members
    return found


def _possible(division: tuple[int, int]) -> tuple[int, int]:
    """The division, or that with a thread a group where its threads cannot meet; what is kept lies the same."""
    groups, members = division
    return division if members == 1 or team.meets(groups * members) else (groups, 1)


def _run(k: Kernel, blueprint: Blueprint, rows: Rows, arrays: Sequence[Array], gradients: np.ndarray | None = None) -> None:
    """Run a kernel on arrays in the order of `Layout.arrays`, the workspace left out. gradients: of parameters, of which
    threads leave parts in the workspace."""
    work = POOL.take(blueprint.work_bytes)
    try:
        if blueprint.members > 1:
            work.array[blueprint.barriers : blueprint.barriers + blueprint.barrier_bytes] = 0
        team.run(k, blueprint.tables(rows, [work.address, *map(address, arrays)]), blueprint.members > 1)
        if gradients is not None:
            _collect(blueprint, gradients, work.array)
    finally:
        POOL.give(work)


def forward(
    cell: Cell,
    params: Mapping[str, Array],
    x: Array,
    initial: Sequence[Array],
    sizes: Mapping[str, int],
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    save: bool = False,
    record: tuple[str, ...] = (),
    threads: int | None = None,
    lanes: int | None = None,
    given: Sequence[Array] = (),
    division: tuple[int, int] | None = None,
    compute_dtype: str | None = None,
    gradients: tuple[str, ...] = (),
) -> Result:
    """All steps of a layer. Arrays are C-contiguous and of one dtype; shapes as in interpret.forward.

    record: named values to hand out, [T, B, units] each, 0 past a row's length. division: what `split` else decides.
    compute_dtype, gradients: as in `kernel`."""
    dtype = _dtype(x)
    k = kernel(cell, sizes, dtype, "save" if save else "infer", record, True, lanes, compute_dtype, gradients)
    layout = k.layout
    steps, batch = x.shape[:2]
    threads = threads or worth(layout, steps, batch)
    groups, members = _possible(division) if division else split(layout, batch, threads)
    rows = deal_rows(steps, batch, lengths, reverse, groups)
    histories = []
    for n, state in enumerate(cell.states):
        histories.append(POOL.empty((layout.held_steps(n, steps), batch, sizes[state.dim]), dtype))
    recorded = _room(layout, record, steps, batch, lengths)
    kept = POOL.empty((kept_bytes(layout, steps, batch),), np.uint8) if save else None
    if steps and batch:
        blueprint = _blueprint(k, rows, members, steps, batch, reverse)
        shown = [recorded[name] for name in layout.recorded]
        weights = [params[p.name] for p in cell.parameters]
        _run(k, blueprint, rows, [x, *histories, *given, *shown, *initial, *weights, *(() if kept is None else (kept,))])
    finals = tuple(
        _final(history, start, lengths, reverse, steps) for history, start in zip(histories, initial, strict=True)
    )
    saved = None
    if kept is not None:
        saved = Saved(tuple(histories), kept, lengths)
        saved.trailer[:3] = groups, members, 0
    return Result(histories[0], finals, recorded, saved)


def _room(layout: Layout, names: Sequence[str], steps: int, batch: int, lengths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Arrays [T, B, units] for what a kernel hands out of every step, zero where it does not write."""
    written = {f"record:{name}" for name in names} & set(layout.user_arrays)
    found = {}
    for name in names:
        shape = steps, batch, layout.units(layout.cell.named_dims[name])
        make = POOL.empty if lengths is None and f"record:{name}" in written else POOL.zeros
        found[name] = make(shape, np.dtype(layout.dtype))
    return found


def _final(history: np.ndarray, start: Array, lengths: np.ndarray | None, reverse: bool, steps: int) -> np.ndarray:
    """A state after each row's last step; the initial state for a row without steps."""
    if not steps or not history.shape[1]:
        return _numpy(start).copy()
    last = 0 if reverse else steps - 1
    if lengths is None:
        return history[last % len(history)].copy()
    if reverse:
        rows = history[0].copy()
    else:
        rows = history[(lengths - 1) % len(history), np.arange(history.shape[1])]
    rows[lengths == 0] = _numpy(start)[lengths == 0]
    return rows


def _numpy(array: Array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.detach().numpy()


@dataclass
class Gradients:
    """x is None where it was not asked for. recorded: of every step, [T, B, units] each, 0 past a row's length."""

    x: np.ndarray | None
    states: tuple[np.ndarray, ...]
    params: dict[str, np.ndarray]
    recorded: dict[str, np.ndarray]


def backward(
    cell: Cell,
    params: Mapping[str, Array],
    x: Array,
    initial: Sequence[Array],
    sizes: Mapping[str, int],
    saved: Saved,
    dy: Array | None,
    dfinals: Sequence[np.ndarray | None],
    reverse: bool = False,
    input_gradient: bool = True,
    lanes: int | None = None,
    given: Sequence[Array] = (),
    compute_dtype: str | None = None,
    record: tuple[str, ...] = (),
) -> Gradients:
    """Backpropagation through time. It works in the memory that forward kept; a second time it runs forward again.

    dy: None where only final states have gradients. record: named values whose gradients are handed out; forward was given
    the same as `gradients`."""
    if saved.used:
        again = forward(
            *(cell, params, x, initial, sizes, saved.lengths, reverse, True, (), None, lanes, given, saved.division),
            compute_dtype=compute_dtype,
            gradients=record,
        )
        assert again.saved is not None
        saved = again.saved
    saved.trailer[2] = 1
    dtype = _dtype(x)
    k = kernel(cell, sizes, dtype, "backward", (), input_gradient, lanes, compute_dtype, record)
    layout = k.layout
    steps, batch = x.shape[:2]
    groups, members = _possible(saved.division)
    rows = deal_rows(steps, batch, saved.lengths, reverse, groups)
    carried = _carried(cell, sizes, dfinals, batch, dtype)
    recorded = _room(layout, record, steps, batch, saved.lengths)
    dx = None
    if input_gradient:
        written = steps and "dx" in layout.user_arrays  # every row, zeros past its length
        dx = (POOL.empty if written else POOL.zeros)(x.shape, dtype)
    make = POOL.empty if steps and batch else POOL.zeros  # the kernel clears what it adds to
    gradients = make((layout.gradient_sizes[1],), dtype)
    if steps and batch:
        silent = dy is None
        if silent:
            dy = POOL.zeros((batch, sizes[cell.output_dim]), dtype)
        blueprint = _blueprint(k, rows, members, steps, batch, reverse, silent)
        shown = [recorded[name] for name in layout.recorded]
        weights = [params[p.name] for p in cell.parameters]
        arrays = [x, *saved.histories, *given, dy, *carried, *([dx] if "dx" in layout.user_arrays else ()), *shown]
        _run(k, blueprint, rows, [*arrays, *initial, *weights, saved.kept, gradients], gradients)
    views = {p.name: _view(gradients, *layout.gradient_places[p.name]) for p in cell.parameters}
    return Gradients(dx, carried, views, recorded)


def _carried(
    cell: Cell, sizes: Mapping[str, int], dfinals: Sequence[np.ndarray | None], batch: int, dtype: str
) -> tuple[np.ndarray, ...]:
    """The gradients of the final states, in memory in which backward carries them to the initial ones."""
    widths = [sizes[s.dim] for s in cell.states]
    block = POOL.empty((batch * sum(widths),), dtype)
    found, start = [], 0
    for width, d in zip(widths, dfinals, strict=True):
        a = _view(block, start, (batch, width))
        a[...] = 0 if d is None else d
        found.append(a)
        start += batch * width
    return tuple(found)


def _view(block: np.ndarray, start: int, shape: tuple[int, ...]) -> np.ndarray:
    return block[start : start + math.prod(shape)].reshape(shape)


def _collect(blueprint: Blueprint, gradients: np.ndarray, work: np.ndarray) -> None:
    """Add up what the threads found."""
    numbers = work.view(gradients.dtype)
    matrices = blueprint.matrix_bytes // gradients.itemsize
    for start in blueprint.partials:
        gradients[:matrices] += numbers[start : start + matrices]
    first, *others = blueprint.lanes
    if len(first):
        vectors = gradients[matrices:]
        numbers.take(first, out=vectors, mode="clip")  # "raise" would write to a copy first
        for lanes in others:
            vectors += numbers[lanes]
