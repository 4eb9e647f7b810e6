"""Products: packing the right operand, and the tiles that accumulate in registers.

A tile multiplies a few rows of the left operand, read where they lie, by one panel of packed weights. The loop over the
inner dimension loads a row of the panel, broadcasts one number of each left row, and multiplies and adds. The number of
rows is a constant of a tile, so there is one function for each of a few sizes, and a step's rows are dealt out over
them, largest first. The sum of a row is built in the same order in every tile, which is why results do not depend on
the batch or on threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from ...plan import Product
from . import bfloat16
from .emit import I64, POINTER, Function, Module, transpose
from .layout import SLICE_STEP, Chunk, Geometry, Layout, Panels, Phase, buffer_name, is_user, table_name


def emit_tile(
    m: Module,
    layout: Layout,
    geometry: Geometry,
    chunk: Chunk,
    phases: Sequence[Phase],
    panels: Panels,
    rows: int,
    name: str,
) -> ir.Function:
    """tile(frame, first row, packed phases, scratch): scratch[row][accumulator][unit vector] = the chunk's products.

    For a single phase of several, tile(..., start, stop, begin) adds a slice of it to what scratch holds, or begins there.
    """
    sliced = len(phases) < len(chunk.phases) or bool(layout.slices(chunk, panels))
    arguments = [("frame", POINTER), ("row", I64), ("packed", POINTER), ("scratch", POINTER)]
    f = m.function(name, arguments + ([("start", I64), ("stop", I64), ("begin", I64)] if sliced else []))
    f.arg["packed"].add_attribute("noalias")
    size = layout.itemsize
    sums = [[f.slot(m.vector) for _ in range(layout.sums(chunk.count, panels))] for _ in range(rows)]
    width, first = layout.scratch_bytes(geometry, panels), layout.accumulator_offset(geometry, panels, chunk.first, 0)
    places = [
        (s, f.at(f.arg["scratch"], r * width + first + j * layout.vector_bytes))
        for r, row in enumerate(sums)
        for j, s in enumerate(row)
    ]
    for s, _ in places:
        f.b.store(f.constant(0.0), s)
    if sliced:

        def go_on() -> None:
            for s, place in places:
                f.b.store(f.load(place), s)

        f.when(f.b.icmp_signed("==", f.arg["begin"], I64(0)), go_on)
    packed = f.arg["packed"]
    for phase in phases:
        span = (f.arg["start"], f.arg["stop"]) if sliced else (0, layout.inner_steps(phase))
        (_panel_phase if phase.transposed else _row_phase)(f, layout, phase, panels, sums, packed, span)
        packed = f.at(packed, layout.phase_bytes(phase, panels))
    for s, place in places:
        f.b.store(f.b.load(s, typ=m.vector), place, align=size)
    return f.end()


def _row_pointers(f: Function, layout: Layout, phase: Phase, rows: int) -> list[Any]:
    """The addresses of the left operand's rows."""
    row, frame = f.arg["row"], layout.frame
    if is_user(phase.place):
        table = f.pointer_field(f.arg["frame"], frame[table_name(phase.place)])
        return [f.pointer_field(table, f.add(row, r)) for r in range(rows)]
    base = f.pointer_field(f.arg["frame"], frame[buffer_name(phase.place)])
    stride = layout.units(phase.dim) * layout.itemsize
    return [f.at(base, f.mul(row, stride), r * stride) for r in range(rows)]


def _row_phase(f: Function, layout: Layout, phase: Phase, panels: Panels, sums, packed: Any, span: tuple[Any, Any]) -> None:
    m, b = f.m, f.b
    pointers = _row_pointers(f, layout, phase, len(sums))
    width = layout.phase_width(phase, panels)
    targets = [position * panels.units + j for position, _, _ in phase.entries for j in range(panels.units)][:width]

    def step(k: Any) -> None:
        line = f.at(packed, f.mul(k, width * layout.vector_bytes))
        right = [f.load(f.at(line, j * layout.vector_bytes)) for j in range(width)]
        for r, row in enumerate(sums):
            left = f.splat(f.load_scalar(f.at(pointers[r], f.mul(k, layout.itemsize))))
            for j, t in enumerate(targets):
                b.store(f.fma(left, right[j], b.load(row[t], typ=m.vector)), row[t])

    even = layout.units(phase.dim) % SLICE_STEP == 0
    times = 2 if len(sums) > 4 else 4 if len(sums) > 2 else 1  # measured: weights come from the second cache faster so
    f.unrolled(span[1], step, times, start=span[0], even=even)


def _panel_phase(
    f: Function, layout: Layout, phase: Phase, panels: Panels, sums, packed: Any, span: tuple[Any, Any]
) -> None:
    m, b, frame = f.m, f.b, layout.frame
    place, lanes, vb, u = phase.place, layout.lanes, layout.vector_bytes, panels.units
    slots = layout.slots(place)
    base = f.pointer_field(f.arg["frame"], frame[buffer_name(place)])
    across = f.field(f.arg["frame"], frame["across_" + buffer_name(place)])
    base = f.at(base, f.mul(f.arg["row"], slots * vb))
    tail = layout.units(phase.dim) % lanes  # units in the last vector, whose other lanes are left out
    runs: list[list[int]] = []  # entries whose slots lie one after another and feed one accumulator: one loop
    for e, (position, _, source) in enumerate(phase.entries):
        if e and phase.entries[e - 1][0] == position and phase.entries[e - 1][2].slot + 1 == source.slot:
            runs[-1].append(e)
        else:
            runs.append([e])

    def vector(v: Any) -> None:
        left_base = f.at(base, f.b.mul(v, across))
        line = f.at(packed, f.mul(v, len(phase.entries) * lanes * u * vb))
        following = f.at(left_base, across)  # a jump in memory that the processor does not see coming
        for r in range(len(sums)):
            for place in phase.operand:
                f.prefetch(f.at(following, r * slots * vb + place.slot * vb), vb, cache=1)
        for run in runs:
            position, _, source = phase.entries[run[0]]

            def step(k: Any, e=run[0], position=position, source=source) -> None:
                here = f.at(line, f.mul(k, u * vb), e * lanes * u * vb)
                right = [f.load(f.at(here, j * vb)) for j in range(u)]
                for r, row in enumerate(sums):
                    offset = r * slots * vb + source.slot * vb
                    left = f.splat(f.load_scalar(f.at(left_base, f.mul(k, layout.itemsize), offset)))
                    for j in range(u):
                        t = position * u + j
                        b.store(f.fma(left, right[j], b.load(row[t], typ=m.vector)), row[t])

            times = 2 if len(sums) > 4 else 1
            if not tail:
                f.unrolled(len(run) * lanes, step, times, even=True)
                continue
            inside = b.select(b.icmp_signed("==", f.i(v), I64(layout.vectors(phase.dim) - 1)), I64(tail), I64(lanes))

            def slot(n: Any, step=step, inside=inside, times=times) -> None:
                first = f.mul(n, lanes)
                f.unrolled(f.add(first, inside), step, times, start=first, even=tail % times == 0)

            f.loop(len(run), slot)

    f.loop(span[1], vector, start=span[0])


def _signature(layout: Layout, geometry: Geometry, panels: Panels) -> tuple:
    """What the machine code of a group's tiles depends on: groups that agree in it share them."""
    shape = tuple(
        (c.first, c.count, *((p.place, p.dim, p.transposed, *((k, s) for k, _, s in p.entries)) for p in c.phases))
        for c in geometry.chunks
    )
    operands = tuple(layout.operands(geometry)) if layout.bfloat16 else ()
    compact = panels.compact and panels.tail
    return layout.tile_rows(geometry, panels), panels.units, compact, len(geometry.group.accumulators), shape, operands


Tiles = dict[int, list[list[ir.Function]]]


def emit_products(
    m: Module, layout: Layout, geometry: Geometry, panels: Panels, name: str, made: dict[tuple, Tiles]
) -> Tiles:
    """The tiles of a group by their number of rows: for each chunk one, or one a phase where its panel is sliced."""
    emit = bfloat16.emit_tile if layout.bfloat16 else emit_tile
    signature = _signature(layout, geometry, panels)
    if signature not in made:
        made[signature] = {}
        for rows in layout.tile_rows(geometry, panels):
            found = []
            for k, chunk in enumerate(geometry.chunks):
                sliced = layout.slices(chunk, panels)
                parts = [(p,) for p in chunk.phases] if sliced else [chunk.phases]
                found.append(
                    [
                        emit(m, layout, geometry, chunk, part, panels, rows, f"{name}_{k}_{rows}_{n}")
                        for n, part in enumerate(parts)
                    ]
                )
            made[signature][rows] = found
    return made[signature]


# packing -------------------------------------------------------------------------------------------------------


_TRANSPOSE = [("source", POINTER), ("line", I64), ("rows", I64), ("columns", I64), ("to", POINTER), ("stride", I64)]


def emit_transpose_few(m: Module, layout: Layout) -> ir.Function:
    """Write so few rows of a matrix as columns, number by number: to[k][row] = from[row][k]; what lies past `rows` stays."""
    f = m.function("transpose_few", _TRANSPOSE)
    a, b, size = f.arg, f.b, layout.itemsize

    def column(k: Any) -> None:
        to = f.at(a["to"], b.mul(k, a["stride"]))

        def number(r: Any) -> None:
            value = f.load_scalar(f.at(a["source"], b.mul(a["line"], r), f.mul(k, size)))
            b.store(value, f.at(to, f.mul(r, size)), align=size)

        f.loop(a["rows"], number)

    f.loop(a["columns"], column)
    return f.end()


def emit_transpose(m: Module, layout: Layout, few: ir.Function) -> ir.Function:
    """Write a matrix's rows, one vector's worth of them, as columns: to[k][row] = from[row][k], zero past `rows`."""
    f = m.function("transpose", _TRANSPOSE)
    a, b, lanes, size = f.arg, f.b, layout.lanes, layout.itemsize

    def block(k: Any) -> None:
        columns = f.at(a["source"], f.mul(k, size))
        vectors = [f.load(f.at(columns, f.mul(a["line"], r))) for r in range(lanes)]
        for i, v in enumerate(transpose(f, vectors)):
            f.store(v, f.at(a["to"], b.mul(f.add(k, i), a["stride"])))

    full = b.icmp_signed("==", a["rows"], I64(lanes))
    blocks = b.select(full, b.mul(b.sdiv(a["columns"], I64(lanes)), I64(lanes)), I64(0))
    f.loop(blocks, block, step=lanes)
    left, to = b.sub(a["columns"], blocks), f.at(a["to"], b.mul(blocks, a["stride"]))
    f.loop(left, lambda k: f.store(f.constant(0.0), f.at(to, b.mul(k, a["stride"]))))
    f.call(few, f.at(a["source"], f.mul(blocks, size)), a["line"], a["rows"], left, to, a["stride"])
    return f.end()


def emit_copy(m: Module, layout: Layout, units: int, tail: int) -> ir.Function:
    """Copy one vector's worth of a matrix's rows, `units` vectors wide; rows past `rows` become zero."""
    f = m.function(f"copy_{units}_{tail}", [("source", POINTER), ("line", I64), ("rows", I64), ("to", POINTER)])
    a, vb = f.arg, layout.vector_bytes

    def row(r: Any) -> None:
        inside = f.b.icmp_signed("<", r, a["rows"])
        for j in range(units):
            place = f.at(a["to"], f.mul(r, units * vb), j * vb)
            f.store(f.constant(0.0), place)
            mask = f.tail(tail) if tail and j == units - 1 else None
            source = f.at(a["source"], f.b.mul(r, a["line"]), j * vb)
            f.when(inside, lambda place=place, source=source, mask=mask: f.store(f.load(source, mask), place))

    f.loop(layout.lanes, row)
    return f.end()


def emit_pack(m: Module, layout: Layout) -> dict[tuple[int, int], ir.Function]:
    """Writes pack(args): a thread's share of the packed weights of a schedule, from the parameters as the user holds them.

    Returns, by the numbers of a group and of its panels, pack_panel(args, number, to), which packs one of these."""
    found = {}
    emitter = _PackEmitter(m, layout)
    f = m.function("pack", [("args", POINTER)], internal=False)
    args = f.arg["args"]
    packed = f.pointer_field(args, layout.fields["packed"])
    thread, threads = f.field(args, layout.fields["thread"]), f.field(args, layout.fields["threads"])
    for k, (geometry, offset) in enumerate(zip(layout.geometries, layout.packed_offsets, strict=False)):
        for n, panels in enumerate(geometry.panels if geometry.chunks else ()):
            size = layout.panel_bytes(geometry, panels)
            found[k, n] = function = emitter.emit(geometry, panels, f"pack{k}_{n}")

            def panel(p: Any, function=function, offset=offset, size=size) -> None:
                f.call(function, args, p, f.at(packed, f.mul(p, size), offset))

            f.loop(panels.count, panel, start=thread, step=threads)
            offset += panels.count * size
    f.end()
    return found


class _PackEmitter:
    """Writes the functions that pack a panel."""

    def __init__(self, m: Module, layout: Layout):
        self.m, self.layout = m, layout
        self.transposes: dict[int, ir.Function] = {}
        self.copies: dict[tuple[int, int], ir.Function] = {}
        if not layout.bfloat16:  # which has no compact panels, and its own way
            self.few = emit_transpose_few(m, layout)
            self.transposing = emit_transpose(m, layout, self.few)

    def emit(self, geometry: Geometry, panels: Panels, name: str) -> ir.Function:
        f = self.m.function(name, [("args", POINTER), ("panel", I64), ("to", POINTER)])
        place, v = f.arg["to"], f.add(f.mul(f.arg["panel"], panels.units), panels.first)
        for chunk in geometry.chunks:
            for phase in chunk.phases:
                (self._copy if phase.transposed else self._transpose)(f, phase, panels, place, v)
                place = f.at(place, self.layout.phase_bytes(phase, panels))
        return f.end()

    def _part(self, f: Function, product: Product) -> tuple[Any, int, int, int]:
        start, rows, columns = self.layout.part_row(product.matrix)
        base = f.pointer_field(f.arg["args"], self.layout.fields[f"param:{product.matrix[0]}"])
        return base, start, rows, columns

    def _transpose(self, f: Function, phase: Phase, panels: Panels, place: Any, v: Any) -> None:
        layout, vb = self.layout, self.layout.vector_bytes
        width = layout.phase_width(phase, panels)
        for e, (_, product, _) in enumerate(phase.entries):
            base, start, _, columns = self._part(f, product)
            line = columns * layout.itemsize
            if panels.compact:
                source = f.at(base, f.mul(f.add(f.mul(v, layout.lanes), start), line))
                to = f.at(place, e * panels.tail * layout.itemsize)
                f.call(self.few, source, line, panels.tail, columns, to, width * vb)
                continue
            if columns not in self.transposes:
                made = bfloat16.emit_transpose(self.m, layout, columns) if layout.bfloat16 else self.transposing
                self.transposes[columns] = made
            for j in range(panels.units):
                rows = panels.tail if panels.tail and j == panels.units - 1 else layout.lanes
                source = f.at(base, f.mul(f.add(f.mul(f.add(v, j), layout.lanes), start), line))
                to = f.at(place, (e * panels.units + j) * vb)
                f.call(self.transposes[columns], source, line, rows, columns, to, width * vb)

    def _copy(self, f: Function, phase: Phase, panels: Panels, place: Any, v: Any) -> None:
        layout, vb = self.layout, self.layout.vector_bytes
        key = (panels.units, panels.tail)
        if key not in self.copies:
            self.copies[key] = (bfloat16.emit_copy if layout.bfloat16 else emit_copy)(self.m, layout, *key)
        copying, bytes_each = self.copies[key], layout.lanes * panels.units * vb // (2 if layout.bfloat16 else 1)

        def vector(w: Any) -> None:
            for e, (_, product, _) in enumerate(phase.entries):
                base, start, rows, columns = self._part(f, product)
                line = columns * layout.itemsize
                source = f.at(base, f.mul(f.add(f.mul(w, layout.lanes), start), line), f.mul(v, vb))
                left = f.b.sub(I64(rows), f.mul(w, layout.lanes))
                to = f.at(place, f.mul(f.add(f.mul(w, len(phase.entries)), e), bytes_each))
                f.call(copying, source, line, left, to)

        f.loop(layout.vectors(phase.dim), vector)
        if layout.bfloat16:
            bfloat16.emit_filling(f, phase, layout, place, panels.units)
