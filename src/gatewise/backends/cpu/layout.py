"""The numbers of one kernel: panels, tiles, packed weights, workspace, and the table of arguments.

Computed from a plan, the layer's sizes and the target alone, so that the emitter and the caller agree without either
asking the other. A vector is `lanes` units. A panel is what one product tile covers: `units` vectors of every
accumulator. The workspace of a thread holds its rows only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from ...ir.cell import INPUT as INPUT_DIM
from ...ir.cell import Cell, units
from ...ir.graph import SCALAR as ONE
from ...plan import Group, Plan, Product, Schedule, delayed_inputs
from ...plan.places import GIVEN, NEW, PANEL, PARTIAL, ROWS, Place
from .target import TILES, Target

# most rows of one tile by vectors of accumulators a row, for 32 and for 16 vector registers (6 by 4 and 6 by 2
# are the largest that stay in registers beside the right operand)
_TILE_ROWS = {32: {1: 8, 2: 8, 3: 8, 4: 6}, 16: {1: 6, 2: 6}}
_FEWER_ROWS = (4, 2, 1)  # for the rows that are left; more sizes ran no faster and took longer to compile
SHARE_BYTES = 1 << 15  # of weights that take as long to read as a row's part in threads' meeting, see `division.split`
SLICE_BYTES = 32 * 1024  # of packed weights that stay in the first cache while all rows of a step meet them
SLICE_STEP = 4  # a slice's length is a multiple of it, since loops are written out so often
SLICE_ROWS = 48  # rows whose accumulators wait meanwhile
ROW_FIELDS = ("total", "index", "counts", "offsets")  # that depend on the lengths of rows
_CALL_FIELDS = (
    *("thread", "threads", "member", "members", "barrier", "calls"),
    *("steps", "first", "step", "batch", "rows", "block", "tables", "packed", "panel"),
    *ROW_FIELDS,
)
BLOCK_ROWS = 192  # rows of a weight-gradient block, a multiple of DEPTH: its left operand stays in the first cache
STRIP = 16  # rows of bfloat16 operands that lie together, and of an AMX tile
DEPTH = 32  # of the inner dimension in such a tile, 16 pairs; operands are filled up to it with zeros
STRIP_BYTES = 2 * STRIP * DEPTH


@dataclass(frozen=True)
class Phase:
    """A run over one source: which accumulators of the chunk it feeds. Transposed phases run over a panel's dim."""

    place: Place  # of the source
    dim: str  # of the source
    entries: tuple[tuple[int, Product, Place], ...]  # (position in the chunk, product, source place)
    transposed: bool

    @property
    def operand(self) -> tuple[Place, ...]:
        """Where the left operand comes from: a row, or slots of a panel."""
        return tuple(place for _, _, place in self.entries) if self.transposed else (self.place,)


@dataclass(frozen=True)
class Chunk:
    """Accumulators that are in registers together."""

    first: int
    count: int
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Panels:
    """`count` panels from vector `first` on, each of `units` vectors; `tail` units are in the last vector of the last
    one, 0 if it is full. Compact: in a tile the accumulators have `tail` lanes each, one after the other."""

    first: int
    count: int
    units: int
    tail: int
    compact: bool = False

    @property
    def starts(self) -> range:
        """The first vector of each."""
        return range(self.first, self.first + self.count * self.units, self.units)


def _reads_sums(group: Group) -> bool:
    return any(place.kind == PARTIAL for place in group.loads.values())


@dataclass(frozen=True)
class Geometry:
    """How a group is cut up."""

    group: Group
    panels: tuple[Panels, ...]
    chunks: tuple[Chunk, ...]


@dataclass
class Layout:
    """Geometry of a plan for given sizes and target.

    mode: "infer", "save" or "backward". bfloat16: how products of operands rounded to it are summed, see
    `target.bfloat16_products`; empty where products are of `dtype`, as everything else is.
    """

    plan: Plan
    sizes: Mapping[str, int]
    target: Target
    dtype: str
    mode: str
    bfloat16: str = ""

    @property
    def cell(self) -> Cell:
        return self.plan.cell

    @cached_property
    def schedule(self) -> Schedule:
        return getattr(self.plan, self.mode)

    @cached_property
    def lanes(self) -> int:
        return self.target.vector(self.dtype)

    @property
    def itemsize(self) -> int:
        return 4 if self.dtype == "float32" else 8

    @property
    def vector_bytes(self) -> int:
        return self.lanes * self.itemsize

    def units(self, dim: str) -> int:
        return units(dim, self.sizes)

    def vectors(self, dim: str) -> int:
        return -(-self.units(dim) // self.lanes)

    def part_row(self, matrix: tuple[str, str]) -> tuple[int, int, int]:
        """First row, rows and columns of a matrix's part in its parameter."""
        parameter = next(p for p in self.cell.parameters if p.name == matrix[0])
        start, stop = next((a, b) for part, a, b in parameter.slices(self.sizes) if part.name == matrix[1])
        return start, stop - start, self.sizes[parameter.in_dim] if parameter.in_dim else 1

    # panels and tiles ------------------------------------------------------------------------------------------

    @cached_property
    def geometries(self) -> list[Geometry]:
        return [self._geometry(g) for g in self.schedule.groups]

    def panels_of(self, dim: str, units: int) -> tuple[Panels, ...]:
        """A dim cut into panels of `units` vectors; what is left over is a narrower panel of its own."""
        total, width = self.vectors(dim), self.units(dim)
        tail = width % self.lanes
        full, rest = divmod(total, units)
        if rest:
            body = [Panels(0, full, units, 0)] if full else []
            return (*body, Panels(full * units, 1, rest, tail))
        if not tail:
            return (Panels(0, full, units, 0),)
        body = [Panels(0, full - 1, units, 0)] if full > 1 else []
        return (*body, Panels((full - 1) * units, 1, units, tail))

    def _geometry(self, group: Group) -> Geometry:
        if group.dim == ONE:
            return Geometry(group, (Panels(0, 1, 1, 1),), ())
        count = len(group.accumulators)
        widest = max(_TILE_ROWS[self.target.registers])
        if not count:
            return Geometry(group, self.panels_of(group.dim, 1), ())
        units = max(1, widest // count)
        pieces = -(-count * units // widest)
        base, extra = divmod(count, pieces)
        chunks, first = [], 0
        for k in range(pieces):
            n = base + (k < extra)
            chunks.append(Chunk(first, n, self._phases(group, first, n)))
            first += n
        *full, last = self.panels_of(group.dim, units)
        whole = not full and last.count == 1 and last.units > 1
        if whole and sum(self.chunk_bytes(c, last) for c in chunks) >= 2 * SHARE_BYTES:  # two threads share them for one row
            *full, last = self.panels_of(group.dim, -(-last.units // 2))
        return Geometry(group, (*full, replace(last, compact=self._compacts(last, chunks))), tuple(chunks))

    def _compacts(self, panels: Panels, chunks: Sequence[Chunk]) -> bool:
        """Whether the accumulators of a panel's few units fit into fewer vectors: each source must feed all of them."""
        return (
            not self.bfloat16
            and panels.units == 1
            and panels.tail > 0
            and all(not p.transposed and [e[0] for e in p.entries] == list(range(c.count)) for c in chunks for p in c.phases)
            and all(-(-c.count * panels.tail // self.lanes) < c.count for c in chunks)
        )

    def sums(self, accumulators: int, panels: Panels) -> int:
        """Vectors a row that so many accumulators of a panel take."""
        if panels.compact:
            return -(-accumulators * panels.tail // self.lanes)
        return accumulators * panels.units

    def scratch_bytes(self, geometry: Geometry, panels: Panels, chunks: int | None = None) -> int:
        """Bytes a row of the accumulators of so many chunks, by default of all."""
        return sum(self.sums(c.count, panels) for c in geometry.chunks[:chunks]) * self.vector_bytes

    def accumulator_offset(self, geometry: Geometry, panels: Panels, index: int, vector: int) -> int:
        """Where in a row of the scratch a vector of an accumulator begins."""
        k, chunk = next((k, c) for k, c in enumerate(geometry.chunks) if index < c.first + c.count)
        place = index - chunk.first
        within = (
            place * panels.tail * self.itemsize if panels.compact else (place * panels.units + vector) * self.vector_bytes
        )
        return self.scratch_bytes(geometry, panels, k) + within

    def tile_rows(self, geometry: Geometry, panels: Panels) -> tuple[int, ...]:
        """The sizes of a panel's tiles, largest first; the last is 1, but for AMX's only size."""
        if not geometry.chunks:
            return (1,)
        if self.bfloat16 == TILES:
            return (STRIP,)
        most = _TILE_ROWS[self.target.registers][max(self.sums(c.count, panels) for c in geometry.chunks)]
        fewer = _FEWER_ROWS if geometry.group.when == "step" else (1,)  # a block of steps has many rows: few are left over
        return (most, *fewer)

    def source_place(self, product: Product) -> Place:
        """Where a product finds its source."""
        node = self.schedule.graph.nodes[product.source]
        if node.op == "input":
            return Place("input")
        if node.op == "state":
            return Place("old", node.attr)
        if node.op == "given":
            return Place(GIVEN, node.attr)
        return self.schedule.places[product.source]

    def _phases(self, group: Group, first: int, count: int) -> tuple[Phase, ...]:
        phases: dict[object, list] = {}
        for position, accumulator in enumerate(group.accumulators[first : first + count]):
            for product in accumulator.products:
                place = self.source_place(product)
                key = ("panel", place.name, self.bfloat16 and position) if product.transposed else product.source
                phases.setdefault(key, []).append((position, product, place))
        result = []
        for entries in phases.values():
            _, product, place = entries[0]
            entries = sorted(entries, key=lambda e: e[2].slot) if product.transposed else entries
            dim = self.schedule.graph.nodes[product.source].dim
            result.append(Phase(place, dim, tuple(entries), product.transposed))
        # the input first, as torch adds it first
        return tuple(sorted(result, key=lambda p: p.place.kind != "input"))

    # packed weights: panel, chunk, phase, row, vector ----------------------------------------------------------

    def inner_steps(self, phase: Phase) -> int:
        """How often a product's inner loop runs: over the source's units, or vectors of them."""
        return self.vectors(phase.dim) if phase.transposed else self.units(phase.dim)

    def phase_rows(self, phase: Phase) -> int:
        """Rows of the packed right operand: of a matrix's numbers, the inner dimension of the products."""
        if phase.transposed:
            count = self.vectors(phase.dim) * self.lanes * len(phase.entries)
        else:
            count = self.units(phase.dim)
        return -(-count // DEPTH) * DEPTH if self.bfloat16 else count

    def phase_width(self, phase: Phase, panels: Panels) -> int:
        """Vectors in a row of the packed right operand; in bfloat16 a vector has two numbers of each unit."""
        return self.sums(1 if phase.transposed else len(phase.entries), panels)

    def phase_bytes(self, phase: Phase, panels: Panels) -> int:
        rows = self.phase_rows(phase) // (2 if self.bfloat16 else 1)
        return rows * self.phase_width(phase, panels) * self.vector_bytes

    def slices(self, chunk: Chunk, panels: Panels) -> list[tuple[int, int, int]]:
        """A chunk's panel cut so that a slice stays in the first cache: (phase, first and last of its inner rows, or of
        its vectors where it is transposed, or of the tiles that are deep in it). Empty where the whole panel stays there."""
        if self.chunk_bytes(chunk, panels) <= SLICE_BYTES:
            return []
        found = []
        for n, phase in enumerate(chunk.phases):
            count = self.phase_rows(phase) // DEPTH if self.bfloat16 else self.inner_steps(phase)
            pieces = min(count, -(-self.phase_bytes(phase, panels) // SLICE_BYTES))
            step = 1 if phase.transposed or self.bfloat16 else SLICE_STEP
            cuts = [count * k // pieces // step * step for k in range(pieces)] + [count]
            found += [(n, a, b) for a, b in pairwise(cuts) if a < b]
        return found

    def chunk_bytes(self, chunk: Chunk, panels: Panels) -> int:
        return sum(self.phase_bytes(p, panels) for p in chunk.phases)

    def panel_bytes(self, geometry: Geometry, panels: Panels) -> int:
        return sum(self.chunk_bytes(c, panels) for c in geometry.chunks)

    @cached_property
    def most_panel_bytes(self) -> int:
        return max((self.panel_bytes(g, p) for g in self.geometries for p in g.panels), default=0)

    def group_bytes(self, geometry: Geometry) -> int:
        return sum(p.count * self.panel_bytes(geometry, p) for p in geometry.panels)

    @cached_property
    def step_bytes(self) -> int:
        """The packed weights that every step reads."""
        return sum(self.group_bytes(g) for g in self.geometries if g.group.when == "step")

    @cached_property
    def meetings(self) -> list[Geometry]:
        """The groups after which the members of a group of threads wait for one another: those of rows of units, and numbers
        a row that end a step and are made of sums, as the next step writes the parts of these sums anew. Other numbers a row
        are each member's own, and what it reads for them is not written again before a later meeting."""
        found = []
        for when in ("ahead", "step", "after"):
            groups = [g for g in self.geometries if g.group.when == when]
            while groups and groups[-1].group.dim == ONE and not _reads_sums(groups[-1].group):
                groups.pop()
            found += [g for g in groups if g.group.dim != ONE or g is groups[-1]]
        return found

    @cached_property
    def meetings_a_step(self) -> int:
        return sum(g.group.when == "step" for g in self.meetings)

    @cached_property
    def packed_offsets(self) -> list[int]:
        offsets, total = [], 0
        for g in self.geometries:
            offsets.append(total)
            total += self.group_bytes(g)
        return [*offsets, total]

    # left operands in bfloat16: strip of rows, operand, depth, row, 32 numbers -----------------------------------

    def operands(self, geometry: Geometry) -> dict[tuple[Place, ...], tuple[int, Phase]]:
        """The left operands of a group: (bytes of a strip before it, a phase that reads it)."""
        found: dict[tuple[Place, ...], tuple[int, Phase]] = {}
        start = 0
        for phase in (p for c in geometry.chunks for p in c.phases):
            if phase.operand not in found:
                found[phase.operand] = start, phase
                start += self.phase_rows(phase) * 2 * STRIP
        return found

    def operands_bytes(self, geometry: Geometry) -> int:
        """Bytes of a strip of all of a group's left operands."""
        return sum(self.phase_rows(phase) * 2 * STRIP for _, phase in self.operands(geometry).values())

    def most_operands_bytes(self, rows: int, block: int) -> int:
        """Bytes of the left operands of the group that needs most, for so many rows in steps, and in blocks of steps."""
        strips = {when: -(-n // STRIP) for when, n in (("step", rows), ("ahead", rows * block), ("after", rows * block))}
        return max(strips[g.group.when] * self.operands_bytes(g) for g in self.geometries)

    # workspace -------------------------------------------------------------------------------------------------

    def kept_panel_bytes(self, dim: str) -> int:
        """Bytes a row of one vector of units, all slots."""
        return self.plan.kept.panels[dim] * self.vector_bytes

    @cached_property
    def buffers(self) -> dict[str, int]:
        """Bytes a row of every buffer that has a row for each row of this step, or of a block of steps ("block_")."""
        s = self.schedule
        result = {f"panel:{d}": n * self.vector_bytes * self.vectors(d) for d, n in s.panels.items()}
        result |= {f"block_panel:{d}": n * self.vector_bytes * self.vectors(d) for d, n in s.blocks.items()}
        result |= {f"rows:{k}": self.units(d) * self.itemsize for k, d in enumerate(s.rows)}
        if s.scalars:
            result["scalar"] = s.scalars * self.itemsize
        if s.partials:
            most = max(self.vectors(geometry.group.dim) for _, geometry in self.reductions.values())
            result["partial"] = s.partials * self.vector_bytes * most
        return result

    own_buffers = ("scalar",)  # of each member of a group of threads, who all compute the same there

    @cached_property
    def reductions(self) -> dict[int, tuple[int, Geometry]]:
        """Every reduction's slot in the buffer of partial ones, and the group that gathers it there."""
        slots = {i: p.slot for g in self.schedule.groups for i, p in g.loads.items() if p.kind == PARTIAL}
        return {i: (slots[i], geometry) for geometry in self.geometries for i, _ in geometry.group.reductions}

    @cached_property
    def kept_buffers(self) -> dict[str, int]:
        """Bytes a row of every buffer that has a row for each step and row: what forward keeps for backward."""
        k = self.plan.kept
        result = {f"kept_panel:{d}": self.kept_panel_bytes(d) * self.vectors(d) for d in k.panels}
        result |= {f"kept_rows:{i}": self.units(d) * self.itemsize for i, d in enumerate(k.rows)}
        if k.scalars:
            result["kept_scalar"] = k.scalars * self.itemsize
        return result if self.mode != "infer" else {}

    def slots(self, place: Place) -> int:
        """Slots a row of the panels that a place is in."""
        held = self.plan.kept.panels if place.kept else self.schedule.blocks if place.block else self.schedule.panels
        return held[place.name]

    @cached_property
    def block_arrays(self) -> list[str]:
        """The arrays of the user that are addressed for a block of steps at once."""
        if self.mode == "backward":
            return ["dx"] if any(g.when == "after" for g in self.schedule.groups) else []
        if not any(g.when == "ahead" for g in self.schedule.groups):
            return []
        return ["input", *(f"old:{name}" for name in self.handed), *(f"new:{name}" for name in self.handed)]

    @cached_property
    def handed(self) -> list[str]:
        """The states that are written for a block of steps ahead."""
        stores = {p.name for g in self.schedule.groups for _, p in g.stores if g.when == "ahead" and p.kind == NEW}
        return [name for name in delayed_inputs(self.cell) if name in stores]

    @cached_property
    def outer_sources(self) -> list[tuple[Place, str, list]]:
        """The weights' products by source: (place, parameter's in dim, outers)."""
        found: dict[Place, list] = {}
        for o in self.plan.outers:
            found.setdefault(o.source, []).append(o)
        dims = {p.name: p.in_dim for p in self.cell.parameters if p.in_dim}
        return [(place, dims[outers[0].matrix[0]], outers) for place, outers in found.items()]

    @cached_property
    def gradient_names(self) -> list[tuple[str, str]]:
        """The gradients of vectors, in order: (parameter.part, dim)."""
        return [(f"{p}.{q}", dim) for (p, q), dim in self.cell.vectors.items()]

    @cached_property
    def gradient_places(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Where each parameter's gradient lies in their common block, and its shape: matrices first."""
        found, start = {}, 0
        for p in sorted(self.cell.parameters, key=lambda p: p.in_dim is None):
            found[p.name] = start, p.shape(self.sizes)
            start += math.prod(found[p.name][1])
        return found

    @cached_property
    def gradient_sizes(self) -> tuple[int, int]:
        """Numbers in the gradients of all matrices, and of all parameters."""
        sizes = {p.name: math.prod(p.shape(self.sizes)) for p in self.cell.parameters}
        return sum(sizes[p.name] for p in self.cell.parameters if p.in_dim), sum(sizes.values())

    @cached_property
    def vector_lanes(self) -> np.ndarray:
        """Which of the padded sums of vectors' gradients go to the common block, in its order."""
        index, place = [np.zeros(0, np.int64)], 0
        for p in self.cell.parameters:
            if p.in_dim is None:
                for part, start, stop in p.slices(self.sizes):
                    index.append(np.arange(place, place + stop - start))
                    place += self.vectors(part.dim) * self.lanes
        return np.concatenate(index)

    # arguments -------------------------------------------------------------------------------------------------

    @cached_property
    def user_arrays(self) -> list[str]:
        """The arrays of the user that a step addresses by row: each gets a table of row pointers."""
        names = ["input", *(f"old:{s.name}" for s in self.cell.states)]
        names += [f"new:{s.name}" for s in self.cell.states]
        names += [f"given:{name}" for name in self.cell.given]
        if self.mode == "backward":
            names += ["dy", *(f"carry:{s.name}" for s in self.cell.states)]
            if any(p.kind == "dx" for g in self.schedule.groups for _, p in g.stores):
                names.append("dx")
        return names + [f"record:{name}" for name in self.recorded]

    @cached_property
    def arrays(self) -> list[str]:
        """The arrays of a call, in the order in which their addresses are given; "work" is the workspace."""
        names = ["work", *(n for n in self.user_arrays if not n.startswith("old:"))]
        names += [f"initial:{s.name}" for s in self.cell.states]
        names += [f"param:{p.name}" for p in self.cell.parameters]
        return names + {"infer": [], "save": ["kept"], "backward": ["kept", "gradients"]}[self.mode]

    @cached_property
    def recorded(self) -> list[str]:
        """The named values that the kernel hands out, in the order of `arrays`."""
        return [p.name for g in self.schedule.groups for _, p in g.stores if p.kind == "record"]

    def held_steps(self, state: int, steps: int) -> int:
        """Of how many steps a state, by its number, is kept in memory: of all, or of this one and the one before."""
        whole = self.mode != "infer" or state == 0 or self.cell.states[state].name in self.handed
        return steps if whole else min(steps, 2)

    def row_bytes(self, name: str) -> int:
        """Bytes of a row of one of these arrays."""
        kind, _, what = name.partition(":")
        if kind in ("old", "new", "carry"):
            dim = next(s.dim for s in self.cell.states if s.name == what)
        elif kind == "record":
            dim = self.cell.named_dims[what]
        elif kind == "given":
            dim = self.cell.given[what]
        else:
            dim = self.cell.output_dim if kind == "dy" else INPUT_DIM
        return self.units(dim) * self.itemsize

    @cached_property
    def fields(self) -> dict[str, int]:
        """The position of every argument in a thread's table of 64-bit numbers."""
        names = [*_CALL_FIELDS, *self.user_arrays]
        for s in self.cell.states:
            names += [f"stride:{s.name}", f"mask:{s.name}", f"initial:{s.name}"]
        names += [f"param:{p.name}" for p in self.cell.parameters]
        names += [*self.kept_buffers, *self.buffers]
        names += ["block_offset", "block_tables"] if self.block_arrays else []
        names += ["operands"] if self.bfloat16 else []
        if self.mode == "backward":
            names += [f"gradient:{n}" for n, _ in self.gradient_names]
            names += [f"dmatrix:{p.name}" for p in self.cell.parameters if p.in_dim]
            names += ["chunk", "packed_rows", "mask:dy"]
        return {n: i for i, n in enumerate(dict.fromkeys(names))}

    @cached_property
    def frame(self) -> dict[str, int]:
        """The position of every address in the frame, which the step's functions read; it is filled once a step."""
        names = ["args", *self.user_arrays, *self.kept_buffers, *self.buffers]
        names += [f"across_{n}" for n in names if n.partition(":")[0].endswith("panel")]
        return {n: i for i, n in enumerate(names)}


def is_user(place: Place) -> bool:
    return place.kind in ("input", "old", NEW, GIVEN, "dx", "record", "carry")


def table_name(place: Place) -> str:
    """The table of row pointers that a user's place is addressed through."""
    return place.kind if place.kind in ("input", "dx") else f"{place.kind}:{place.name}"


def buffer_name(place: Place) -> str:
    """The workspace buffer that a place is in."""
    prefix = "kept_" if place.kept else "block_" if place.block else ""
    if place.kind == PANEL:
        return f"{prefix}panel:{place.name}"
    return f"{prefix}rows:{place.slot}" if place.kind == ROWS else f"{prefix}{place.kind}"
