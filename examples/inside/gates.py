"""The gates of a trained LSTM over one sentence, with the equations of the cell next to them: a picture of docs/inside.md.

    python examples/inside/gates.py MODEL "a sentence" [--plot gates.svg]

MODEL is a file that an estimator of texts wrote, such as `examples/who_is_she.py --save MODEL`. Each gate is a heat map, a
row a unit and a column a word; the units stand in the order of how much their forget gate, or the first one there is, moves.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import gatewise
from gatewise.backends.equations import unicode_equations
from gatewise.figure import write_figure
from gatewise.inspect import Trace, figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure, trace: Trace, names: list[str], equations: str) -> None:
    """The heat maps above one another, the equations at their right."""
    first = "f" if "f" in names else names[0]
    order = (-trace.value(first).std(0)).argsort()
    grid = figure.add_gridspec(len(names), 2, width_ratios=(3, 1))
    for k, name in enumerate(names):
        ax = figure.add_subplot(grid[k, 0])
        figures.heat_map(trace.value(name)[:, order], trace.tokens, gate=name in trace.gates, label=name, ax=ax)
    text = figure.add_subplot(grid[:, 1])
    text.axis("off")
    text.text(0, 0.5, equations.replace("\n", "\n\n"), va="center", family="DejaVu Sans", fontsize=11)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("sentence")
    parser.add_argument("--plot", type=Path, help="draw them to this file")
    options = parser.parse_args()
    model = gatewise.load(options.model)
    words = options.sentence.split() if model.vocabulary_.level == "token" else options.sentence
    trace = model.explain(words)
    names = [name for name in trace.values[trace.layers[0]] if name not in trace.states]
    equations = unicode_equations(trace.cell)
    print(equations, "\n")
    print(f"{'':12}{''.join(f'{name:>8}' for name in names)}")
    for t, token in enumerate(trace.tokens):
        print(f"{token:12}{''.join(f'{trace.value(name)[t].mean():8.2f}' for name in names)}")
    if options.plot is not None:
        write_figure(options.plot, lambda figure: draw(figure, trace, names, equations), (13, 2.2 * len(names)))


if __name__ == "__main__":
    main()
