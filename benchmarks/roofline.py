"""Training of LSTM, GRU and RNN layers under the roof of this machine, beside torch.nn's.

    python benchmarks/roofline.py --plot roofline.png
    python benchmarks/roofline.py --cells lstm --shapes 100x32x128x128 --json roofline.json

The roof is measured: multiplications and additions in registers alone, and the bandwidth of memory in a sum of two arrays
into a third, far larger than caches (three arrays' bytes a sum, as STREAM counts).

A point is one training step of a layer: forward, and backward with all gradients. Its operations are those of the cell's
products (forward once, backward twice). Its bytes are what a step must move at the least if all else stays in caches:
x is read by forward and again for the weights' gradients, dx is written; y is written, read again by backward, dy is read;
every parameter is read by forward and by backward, and its gradient is written. What forward keeps for backward is not
among them, as it could be computed again. So all bytes that a layer moves beyond these show as a distance from the roof,
and ours and torch.nn's lie above one another. GF/s are of medians of interleaved rounds.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from report import Report, Row, add_clock, arguments, clock_of, shapes, show

from gatewise import cells
from gatewise.backends.cpu.peak import peak_rate
from gatewise.measure import compare, multiply_adds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "cell": "",
    "T, B, I, H": "",
    "operations a byte": ".0f",
    "GF/s": ".0f",
    "of roof": ".0%",
    "torch.nn GF/s": ".0f",
    "its of roof": ".0%",
    "ratio": ".2f",
}


def bandwidth(threads: int, megabytes: float) -> float:
    """Bytes a second of c = a + b over arrays of so many megabytes each: the best of five runs."""
    parts = [np.ones((3, int(megabytes * 1e6 / 4 / threads)), np.float32) for _ in range(threads)]

    def add(part: np.ndarray) -> None:
        np.add(part[0], part[1], out=part[2])

    def run() -> float:
        workers = [threading.Thread(target=add, args=(part,)) for part in parts]
        start = time.perf_counter()
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        return sum(part.nbytes for part in parts) / (time.perf_counter() - start)

    return max(run() for _ in range(5))


def intensity(name: str, shape: Sequence[int]) -> float:
    """Operations a byte of a training step in float32, by the model above."""
    steps, batch, inputs, hidden = shape
    cell = cells.get(name)
    found = cells.typical_sizes(cell, inputs, hidden)
    parameters = sum(math.prod(p.shape(found)) for p in cell.parameters)
    numbers = 3 * steps * batch * (inputs + found[cell.output_dim]) + 3 * parameters
    return multiply_adds(name, inputs, hidden, steps, batch) / (4 * numbers)


def draw(peak: float, stream: float) -> Callable[[Figure, Sequence[Row]], None]:
    """The roof, and all points: ours filled, torch.nn's hollow, joined where they are one shape's."""

    def picture(figure: Figure, rows: Sequence[Row]) -> None:
        axes = figure.subplots()
        most = max(row["operations a byte"] for row in rows)
        xs = np.geomspace(peak / stream / 4, 2 * most, 200)
        roof = f"{peak / 1e9:.0f} GF/s, {stream / 1e9:.0f} GB/s"
        axes.plot(xs, np.minimum(peak, stream * xs) / 1e9, color="black", label=roof)
        for k, name in enumerate(dict.fromkeys(row["cell"] for row in rows)):
            of = [row for row in rows if row["cell"] == name]
            x, ours, theirs = ([row[key] for row in of] for key in ("operations a byte", "GF/s", "torch.nn GF/s"))
            axes.vlines(x, theirs, ours, color=f"C{k}", linewidth=0.6, alpha=0.5)
            axes.scatter(x, ours, color=f"C{k}", s=24, label=name, zorder=3)
            axes.scatter(x, theirs, facecolors="white", edgecolors=f"C{k}", s=24, label=f"torch.nn's {name}", zorder=3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("operations a byte")
        axes.set_ylabel("GF/s in training")
        axes.grid(which="both", alpha=0.2)
        axes.legend(loc="lower right")

    return picture


def main() -> None:
    parser = arguments(__doc__, rounds=5, seconds=0.1)
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--shapes", type=shapes, default="all", help="TxBxIxH, several with commas, or all")
    parser.add_argument("--megabytes", type=float, default=1000, help="of each array of the bandwidth's measurement")
    parser.add_argument("--threads", type=int, default=None)
    add_clock(parser)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    clock = clock_of(options)
    threads = torch.get_num_threads()
    peak, stream = peak_rate(threads), bandwidth(threads, options.megabytes)
    said = f"{threads} threads, float32; peak {peak / 1e9:.0f} GF/s, memory {stream / 1e9:.1f} GB/s"
    report = Report(options, ["torch"], COLUMNS, said, threads=threads, peak=peak, bandwidth=stream)
    for name in options.cells.split(","):
        for shape in options.shapes:
            row = compare(name, shape, options.rounds, options.seconds, inference=False, clock=clock)
            per_byte = intensity(name, shape)
            roof = min(peak, stream * per_byte) / 1e9
            theirs = multiply_adds(name, *shape[2:], *shape[:2]) / row["its train ms"] / 1e6
            report.add(
                **{"cell": name, "T, B, I, H": show(shape), "operations a byte": per_byte, "of roof": row["GF/s"] / roof},
                **{"torch.nn GF/s": theirs, "its of roof": theirs / roof},
                **row,
            )
    report.finish(draw(peak, stream), height=6)


if __name__ == "__main__":
    main()
