"""A cell's equations as text, rendered from the graph that runs: Unicode for a terminal, LaTeX for a page.

A named value is an equation of its own, and so is anything long that is used more than once; all else is written where it
is used. W acts on the input, U on a state, V on a value of the same step; a dot in a circle multiplies unit by unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.cell import Cell
from ..ir.graph import Graph

_ATOM, _UNARY, _PRODUCT, _SUM = 4, 3, 2, 1


@dataclass(frozen=True)
class Style:
    """How one kind of text writes things; `ops` has a template and a precedence an op."""

    ops: dict[str, tuple[str, int]]
    subscript: tuple[str, str]
    old: str
    now: str
    function: str
    fresh: str
    brackets: tuple[str, str]


def _binary(sign: str, precedence: int) -> tuple[str, int]:
    return f"{{0}} {sign} {{1}}", precedence


UNICODE = Style(
    ops={
        "add": _binary("+", _SUM), "sub": _binary("−", _SUM), "mul": _binary("⊙", _PRODUCT), "div": _binary("/", _PRODUCT),
        "neg": ("−{0}", _UNARY), "sigmoid": ("σ({0})", _ATOM), "sqrt": ("√({0})", _ATOM), "abs": ("|{0}|", _ATOM),
        "sum": ("Σ({0})", _ATOM), "lt": _binary("<", 0), "le": _binary("≤", 0), "gt": _binary(">", 0), "ge": _binary("≥", 0),
        "where": ("({1} if {0} else {2})", _ATOM), "broadcast": ("{0}", _ATOM), "stop_gradient": ("stop({0})", _ATOM),
        "balanced": ("{0}", _ATOM),
        "maximum_unit": ("max({0})", _ATOM),
    },
    subscript=("_", ""), old="{0}ₜ₋₁", now="{0}ₜ", function="{0}", fresh="s{0}", brackets=("(", ")"),
)  # fmt: skip
LATEX = Style(
    ops={
        "add": _binary("+", _SUM), "sub": _binary("-", _SUM), "mul": _binary(r"\odot", _PRODUCT),
        "div": (r"\frac{{{0}}}{{{1}}}", _ATOM), "neg": ("-{0}", _UNARY), "sigmoid": (r"\sigma\left({0}\right)", _ATOM),
        "sqrt": (r"\sqrt{{{0}}}", _ATOM), "abs": (r"\left|{0}\right|", _ATOM), "sum": (r"\sum {0}", _PRODUCT),
        "lt": _binary("<", 0), "le": _binary(r"\le", 0), "gt": _binary(">", 0), "ge": _binary(r"\ge", 0),
        "where": (r"\begin{{cases}} {1} & {0} \\ {2} & \text{{else}} \end{{cases}}", _ATOM), "broadcast": ("{0}", _ATOM),
        "balanced": ("{0}", _ATOM),
        "stop_gradient": (r"\operatorname{{stop}}\left({0}\right)", _ATOM), "maximum_unit": (r"\max\left({0}\right)", _ATOM),
    },
    subscript=("_{", "}"), old="{0}_{{t-1}}", now="{0}_t", function=r"\operatorname{{{0}}}", fresh="s^{{({0})}}",
    brackets=(r"\left(", r"\right)"),
)  # fmt: skip

_UNIFORM = ("const", "size", "vector", "input", "state", "given")


class _Writer:
    def __init__(self, cell: Cell, style: Style):
        self.cell, self.graph, self.style = cell, cell.graph, style
        self.names = self._names()

    def _names(self) -> dict[int, str]:
        """The nodes that get an equation of their own, with the name on its left side."""
        s = self.style
        states = {i: name for name, i in reversed(self.graph.outputs)}
        names = {i: s.now.format(self._symbol(n)) for n, i in self.cell.named if self.graph.nodes[i].op not in _UNIFORM}
        names |= {i: s.now.format(self._symbol(n)) for i, n in states.items() if self.graph.nodes[i].op not in _UNIFORM}
        used = self.graph.reachable([i for _, i in self.graph.outputs])
        count = dict.fromkeys(range(len(self.graph.nodes)), 0)
        for i in used:
            for a in self.graph.nodes[i].args:
                count[a] += 1
        fresh = 0
        for i in sorted(used):
            if i not in names and count[i] > 1 and self._weight(self.graph, i, names) > 3:
                fresh += 1
                names[i] = s.now.format(s.fresh.format(fresh))
        return names

    def _weight(self, graph: Graph, i: int, names: dict[int, str]) -> int:
        """About how many symbols a value is long."""
        node = graph.nodes[i]
        if i in names or node.op in _UNIFORM:
            return 1
        return 1 + sum(self._weight(graph, a, names) for a in node.args)

    def _symbol(self, name: str) -> str:
        return name if len(name) == 1 or self.style is not LATEX else rf"\mathit{{{name}}}".replace("_", r"\_")

    def _indexed(self, letter: str, name: str) -> str:
        left, right = self.style.subscript
        return f"{letter}{left}{name if self.style is not LATEX else name.replace('_', chr(92) + '_')}{right}"

    def _leaf(self, i: int) -> str | None:
        node, s = self.graph.nodes[i], self.style
        if node.op == "const":
            return f"{node.attr:g}"
        if node.op == "size":
            return self._indexed("n", node.attr.removesuffix("_size"))
        if node.op in ("input", "given"):
            return s.now.format(self._symbol(node.attr))
        if node.op == "state":
            return s.old.format(self._symbol(node.attr))
        if node.op == "vector":
            name, part = node.attr
            parts = next(p.parts for p in self.cell.parameters if p.name == name)
            if name == "bias":
                return self._indexed("b", part)
            return self._symbol(name) if len(parts) == 1 else self._indexed(self._symbol(name), part.rpartition("_")[2])
        return None

    def _matrix(self, i: int) -> str:
        node = self.graph.nodes[i]
        letter = {"input": "W", "state": "U"}.get(self.graph.nodes[node.args[0]].op, "V")
        return f"{self._indexed(letter, node.attr[1])} {self.write(node.args[0], _UNARY)}"

    def write(self, i: int, least: int = 0, top: bool = False) -> str:
        """A value, in brackets where it binds less than `least`."""
        if i in self.names and not top:
            return self.names[i]
        leaf = self._leaf(i)
        if leaf is not None:
            return leaf
        node = self.graph.nodes[i]
        if node.op == "matmul":
            text, precedence = self._matrix(i), _PRODUCT
        elif node.op in self.style.ops:
            template, precedence = self.style.ops[node.op]
            inside = {_SUM: (_SUM, _PRODUCT if node.op == "sub" else _SUM), _PRODUCT: (_PRODUCT, _UNARY), _UNARY: (_UNARY,)}
            text = template.format(
                *(self.write(a, n) for a, n in zip(node.args, inside.get(precedence, (0, 0, 0)), strict=False))
            )
        else:
            left, right = self.style.brackets
            text = f"{self.style.function.format(node.op)}{left}{', '.join(self.write(a) for a in node.args)}{right}"
            precedence = _ATOM
        return f"{self.style.brackets[0]}{text}{self.style.brackets[1]}" if precedence < least else text

    def equations(self) -> list[tuple[str, str]]:
        """Left and right sides, each after what it needs; the states last where that is possible."""
        used = self.graph.reachable([i for _, i in self.graph.outputs])
        lines = [(self.names[i], self.write(i, top=True)) for i in sorted(self.names) if i in used]
        for name, i in self.graph.outputs:  # a state that is another named value, or a leaf
            left = self.style.now.format(self._symbol(name))
            if self.names.get(i) != left:
                lines.append((left, self.write(i)))
        return lines


def unicode_equations(cell: Cell) -> str:
    """The equations of one step, a line each."""
    lines = _Writer(cell, UNICODE).equations()
    width = max(len(left) for left, _ in lines)
    return "\n".join(f"{left:<{width}} = {right}" for left, right in lines)


def latex_equations(cell: Cell) -> str:
    """The equations of one step as an aligned block for a page with mathematics."""
    lines = _Writer(cell, LATEX).equations()
    return "\\begin{aligned}\n" + " \\\\\n".join(f"{left} &= {right}" for left, right in lines) + "\n\\end{aligned}"


__all__ = ["latex_equations", "unicode_equations"]
