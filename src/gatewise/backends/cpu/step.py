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
from ...plan.places import CARRY, GRADIENT, OLD, PANEL, PARTIAL, ROWS, SCALAR, Place
from . import bfloat16
from .emit import I64, POINTER, Function, Module
from .layout import SLICE_ROWS, STRIP, Geometry, Layout, Panels, buffer_name, is_user, table_name
from .products import Tiles, emit_pack, emit_products
from .target import TILES
from .team import emit_barrier
from .vectormath import EMIT

_MOST_AHEAD = 512  # bytes of a row that are asked for before its step


class Epilogue:
    """Writes one group's elementwise work for one kind of panel: epilogue(frame, first row, rows, vector, scratch)."""

    def __init__(self, m: Module, layout: Layout, geometry: Geometry, panels: Panels, name: str):
        arguments = [("frame", POINTER), ("row", I64), ("rows", I64), ("vector", I64), ("scratch", POINTER)]
        self.f = m.function(name, arguments)
        self.m, self.layout, self.geometry, self.group, self.panels = m, layout, geometry, geometry.group, panels
        self.graph = layout.schedule.graph
        self.accumulators = {a.node: k for k, a in enumerate(geometry.group.accumulators)}
        self.frame = self.f.arg["frame"]
        self.args = self.f.pointer_field(self.frame, layout.frame["args"])
        self.members = self.f.field(self.args, layout.fields["members"])
        self.ahead = self.f.mul(self.f.add(self.members, 1), panels.units * layout.vector_bytes)  # rows begin inside a line
        self.constants: dict[tuple[int, int], Any] = {}
        self.bases: dict[str, Any] = {}
        self.sums: dict[tuple[str, int], Any] = {}
        self.shared: Any = None  # whether members of a group have panels of their own, where there is something to reduce

    def emit(self) -> ir.Function:
        f, u = self.f, self.panels.units
        needed = {i for i, _ in self.group.stores} | {s for _, s in self.group.reductions}
        needed |= {a for i in self.group.compute for a in self.graph.nodes[i].args}
        for i in sorted(needed):  # what is the same for every row is loaded before the loop over rows
            if self.graph.nodes[i].op == "vector":
                for j in range(u):
                    self.constants[i, j] = self._parameter(i, j)
        for i, place in self.group.stores:
            if place.kind == GRADIENT:
                for j in range(u):
                    self.sums[f"{place.name}#{i}", j] = slot = f.slot(self.m.vector)
                    f.b.store(f.constant(0.0), slot)
        for place in [*self.group.loads.values(), *(p for _, p in self.group.stores)]:
            if place.kind != GRADIENT:
                self._base(place)
        for i in sorted(needed):
            if self.graph.nodes[i].op == "cotangent":
                self._cotangent_tables(i)
        if self.group.reductions or any(p.kind == PARTIAL for p in self.group.loads.values()):
            self._base(Place(PARTIAL))
            self.shared = f.b.icmp_signed(">", self.members, I64(1))
        f.loop(f.arg["rows"], self._row)
        if self.sums and self.group.dim == ONE:
            member = f.field(self.args, self.layout.fields["member"])
            f.when(f.b.icmp_signed("==", member, I64(0)), self._add_gradients)
        else:
            self._add_gradients()
        return f.end()

    def _add_gradients(self) -> None:
        f = self.f
        for (name, j), slot in self.sums.items():
            gradient = f.pointer_field(self.args, self.layout.fields[f"gradient:{name.partition('#')[0]}"])
            place = f.at(gradient, f.mul(f.add(f.arg["vector"], j), self.layout.vector_bytes))
            f.store(f.b.fadd(f.load(place), f.b.load(slot, typ=self.m.vector)), place)

    def _mask(self, j: int) -> Any:
        return self.f.tail(self.panels.tail) if self.panels.tail and j == self.panels.units - 1 else None

    def _parameter(self, i: int, j: int) -> Any:
        node = self.graph.nodes[i]
        start, _, _ = self.layout.part_row(node.attr)
        base = self.f.pointer_field(self.args, self.layout.fields[f"param:{node.attr[0]}"])
        if node.dim == ONE:
            return self.f.splat(self.f.load_scalar(self.f.at(base, start * self.layout.itemsize)))
        offset = self.f.mul(self.f.add(self.f.arg["vector"], j), self.layout.vector_bytes)
        return self.f.load(self.f.at(base, offset, start * self.layout.itemsize), self._mask(j))

    def _base(self, place: Place) -> Any:
        """The address (or table of addresses) of a place's array."""
        name = table_name(place) if is_user(place) else buffer_name(place)
        if name not in self.bases:
            self.bases[name] = self.f.pointer_field(self.frame, self.layout.frame[name])
            if place.kind == PANEL:
                self.bases["across_" + name] = across = self.f.field(self.frame, self.layout.frame["across_" + name])
                self.bases["ahead_" + name] = self.f.mul(across, self.members)
        return self.bases[name]

    def _cotangent_tables(self, i: int) -> None:
        state = self.graph.nodes[i].attr
        self.bases[f"carry:{state}"] = self.f.pointer_field(self.frame, self.layout.frame[f"carry:{state}"])
        if state == self.layout.cell.states[0].name:
            self.bases["dy"] = self.f.pointer_field(self.frame, self.layout.frame["dy"])

    def _row(self, r: Any) -> None:
        row = self.f.b.add(self.f.arg["row"], r)
        pointers: dict[str, Any] = {}
        waiting: list[tuple[Any, Any, Any]] = []
        gathered: dict[int, Any] = {}
        for j in range(self.panels.units):
            values: dict[int, Any] = {}
            for i in self.group.compute:
                node = self.graph.nodes[i]
                arguments = [self._value(a, values, j, r, row, pointers) for a in node.args]
                values[i] = EMIT[node.op](self.f, *arguments)
            for i, place in self.group.stores:
                waiting.append(self._prepare(i, place, self._value(i, values, j, r, row, pointers), j, row, pointers))
            for i, source in self.group.reductions:
                value = self._value(source, values, j, r, row, pointers)
                nothing = float("-inf") if self.graph.nodes[i].op == "maximum_unit" else 0.0
                value = self.f.zero_tail(value, self._mask(j), nothing)
                gathered[i] = self._combine(i)(gathered[i], value) if i in gathered else value
        for value, place, mask in waiting:  # after every load of the row, since slots are used again
            if place is not None:
                self.f.store(value, place, mask)
        for i, value in gathered.items():
            self._gather(i, value, row)

    def _pointer(self, place: Place, row: Any, pointers: dict[str, Any]) -> Any:
        name = table_name(place)
        if name not in pointers:
            pointers[name] = self.f.pointer_field(self._base(place), row)
        return pointers[name]

    def _address(self, place: Place, j: int, row: Any, pointers: dict[str, Any]) -> Any:
        f, layout = self.f, self.layout
        vector = f.add(f.arg["vector"], j)
        if is_user(place):
            return f.at(self._pointer(place, row, pointers), f.mul(vector, layout.vector_bytes))
        base = self._base(place)
        if place.kind == PANEL:
            across = f.b.mul(f.i(vector), self.bases["across_" + buffer_name(place)])
            return f.at(
                base, across, f.mul(row, layout.slots(place) * layout.vector_bytes), place.slot * layout.vector_bytes
            )
        if place.kind == ROWS:
            width = layout.units(place.name) * layout.itemsize
            return f.at(base, f.mul(row, width), f.mul(vector, layout.vector_bytes))
        if place.kind == SCALAR:
            count = layout.plan.kept.scalars if place.kept else layout.schedule.scalars
            return f.at(base, f.mul(row, count * layout.itemsize), place.slot * layout.itemsize)
        raise AssertionError(f"no address of {place}")

    def _partial(self, i: int, vector: Any, row: Any) -> Any:
        """Where a panel, by its first vector of units, leaves its part of a reduction; a thread alone uses one place."""
        f, layout = self.f, self.layout
        slot, line = layout.reductions[i][0], layout.schedule.partials * layout.vector_bytes
        rows = f.at(self._base(Place(PARTIAL)), f.mul(row, layout.buffers["partial"]))
        return f.at(rows, f.mul(vector, line), slot * layout.vector_bytes)

    def _combine(self, i: int) -> Callable[[Any, Any], Any]:
        return self.f.maximum if self.graph.nodes[i].op == "maximum_unit" else self.f.b.fadd

    def _gather(self, i: int, value: Any, row: Any) -> None:
        """Leave a panel's part of a reduction. A thread alone adds it to the sum so far; members of a group leave each part
        in a place of its own, as the panel before is another's. The order of the sum is the same."""
        f = self.f
        vector = f.i(f.arg["vector"])
        place = self._partial(i, f.b.select(self.shared, vector, I64(0)), row)
        fresh = f.b.or_(self.shared, f.b.icmp_signed("==", vector, I64(0)))
        f.store(f.b.select(fresh, value, self._combine(i)(f.load(place), value)), place)

    def _reduced(self, i: int, row: Any) -> Any:
        """A reduction over all units, in every lane."""
        f, combine = self.f, self._combine(i)
        total = f.slot(self.m.vector)
        f.b.store(f.load(self._partial(i, 0, row)), total)

        def add(vector: Any) -> None:
            f.b.store(combine(f.b.load(total, typ=self.m.vector), f.load(self._partial(i, vector, row))), total)

        def others() -> None:
            for n, p in enumerate(self.layout.reductions[i][1].panels):
                starts = p.starts[n == 0 :]
                f.loop(starts.stop, add, start=starts.start, step=starts.step)

        f.when(self.shared, others)
        return f.across(f.b.load(total, typ=self.m.vector), combine)

    def _value(self, i: int, values: dict[int, Any], j: int, r: Any, row: Any, pointers: dict[str, Any]) -> Any:
        if i not in values:
            values[i] = self._load(i, j, r, row, pointers)
        return values[i]

    def _load(self, i: int, j: int, r: Any, row: Any, pointers: dict[str, Any]) -> Any:
        f, layout, node = self.f, self.layout, self.graph.nodes[i]
        if i in self.accumulators:
            width = layout.scratch_bytes(self.geometry, self.panels)
            offset = layout.accumulator_offset(self.geometry, self.panels, self.accumulators[i], j)
            return f.load(f.at(f.arg["scratch"], f.mul(r, width), offset))
        if node.op == "const":
            return f.constant(node.attr)
        if node.op == "size":
            return f.constant(float(layout.units(node.attr)))
        if node.op == "vector":
            return self.constants[i, j]
        if node.op == "cotangent":
            value = f.load(self._address(Place("carry", node.attr), j, row, pointers), self._mask(j))
            if node.attr == layout.cell.states[0].name:
                if "dy" not in pointers:
                    pointers["dy"] = f.pointer_field(self.bases["dy"], row)
                offset = f.mul(f.add(f.arg["vector"], j), layout.vector_bytes)
                dy = f.at(pointers["dy"], offset)
                self._ask(Place(OLD), dy)
                value = f.b.fadd(value, f.load(dy, self._mask(j)))
            return value
        place = self.group.loads[i]
        if place.kind == PARTIAL:
            return self._reduced(i, row)
        address = self._address(place, j, row, pointers)
        if layout.mode == "backward":
            self._ask(place, address)
        if place.kind == SCALAR:
            return f.splat(f.load_scalar(address))
        return f.load(address, self._mask(j) if is_user(place) or place.kind == ROWS else None)

    def _ask(self, place: Place, address: Any, write: bool = False) -> None:
        """Ask for what this member's next panel has at a place that no cache may hold: each panel's rows lie elsewhere,
        and the processor would only see them coming after some had been waited for."""
        f = self.f
        if place.kind == PANEL and place.kept:
            f.prefetch(f.at(address, self.bases["ahead_" + buffer_name(place)]), self.layout.vector_bytes, 1, write)
        elif is_user(place) and place.kind != CARRY:
            f.prefetch(f.at(address, self.ahead), self.layout.vector_bytes, 1, write)

    def _prepare(self, i: int, place: Place, value: Any, j: int, row: Any, pointers: dict[str, Any]):
        """A store that waits: (value, address, mask)."""
        f = self.f
        if place.kind == GRADIENT:
            slot = self.sums[f"{place.name}#{i}", j]
            f.b.store(f.b.fadd(f.b.load(slot, typ=self.m.vector), value), slot)
            return value, None, None
        address = self._address(place, j, row, pointers)
        if self.layout.mode == "save":
            self._ask(place, address, write=True)
        if place.kind == SCALAR:
            return value, address, f.tail(1)
        if place.kind == PANEL:
            return f.zero_tail(value, self._mask(j)), address, None
        return value, address, self._mask(j)


class StepEmitter:
    """Writes the functions of all groups, and the calls that run one step."""

    def __init__(self, m: Module, layout: Layout):
        self.m, self.layout = m, layout
        self.barrier = emit_barrier(m, layout.fields)
        self.functions = []  # of all panels, with where their weights begin and how many panels of the group come before
        self.operands = bfloat16.Operands(m, layout) if layout.bfloat16 else None
        made: dict[tuple, Tiles] = {}
        for k, geometry in enumerate(layout.geometries):
            offset, before = layout.packed_offsets[k], 0
            for n, panels in enumerate(geometry.panels):
                product = emit_products(m, layout, geometry, panels, f"product{k}_{n}", made)
                epilogue = Epilogue(m, layout, geometry, panels, f"epilogue{k}_{n}").emit()
                self.functions.append((geometry, panels, product, epilogue, offset, before))
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
        for geometry, panels, product, epilogue, offset, before in self.functions:
            if geometry.group.when != when:
                continue
            size = layout.panel_bytes(geometry, panels)
            if self.operands is not None and panels is geometry.panels[0]:
                self.operands.convert(f, frame, geometry, rows)

            def panel(
                p: Any, geometry=geometry, panels=panels, product=product, epilogue=epilogue, size=size, offset=offset
            ) -> None:
                vector = f.add(f.mul(p, panels.units), panels.first)
                if not geometry.chunks:
                    f.call(epilogue, frame, 0, rows, vector, scratch)
                    return
                weights = f.at(packed, f.mul(p, size), offset)
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
            if panels is geometry.panels[-1] and any(geometry is g for g in layout.meetings):
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
    emit_pack(m, layout)
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
