"""Products of operands rounded to bfloat16, summed in float32: by AMX tiles, or by dot products of pairs.

Both instructions multiply pairs of neighbours along the inner dimension. The right operand is packed so: a line of 64
bytes has a pair for each of 16 units, and the lines of 16 pairs are an AMX tile. The left operand is converted once a
step, before the panels that read it: 16 rows of 32 numbers lie together, an AMX tile again. Inner dimensions are filled
up to 32 with zeros, in both operands. Rows are not: what a tile makes of the memory past the last row is read by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llvmlite import ir

from .emit import I32, I64, POINTER, VOID, Function, Module, transpose
from .layout import DEPTH, STRIP, STRIP_BYTES, Chunk, Geometry, Layout, Panels, Phase, buffer_name, is_user, table_name
from .target import TILES

I8 = ir.IntType(8)
LINE = 64  # bytes of a line: 16 pairs
HALF = LINE // 2  # a vector of float32 after conversion
MOST_TILES = 8  # of the processor
_DOT_LANES = 6  # lanes of cotangents whose sums stay in vector registers beside the right operand


class _BFloat(ir.Type):
    """bfloat16, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_HALVES = ir.VectorType(_BFloat(), 16)
_BITS = ir.VectorType(ir.IntType(16), 16)
_LINE = ir.VectorType(_BFloat(), 32)


def rounded(f: Function, value: Any) -> Any:
    """A vector of float32 rounded to the nearest bfloat16, ties to even: half a line."""
    return f.b.fptrunc(value, _HALVES)


def widened(f: Function, value: Any) -> Any:
    """The bits of a rounded vector, each in the lower half of a pair."""
    return f.b.zext(f.b.bitcast(rounded(f, value), _BITS), f.m.integers)


def interleaved(f: Function, lower: Any, upper: Any) -> Any:
    """A line of the pairs of two rows."""
    return f.b.or_(widened(f, lower), f.b.shl(widened(f, upper), f.integer(16)))


def splat_integer(f: Function, value: Any) -> Any:
    """A 32-bit number in every lane."""
    none = ir.Constant(f.m.integers, ir.Undefined)
    return f.b.shuffle_vector(f.b.insert_element(none, value, I32(0)), none, f.m.constant(f.m.lane_numbers, 0))


def zero_line(f: Function, place: Any) -> None:
    f.b.store(f.integer(0), place, align=4)


# AMX -----------------------------------------------------------------------------------------------------------


def tile_call(f: Function, name: str, *arguments: Any) -> None:
    """An instruction on tiles; a number stands for a tile."""
    given = [I8(a) if isinstance(a, int) else a for a in arguments]
    f.b.call(f.m.declare(f"llvm.x86.{name}", VOID, [a.type for a in given]), given)


def begin_tiles(f: Function) -> None:
    """Every tile is 16 rows of 64 bytes; `end_tiles` must follow on the same thread."""
    shape = f.slot(I64, 8)
    rows, columns = int.from_bytes(bytes([STRIP]) * 8, "little"), LINE * 0x0001000100010001
    for k, value in enumerate([1, 0, columns, columns, 0, 0, rows, 0]):
        f.b.store(I64(value), f.at(shape, 8 * k), align=8)
    tile_call(f, "ldtilecfg", shape)


def end_tiles(f: Function) -> None:
    tile_call(f, "tilerelease")


# dot products of pairs -----------------------------------------------------------------------------------------


def _splat_pair(f: Function, place: Any) -> Any:
    return f.b.bitcast(splat_integer(f, f.b.load(place, typ=I32, align=4)), _LINE)


def _load_line(f: Function, place: Any) -> Any:
    return f.b.load(place, typ=_LINE, align=4)


def _add_dot(f: Function, total: Any, left: Any, right: Any) -> None:
    m = f.m
    dot = m.declare("llvm.x86.avx512bf16.dpbf16ps.512", m.vector, [m.vector, _LINE, _LINE])
    f.b.store(f.b.call(dot, [f.b.load(total, typ=m.vector), left, right]), total)


# the left operand ----------------------------------------------------------------------------------------------


def _half(f: Function, q: Any) -> Any:
    """Where the q-th vector of a row lies, from the row's first line on."""
    if isinstance(q, int):
        return q // 2 * STRIP_BYTES + q % 2 * HALF
    return f.add(f.mul(f.b.lshr(q, I64(1)), STRIP_BYTES), f.mul(f.b.and_(q, I64(1)), HALF))


def emit_operand(m: Module, layout: Layout, phase: Phase, name: str) -> ir.Function:
    """operand(frame, rows, to, strip): the left operand of a phase, rounded; `strip` bytes lie between strips of rows."""
    f = m.function(name, [("frame", POINTER), ("rows", I64), ("to", POINTER), ("strip", I64)])
    b, frame, vb = f.b, f.arg["frame"], layout.vector_bytes

    def line(r: Any) -> Any:
        return f.at(f.arg["to"], b.mul(b.lshr(r, I64(4)), f.arg["strip"]), f.mul(b.and_(r, I64(STRIP - 1)), LINE))

    def put(value: Any, place: Any) -> None:
        b.store(rounded(f, value), place, align=2)

    if phase.transposed:
        slots, entries, vectors = layout.slots(phase.place), phase.operand, layout.vectors(phase.dim)
        base = f.pointer_field(frame, layout.frame[buffer_name(phase.place)])
        across = f.field(frame, layout.frame["across_" + buffer_name(phase.place)])

        def vector(v: Any) -> None:
            source = f.at(base, b.mul(v, across))

            def row(r: Any) -> None:
                for e, place in enumerate(entries):
                    value = f.load(f.at(source, f.mul(r, slots * vb), place.slot * vb))
                    put(value, f.at(line(r), _half(f, f.add(f.mul(v, len(entries)), e))))

            f.loop(f.arg["rows"], row)

        f.loop(vectors, vector)
        if vectors * len(entries) % 2:
            last = _half(f, vectors * len(entries))
            f.loop(f.arg["rows"], lambda r: put(f.constant(0.0), f.at(line(r), last)))
        return f.end()

    units = layout.units(phase.dim)
    user = is_user(phase.place)
    base = f.pointer_field(frame, layout.frame[table_name(phase.place) if user else buffer_name(phase.place)])

    def whole_row(r: Any) -> None:
        source = f.pointer_field(base, r) if user else f.at(base, f.mul(r, units * layout.itemsize))
        to = line(r)

        def depth(k: Any) -> None:
            for half in range(2):
                value = f.load(f.at(source, f.mul(k, 2 * vb), half * vb))
                put(value, f.at(to, f.mul(k, STRIP_BYTES), half * HALF))

        f.loop(units // DEPTH, depth)
        for q in range(units // DEPTH * 2, layout.phase_rows(phase) // layout.lanes):
            left = units - q * layout.lanes
            value = f.load(f.at(source, q * vb), f.tail(left)) if left > 0 else f.constant(0.0)
            put(value, f.at(to, _half(f, q)))

    f.loop(f.arg["rows"], whole_row)
    return f.end()


class Operands:
    """Writes the functions that convert left operands, one for each, and the calls of them."""

    def __init__(self, m: Module, layout: Layout):
        self.m, self.layout = m, layout
        self.functions: dict[tuple, ir.Function] = {}

    def convert(self, f: Function, frame: Any, geometry: Geometry, rows: Any) -> None:
        """All left operands of a group, for the rows of a step or of a block of steps."""
        layout = self.layout
        operands = f.pointer_field(f.arg["args"], layout.fields["operands"])
        for key, (start, phase) in layout.operands(geometry).items():
            if key not in self.functions:
                self.functions[key] = emit_operand(self.m, layout, phase, f"operand{len(self.functions)}")
            f.call(self.functions[key], frame, rows, f.at(operands, start), layout.operands_bytes(geometry))


# tiles ---------------------------------------------------------------------------------------------------------


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
    """The same as `products.emit_tile`; start and stop count depths of 32."""
    sliced = len(phases) < len(chunk.phases) or bool(layout.slices(chunk, panels))
    arguments = [("frame", POINTER), ("row", I64), ("packed", POINTER), ("scratch", POINTER)]
    f = m.function(name, arguments + ([("start", I64), ("stop", I64), ("begin", I64)] if sliced else []))
    b, u, strip = f.b, panels.units, layout.operands_bytes(geometry)
    width = layout.scratch_bytes(geometry, panels)
    scratch = f.at(f.arg["scratch"], layout.accumulator_offset(geometry, panels, chunk.first, 0))
    args = f.pointer_field(f.arg["frame"], layout.frame["args"])
    operands = f.pointer_field(args, layout.fields["operands"])
    product = _sums(f, layout, rows, chunk.count * u)
    lines = [
        f.at(operands, f.mul(b.lshr(row, I64(4)), strip), f.mul(b.and_(row, I64(STRIP - 1)), LINE))
        for row in (b.add(f.arg["row"], I64(r)) for r in range(product.reads))
    ]
    product.begin()
    if sliced:
        f.when(b.icmp_signed("==", f.arg["begin"], I64(0)), lambda: product.go_on(scratch, width))
    starts, packed = layout.operands(geometry), f.arg["packed"]
    for phase in phases:
        start, across = starts[phase.operand][0], layout.phase_width(phase, panels)
        positions = phase.entries[:1] if phase.transposed else phase.entries
        targets = [position * u + j for position, _, _ in positions for j in range(u)]

        def depth(k: Any, start=start, across=across, targets=targets, packed=packed) -> None:
            left = [f.at(line, f.mul(k, STRIP_BYTES), start) for line in lines]
            product.add(left, f.at(packed, f.mul(k, STRIP * across * LINE)), across, targets)

        span = (f.arg["start"], f.arg["stop"]) if sliced else (0, layout.phase_rows(phase) // DEPTH)
        f.loop(span[1], depth, start=span[0])
        packed = f.at(packed, layout.phase_bytes(phase, panels))
    product.end(scratch, width)
    return f.end()


def _sums(f: Function, layout: Layout, rows: int, count: int, apart: int = 4) -> _AmxSums | _DotSums:
    """The sums of a tile: `rows` by `count` vectors."""
    return _AmxSums(f, count) if layout.bfloat16 == TILES else _DotSums(f, rows, count, apart)


class _AmxSums:
    """Sums of a strip of rows, a tile for each vector of units. The left operand is a tile at the first of its addresses."""

    reads = 1

    def __init__(self, f: Function, count: int):
        self.f, self.count = f, count

    def begin(self) -> None:
        for j in range(self.count):
            tile_call(self.f, "tilezero", j)

    def go_on(self, scratch: Any, width: int) -> None:
        for j in range(self.count):
            tile_call(self.f, "tileloadd64", j, self.f.at(scratch, j * LINE), I64(width))

    def add(self, left: Sequence[Any], right: Any, width: int, targets: Sequence[int]) -> None:
        """One depth of a product: the left operand times `width` vectors at `right`, added to the sums `targets`."""
        f, spare = self.f, MOST_TILES - self.count - 1
        tile_call(f, "tileloadd64", self.count, left[0], I64(LINE))
        for j, target in enumerate(targets):
            here = self.count + 1 + j % spare
            tile_call(f, "tileloadd64", here, f.at(right, j * LINE), I64(width * LINE))
            tile_call(f, "tdpbf16ps", target, self.count, here)

    def end(self, scratch: Any, width: int) -> None:
        for j in range(self.count):
            tile_call(self.f, "tilestored64", j, self.f.at(scratch, j * LINE), I64(width))


class _DotSums:
    """Sums of a few rows in vector registers. Each row's pairs begin at an address and lie `apart` bytes apart."""

    def __init__(self, f: Function, rows: int, count: int, apart: int):
        self.f, self.reads, self.apart = f, rows, apart
        self.sums = [[f.slot(f.m.vector) for _ in range(count)] for _ in range(rows)]

    def _each(self) -> Iterable[tuple[int, int, Any]]:
        return ((r, j, s) for r, row in enumerate(self.sums) for j, s in enumerate(row))

    def begin(self) -> None:
        for _, _, s in self._each():
            self.f.b.store(self.f.constant(0.0), s)

    def go_on(self, scratch: Any, width: int) -> None:
        for r, j, s in self._each():
            self.f.b.store(self.f.load(self.f.at(scratch, r * width + j * LINE)), s)

    def add(self, left: Sequence[Any], right: Any, width: int, targets: Sequence[int]) -> None:
        f = self.f

        def pair(p: Any) -> None:
            line = f.at(right, f.mul(p, width * LINE))
            vectors = [_load_line(f, f.at(line, j * LINE)) for j in range(width)]
            for place, row in zip(left, self.sums, strict=True):
                number = _splat_pair(f, f.at(place, f.mul(p, self.apart)))
                for v, t in zip(vectors, targets, strict=True):
                    _add_dot(f, row[t], number, v)

        f.unrolled(STRIP, pair, 2, even=True)

    def end(self, scratch: Any, width: int) -> None:
        for r, j, s in self._each():
            self.f.store(self.f.b.load(s, typ=self.f.m.vector), self.f.at(scratch, r * width + j * LINE))


# packing the right operand -------------------------------------------------------------------------------------


def emit_transpose(m: Module, layout: Layout, columns: int) -> ir.Function:
    """Write a matrix's rows, one vector's worth of them, as lines: to[k][row] = from[row][2k and 2k + 1], zero past
    `rows` and past the columns, whose number is the constant; the argument is there as `products.emit_transpose` has it."""
    names = ["source", "line", "rows", "columns", "to", "stride"]
    f = m.function(f"transpose_{columns}", [(n, POINTER if n in ("source", "to") else I64) for n in names])
    a, b, lanes, vb = f.arg, f.b, layout.lanes, layout.vector_bytes

    def depth(k: Any, masks: Sequence[Any] = (None, None)) -> None:
        rows = []
        for r in range(lanes):
            inside = b.icmp_signed("<", I64(r), a["rows"])
            source = f.at(a["source"], b.mul(a["line"], b.select(inside, I64(r), I64(0))), f.mul(k, 2 * vb))
            halves = [
                f.constant(0.0)
                if mask is False
                else b.select(inside, f.load(f.at(source, half * vb), mask), f.constant(0.0))
                for half, mask in enumerate(masks)
            ]
            lower, upper = (rounded(f, v) for v in halves)
            both = b.shuffle_vector(lower, upper, ir.Constant(ir.VectorType(I32, DEPTH), list(range(DEPTH))))
            rows.append(b.bitcast(both, m.integers))
        for i, v in enumerate(transpose(f, rows)):
            b.store(v, f.at(a["to"], b.mul(f.add(f.mul(k, STRIP), i), a["stride"])), align=4)

    f.loop(columns // DEPTH, depth)
    left = columns % DEPTH
    if left:
        depth(f.i(columns // DEPTH), [f.tail(left), f.tail(left - lanes) if left > lanes else False])
    return f.end()


def emit_copy(m: Module, layout: Layout, units: int, tail: int) -> ir.Function:
    """Copy one vector's worth of a matrix's rows in pairs, `units` vectors wide; rows past `rows` become zero."""
    f = m.function(f"copy_{units}_{tail}", [("source", POINTER), ("line", I64), ("rows", I64), ("to", POINTER)])
    a, b, vb = f.arg, f.b, layout.vector_bytes

    def pair(p: Any) -> None:
        for j in range(units):
            mask = f.tail(tail) if tail and j == units - 1 else None
            values = []
            for r in (f.mul(p, 2), f.add(f.mul(p, 2), 1)):
                inside = b.icmp_signed("<", r, a["rows"])
                source = f.at(a["source"], b.mul(b.select(inside, r, I64(0)), a["line"]), j * vb)
                values.append(b.select(inside, f.load(source, mask), f.constant(0.0)))
            lower, upper = values
            b.store(interleaved(f, lower, upper), f.at(a["to"], f.mul(p, units * LINE), j * LINE), align=4)

    f.loop(layout.lanes // 2, pair)
    return f.end()


def emit_filling(f: Function, phase: Phase, layout: Layout, place: Any, units: int) -> None:
    """Zeros after a copied right operand, up to a whole depth."""
    count = layout.vectors(phase.dim) * len(phase.entries)
    if count % 2:
        end = f.at(place, count * layout.lanes // 2 * units * LINE)
        f.loop(layout.lanes // 2 * units, lambda i: zero_line(f, f.at(end, f.mul(i, LINE))))


# the weights' gradients ----------------------------------------------------------------------------------------


def store_row_of_pair(f: Function, value: Any, place: Any, row: Any) -> None:
    """One row's numbers into the line of two: an even row begins the line, with zeros for an odd row that may follow."""
    odd = f.b.and_(row, I64(1))
    shift = splat_integer(f, f.b.trunc(f.b.shl(odd, I64(4)), I32))
    kept = splat_integer(f, f.b.trunc(f.b.neg(odd), I32))
    old = f.b.and_(f.b.load(place, typ=f.m.integers, align=4), kept)
    f.b.store(f.b.or_(old, f.b.shl(widened(f, value), shift)), place, align=4)


def emit_columns(m: Module, layout: Layout) -> ir.Function:
    """columns(from, stride, rows, to): a vector of cotangents of so many rows, `stride` bytes apart, as the left operand
    of a product over rows: a line has the pairs of 16 lanes, or in AMX tiles a line has 16 pairs of one lane."""
    f = m.function("columns", [("source", POINTER), ("stride", I64), ("rows", I64), ("to", POINTER)])
    a, b = f.arg, f.b

    def depth(k: Any) -> None:
        lines = []
        for p in range(STRIP):
            values = []
            for half in range(2):
                r = f.add(f.mul(k, DEPTH), 2 * p + half)
                inside = b.icmp_signed("<", r, a["rows"])
                value = f.load(f.at(a["source"], b.mul(b.select(inside, r, I64(0)), a["stride"])))
                values.append(b.select(inside, value, f.constant(0.0)))
            lower, upper = values
            lines.append(interleaved(f, lower, upper))
        for i, v in enumerate(transpose(f, lines) if layout.bfloat16 == TILES else lines):
            b.store(v, f.at(a["to"], f.mul(k, STRIP_BYTES), i * LINE), align=4)

    f.loop(depths(f, a["rows"]), depth)
    return f.end()


def depths(f: Function, rows: Any) -> Any:
    """How many depths cover so many rows."""
    return f.b.sdiv(f.add(rows, DEPTH - 1), I64(DEPTH))


def emit_outer_tile(m: Module, layout: Layout, units: int, tail: int) -> ir.Function:
    """tile(left, right, depths, out, line, valid, begin): out[lane] += the sum over depths of left times right, or where a
    gradient begins is that sum."""
    names = ["left", "right", "depths", "out", "line", "valid", "begin"]
    types = [POINTER, POINTER, I64, POINTER, I64, I64, I64]
    f = m.function(f"outer_tile_{units}_{tail}", list(zip(names, types, strict=True)))
    lanes, width = layout.lanes, units * LINE
    scratch = f.slot(m.vector, lanes * units, align=64)
    most = lanes if layout.bfloat16 == TILES else _DOT_LANES
    for first in range(0, lanes, most):
        product = _sums(f, layout, min(most, lanes - first), units, LINE)
        product.begin()

        def depth(k: Any, first=first, product=product) -> None:
            left = f.at(f.arg["left"], f.mul(k, STRIP_BYTES), 4 * first)
            right = f.at(f.arg["right"], f.mul(k, STRIP * width))
            product.add([f.at(left, 4 * r) for r in range(product.reads)], right, units, range(units))

        f.loop(f.arg["depths"], depth)
        product.end(f.at(scratch, first * width), width)

    before, line = f.what_was(f.arg["begin"], f.arg["out"], f.arg["line"], units)

    def add(lane: Any) -> None:
        for j in range(units):
            mask = f.tail(tail) if tail and j == units - 1 else None
            place = f.at(f.arg["out"], f.b.mul(f.arg["line"], lane), j * LINE)
            there = f.load(f.at(before, f.b.mul(line, lane), j * LINE), mask)
            f.store(f.b.fadd(there, f.load(f.at(scratch, f.mul(lane, width), j * LINE))), place, mask)

    f.loop(f.b.select(f.b.icmp_signed("<", f.arg["valid"], I64(lanes)), f.arg["valid"], I64(lanes)), add)
    return f.end()
