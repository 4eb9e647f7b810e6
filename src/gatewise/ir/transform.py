"""Cells made from cells: changes to a record that work whatever its equations are."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from .cell import Cell
from .graph import Builder, Graph

ZONEOUT = "zoneout_"


@lru_cache(maxsize=64)
def zoneout(cell: Cell, share: float | None = None) -> Cell:
    """The cell whose states keep a part of what they were: s = d s' + (1 - d) s for each state that it computes.

    share: d, the same for all units, as after training; None: d is given for every step, row and unit (1 to keep, 0 to
    go on) under the name "zoneout_" and the state's. States that only hand on an input are left as they are.
    Paper: Krueger et al., Zoneout, arXiv 1606.01305, equation 5; within a step the equations use the values before it.
    """
    if share == 0:
        return cell
    builder = Builder(cell.graph.nodes)
    dims = {s.name: s.dim for s in cell.states}
    outputs, named = [], dict(cell.named)
    for name, index in cell.graph.outputs:
        new = builder.symbol(index)
        if new.node.args:
            old = builder.leaf("state", dims[name], name)
            d = builder.leaf("given", dims[name], ZONEOUT + name) if share is None else share
            mixed = new + d * (old - new)
            if named.get(name) == new.index:  # the state's own name, not that of a gate that happens to be its value
                named[name] = mixed.index
            new = mixed
        outputs.append((name, new.index))
    return replace(cell, graph=Graph(tuple(builder.nodes), tuple(outputs)), named=tuple(named.items()))
