"""Products: packing the right operand, and the tiles that accumulate in registers.

A tile multiplies a few rows of the left operand, read where they lie, by one panel of packed weights. The loop over the
inner dimension loads a row of the panel, broadcasts one number of each left row, and multiplies and adds. The number of
rows is a constant of a tile, so there is one function for each; a step's rows are dealt out evenly over tiles. The sum
of a row is built in the same order in every tile, which is why results do not depend on the batch or on threads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .emit import I32, I64, POINTER, Function, Module, transpose
from .layout import Chunk, Geometry, Layout, Panels, Phase, is_user, table_name

_UNROLL = 1  # of the inner loop: 2 and 4 ran no faster and took twice as long to compile


def emit_tile(
    m: Module,
    layout: Layout,
    geometry: Geometry,
    chunk: Chunk,
    panels: Panels,
    rows: int,
    name: str,
    frame: dict[str, int],
) -> ir.Function:
    """tile(frame, first row, packed panel, scratch): scratch[row][accumulator][unit vector] = the chunk's products."""
    f = m.function(name, [("frame", POINTER), ("row", I64), ("packed", POINTER), ("scratch", POINTER)])
    f.arg["packed"].add_attribute("noalias")
    u, size = panels.units, layout.itemsize
    sums = [[f.slot(m.vector) for _ in range(chunk.count * u)] for _ in range(rows)]
    for row in sums:
        for s in row:
            f.b.store(f.constant(0.0), s)
    packed = f.arg["packed"]
    for phase in chunk.phases:
        if phase.transposed:
            _panel_phase(f, layout, phase, u, sums, packed, frame)
        else:
            _row_phase(f, layout, phase, u, sums, packed, frame)
        packed = f.at(packed, layout.phase_bytes(phase, u))
    width = len(geometry.group.accumulators) * u * layout.vector_bytes
    for r, row in enumerate(sums):
        for j, s in enumerate(row):
            place = f.at(f.arg["scratch"], r * width + (chunk.first * u + j) * layout.vector_bytes)
            f.b.store(f.b.load(s, typ=m.vector), place, align=size)
    return f.end()


def _row_pointers(f: Function, layout: Layout, phase: Phase, rows: int, frame: dict[str, int]) -> list[Any]:
    """The addresses of the left operand's rows."""
    row = f.arg["row"]
    if is_user(phase.place):
        table = f.pointer_field(f.arg["frame"], frame[table_name(phase.place)])
        return [f.pointer_field(table, f.add(row, r)) for r in range(rows)]
    base = f.pointer_field(f.arg["frame"], frame[_buffer(phase.place)])
    stride = layout.units(phase.dim) * layout.itemsize
    return [f.at(base, f.mul(row, stride), r * stride) for r in range(rows)]


def _buffer(place) -> str:
    prefix = "kept_" if place.kept else ""
    return f"{prefix}rows:{place.slot}" if place.kind == "rows" else f"{prefix}panel:{place.name}"


def _row_phase(f: Function, layout: Layout, phase: Phase, u: int, sums, packed: Any, frame: dict[str, int]) -> None:
    m, b = f.m, f.b
    pointers = _row_pointers(f, layout, phase, len(sums), frame)
    inner, width = layout.units(phase.dim), len(phase.entries) * u
    targets = [position * u + j for position, _, _ in phase.entries for j in range(u)]

    def step(k: Any, count: int) -> None:
        line = f.at(packed, f.mul(k, width * layout.vector_bytes))
        for q in range(count):
            right = [f.load(f.at(line, (q * width + j) * layout.vector_bytes)) for j in range(width)]
            for r, row in enumerate(sums):
                left = f.splat(f.load_scalar(f.at(pointers[r], f.mul(k, layout.itemsize), q * layout.itemsize)))
                for j, t in enumerate(targets):
                    b.store(f.fma(left, right[j], b.load(row[t], typ=m.vector)), row[t])

    whole = inner // _UNROLL * _UNROLL
    if whole:
        f.loop(whole, lambda k: step(k, _UNROLL), step=_UNROLL)
    if inner - whole:
        step(whole, inner - whole)


def _panel_phase(f: Function, layout: Layout, phase: Phase, u: int, sums, packed: Any, frame: dict[str, int]) -> None:
    m, b = f.m, f.b
    place, lanes, vb = phase.place, layout.lanes, layout.vector_bytes
    slots = layout.plan.kept.panels[place.name] if place.kept else layout.schedule.panels[place.name]
    base = f.pointer_field(f.arg["frame"], frame[_buffer(place)])
    across = f.field(f.arg["frame"], frame["across_" + _buffer(place)])
    base = f.at(base, f.mul(f.arg["row"], slots * vb))
    unroll = min(_UNROLL, lanes)

    def vector(v: Any) -> None:
        left_base = f.at(base, f.b.mul(v, across))
        line = f.at(packed, f.mul(v, len(phase.entries) * lanes * u * vb))
        for e, (position, _, source) in enumerate(phase.entries):

            def step(k: Any, e=e, position=position, source=source) -> None:
                for q in range(unroll):
                    here = f.at(line, f.mul(k, u * vb), (e * lanes + q) * u * vb)
                    right = [f.load(f.at(here, j * vb)) for j in range(u)]
                    for r, row in enumerate(sums):
                        offset = r * slots * vb + source.slot * vb + q * layout.itemsize
                        left = f.splat(f.load_scalar(f.at(left_base, f.mul(k, layout.itemsize), offset)))
                        for j in range(u):
                            t = position * u + j
                            b.store(f.fma(left, right[j], b.load(row[t], typ=m.vector)), row[t])

            f.loop(lanes, step, step=unroll)

    f.loop(layout.vectors(phase.dim), vector)


def _signature(geometry: Geometry, panels: Panels) -> tuple:
    """What the machine code of a dispatch depends on: groups that agree in it share one."""
    shape = tuple(
        (c.first, c.count, *((p.place, p.dim, p.transposed, *((k, s) for k, _, s in p.entries)) for p in c.phases))
        for c in geometry.chunks
    )
    return geometry.tile_rows, panels.units, len(geometry.group.accumulators), shape


def emit_dispatch(
    m: Module,
    layout: Layout,
    geometry: Geometry,
    panels: Panels,
    name: str,
    frame: dict[str, int],
    made: dict[tuple, ir.Function],
) -> ir.Function:
    """dispatch(frame, first row, rows, packed panel, scratch): all chunks of one tile, for any number of rows."""
    signature = _signature(geometry, panels)
    if signature in made:
        return made[signature]
    tiles = {}
    for rows in range(1, geometry.tile_rows + 1):
        tiles[rows] = [
            emit_tile(m, layout, geometry, c, panels, rows, f"{name}_{k}_{rows}", frame)
            for k, c in enumerate(geometry.chunks)
        ]
    arguments = [("frame", POINTER), ("row", I64), ("rows", I64), ("packed", POINTER), ("scratch", POINTER)]
    f = m.function(name, arguments)
    after = f.f.append_basic_block("after")
    switch = f.b.switch(f.arg["rows"], after)
    for rows, functions in tiles.items():
        block = f.f.append_basic_block(f"rows{rows}")
        switch.add_case(I64(rows), block)
        f.b.position_at_end(block)
        offset = 0
        for chunk, tile in zip(geometry.chunks, functions, strict=True):
            f.call(tile, f.arg["frame"], f.arg["row"], f.at(f.arg["packed"], offset), f.arg["scratch"])
            offset += sum(layout.phase_bytes(p, panels.units) for p in chunk.phases)
        f.b.branch(after)
    f.b.position_at_end(after)
    made[signature] = f.end()
    return made[signature]


# packing -------------------------------------------------------------------------------------------------------


def _lanes_below(f: Function, count: Any) -> Any:
    """The mask of the lanes below a number that is known when the kernel runs."""
    lanes = f.m.lanes
    iota = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
    undefined = ir.Constant(ir.VectorType(I32, lanes), ir.Undefined)
    n = f.b.insert_element(undefined, f.b.trunc(count, I32), I32(0))
    n = f.b.shuffle_vector(n, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))
    return f.b.icmp_signed("<", iota, n)


def emit_transpose(m: Module, layout: Layout) -> ir.Function:
    """Write a matrix's rows, one vector's worth of them, as columns: to[k][row] = from[row][k], zero past `rows`."""
    f = m.function(
        "transpose",
        [("source", POINTER), ("line", I64), ("rows", I64), ("columns", I64), ("to", POINTER), ("stride", I64)],
    )
    a, b, lanes = f.arg, f.b, layout.lanes

    def block(k: Any) -> None:
        left = b.sub(a["columns"], k)
        vectors = []
        for r in range(lanes):
            count = b.select(b.icmp_signed("<", I64(r), a["rows"]), left, I64(0))
            pointer = f.at(a["source"], f.mul(a["line"], r), f.mul(k, layout.itemsize))
            vectors.append(f.load(pointer, _lanes_below(f, count)))
        for i, v in enumerate(transpose(f, vectors)):
            place = f.at(a["to"], b.mul(f.add(k, i), a["stride"]))
            f.when(b.icmp_signed("<", I64(i), left), lambda v=v, place=place: f.store(v, place))

    f.loop(a["columns"], block, step=lanes)
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


def emit_pack(m: Module, layout: Layout) -> ir.Function:
    """pack(args): a thread's share of the packed weights of a schedule, from the parameters as the user holds them."""
    transposing = emit_transpose(m, layout)
    copies: dict[tuple[int, int], ir.Function] = {}
    f = m.function("pack", [("args", POINTER)], internal=False)
    args, vb = f.arg["args"], layout.vector_bytes
    packed = f.pointer_field(args, layout.fields["packed"])
    thread, threads = f.field(args, layout.fields["thread"]), f.field(args, layout.fields["threads"])

    def part(product) -> tuple[Any, int, int, int]:
        start, rows, columns = layout.part_row(product.matrix)
        base = f.pointer_field(args, layout.fields[f"param:{product.matrix[0]}"])
        return base, start, rows, columns

    def transpose_phase(phase, panels, place, v) -> None:
        width = len(phase.entries) * panels.units
        for e, (_, product, _) in enumerate(phase.entries):
            base, start, _, columns = part(product)
            for j in range(panels.units):
                rows = panels.tail if panels.tail and j == panels.units - 1 else layout.lanes
                first = f.add(f.mul(f.add(v, j), layout.lanes), start)
                source = f.at(base, f.mul(first, columns * layout.itemsize))
                to = f.at(place, (e * panels.units + j) * vb)
                f.call(transposing, source, columns * layout.itemsize, rows, columns, to, width * vb)

    def copy_phase(phase, panels, place, v) -> None:
        key = (panels.units, panels.tail)
        if key not in copies:
            copies[key] = emit_copy(m, layout, *key)
        copying = copies[key]

        def vector(w: Any) -> None:
            for e, (_, product, _) in enumerate(phase.entries):
                base, start, rows, columns = part(product)
                line = f.mul(f.add(f.mul(w, layout.lanes), start), columns * layout.itemsize)
                source = f.at(base, line, f.mul(v, vb))
                left = f.b.sub(I64(rows), f.mul(w, layout.lanes))
                to = f.at(place, f.mul(f.add(f.mul(w, len(phase.entries)), e), layout.lanes * panels.units * vb))
                f.call(copying, source, columns * layout.itemsize, left, to)

        f.loop(layout.vectors(phase.dim), vector)

    for geometry, group_offset in zip(layout.geometries, layout.packed_offsets, strict=False):
        offset = group_offset
        for panels in geometry.panels if geometry.chunks else ():
            size = layout.panel_bytes(geometry, panels.units)

            def panel(p: Any, panels=panels, geometry=geometry, offset=offset, size=size) -> None:
                place = f.at(packed, f.mul(p, size), offset)
                v = f.add(f.mul(p, panels.units), panels.first)
                for chunk in geometry.chunks:
                    for phase in chunk.phases:
                        if phase.transposed:
                            copy_phase(phase, panels, place, v)
                        else:
                            transpose_phase(phase, panels, place, v)
                        place = f.at(place, layout.phase_bytes(phase, panels.units))

            f.loop(panels.count, panel, start=thread, step=threads)
            offset += panels.count * size

    return f.end()
