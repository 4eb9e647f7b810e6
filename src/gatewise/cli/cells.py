"""``gatewise cells [NAME]``: the library of cells; one cell's equations and every stage of its compilation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..ir.cell import Cell


def facts(cell: Cell, input_size: int, hidden_size: int) -> tuple[int, int]:
    """Parameters, and multiply-adds a step and sequence."""
    from ..cells import typical_sizes

    sizes = typical_sizes(cell, input_size, hidden_size)
    used = [p.shape(sizes) for p in cell.parameters if p.in_dim]
    return sum(math.prod(s) for s in cell.shapes(sizes).values()), sum(math.prod(s) for s in used)


def table(input_size: int, hidden_size: int) -> list[tuple[str, list[list[str]]]]:
    """The rows of every family."""
    from .. import cells

    families = []
    for family in cells.FAMILIES:
        rows = []
        for name in (n for n, recipe in cells.RECIPES.items() if recipe.function.__module__ == family.__name__):
            cell = cells.get(name)
            parameters, cost = facts(cell, input_size, hidden_size)
            states = ", ".join(s.name for s in cell.states)
            rows.append([name, states, f"{parameters:,}", f"{cost:,}", cell.doc.partition("\n")[0]])
        families.append((family.__name__.rpartition(".")[2], rows))
    return families


def gallery() -> str:
    """The page docs/cells.md."""
    from .. import cells
    from ..backends.equations import latex_equations

    lines = [
        "# The cells",
        "",
        "Written by `scripts/docs` from the cells themselves: the equations are rendered from the graph that runs.",
        "W acts on the input, U on a state, V on a value computed in the same step; a circled dot multiplies unit by unit.",
        "Parameters and multiply-adds a step are for 128 inputs and 128 hidden units.",
    ]
    for family, rows in table(128, 128):
        lines += ["", f"## {family}"]
        for name, states, parameters, cost, _ in rows:
            cell = cells.get(name)
            hyper = ", ".join(f"`{k}={v!r}`" for k, v in cell.hyper)
            lines += ["", f"### {name}", "", cell.doc, "", f"$$\n{latex_equations(cell)}\n$$", ""]
            lines.append(f"States {states}; {parameters} parameters; {cost} multiply-adds{'; ' + hyper if hyper else ''}.")
            lines += [f"{line}." for line in constraints(cell)]
            lines.append(f"Source: {cell.paper}.")
    return "\n".join(lines) + "\n"


def constraints(cell: Cell) -> list[str]:
    """What the constrained parameters are made into."""
    return [f"`{p.name}` is made {p.constraint.replace('_', '-')}" for p in cell.parameters if p.constraint]


def stages(cell: Cell, sizes: dict[str, int], stage: str) -> str:
    """One stage of a cell's compilation as text: "ir", "llvm" or "asm"."""
    from ..plan import plan

    if stage == "ir":
        lines = []
        for i, node in enumerate(cell.graph.nodes):
            attr = "" if node.attr is None else f" {'.'.join(node.attr) if isinstance(node.attr, tuple) else node.attr}"
            lines.append(f"%{i} = {node.op}{attr} {' '.join(f'%{a}' for a in node.args)}".rstrip() + f" : {node.dim}")
        return "\n".join([*lines, *(f"return {name} = %{i}" for name, i in cell.graph.outputs)])
    from ..backends.cpu.compile import emit_text, loops_as_written, optimise
    from ..backends.cpu.layout import Layout
    from ..backends.cpu.target import host

    text = emit_text(Layout(plan(cell), sizes, host(), "float32", "save"))
    if stage == "llvm":
        return text
    module, machine = optimise(text, host())
    with loops_as_written():
        return machine.emit_assembly(module)


@click.command("cells")
@click.argument("name", required=False)
@click.option("--input-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--hidden-size", type=click.IntRange(1), default=128, show_default=True)
@click.option("--set", "hyper", multiple=True, metavar="NAME=VALUE", help="Bind a hyper-parameter of the cell.")
@click.option("--latex", "show", flag_value="latex", help="The equations as LaTeX.")
@click.option("--ir", "show", flag_value="ir", help="The graph of one step.")
@click.option("--llvm", "show", flag_value="llvm", help="The LLVM IR of the forward kernel that saves.")
@click.option("--asm", "show", flag_value="asm", help="Its machine code.")
@click.option("--cite", "show", flag_value="cite", help="BibTeX of its papers.")
def command(name: str | None, input_size: int, hidden_size: int, hyper: tuple[str, ...], show: str | None) -> None:
    """List the built-in cells with their states, parameters and multiply-adds a step, or show the cell NAME: its
    equations, rendered from the graph that runs."""
    from .. import cells
    from ..backends.equations import latex_equations, unicode_equations

    if name is None:
        if show or hyper:
            raise click.UsageError("which cell? give its name, such as: gatewise cells lstm --latex")
        for family, rows in table(input_size, hidden_size):
            click.echo(f"{family}")
            for cell_name, states, parameters, cost, doc in rows:
                click.echo(f"  {cell_name:<20} {states:<14} {parameters:>10} parameters {cost:>10} multiply-adds  {doc}")
        return
    cell = cells.get(name, **dict(map(_pair, hyper)))
    if show == "latex":
        click.echo(latex_equations(cell))
    elif show == "cite":
        from ..cells.citation import bibtex

        click.echo(bibtex(cell))
    elif show is not None:
        click.echo(stages(cell, cells.typical_sizes(cell, input_size, hidden_size), show))
    else:
        parameters, cost = facts(cell, input_size, hidden_size)
        click.echo(f"{cell.doc}\n\n{unicode_equations(cell)}\n")
        for line in constraints(cell):
            click.echo(line.replace("`", ""))
        if cell.hyper:
            click.echo("hyper-parameters: " + ", ".join(f"{k}={v!r}" for k, v in cell.hyper))
        click.echo(f"{parameters:,} parameters, {cost:,} multiply-adds a step at {input_size} inputs, {hidden_size} units")
        click.echo(f"source: {cell.paper}")


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise click.UsageError(f"--set takes NAME=VALUE, got {text!r}")
    try:
        number = float(value)
    except ValueError:
        raise click.UsageError(f"--set {name}: {value!r} is not a number") from None
    return name, int(number) if number.is_integer() and "." not in value else number
