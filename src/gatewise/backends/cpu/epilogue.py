"""The elementwise work of one group for one kind of panel: what is computed of its sums, and stored for others.

Sums over units go from panel to panel here too, and what later panels will read is asked for ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from ...ir.graph import SCALAR as ONE
from ...plan.places import CARRY, GRADIENT, PANEL, PARTIAL, ROWS, SCALAR, Place
from .emit import I64, POINTER, Module
from .layout import Geometry, Layout, Panels, buffer_name, is_user, table_name
from .vectormath import EMIT


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
        self.shared = self.f.b.icmp_signed(">", self.members, I64(1))  # each member has panels of its own

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
                self._ask_row(dy)
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
            self._ask_row(address, write)

    def _ask_row(self, address: Any, write: bool = False) -> None:
        """The same in an array of the user's, where the next panel lies further on in the row."""
        self.f.prefetch(self.f.at(address, self.ahead), self.layout.vector_bytes, 1, write)

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
