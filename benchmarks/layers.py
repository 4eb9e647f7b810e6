"""Layers against their peers: a training step (forward, backward) and inference, interleaved in one run.

    python benchmarks/layers.py                       the cells of the library at T=100 B=32 I=H=128
    python benchmarks/layers.py --cells lstm,gru --shapes 100x32x128x128,500x64x32x100
    python benchmarks/layers.py --dtype float64 --threads 1
    python benchmarks/layers.py --cells lstm --ragged           lengths from 1 to T; torch.nn gets a PackedSequence
    python benchmarks/layers.py --cells lstm --layers 2 --bidirectional
    python benchmarks/layers.py --cells lstm --gap 1            a millisecond of sleep before every call
    python benchmarks/layers.py --cells lstm --compute-dtype bfloat16
                                              against our own layer in float32, and torch.nn's under autocast to bfloat16

Every row runs our layer and the torch.nn layer of the cell's family in turn, many rounds of each, and prints the median
milliseconds and the median of the rounds' ratios (theirs over ours; above 1 we are faster). Everything is counted that a
training loop pays: autograd, gradients of input and weights, memory. The rate counts only the cell's own products of one
layer and direction; with lengths, those of the steps within them.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Iterator

import torch

from gatewise import cells
from gatewise.measure import both_sides, layers, multiply_adds, ratio, rounds


class Autocast(torch.nn.Module):
    """A layer under torch's own bfloat16."""

    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


def rows(name: str, shape: tuple[int, int, int, int], options: argparse.Namespace) -> Iterator[str]:
    """A row for each peer."""
    _, _, inputs, hidden = shape
    dtype = getattr(torch, options.dtype)
    stack = {"num_layers": options.layers, "bidirectional": options.bidirectional}
    ours, theirs = layers(name, inputs, hidden, dtype=dtype, **stack)
    peers = {type(theirs).__name__: theirs}
    if options.compute_dtype != "float32":
        peers = {"ours, float32": copy.deepcopy(ours), f"{type(theirs).__name__}, autocast": Autocast(theirs)}
        ours.compute_dtype = options.compute_dtype
    for peer, theirs in peers.items():
        yield row(name, shape, options, ours, theirs, peer)


def row(
    name: str, shape: tuple[int, int, int, int], options: argparse.Namespace, ours: torch.nn.Module,
    theirs: torch.nn.Module, peer: str,
) -> str:  # fmt: skip
    steps, batch, inputs, hidden = shape
    dtype = getattr(torch, options.dtype)
    lengths = torch.randint(1, steps + 1, (batch,), generator=torch.Generator().manual_seed(0)) if options.ragged else None
    sides = both_sides(ours, theirs, torch.randn(steps, batch, inputs, dtype=dtype), lengths)
    times = rounds(sides, options.rounds, options.seconds, options.gap / 1e3)
    median = {k: statistics.median(v) for k, v in times.items()}
    faster, faster_inference = ratio(times, "ours", "theirs"), ratio(times, "ours_inference", "theirs_inference")
    real = 1.0 if lengths is None else float(lengths.double().mean()) / steps
    rate = real * multiply_adds(name, inputs, hidden, steps, batch) / median["ours"] / 1e9
    return (
        f"| {name} | {steps}, {batch}, {inputs}, {hidden} | {median['ours'] * 1e3:.3f} | {rate:.0f} | "
        f"{peer} | {median['theirs'] * 1e3:.3f} | {faster:.2f} | {median['ours_inference'] * 1e3:.3f} | "
        f"{median['theirs_inference'] * 1e3:.3f} | {faster_inference:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(cells.names()))
    parser.add_argument("--shapes", default="100x32x128x128", help="TxBxIxH, several with commas")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--compute-dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--seconds", type=float, default=0.2, help="of each candidate in a round, so that caches are its own"
    )
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--ragged", action="store_true", help="lengths drawn evenly from 1 to T")
    parser.add_argument("--gap", type=float, default=0.0, help="milliseconds of sleep before every call")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.dtype}; medians of {options.rounds} rounds"
    )
    print("| cell | T, B, I, H | train ms | GF/s | peer | its train ms | ratio | infer ms | its infer ms | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.cells.split(","):
        for shape in options.shapes.split(","):
            steps, batch, inputs, hidden = map(int, shape.split("x"))
            for line in rows(name, (steps, batch, inputs, hidden), options):
                print(line, flush=True)


if __name__ == "__main__":
    main()
