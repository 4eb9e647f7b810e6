"""One step of a schedule, and the loop over time around it.

A group runs panel by panel: tiles of products into a scratch of accumulators, then the epilogue, which computes
everything elementwise for those rows and units and stores what others need. Rows are the inner loop, so a panel of
weights is read from memory once a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from ...ir.cell import INPUT
from ...ir.graph import SCALAR as ONE
from . import bfloat16
from .emit import I64, POINTER, Function, Module
from .epilogue import Epilogue
from .layout import SLICE_ROWS, STRIP, Geometry, Layout, Panels
from .products import Tiles, emit_pack, emit_products
from .target import TILES
from .team import emit_barrier

_MOST_AHEAD = 512  # bytes of a row that are asked for before its step


class StepEmitter:
    """Writes the functions of all groups, and the calls that run one step."""

    def __init__(self, m: Module, layout: Layout):
        self.m, self.layout = m, layout
        self.barrier = emit_barrier(m, layout.fields)
        packs = emit_pack(m, layout)
        self.functions = []  # of all panels, with where their weights begin and how many panels of the group come before
        self.operands = bfloat16.Operands(m, layout) if layout.bfloat16 else None
        made: dict[tuple, Tiles] = {}
        for k, geometry in enumerate(layout.geometries):
            offset, before = layout.packed_offsets[k], 0
            for n, panels in enumerate(geometry.panels):
                product = emit_products(m, layout, geometry, panels, f"product{k}_{n}", made)
                epilogue = Epilogue(m, layout, geometry, panels, f"epilogue{k}_{n}").emit()
                self.functions.append((geometry, panels, packs.get((k, n)), product, epilogue, offset, before))
                offset += panels.count * layout.panel_bytes(geometry, panels)
                before += panels.count

    def scratch(self, f: Function) -> Any:
        """Room for the accumulators of one tile, or of the rows that share a slice."""
        layout = self.layout
        sizes = [
            (SLICE_ROWS if self._sliced(g, p) else layout.tile_rows(g, p)[0]) * layout.scratch_bytes(g, p)
            for g in layout.geometries
            for p in g.panels
        ]
        most = max(sizes, default=0) // layout.vector_bytes
        return f.slot(self.m.vector, most + 1, align=64)  # an epilogue reads past the end of compact accumulators

    def _sliced(self, geometry: Geometry, panels: Panels) -> bool:
        return any(self.layout.slices(c, panels) for c in geometry.chunks)

    def _slices(
        self, f: Function, frame: Any, geometry: Geometry, panels: Panels, product: Tiles, weights: Any, scratch: Any,
        first: Any, rows: Any,
    ) -> None:  # fmt: skip
        """All products of one panel for some rows, slice after slice, so that weights come from the second cache once."""
        layout, chunk_weights = self.layout, weights
        width, sizes = layout.scratch_bytes(geometry, panels), layout.tile_rows(geometry, panels)
        for k, chunk in enumerate(geometry.chunks):
            offsets = [0]
            for phase in chunk.phases:
                offsets.append(offsets[-1] + layout.phase_bytes(phase, panels))
            whole = [(0, 0, 0)]
            for n, (phase, start, stop) in enumerate(layout.slices(chunk, panels) or whole):
                packed = f.at(chunk_weights, offsets[phase])
                span = (start, stop, int(n == 0)) if stop else ()

                def tile(row: Any, size: int, count: Any, k=k, phase=phase, packed=packed, span=span) -> None:
                    here = f.at(scratch, f.mul(row, width))
                    f.call(product[size][k][phase], frame, f.add(first, row), packed, here, *span)

                self.deal(f, rows, sizes, tile)
            chunk_weights = f.at(chunk_weights, offsets[-1])

    def deal(self, f: Function, rows: Any, sizes: Sequence[int], body: Callable[[Any, int, Any], None]) -> None:
        """Call body(first, size, rows) for tiles of these sizes, as many as there are rows for, largest first. An AMX tile
        may have fewer rows than its size."""
        b, first = f.b, f.i(0)
        if self.layout.bfloat16 == TILES:

            def strip(first: Any) -> None:
                left = b.sub(f.i(rows), first)
                body(first, STRIP, b.select(b.icmp_signed("<", left, I64(STRIP)), left, I64(STRIP)))

            f.loop(rows, strip, step=STRIP)
            return
        for size in sizes:
            tiles = b.sdiv(b.sub(f.i(rows), first), f.i(size))
            f.loop(tiles, lambda i, size=size, first=first: body(f.add(first, f.mul(i, size)), size, size))
            first = b.add(first, f.mul(tiles, size))

    def rows(self, f: Function, s: Any) -> Any:
        """The rows of a step."""
        counts = f.pointer_field(f.arg["args"], self.layout.fields["counts"])
        return f.b.load(f.at(counts, f.mul(s, 8)), typ=I64, align=8)

    def offset(self, f: Function, s: Any) -> Any:
        """The rows of all steps before a step."""
        offsets = f.pointer_field(f.arg["args"], self.layout.fields["offsets"])
        return f.b.load(f.at(offsets, f.mul(s, 8)), typ=I64, align=8)

    def rows_between(self, f: Function, first: Any, last: Any) -> Any:
        """The rows of the steps from `first` to before `last`."""
        end = f.b.sub(last, I64(1))
        return f.b.sub(f.b.add(self.offset(f, end), self.rows(f, end)), self.offset(f, first))

    def emit_step(self, f: Function, frame: Any, rows: Any, packed: Any, scratch: Any, when: str = "step") -> None:
        """All groups, for the step or the block of steps that the frame describes."""
        layout, args = self.layout, f.arg["args"]
        member, members = (f.field(args, layout.fields[n]) for n in ("member", "members"))
        room = f.pointer_field(args, layout.fields["panel"])
        unpacked = f.b.icmp_unsigned("!=", f.field(args, layout.fields["panel"]), I64(0))
        for geometry, panels, pack, product, epilogue, offset, before in self.functions:
            if geometry.group.when != when:
                continue
            size = layout.panel_bytes(geometry, panels)
            if self.operands is not None and panels is geometry.panels[0]:
                self.operands.convert(f, frame, geometry, rows)

            def panel(
                p: Any, geometry=geometry, panels=panels, pack=pack, product=product, epilogue=epilogue, size=size,
                offset=offset,
            ) -> None:  # fmt: skip
                vector = f.add(f.mul(p, panels.units), panels.first)
                if not geometry.chunks:
                    f.call(epilogue, frame, 0, rows, vector, scratch)
                    return
                f.when(unpacked, lambda: f.call(pack, args, p, room))
                weights = f.b.select(unpacked, room, f.at(packed, f.mul(p, size), offset))
                if self._sliced(geometry, panels):

                    def some(first: Any) -> None:
                        left = f.b.sub(rows, first)
                        count = f.b.select(f.b.icmp_signed("<", left, I64(SLICE_ROWS)), left, I64(SLICE_ROWS))
                        self._slices(f, frame, geometry, panels, product, weights, scratch, first, count)
                        f.call(epilogue, frame, first, count, vector, scratch)

                    f.loop(rows, some, step=SLICE_ROWS)
                    return

                def tile(row: Any, size: int, count: Any) -> None:
                    chunk_weights = weights
                    for chunk, (function,) in zip(geometry.chunks, product[size], strict=True):
                        f.call(function, frame, row, chunk_weights, scratch)
                        chunk_weights = f.at(chunk_weights, layout.chunk_bytes(chunk, panels))
                    f.call(epilogue, frame, row, count, vector, scratch)

                self.deal(f, rows, layout.tile_rows(geometry, panels), tile)

            if geometry.group.dim == ONE:  # every member for itself, which is less than meeting once more
                panel(0)
            elif panels.count == 1:
                owner = f.b.srem(I64(before), members)
                f.when(f.b.icmp_signed("==", member, owner), lambda panel=panel: panel(0))
            else:
                f.loop(panels.count, panel, start=member, step=members)
            if panels is geometry.panels[-1] and geometry in layout.meetings:
                self.wait(f)

    def wait(self, f: Function) -> None:
        """Until the other members of the rows' threads are here too: what one wrote others may read from now on."""
        f.call(self.barrier, f.arg["args"])


class Clock:
    """What depends on the step alone: its time, its rows, the rows of the step before, its first row on the tape."""

    def __init__(self, f: Function, layout: Layout, args: Any, s: Any):
        b, fields = f.b, layout.fields
        self.step = f.field(args, fields["step"])
        self.time = b.add(f.field(args, fields["first"]), b.mul(s, self.step))
        counts = f.pointer_field(args, fields["counts"])
        self.rows = f.b.load(f.at(counts, f.mul(s, 8)), typ=I64, align=8)
        offsets = f.pointer_field(args, fields["offsets"])
        self.offset = f.b.load(f.at(offsets, f.mul(s, 8)), typ=I64, align=8)
        early = b.icmp_signed("==", f.i(s), I64(0))
        before = b.select(early, f.i(s), b.sub(f.i(s), I64(1)))
        count = f.b.load(f.at(counts, f.mul(before, 8)), typ=I64, align=8)
        self.rows_before = b.select(early, I64(0), count)


def row_address(f: Function, layout: Layout, args: Any, clock: Clock, name: str, b_: Any, index: Any) -> Any:
    """The address of a user's array for a row of this step. b_: the row in this thread, index: in the batch."""
    b, fields, width = f.b, layout.fields, layout.row_bytes(name)
    kind, _, state = name.partition(":")
    if kind in ("old", "new"):
        base = f.pointer_field(args, fields[f"new:{state}"])
        stride, mask = f.field(args, fields[f"stride:{state}"]), f.field(args, fields[f"mask:{state}"])
        time = clock.time if kind == "new" else b.sub(clock.time, clock.step)
        there = f.at(base, b.mul(b.and_(time, mask), stride), f.mul(index, width))
        if kind == "new":
            return there
        initial = f.at(f.pointer_field(args, fields[f"initial:{state}"]), f.mul(index, width))
        return b.select(b.icmp_signed("<", b_, clock.rows_before), there, initial)
    base = f.pointer_field(args, fields[name])
    if kind == "carry":
        return f.at(base, f.mul(index, width))
    time = b.and_(clock.time, f.field(args, fields["mask:dy"])) if name == "dy" else clock.time
    row = b.add(b.mul(time, f.field(args, fields["batch"])), index)
    return f.at(base, f.mul(row, width))


def _address_rows(f: Function, layout: Layout, clock: Clock, tables: dict[str, Any], first: Any) -> None:
    """The addresses of one step's rows, into tables from entry `first` on."""
    args = f.arg["args"]
    index = f.pointer_field(args, layout.fields["index"])
    start = f.b.load(index, typ=I64, align=8)

    def row(b_: Any) -> None:
        i = f.b.load(f.at(index, f.mul(b_, 8)), typ=I64, align=8)
        addresses = {name: row_address(f, layout, args, clock, name, b_, i) for name in tables}
        for name, table in tables.items():
            f.b.store(addresses[name], f.at(table, f.mul(f.add(first, b_), 8)), align=8)

        def ask() -> None:
            for name, address in addresses.items():
                f.prefetch(address, min(layout.row_bytes(name), _MOST_AHEAD), cache=2)

        f.when(f.b.icmp_signed("!=", i, f.b.add(start, b_)), ask)  # rows in order the processor sees coming

    f.loop(clock.rows, row)


def _fill_frame(f: Function, layout: Layout, tables: dict[str, Any], offset: Any) -> None:
    """Everything of a frame: the tables, and the buffers for rows from `offset` on the tape."""
    args, frame = f.arg["args"], f.arg["frame"]
    rows, total = f.field(args, layout.fields["rows"]), f.field(args, layout.fields["total"])

    def put(name: str, value: Any) -> None:
        f.b.store(value, f.at(frame, layout.frame[name] * 8), align=8)

    put("args", args)
    for name, table in tables.items():
        put(name, table)
    for name, per_row in {**layout.kept_buffers, **layout.buffers}.items():
        first, across = 0, rows
        if name.startswith("kept_"):
            first, across = offset, total
        elif name.startswith("block_"):
            first = f.b.sub(offset, f.field(args, layout.fields["block_offset"]))
            across = f.mul(rows, f.field(args, layout.fields["block"]))
        kind, _, dim = name.partition(":")
        if kind.endswith("panel"):
            per_row //= layout.vectors(dim)
            put("across_" + name, f.mul(across, per_row))
        put(name, f.at(f.pointer_field(args, layout.fields[name]), f.mul(first, per_row)))


def emit_frame(m: Module, layout: Layout) -> ir.Function:
    """frame(args, step, frame): the addresses of a step, and the tables of row addresses."""
    f = m.function("frame", [("args", POINTER), ("s", I64), ("frame", POINTER)])
    args = f.arg["args"]
    clock = Clock(f, layout, args, f.arg["s"])
    tables = f.pointer_field(args, layout.fields["tables"])
    line = f.mul(f.field(args, layout.fields["rows"]), 8)
    places = {name: f.at(tables, f.mul(line, k)) for k, name in enumerate(layout.user_arrays)}
    _address_rows(f, layout, clock, places, 0)
    _fill_frame(f, layout, places, clock.offset)
    return f.end()


def emit_block_frame(m: Module, layout: Layout) -> ir.Function:
    """block_frame(args, first step, last step, frame): the same for all rows of a block of steps."""
    f = m.function("block_frame", [("args", POINTER), ("first", I64), ("last", I64), ("frame", POINTER)])
    args = f.arg["args"]
    tables = f.pointer_field(args, layout.fields["block_tables"])
    line = f.mul(f.field(args, layout.fields["rows"]), f.field(args, layout.fields["block"]), 8)
    places = {name: f.at(tables, f.mul(line, k)) for k, name in enumerate(layout.block_arrays)}
    offset = Clock(f, layout, args, f.arg["first"]).offset
    f.b.store(offset, f.at(args, layout.fields["block_offset"] * 8), align=8)

    def step(s: Any) -> None:
        clock = Clock(f, layout, args, s)
        _address_rows(f, layout, clock, places, f.b.sub(clock.offset, offset))

    f.loop(f.arg["last"], step, start=f.arg["first"])
    _fill_frame(f, layout, places, offset)
    return f.end()


def emit_clear(m: Module) -> ir.Function:
    """clear(to, count): zeros in so many numbers."""
    f = m.function("clear", [("to", POINTER), ("count", I64)])
    to, count, b = f.arg["to"], f.arg["count"], f.b
    whole = b.mul(b.sdiv(count, I64(m.lanes)), I64(m.lanes))
    f.loop(whole, lambda i: f.store(f.constant(0.0), f.at(to, f.mul(i, m.size))), step=m.lanes)
    f.loop(count, lambda i: b.store(m.constant(m.scalar, 0.0), f.at(to, f.mul(i, m.size)), align=m.size), start=whole)
    return f.end()


def emit_padding(m: Module, layout: Layout, clear: ir.Function, name: str) -> Callable[[Function, Any, Any], None]:
    """Writes, into a function, a step's call of padding(args, step), which puts zeros into an array of the user for the
    rows that are past their length; the first member of a group does so, where there are such rows."""
    f = m.function("padding", [("args", POINTER), ("s", I64)])
    args, fields = f.arg["args"], layout.fields
    clock = Clock(f, layout, args, f.arg["s"])
    index = f.pointer_field(args, fields["index"])
    dim = INPUT if name == "dx" else layout.cell.output_dim

    def row(b_: Any) -> None:
        i = f.b.load(f.at(index, f.mul(b_, 8)), typ=I64, align=8)
        f.call(clear, row_address(f, layout, args, clock, name, b_, i), layout.units(dim))

    f.loop(f.field(args, fields["rows"]), row, start=clock.rows)
    padding = f.end()

    def pad(g: Function, s: Any, rows: Any) -> None:
        args = g.arg["args"]
        first = g.b.icmp_signed("==", g.field(args, fields["member"]), I64(0))
        some = g.b.icmp_signed("<", rows, g.field(args, fields["rows"]))
        g.when(g.b.and_(first, some), lambda: g.call(padding, args, s))

    return pad


def set_up(f: Function, layout: Layout) -> Callable[[], None]:
    """Set the processor up for a kernel. Returns what puts it back."""
    restore = f.flush_subnormals()
    if layout.bfloat16 != TILES:
        return restore
    bfloat16.begin_tiles(f)

    def end() -> None:
        bfloat16.end_tiles(f)
        restore()

    return end


def emit_forward(m: Module, layout: Layout) -> None:
    """run(args): all steps of one thread's rows; what depends on inputs alone goes a block of steps ahead."""
    frame_function = emit_frame(m, layout)
    block_frame = emit_block_frame(m, layout) if layout.block_arrays else None
    step = StepEmitter(m, layout)
    pad = emit_padding(m, layout, emit_clear(m), f"new:{layout.cell.states[0].name}")
    f = m.function("run", [("args", POINTER)], internal=False)
    args, b, restore = f.arg["args"], f.b, set_up(f, layout)
    frame, scratch = f.slot(I64, len(layout.frame), align=64), step.scratch(f)
    packed = f.pointer_field(args, layout.fields["packed"])
    steps = f.field(args, layout.fields["steps"])

    def one(s: Any) -> None:
        rows = step.rows(f, s)

        def active() -> None:
            f.call(frame_function, args, s, frame)
            step.emit_step(f, frame, rows, packed, scratch)

        f.when(b.icmp_signed(">", rows, I64(0)), active)
        pad(f, s, rows)

    def block(s0: Any) -> None:
        end = b.add(s0, size)
        last = b.select(b.icmp_signed("<", end, steps), end, steps)
        rows = step.rows_between(f, s0, last)

        def active() -> None:
            assert block_frame is not None
            f.call(block_frame, args, s0, last, frame)
            step.emit_step(f, frame, rows, packed, scratch, "ahead")

        f.when(b.icmp_signed(">", rows, I64(0)), active)
        f.loop(last, one, start=s0)

    if block_frame is None:
        f.loop(steps, one)
    else:
        size = f.field(args, layout.fields["block"])
        f.loop(steps, block, step=size)
    restore()
    f.end()
