"""Backward: the steps in reverse, chunk by chunk, and after each chunk the gradients of the weights.

A weight's gradient is a product over all rows of the chunk, cotangents against sources. The cotangents still lie in the
cache, a vector of units beside the next row's; the sources are gathered into panels, whose loads then run straight
through memory. The result is added where the parameter's own layout wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from ...plan.places import Place
from . import bfloat16
from .emit import I64, POINTER, Function, Module
from .layout import BLOCK_ROWS, DEPTH, STRIP, Layout, Panels, buffer_name, is_user, table_name
from .step import Clock, StepEmitter, emit_block_frame, emit_clear, emit_frame, emit_padding, row_address, set_up

Each = Callable[[Callable[[Panels, Any, Any], None]], None]


def outer_panels(layout: Layout, dim: str) -> tuple[Panels, ...]:
    return layout.panels_of(dim, 4 if layout.target.registers == 32 else 2)


def _tile_rows(layout: Layout, units: int) -> list[tuple[int, int]]:
    """A vector of cotangents cut into (first lane, lanes) of about the size that stays in registers."""
    most = max(1, (24 if layout.target.registers == 32 else 12) // units)
    pieces = -(-layout.lanes // most)
    base, extra = divmod(layout.lanes, pieces)
    cuts, first = [], 0
    for k in range(pieces):
        n = base + (k < extra)
        cuts.append((first, n))
        first += n
    return cuts


class OuterEmitter:
    """Writes outer(args, first step, last step, first tape row, rows, begin) for one source. begin: 1 where gradients begin
    with these steps, which else are added to what is there.

    Sources are gathered into panels of lines: a row of a panel is a line of each of its vectors."""

    def __init__(self, m: Module, layout: Layout):
        self.m, self.layout = m, layout
        self.tiles: dict[tuple[int, ...], ir.Function] = {}
        self.begun: set[tuple[str, str]] = set()  # matrices' parts that a source before has begun

    def tile(self, units: int, tail: int, lanes: int, slots: int) -> ir.Function:
        """tile(left, right, rows, out, line, valid, begin): out[lane] += sum over rows of left[row][lane] * right[row], or
        is the sum where a gradient begins."""
        key = (units, tail, lanes, slots)
        if key in self.tiles:
            return self.tiles[key]
        names = ["left", "right", "rows", "out", "line", "valid", "begin"]
        types = [POINTER, POINTER, I64, POINTER, I64, I64, I64]
        f = self.m.function(f"outer_tile{'_'.join(map(str, key))}", list(zip(names, types, strict=True)))
        vb, es = self.layout.vector_bytes, self.layout.itemsize
        sums = [[f.slot(self.m.vector) for _ in range(units)] for _ in range(lanes)]
        for row in sums:
            for s in row:
                f.b.store(f.constant(0.0), s)

        def one(r: Any) -> None:
            right = [f.load(f.at(f.arg["right"], f.mul(r, units * vb), j * vb)) for j in range(units)]
            for lane, row in enumerate(sums):
                left = f.splat(f.load_scalar(f.at(f.arg["left"], f.mul(r, slots * vb), lane * es)))
                for j, s in enumerate(row):
                    f.b.store(f.fma(left, right[j], f.b.load(s, typ=self.m.vector)), s)

        f.unrolled(f.arg["rows"], one, 2)
        before, line = f.what_was(f.arg["begin"], f.arg["out"], f.arg["line"], units)
        for lane, row in enumerate(sums):

            def add(lane=lane, row=row) -> None:
                for j, s in enumerate(row):
                    mask = f.tail(tail) if tail and j == units - 1 else None
                    place = f.at(f.arg["out"], f.mul(f.arg["line"], lane), j * vb)
                    there = f.load(f.at(before, f.mul(line, lane), j * vb), mask)
                    f.store(f.b.fadd(there, f.b.load(s, typ=self.m.vector)), place, mask)

            f.when(f.b.icmp_signed("<", I64(lane), f.arg["valid"]), add)
        self.tiles[key] = f.end()
        return self.tiles[key]

    def emit(self, name: str, source: Place, in_dim: str, outers: list) -> ir.Function:
        m, layout = self.m, self.layout
        numbers = [(n, I64) for n in ("first", "last", "offset", "rows", "begin")]
        f = m.function(name, [("args", POINTER), *numbers])
        args, vb, es = f.arg["args"], layout.vector_bytes, layout.itemsize
        panels = outer_panels(layout, in_dim)
        packed = f.pointer_field(args, layout.fields["packed_rows"])
        offset, rows = f.arg["offset"], f.arg["rows"]
        lines = self._lines(f, rows)
        starts = [f.at(packed, f.mul(lines, p.first * vb)) for p in panels]

        def keep(row: Any, address: Any) -> None:
            """One source row into the panels."""
            for start, p in zip(starts, panels, strict=True):

                def panel(k: Any, start=start, p=p) -> None:
                    v = f.add(f.mul(k, p.units), p.first)
                    to = f.at(start, f.mul(f.b.mul(f.i(k), lines), p.units * vb), f.mul(self._line(f, row), p.units * vb))
                    for j in range(p.units):
                        mask = f.tail(p.tail) if p.tail and j == p.units - 1 else None
                        self._keep(f, f.load(f.at(address, f.mul(v, vb), j * vb), mask), f.at(to, j * vb), row)

                if p.count == 1:
                    panel(0)
                else:
                    f.loop(p.count, panel)

        if is_user(source):
            index = f.pointer_field(args, layout.fields["index"])

            def step(s: Any) -> None:
                clock = Clock(f, layout, args, s)

                def one(b_: Any) -> None:
                    i = f.b.load(f.at(index, f.mul(b_, 8)), typ=I64, align=8)
                    address = row_address(f, layout, args, clock, table_name(source), b_, i)
                    keep(f.b.add(f.b.sub(clock.offset, offset), b_), address)

                f.loop(clock.rows, one)

            f.loop(f.arg["last"], step, start=f.arg["first"])
        else:
            base = f.pointer_field(args, layout.fields[buffer_name(source)])
            width = layout.units(in_dim) * es
            f.loop(rows, lambda r: keep(r, f.at(base, f.mul(f.b.add(r, offset), width))))
        self._fill(f, rows, lines, list(zip(starts, panels, strict=True)))

        total = f.field(args, layout.fields["total"])
        starting = []
        for o in outers:
            starting.append(o.matrix not in self.begun)
            self.begun.add(o.matrix)

        def block(r0: Any) -> None:
            begin = f.b.select(f.b.icmp_signed("==", r0, I64(0)), f.arg["begin"], I64(0))
            parts = [(o, begin if starts else I64(0)) for o, starts in zip(outers, starting, strict=True)]
            left = f.b.sub(rows, r0)
            count = f.b.select(f.b.icmp_signed("<", left, I64(BLOCK_ROWS)), left, I64(BLOCK_ROWS))
            line = self._line(f, r0)

            def each(body: Callable[[Panels, Any, Any], None]) -> None:
                """Call body(panels, right operand, first byte of its columns) for all panels."""
                for start, p in zip(starts, panels, strict=True):

                    def panel(k: Any, start=start, p=p) -> None:
                        right = f.at(start, f.mul(f.b.mul(f.i(k), lines), p.units * vb), f.mul(line, p.units * vb))
                        body(p, right, f.mul(f.add(f.mul(k, p.units), p.first), vb))

                    if p.count == 1:
                        panel(0)
                    else:
                        f.loop(p.count, panel)

            self._block(f, parts, each, f.b.add(offset, r0), count, total)

        f.loop(rows, block, step=BLOCK_ROWS)
        return f.end()

    def _lines(self, f: Function, rows: Any) -> Any:
        """The lines that so many rows take."""
        return rows

    def _line(self, f: Function, row: Any) -> Any:
        return row

    def _keep(self, f: Function, value: Any, place: Any, row: Any) -> None:
        """Put a vector of a row into its line."""
        f.store(value, place)

    def _fill(self, f: Function, rows: Any, lines: Any, panels: list[tuple[Any, Panels]]) -> None:
        """Zeros where rows do not fill the lines."""

    def _block(self, f: Function, parts: list[tuple[Any, Any]], each: Each, row: Any, count: Any, total: Any) -> None:
        """The products of `count` rows from `row` on the tape. parts: the outers, and whether their matrices begin."""
        args = f.arg["args"]

        def panel(p: Panels, right: Any, column: Any) -> None:
            for o, begin in parts:
                self._part(f, args, o, p, right, column, row, count, total, begin)

        each(panel)

    def _part(
        self, f: Function, args: Any, o: Any, p: Panels, right: Any, column: Any, row: Any, count: Any, total: Any,
        begin: Any,
    ) -> None:  # fmt: skip
        """All lanes of one part of a matrix against one panel."""
        layout = self.layout
        es, slots = layout.itemsize, layout.slots(o.cotangent)
        _, height, columns = layout.part_row(o.matrix)

        def vector(left: Any, rows: Any, first: Any) -> None:
            out = f.at(rows, column)
            for lane, n in _tile_rows(layout, p.units):
                function = self.tile(p.units, p.tail, n, slots)
                valid = f.b.sub(I64(height - lane), first)
                place = f.at(out, lane * columns * es)

                def tile(lane=lane, function=function, valid=valid, place=place) -> None:
                    f.call(function, f.at(left, lane * es), right, count, place, columns * es, valid, begin)

                if lane < (height - 1) % layout.lanes + 1:
                    tile()
                else:  # past the last unit in the last vector of them
                    f.when(f.b.icmp_signed(">", valid, I64(0)), tile)

        self._vectors(f, args, o, row, total, vector)

    def _vectors(self, f: Function, args: Any, o, row: Any, total: Any, body: Callable[[Any, Any, Any], None]) -> None:
        """Call body(cotangents, the matrix's rows, their first unit) for this member's vectors of units of one part."""
        layout = self.layout
        vb, es, lanes = layout.vector_bytes, layout.itemsize, layout.lanes
        start, _, columns = layout.part_row(o.matrix)
        dim, slots = o.cotangent.name, layout.slots(o.cotangent)
        base = f.pointer_field(args, layout.fields[f"kept_panel:{dim}"])
        matrix = f.pointer_field(args, layout.fields[f"dmatrix:{o.matrix[0]}"])

        def vector(v: Any) -> None:
            left = f.at(base, f.mul(f.b.add(f.b.mul(v, total), row), slots * vb), o.cotangent.slot * vb)
            first = f.mul(v, lanes)
            body(left, f.at(matrix, f.mul(f.add(first, start), columns * es)), first)

        member, members = (f.field(args, layout.fields[n]) for n in ("member", "members"))
        f.loop(layout.vectors(dim), vector, start=member, step=members)


class PairedOuterEmitter(OuterEmitter):
    """The same with operands rounded to bfloat16: a line has the pairs of two rows, and cotangents are made pairs of once
    for all panels."""

    def __init__(self, m: Module, layout: Layout):
        super().__init__(m, layout)
        self.columns = bfloat16.emit_columns(m, layout)
        self.paired: dict[tuple[int, int], ir.Function] = {}

    def _lines(self, f: Function, rows: Any) -> Any:
        return f.mul(bfloat16.depths(f, rows), DEPTH // 2)

    def _line(self, f: Function, row: Any) -> Any:
        return f.b.lshr(row, I64(1))

    def _keep(self, f: Function, value: Any, place: Any, row: Any) -> None:
        bfloat16.store_row_of_pair(f, value, place, row)

    def _fill(self, f: Function, rows: Any, lines: Any, panels: list[tuple[Any, Panels]]) -> None:
        vb = self.layout.vector_bytes

        def line(i: Any) -> None:
            for start, p in panels:

                def panel(k: Any, start=start, p=p) -> None:
                    place = f.at(start, f.mul(f.b.add(f.b.mul(k, lines), i), p.units * vb))
                    for j in range(p.units):
                        bfloat16.zero_line(f, f.at(place, j * vb))

                f.loop(p.count, panel)

        f.loop(lines, line, start=f.b.lshr(f.b.add(rows, I64(1)), I64(1)))

    def _block(self, f: Function, parts: list[tuple[Any, Any]], each: Each, row: Any, count: Any, total: Any) -> None:
        layout, args = self.layout, f.arg["args"]
        depths = bfloat16.depths(f, count)
        packed = f.slot(self.m.vector, STRIP * -(-BLOCK_ROWS // DEPTH), align=64)
        for o, begin in parts:
            _, height, columns = layout.part_row(o.matrix)
            line = columns * layout.itemsize

            def vector(left: Any, out: Any, first: Any, o=o, begin=begin, height=height, line=line) -> None:
                valid = f.b.sub(I64(height), first)
                f.call(self.columns, left, layout.slots(o.cotangent) * layout.vector_bytes, count, packed)

                def panel(p: Panels, right: Any, column: Any) -> None:
                    key = (p.units, p.tail)
                    if key not in self.paired:
                        self.paired[key] = bfloat16.emit_outer_tile(self.m, layout, *key)
                    f.call(self.paired[key], packed, right, depths, f.at(out, column), line, valid, begin)

                each(panel)

            self._vectors(f, args, o, row, total, vector)


def emit_backward(m: Module, layout: Layout) -> None:
    """run(args): all steps of one thread's rows backwards, and its share of every gradient."""
    frame_function = emit_frame(m, layout)
    block_frame = emit_block_frame(m, layout) if layout.block_arrays else None
    step = StepEmitter(m, layout)
    emitter = (PairedOuterEmitter if layout.bfloat16 else OuterEmitter)(m, layout)
    clear = emit_clear(m)
    pad = emit_padding(m, layout, clear, "dx") if "dx" in layout.user_arrays else None
    outers = [emitter.emit(f"outer{k}", *found) for k, found in enumerate(layout.outer_sources)]
    f = m.function("run", [("args", POINTER)], internal=False)
    args, b, restore = f.arg["args"], f.b, set_up(f, layout)
    frame, scratch = f.slot(I64, len(layout.frame), align=64), step.scratch(f)
    packed = f.pointer_field(args, layout.fields["packed"])

    def clear_all() -> None:
        for name, dim in layout.gradient_names:
            f.call(clear, f.pointer_field(args, layout.fields[f"gradient:{name}"]), layout.vectors(dim) * layout.lanes)
        clear_matrices([matrix for matrix in layout.cell.matrices if matrix not in emitter.begun])
        nothing = b.icmp_signed("==", f.field(args, layout.fields["total"]), I64(0))  # no row has a step
        f.when(nothing, lambda: clear_matrices(sorted(emitter.begun)))

    def clear_matrices(matrices: Iterable[tuple[str, str]]) -> None:
        for matrix in matrices:
            start, rows, columns = layout.part_row(matrix)
            base = f.pointer_field(args, layout.fields[f"dmatrix:{matrix[0]}"])
            f.call(clear, f.at(base, start * columns * layout.itemsize), rows * columns)

    f.when(b.icmp_signed("==", f.field(args, layout.fields["member"]), I64(0)), clear_all)
    step.wait(f)
    begin = f.slot(I64)
    b.store(I64(1), begin)
    steps, size = f.field(args, layout.fields["steps"]), f.field(args, layout.fields["chunk"])
    block = f.field(args, layout.fields["block"])

    def smaller(x: Any, y: Any) -> Any:
        return b.select(b.icmp_signed("<", x, y), x, y)

    def chunk(k: Any) -> None:
        last = b.sub(steps, b.mul(k, size))
        first = b.sub(last, size)
        first = b.select(b.icmp_signed(">", first, I64(0)), first, I64(0))

        def one(i: Any) -> None:
            s = b.sub(b.sub(last, I64(1)), i)
            rows = step.rows(f, s)

            def active() -> None:
                f.call(frame_function, args, s, frame)
                step.emit_step(f, frame, rows, packed, scratch)

            f.when(b.icmp_signed(">", rows, I64(0)), active)
            if pad is not None:
                pad(f, s, rows)

        f.loop(b.sub(last, first), one)
        blocks = b.sdiv(b.add(b.sub(last, first), b.sub(block, I64(1))), block)

        def weights(q: Any) -> None:
            s0 = b.add(first, b.mul(q, block))
            s1 = smaller(b.add(s0, block), last)
            offset, rows = step.offset(f, s0), step.rows_between(f, s0, s1)

            def active() -> None:
                if block_frame is not None:
                    f.call(block_frame, args, s0, s1, frame)
                    step.emit_step(f, frame, rows, packed, scratch, "after")
                for function in outers:
                    f.call(function, args, s0, s1, offset, rows, b.load(begin, typ=I64))
                b.store(I64(0), begin)

            f.when(b.icmp_signed(">", rows, I64(0)), active)

        f.loop(blocks, weights)

    f.loop(b.sdiv(b.add(steps, b.sub(size, I64(1))), size), chunk)
    restore()
    f.end()
