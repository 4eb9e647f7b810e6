"""The intermediate representation: op table, graph, tracing, reverse mode, and the cell record."""

from .cell import Cell, CellError, Parameter, Part, State
from .derive import Backward
from .graph import Graph, GraphError, Node
from .trace import Recipe, cell

__all__ = [
    "Backward",
    "Cell",
    "CellError",
    "Graph",
    "GraphError",
    "Node",
    "Parameter",
    "Part",
    "Recipe",
    "State",
    "cell",
]
