"""Layers against their peers: a training step (forward, backward) and inference, interleaved in one run.

    python benchmarks/layers.py                       the cells of the library at T=100 B=32 I=H=128
    python benchmarks/layers.py --cells lstm,gru --shapes 100x32x128x128,500x64x32x100
    python benchmarks/layers.py --cells lstm,gru,rnn --shapes all    the shapes of docs/performance.md
    python benchmarks/layers.py --dtype float64 --threads 1
    python benchmarks/layers.py --processor-time                one thread's own time, on a machine that others use too
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

from typing import Any

import torch
from report import Report, add_clock, arguments, bars, clock_of, shapes, show

from gatewise import cells
from gatewise.measure import compare, layers

COLUMNS = {
    "cell": "",
    "T, B, I, H": "",
    "train ms": ".3f",
    "GF/s": ".0f",
    "peer": "",
    "its train ms": ".3f",
    "ratio": ".2f",
    "infer ms": ".3f",
    "its infer ms": ".3f",
    "infer ratio": ".2f",
}


class Autocast(torch.nn.Module):
    """A layer under torch's own bfloat16."""

    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


def peers(name: str, shape: tuple[int, ...], compute_dtype: str, **options: Any) -> dict[str, torch.nn.Module]:
    """What our layer is compared with, by name."""
    ours, theirs = layers(name, *shape[2:], **options)
    family = type(theirs).__name__
    return (
        {family: theirs} if compute_dtype == "float32" else {"ours, float32": ours, f"{family}, autocast": Autocast(theirs)}
    )


def main() -> None:
    parser = arguments(__doc__, rounds=15, seconds=0.2)
    parser.add_argument("--cells", default=",".join(cells.names()))
    parser.add_argument("--shapes", type=shapes, default="100x32x128x128", help="TxBxIxH, several with commas, or all")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--compute-dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=None)
    add_clock(parser)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--ragged", action="store_true", help="lengths drawn evenly from 1 to T")
    parser.add_argument("--gap", type=float, default=0.0, help="milliseconds of sleep before every call")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    clock = clock_of(options)
    said = f"{torch.get_num_threads()} threads, {options.dtype}, products of {options.compute_dtype}"
    said += f"{', processor time' if options.processor_time else ''}; medians of {options.rounds} rounds"
    report = Report(options, ["torch"], COLUMNS, said, threads=torch.get_num_threads(), dtype=options.dtype)
    stack: dict[str, Any] = {"num_layers": options.layers, "bidirectional": options.bidirectional}
    stack["dtype"] = getattr(torch, options.dtype)
    for name in options.cells.split(","):
        for shape in options.shapes:
            even = torch.Generator().manual_seed(0)
            lengths = torch.randint(1, shape[0] + 1, (shape[1],), generator=even) if options.ragged else None
            gap = options.gap / 1e3
            for peer, theirs in peers(name, shape, options.compute_dtype, **stack).items():
                measured = {"theirs": theirs, "lengths": lengths, "gap": gap, "compute_dtype": options.compute_dtype}
                measured |= {"clock": clock}
                row = compare(name, shape, options.rounds, options.seconds, **measured, **stack)
                report.add(**{"cell": name, "T, B, I, H": show(shape), **row, "peer": peer})
    report.finish(bars("{cell} {T, B, I, H}", ["ratio", "infer ratio"], "times torch.nn, training and inference"))


if __name__ == "__main__":
    main()
