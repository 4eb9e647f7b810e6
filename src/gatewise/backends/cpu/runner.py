"""Running compiled kernels on NumPy arrays and torch's tensors: what a call of a shape needs, and its results."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...ir.cell import Cell
from ...plan import plan
from . import team
from .blueprint import Blueprint
from .compile import Kernel, build_kernel
from .division import MOST_THREADS, Rows, apart, deal_rows, split, worth
from .layout import Layout
from .memory import ALIGNMENT, POOL, Array, Block, address, aligned
from .target import bfloat16_products, host

_building = threading.Lock()


class Wanted(NamedTuple):
    """Which kernel: of a cell at sizes, for a mode ("infer", "save", "backward").

    gradients: the named values whose gradients backward hands out; the kernel that saves for it is asked for the same.
    bfloat16: how operands of products are multiplied that are rounded to it, see `way`."""

    cell: Cell
    sizes: tuple[tuple[str, int], ...]
    dtype: str
    mode: str
    record: tuple[str, ...] = ()
    input_gradient: bool = True
    lanes: int | None = None
    bfloat16: str = ""
    gradients: tuple[str, ...] = ()


@lru_cache(maxsize=512)
def _kernel(wanted: Wanted) -> Kernel:
    cell, sizes, dtype, mode, record, input_gradient, lanes, bfloat16, gradients = wanted
    return build_kernel(plan(cell, record, input_gradient, gradients), dict(sizes), dtype, mode, host(lanes), bfloat16)


def kernel(wanted: Wanted) -> Kernel:
    """The kernel, built on first use."""
    sizes = dict(wanted.sizes)
    with _building:
        return _kernel(wanted._replace(sizes=tuple((d, int(sizes[d])) for d in wanted.cell.dims)))


def way(compute_dtype: str | None, lanes: int | None = None) -> str:
    """The way in which operands of products are multiplied that are rounded to bfloat16, or "" where they are not.
    Raises GatewiseError where the processor has no such products."""
    return bfloat16_products(lanes) if compute_dtype == "bfloat16" else ""


@cache
def _name(dtype: Any) -> str:
    """The name of a dtype of NumPy's or torch's."""
    return str(dtype).removeprefix("torch.")


def kept_bytes(layout: Layout, steps: int, batch: int) -> int:
    """The size of what forward keeps for backward, for any number of threads: the histories of all states but the first,
    which is the output, the kept buffers, and a trailer, see `Saved`."""
    pieces = len(layout.kept_buffers) * MOST_THREADS + 2
    _, histories = _histories(layout, steps, batch)
    return histories + sum(layout.kept_buffers.values()) * steps * batch + ALIGNMENT * pieces


def _histories(layout: Layout, steps: int, batch: int) -> tuple[list[tuple[int, tuple[int, ...]]], int]:
    """Of all states but the first: where the values of all steps that are held begin in their block, and their shape; and
    the bytes of the block."""
    found, size = [], 0
    for n, s in enumerate(layout.cell.states[1:], 1):
        shape = layout.held_steps(n, steps), batch, layout.units(s.dim)
        found.append((size, shape))
        size += aligned(math.prod(shape) * layout.itemsize)
    return found, size


class Call:
    """What a call needs beside its arrays and the lengths of rows, worked out once for each shape.

    parts: where a state's part of one block of numbers for all states begins and ends, and its shape [B, width].
    histories: of all states but the first, which is the output: where they begin in a part of what is kept, or of the
    workspace, and their shapes. gradients: where a parameter's gradient begins and ends in their block, and its shape.
    """

    def __init__(self, k: Kernel, steps: int, batch: int, reverse: bool, silent: bool, division: tuple[int, int]):
        groups, self.members = division
        self.kernel, self.layout, layout = k, k.layout, k.layout
        self.steps, self.batch, self.reverse, self.silent = steps, batch, reverse, silent
        self.empty = not (steps and batch)
        self.full = deal_rows(steps, batch, None, reverse, groups)
        self.groups = len(self.full.sizes)
        widths = [layout.units(s.dim) for s in layout.cell.states]
        self.output_shape = steps, batch, widths[0]
        ends = np.cumsum([batch * w for w in widths]).tolist()
        self.parts = [(end - batch * w, end, (batch, w)) for end, w in zip(ends, widths, strict=True)]
        self.histories, self.history_bytes = _histories(layout, steps, batch)
        self.kept_bytes = kept_bytes(layout, steps, batch)
        self.parameters = tuple(p.name for p in layout.cell.parameters)
        places = [layout.gradient_places[name] for name in self.parameters]
        self.gradients = [(a, a + math.prod(shape), shape) for a, shape in places]
        self._blueprints: dict[tuple[int, ...], Blueprint] = {}

    @property
    def possible(self) -> bool:
        """Whether its threads can meet, where they must."""
        return self.members == 1 or team.meets(self.groups * self.members)

    def rows(self, lengths: np.ndarray | None) -> Rows:
        return self.full if lengths is None else deal_rows(self.steps, self.batch, lengths, self.reverse, self.groups)

    def blueprint(self, rows: Rows) -> Blueprint:
        found = self._blueprints.get(rows.sizes)  # those of full rows, and of ragged ones, which are dealt in turn
        if found is None:
            packed = self.steps > 1 or self.groups > 1  # else every panel is read once
            facts = self.members, self.steps, self.batch, self.reverse, self.silent, packed
            found = self._blueprints[rows.sizes] = Blueprint(self.layout, rows, *facts)
        return found


@lru_cache(maxsize=512)
def _call(
    wanted: Wanted,
    shape: tuple[int, ...],
    reverse: bool,
    silent: bool,
    threads: int | None,
    available: int,
    division: tuple[int, int] | None,
    meet: bool,
) -> Call:
    """shape: steps and rows of the batch come first. threads: None for as many of those available as the call is worth.
    meet: its threads may wait for one another."""
    k = kernel(wanted)
    steps, batch, *_ = shape
    divided = division or split(k.layout, steps, batch, threads or worth(k.layout, steps, batch, available))
    return Call(k, steps, batch, reverse, silent, divided if meet else apart(divided, batch, division is not None))


def _prepared(*facts: Any) -> Call:
    """The call of these facts, whose threads do not wait for one another where they cannot."""
    call = _call(*facts, True)
    return call if call.possible else _call(*facts, False)


def _run(call: Call, blueprint: Blueprint, rows: Rows, work: Block, arrays: Sequence[int]) -> None:
    """Run the kernel on arrays at these addresses, in the order of `Layout.arrays`, the workspace left out."""
    if blueprint.members > 1:
        work.array[blueprint.barriers : blueprint.barriers + blueprint.barrier_bytes] = 0
    data = blueprint.data((work.address, *arrays), rows)
    team.run(call.kernel, data, blueprint.threads, blueprint.members > 1, blueprint.packed)


def _last(
    call: Call, recorded: Mapping[str, np.ndarray], initial: Sequence[Array], params: Mapping[str, Array]
) -> list[int]:
    """The addresses that come last in any call, but for what is kept."""
    shown = map(recorded.__getitem__, call.layout.recorded)
    weights = map(params.__getitem__, call.parameters)
    return list(map(address, (*shown, *initial, *weights)))


@dataclass
class Saved:
    """What forward leaves for backward.

    y: the first state after every step, [T, B, width]. kept: the kept buffers of all groups of threads, the
    histories of the other states, and a trailer of three numbers: the groups, their members, and whether backward has
    written over the buffers.
    """

    y: Array
    kept: np.ndarray
    lengths: np.ndarray | None

    @property
    def trailer(self) -> np.ndarray:
        return self.kept[-ALIGNMENT:].view(np.int64)


@dataclass
class Result:
    """Past a row's length y and recorded values are zero."""

    y: np.ndarray
    finals: tuple[np.ndarray, ...]
    recorded: dict[str, np.ndarray]
    saved: Saved | None


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
    compute_dtype: as in `way`. gradients: as in `Wanted`."""
    dtype, mode, narrow = _name(x.dtype), "save" if save else "infer", way(compute_dtype, lanes)
    wanted = Wanted(cell, tuple(sizes.items()), dtype, mode, record, True, lanes, narrow, gradients)
    call = _prepared(wanted, x.shape, reverse, False, threads, team.available(), division)
    layout, rows = call.layout, call.rows(lengths)
    y = POOL.empty(call.output_shape, dtype)
    recorded = _room(layout, record, call.steps, call.batch, lengths)
    kept = POOL.empty((call.kept_bytes,), np.uint8) if save else None
    if not call.empty:
        blueprint = call.blueprint(rows)
        work = POOL.take(blueprint.work_bytes + (0 if save else call.history_bytes))
        try:
            block, start = (work.array, blueprint.work_bytes) if kept is None else (kept, _history_start(call, kept))
            place = address(block)
            arrays = [address(x), address(y), *[place + start + n for n, _ in call.histories], *map(address, given)]
            arrays += _last(call, recorded, initial, params)
            _run(call, blueprint, rows, work, arrays if kept is None else [*arrays, place])
            histories = [y, *[np.ndarray(shape, dtype, block, start + n) for n, shape in call.histories]]
            finals = tuple([_final(h, s, lengths, reverse, call.steps) for h, s in zip(histories, initial, strict=True)])
        finally:
            POOL.give(work)
    else:
        finals = tuple(_numpy(s).copy() for s in initial)
    saved = None
    if kept is not None:
        saved = Saved(y, kept, lengths)
        saved.trailer[:3] = call.groups, call.members, 0
    return Result(y, finals, recorded, saved)


def _history_start(call: Call, kept: np.ndarray) -> int:
    """Where in what is kept the histories begin."""
    return kept.size - ALIGNMENT - call.history_bytes


def _room(layout: Layout, names: Sequence[str], steps: int, batch: int, lengths: np.ndarray | None) -> dict[str, np.ndarray]:
    """Arrays [T, B, units] for what a kernel hands out of every step, zero where it does not write."""
    if not names:
        return {}
    written = {f"record:{name}" for name in names} & set(layout.user_arrays)
    found = {}
    for name in names:
        shape = steps, batch, layout.units(layout.cell.named_dims[name])
        make = POOL.empty if lengths is None and f"record:{name}" in written else POOL.zeros
        found[name] = make(shape, np.dtype(layout.dtype))
    return found


def _final(history: np.ndarray, start: Array, lengths: np.ndarray | None, reverse: bool, steps: int) -> np.ndarray:
    """A state after each row's last step; the initial state for a row without steps."""
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
    groups, members, used = saved.trailer[:3].tolist()
    if used:
        again = forward(
            *(cell, params, x, initial, sizes, saved.lengths, reverse, True, (), None, lanes, given, (groups, members)),
            compute_dtype=compute_dtype,
            gradients=record,
        )
        assert again.saved is not None
        saved = again.saved
    saved.trailer[2] = 1
    dtype, silent, narrow = _name(x.dtype), dy is None, way(compute_dtype, lanes)
    wanted = Wanted(cell, tuple(sizes.items()), dtype, "backward", (), input_gradient, lanes, narrow, record)
    call = _prepared(wanted, x.shape, reverse, silent, None, 0, (groups, members))
    layout, rows = call.layout, call.rows(saved.lengths)
    carried = _carried(call, dfinals, dtype)
    recorded = _room(layout, record, call.steps, call.batch, saved.lengths)
    dx = None
    if input_gradient:
        written = not call.empty and "dx" in layout.user_arrays  # every row, zeros past its length
        dx = (POOL.empty if written else POOL.zeros)(x.shape, dtype)
    make = POOL.zeros if call.empty else POOL.empty  # the kernel clears what it adds to
    gradients = make((layout.gradient_sizes[1],), dtype)
    if not call.empty:
        if dy is None:
            dy = POOL.zeros(call.parts[0][2], dtype)
        place = address(saved.kept)
        start = place + _history_start(call, saved.kept)
        arrays = [address(x), address(saved.y), *[start + n for n, _ in call.histories], *map(address, given)]
        arrays += [address(dy), *map(address, carried)]
        if dx is not None and "dx" in layout.user_arrays:
            arrays.append(address(dx))
        arrays += _last(call, recorded, initial, params)
        blueprint = call.blueprint(rows)
        work = POOL.take(blueprint.work_bytes)
        try:
            _run(call, blueprint, rows, work, [*arrays, place, address(gradients)])
            _collect(blueprint, gradients, work.array)
        finally:
            POOL.give(work)
    found = [gradients[a:b].reshape(shape) for a, b, shape in call.gradients]
    return Gradients(dx, carried, dict(zip(call.parameters, found, strict=True)), recorded)


def _carried(call: Call, dfinals: Sequence[np.ndarray | None], dtype: str) -> tuple[np.ndarray, ...]:
    """The gradients of the final states, in memory in which backward carries them to the initial ones."""
    block = POOL.zeros((call.parts[-1][1],), dtype)
    found = tuple([block[a:b].reshape(shape) for a, b, shape in call.parts])
    for carried, d in zip(found, dfinals, strict=True):
        if d is not None:
            carried[...] = d
    return found


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
