"""What it costs to look inside: a training step as it is, with values recorded, with every value and gradient recorded.

    python benchmarks/recording.py
    python benchmarks/recording.py --cells lstm,gru,mgu --shapes 100x32x128x128,500x64x32x100

Beside it stands the usual way, a Python loop over torch.nn's LSTMCell, GRUCell or RNNCell whose states are kept and asked
for their gradients; gates it cannot show. Every row runs all of them in turn, many rounds of each, and prints median
milliseconds and the medians of the rounds' ratios to the plain step. "watched" is a step that `gatewise train --watch` looks
at and writes down, and "watch cost" what training pays for one such step in a hundred. (The file is not called inspect.py,
which would hide Python's own module of that name from every script in this folder.)
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from report import Report, arguments, bars, shapes, show

from gatewise.inspect import record
from gatewise.inspect.recorder import Recorder
from gatewise.measure import FAMILY, layers, ratio, rounds

COLUMNS = {
    "cell": "",
    "T, B, I, H": "",
    "plain ms": ".3f",
    "values ms": ".3f",
    "all ms": ".3f",
    "values cost": ".2f",
    "all cost": ".2f",
    "loop ms": ".2f",
    "loop cost": ".1f",
    "watched ms": ".3f",
    "watch cost": ".3f",
}
EVERY = 100  # steps, of which `gatewise train --watch` looks at one


def loop_over_cell(family: str, inputs: int, hidden: int, x: torch.Tensor, dy: torch.Tensor) -> Callable[[], None]:
    """A training step by torch.nn's cell, a step at a time, that keeps every state and its gradient."""
    cell = getattr(torch.nn, f"{family}Cell")(inputs, hidden)

    def step() -> None:
        state, kept = None, []
        for row in x:
            state = cell(row, state)
            kept.append(state if isinstance(state, tuple) else (state,))
            for value in kept[-1]:
                value.retain_grad()
        columns = list(zip(*kept, strict=True))
        torch.stack(columns[0]).backward(dy)
        for column in columns:
            torch.stack([value.detach() for value in column])
            torch.stack([torch.zeros_like(value) if value.grad is None else value.grad for value in column])
        cell.zero_grad()

    return step


def candidates(name: str, shape: tuple[int, ...]) -> dict[str, Callable[[], None]]:
    """Training steps by what they keep."""
    steps, batch, inputs, hidden = shape
    layer, _ = layers(name, inputs, hidden)
    x = torch.randn(steps, batch, inputs)
    with torch.no_grad():
        dy = torch.randn_like(layer(x)[0])

    def plain() -> None:
        layer(x)[0].backward(dy)
        layer.zero_grad()

    def values() -> None:
        with record(layer, gradients=()) as tape:
            plain()
        assert tape.values["layer0"]

    def everything() -> None:
        with record(layer) as tape:
            plain()
        assert tape.values["layer0"].keys() == tape.gradients["layer0"].keys()

    folder = tempfile.TemporaryDirectory()
    recorder = Recorder(Path(folder.name) / "run.watch", 1, task="benchmark")
    recorder.begin(resumed=False)

    def watched() -> None:
        assert folder.name
        with recorder.watching(1, layer):
            plain()
        recorder.saw(1, 0.0, 0.0, 1.0, 0.0)

    loop = loop_over_cell(FAMILY.get(name, "LSTM"), inputs, hidden, x, dy)
    return {"plain": plain, "values": values, "all": everything, "loop": loop, "watched": watched}


def main() -> None:
    parser = arguments(__doc__, rounds=9, seconds=0.2)
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--shapes", type=shapes, default="100x32x128x128,500x64x32x100,100x1x128x128", help="TxBxIxH, ...")
    options = parser.parse_args()
    said = f"{torch.get_num_threads()} threads, float32; medians of {options.rounds} rounds"
    report = Report(options, ["torch"], COLUMNS, said, threads=torch.get_num_threads())
    for name in options.cells.split(","):
        for shape in options.shapes:
            times = rounds(candidates(name, shape), options.rounds, options.seconds)
            row = {f"{kind} ms": statistics.median(found) * 1e3 for kind, found in times.items()}
            row |= {f"{kind} cost": ratio(times, "plain", kind) for kind in times if kind not in ("plain", "watched")}
            row["watch cost"] = 1 + (ratio(times, "plain", "watched") - 1) / EVERY
            report.add(**{"cell": name, "T, B, I, H": show(shape), **row})
    report.finish(bars("{cell} {T, B, I, H}", ["values cost", "all cost", "loop cost"], "times the plain step"))


if __name__ == "__main__":
    main()
