"""Running compiled kernels on NumPy arrays: rows to threads, workspace, argument tables, results."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ...ir.cell import Cell
from ...plan import plan
from . import team
from .compile import Kernel, build_kernel
from .layout import BLOCK_ROWS, Layout
from .memory import ALIGNMENT, POOL
from .target import Target, host

_CHUNK_BYTES = 1 << 20  # what backward keeps in the cache between its steps and the weights' gradients
MOST_THREADS = 256
_building = threading.Lock()


@lru_cache(maxsize=512)
def _kernel(
    cell: Cell,
    sizes: tuple[tuple[str, int], ...],
    dtype: str,
    mode: str,
    record: tuple[str, ...],
    input_gradient: bool,
    target: Target,
) -> Kernel:
    return build_kernel(plan(cell, record, input_gradient), dict(sizes), dtype, mode, target)


def kernel(
    cell: Cell,
    sizes: Mapping[str, int],
    dtype: str,
    mode: str,
    record: tuple[str, ...] = (),
    input_gradient: bool = True,
    lanes: int | None = None,
) -> Kernel:
    """The kernel of a cell for a mode ("infer", "save", "backward"), built on first use."""
    key = tuple((d, int(sizes[d])) for d in cell.dims)
    with _building:
        return _kernel(cell, key, dtype, mode, record, input_gradient, host(lanes))


@dataclass(frozen=True)
class Rows:
    """Which rows of the batch each thread runs, and how many of them are within their length at each step."""

    index: tuple[np.ndarray, ...]  # [rows of the thread], longest first
    counts: tuple[np.ndarray, ...]  # [steps], in the order in which the kernel takes the steps
    offsets: tuple[np.ndarray, ...]  # [steps], rows on the tape before each step
    totals: tuple[int, ...]


@lru_cache(maxsize=64)
def _full_rows(steps: int, batch: int, threads: int) -> Rows:
    bounds = [batch * k // threads for k in range(threads + 1)]
    index = tuple(np.arange(a, b, dtype=np.int64) for a, b in pairwise(bounds))
    counts = tuple(np.full(max(1, steps), len(i), np.int64) for i in index)
    return Rows(index, counts, *_offsets(counts, steps))


def _offsets(counts: tuple[np.ndarray, ...], steps: int):
    offsets = tuple(np.concatenate(([0], np.cumsum(c[:-1]))).astype(np.int64) for c in counts)
    return offsets, tuple(int(c[:steps].sum()) for c in counts)


def deal_rows(steps: int, batch: int, lengths: np.ndarray | None, reverse: bool, threads: int) -> Rows:
    """Rows to threads: in order when all are full, else longest first and dealt in turn, so that threads end together."""
    threads = max(1, min(threads, batch))
    if lengths is None:
        return _full_rows(steps, batch, threads)
    order = np.argsort(-lengths, kind="stable")
    times = np.arange(steps - 1, -1, -1) if reverse else np.arange(steps)
    index = tuple(np.ascontiguousarray(order[k::threads], dtype=np.int64) for k in range(threads))
    counts = []
    for i in index:
        rising = np.sort(lengths[i])
        counts.append(
            (len(i) - np.searchsorted(rising, times, side="right")).astype(np.int64) if steps else np.zeros(1, np.int64)
        )
    return Rows(index, tuple(counts), *_offsets(tuple(counts), steps))


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _total(sizes: Sequence[int]) -> int:
    return sum(_aligned(s) for s in sizes)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Arena:
    """One block of workspace, handed out in aligned pieces."""

    def __init__(self, size: int):
        self.block = POOL.empty((size,), np.uint8)
        self.next = address(self.block)

    def piece(self, size: int) -> int:
        start = self.next
        self.next += _aligned(size)
        return start


@dataclass
class Saved:
    """What forward leaves for backward.

    histories: every state after every step, [T, B, width]. kept: the kept buffers of all threads, and a trailer of two
    numbers: the threads that forward used, and whether backward has written over the buffers.
    """

    histories: tuple[np.ndarray, ...]
    kept: np.ndarray
    lengths: np.ndarray | None

    @property
    def trailer(self) -> np.ndarray:
        return self.kept[-ALIGNMENT:].view(np.int64)

    @property
    def threads(self) -> int:
        return int(self.trailer[0])

    @property
    def used(self) -> bool:
        return bool(self.trailer[1])


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


def _kept_sizes(layout: Layout, rows: Rows) -> list[list[int]]:
    return [[per_row * total for per_row in layout.kept_buffers.values()] for total in rows.totals]


def _shared(
    layout: Layout,
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    initial: Sequence[np.ndarray],
    histories: Sequence[np.ndarray],
    reverse: bool,
) -> dict[str, int]:
    """The arguments that all threads share."""
    steps, batch = x.shape[:2]
    values = {
        "steps": steps,
        "first": steps - 1 if reverse else 0,
        "step": -1 if reverse else 1,
        "batch": batch,
        "input": address(x),
    }
    for state, start, history in zip(layout.cell.states, initial, histories, strict=True):
        values[f"new:{state.name}"] = address(history)
        values[f"old:{state.name}"] = 0
        values[f"initial:{state.name}"] = address(start)
        values[f"stride:{state.name}"] = history.strides[0]
        values[f"mask:{state.name}"] = -1 if len(history) == steps else 1
    for p in layout.cell.parameters:
        values[f"param:{p.name}"] = address(params[p.name])
    return values


def _tables(layout: Layout, shared: Mapping[str, int], threads: Sequence[Mapping[str, int]]) -> np.ndarray:
    fields = layout.fields
    table = np.zeros((len(threads), len(fields)), np.int64)
    row = table[0]
    for name, value in shared.items():
        row[fields[name]] = value
    table[1:] = row
    for k, own in enumerate(threads):
        row = table[k]
        for name, value in own.items():
            row[fields[name]] = value
    return table


def _own(layout: Layout, rows: Rows, k: int) -> dict[str, int]:
    return {
        "thread": k,
        "threads": len(rows.index),
        "rows": len(rows.index[k]),
        "total": rows.totals[k],
        "index": address(rows.index[k]),
        "counts": address(rows.counts[k]),
        "offsets": address(rows.offsets[k]),
    }


def forward(
    cell: Cell,
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    initial: Sequence[np.ndarray],
    sizes: Mapping[str, int],
    lengths: np.ndarray | None = None,
    reverse: bool = False,
    save: bool = False,
    record: tuple[str, ...] = (),
    threads: int | None = None,
    lanes: int | None = None,
) -> Result:
    """All steps of a layer. Arrays are C-contiguous and of one dtype; shapes as in interpret.forward."""
    dtype = x.dtype.name
    k = kernel(cell, sizes, dtype, "save" if save else "infer", record, True, lanes)
    layout = k.layout
    steps, batch = x.shape[:2]
    threads = min(threads or team.available(), MOST_THREADS)
    rows = deal_rows(steps, batch, lengths, reverse, threads)
    histories = []
    for n, state in enumerate(cell.states):
        whole = save or n == 0 or steps < 2
        make = POOL.zeros if n == 0 and lengths is not None else POOL.empty
        histories.append(make((steps if whole else 2, batch, sizes[state.dim]), x.dtype))
    recorded = {}
    for name in record:
        dim = cell.graph.nodes[dict(cell.named)[name]].dim
        recorded[name] = (POOL.zeros if lengths is not None else POOL.empty)((steps, batch, sizes[dim]), x.dtype)
    if steps and batch:
        shared = _shared(layout, params, x, initial, histories, reverse)
        shared |= {f"record:{name}": address(a) for name, a in recorded.items()}
        kept = _run_forward(k, shared, rows)
    else:
        kept = POOL.empty((kept_bytes(layout, steps, batch),), np.uint8)
    finals = tuple(
        _final(history, start, lengths, reverse, steps) for history, start in zip(histories, initial, strict=True)
    )
    saved = Saved(tuple(histories), kept, lengths) if save else None
    if saved is not None:
        saved.trailer[:2] = threads, 0
    return Result(histories[0], finals, recorded, saved)


def _run_forward(k: Kernel, shared: dict[str, int], rows: Rows) -> np.ndarray:
    layout = k.layout
    buffers = layout.buffers
    tables = 8 * len(layout.user_arrays)
    packed = layout.packed_offsets[-1]
    widths = [len(i) for i in rows.index]
    arena = _Arena(_total([packed, *(s * n for n in widths for s in (tables, *buffers.values()))]))
    shared["packed"] = arena.piece(packed)
    kept_sizes = _kept_sizes(layout, rows)
    kept = _Arena(kept_bytes(layout, shared["steps"], shared["batch"]))
    own = []
    for t, n in enumerate(widths):
        values = _own(layout, rows, t)
        values["tables"] = arena.piece(tables * n)
        values |= {name: arena.piece(size * n) for name, size in buffers.items()}
        values |= {name: kept.piece(size) for name, size in zip(layout.kept_buffers, kept_sizes[t], strict=True)}
        own.append(values)
    table = _tables(layout, shared, own)
    team.run(k, table)
    return kept.block


def _final(history: np.ndarray, start: np.ndarray, lengths: np.ndarray | None, reverse: bool, steps: int) -> np.ndarray:
    """A state after each row's last step; the initial state for a row without steps."""
    if not steps or not history.shape[1]:
        return start.copy()
    last = 0 if reverse else steps - 1
    if lengths is None:
        return history[last % len(history)].copy()
    if reverse:
        rows = history[0].copy()
    else:
        rows = history[(lengths - 1) % len(history), np.arange(history.shape[1])]
    rows[lengths == 0] = start[lengths == 0]
    return rows


@dataclass
class Gradients:
    """x is None where it was not asked for."""

    x: np.ndarray | None
    states: tuple[np.ndarray, ...]
    params: dict[str, np.ndarray]


def backward(
    cell: Cell,
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    initial: Sequence[np.ndarray],
    sizes: Mapping[str, int],
    saved: Saved,
    dy: np.ndarray,
    dfinals: Sequence[np.ndarray | None],
    reverse: bool = False,
    input_gradient: bool = True,
    lanes: int | None = None,
) -> Gradients:
    """Backpropagation through time. It works in the memory that forward kept; a second time it runs forward again."""
    if saved.used:
        again = forward(cell, params, x, initial, sizes, saved.lengths, reverse, True, (), saved.threads, lanes)
        assert again.saved is not None
        saved = again.saved
    saved.trailer[1] = 1
    dtype = x.dtype.name
    k = kernel(cell, sizes, dtype, "backward", (), input_gradient, lanes)
    layout = k.layout
    steps, batch = x.shape[:2]
    rows = deal_rows(steps, batch, saved.lengths, reverse, saved.threads)
    carried = []
    for state, d in zip(cell.states, dfinals, strict=True):
        a = POOL.empty((batch, sizes[state.dim]), x.dtype)
        a[...] = 0 if d is None else d
        carried.append(a)
    dx = None
    if input_gradient:
        full = all(c.min(initial=0) == len(i) for c, i in zip(rows.counts, rows.index, strict=True))
        dx = (POOL.empty if full and steps else POOL.zeros)(x.shape, x.dtype)
    make = POOL.empty if steps and batch else POOL.zeros  # the kernel clears what it adds to
    gradients = {p.name: make(p.shape(sizes), x.dtype) for p in cell.parameters}
    if steps and batch:
        shared = _shared(layout, params, x, initial, saved.histories, reverse)
        shared["dy"] = address(dy)
        if dx is not None and "dx" in layout.fields:
            shared["dx"] = address(dx)
        shared |= {f"carry:{s.name}": address(a) for s, a in zip(cell.states, carried, strict=True)}
        _run_backward(k, shared, rows, saved.kept, gradients, x.dtype)
    return Gradients(dx, tuple(carried), gradients)


def _run_backward(
    k: Kernel, shared: dict[str, int], rows: Rows, kept: np.ndarray, gradients: dict[str, np.ndarray], dtype: np.dtype
) -> None:
    layout, cell = k.layout, k.layout.cell
    buffers = layout.buffers
    tables = 8 * len(layout.user_arrays)
    widths = [len(i) for i in rows.index]
    kept_row = max(1, sum(layout.kept_buffers.values()))
    weight_bytes = sum(gradients[p.name].nbytes for p in cell.parameters if p.in_dim)
    blocks = [max(1, BLOCK_ROWS // n) for n in widths]
    budget = max(_CHUNK_BYTES, 16 * weight_bytes)  # a weight's gradient goes through memory once a chunk
    chunks = [-(-max(1, budget // (kept_row * n)) // b) * b for n, b in zip(widths, blocks, strict=True)]
    widest = max((layout.vectors(dim) for _, dim, _ in layout.outer_sources), default=0) * layout.vector_bytes
    vectors = layout.gradient_names
    matrices = [p for p in cell.parameters if p.in_dim]
    packed = layout.packed_offsets[-1]
    gathered = [widest * n * b for n, b in zip(widths, blocks, strict=True)]
    sums = sum(layout.vectors(dim) for _, dim in vectors) * layout.vector_bytes
    arena = _Arena(_total([packed, *gathered, *(s * n for n in widths for s in (tables, *buffers.values()))]))
    shared["packed"] = arena.piece(packed)
    sums_block = POOL.empty((len(widths), max(1, sums)), np.uint8)
    partial = {p.name: [gradients[p.name]] for p in matrices}
    for p in matrices:
        partial[p.name] += [POOL.empty(gradients[p.name].shape, dtype) for _ in widths[1:]]
    kept_address = address(kept)
    own = []
    for t, n in enumerate(widths):
        values = _own(layout, rows, t)
        values["block"], values["chunk"] = blocks[t], chunks[t]
        values["packed_rows"] = arena.piece(gathered[t])
        values["tables"] = arena.piece(tables * n)
        values |= {name: arena.piece(size * n) for name, size in buffers.items()}
        for name, per_row in layout.kept_buffers.items():
            values[name] = kept_address
            kept_address += _aligned(per_row * rows.totals[t])
        place = address(sums_block) + t * sums_block.strides[0]
        for name, dim in vectors:
            values[f"gradient:{name}"] = place
            place += layout.vectors(dim) * layout.vector_bytes
        for p in matrices:
            values[f"dmatrix:{p.name}"] = address(partial[p.name][t])
        own.append(values)
    table = _tables(layout, shared, own)
    team.run(k, table)
    for p in matrices:
        for other in partial[p.name][1:]:
            gradients[p.name] += other
    _collect_vectors(layout, gradients, sums_block[:, :sums].reshape(len(widths), -1).view(dtype))


def _collect_vectors(layout: Layout, gradients: dict[str, np.ndarray], sums: np.ndarray) -> None:
    """The gradients of biases and other vectors, from the threads' padded sums."""
    total = sums[0].copy()
    for other in sums[1:]:
        total += other
    place = 0
    for p in layout.cell.parameters:
        if p.in_dim is None:
            for part, start, stop in p.slices(layout.sizes):
                gradients[p.name][start:stop] = total[place : place + stop - start]
                place += layout.vectors(part.dim) * layout.lanes
