"""What a layer's first call costs: compiling its kernels, or loading them from the cache on disk, in fresh processes.

    python benchmarks/first_call.py
    python benchmarks/first_call.py --cells lstm --shapes 500x64x32x100 --rounds 9

Each round starts a process with an empty cache, which compiles, and one more, which loads what the first has left. Both
have imported torch and this library (whose bytecode Python keeps, as after an installation), and torch has already run and
differentiated something of its own. A call is a
training step, forward and backward; what the same call takes later is subtracted. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from report import Report, add_clock, arguments, bars, clock_of, shapes, show

COLUMNS = {"cell": "", "T, B, I, H": "", "compile ms": ".0f", "load ms": ".1f", "later call ms": ".2f"}


def child(name: str, shape: tuple[int, ...], options: argparse.Namespace) -> None:
    """Says how many milliseconds the first call takes, and a later one."""
    clock = clock_of(options)
    import torch

    from gatewise.nn import Recurrent

    steps, batch, inputs, hidden = shape
    standard, x = torch.nn.RNN(inputs, hidden), torch.randn(steps, batch, inputs)
    layer = Recurrent(name, inputs, hidden)

    def call(layer: torch.nn.Module) -> float:
        start = clock()
        y, _ = layer(x)
        y.backward(y.detach())
        layer.zero_grad()
        return (clock() - start) * 1e3

    for _ in range(3):
        call(standard)
    first = call(layer)
    print(json.dumps([first, statistics.median(call(layer) for _ in range(9))]))


def fresh(name: str, shape: tuple[int, ...], cache: str, options: argparse.Namespace) -> tuple[float, float]:
    """What a new process with this cache says."""
    command = [sys.executable, __file__, "--child", name, json.dumps(shape), json.dumps(vars(options), default=str)]
    environment = {**os.environ, "GATEWISE_CACHE": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return tuple(json.loads(done.stdout))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], json.loads(sys.argv[3]), argparse.Namespace(**json.loads(sys.argv[4])))
        return
    parser = arguments(__doc__, rounds=5)
    add_clock(parser)
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--shapes", type=shapes, default="100x32x128x128", help="TxBxIxH, several with commas, or all")
    options = parser.parse_args()
    said = f"medians of {options.rounds} processes"
    report = Report(options, ["torch", "llvmlite"], COLUMNS, said)
    for name in options.cells.split(","):
        for shape in options.shapes:
            found: dict[str, list[tuple[float, float]]] = {"compile": [], "load": []}
            for _ in range(options.rounds):
                with tempfile.TemporaryDirectory() as cache:
                    for kind in found:
                        found[kind].append(fresh(name, shape, cache, options))
            cost = {f"{kind} ms": statistics.median(a - b for a, b in times) for kind, times in found.items()}
            later = statistics.median(b for times in found.values() for _, b in times)
            report.add(**{"cell": name, "T, B, I, H": show(shape), "later call ms": later}, **cost, calls=found)
    report.finish(bars("{cell} {T, B, I, H}", ["compile ms", "load ms"], "milliseconds above a later call"))


if __name__ == "__main__":
    main()
