"""Layers against their peers: a training step (forward, backward) and inference, interleaved in one run.

    python benchmarks/layers.py                       the cells of the library at T=100 B=32 I=H=128
    python benchmarks/layers.py --cells lstm,gru --shapes 100x32x128x128,500x64x32x100
    python benchmarks/layers.py --dtype float64 --threads 1

Every row runs our layer and the torch.nn layer of the cell's family in turn, many rounds of each, and prints the median
milliseconds and the median of the rounds' ratios (theirs over ours; above 1 we are faster). Everything is counted that a
training loop pays: autograd, gradients of input and weights, memory. The rate counts only the cell's own products.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import gatewise.nn
from gatewise import cells

FAMILY = {"gru": "GRU", "gru_v1": "GRU", "rnn": "RNN", "rnn_relu": "RNN"}


def rounds(candidates: dict[str, Callable[[], None]], count: int, seconds: float) -> dict[str, list[float]]:
    """Seconds a call of each candidate, `count` rounds, the candidates in turn within a round."""
    calls = {}
    for name, call in candidates.items():
        for _ in range(3):
            call()
        start = time.perf_counter()
        call()
        calls[name] = max(1, int(seconds / max(1e-6, time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(count):
        for name, call in candidates.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                call()
            times[name].append((time.perf_counter() - start) / calls[name])
    return times


def training_step(layer: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor) -> Callable[[], None]:
    def step() -> None:
        y, _ = layer(x)
        y.backward(dy)
        layer.zero_grad()
        x.grad = None

    return step


def inference(layer: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def step() -> None:
        with torch.no_grad():
            layer(x)

    return step


def products(cell, sizes: dict[str, int], steps: int, batch: int) -> float:
    """Multiplications and additions of the forward products."""
    weights = sum(shape[0] * shape[1] for shape in cell.shapes(sizes).values() if len(shape) == 2)
    return 2.0 * steps * batch * weights


def row(name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, count: int, seconds: float) -> str:
    steps, batch, inputs, hidden = shape
    cell = cells.get(name)
    extra = {d: hidden // 2 for d in cell.dims if d not in ("input_size", "hidden_size")}
    ours = gatewise.nn.Recurrent(cell, inputs, hidden, dtype=dtype, **extra)
    family = FAMILY.get(name, "LSTM")
    theirs = getattr(torch.nn, family)(inputs, hidden, dtype=dtype, **({"proj_size": hidden // 2} if extra else {}))
    x = torch.randn(steps, batch, inputs, dtype=dtype)
    learned = x.clone().requires_grad_()
    dy = torch.randn(steps, batch, ours.output_size, dtype=dtype)
    times = rounds(
        {
            "ours": training_step(ours, learned, dy),
            "theirs": training_step(theirs, learned, dy),
            "ours_inference": inference(ours, x),
            "theirs_inference": inference(theirs, x),
        },
        count,
        seconds,
    )
    median = {k: statistics.median(v) for k, v in times.items()}
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["theirs"], strict=True))
    ratio_inference = statistics.median(
        b / a for a, b in zip(times["ours_inference"], times["theirs_inference"], strict=True)
    )
    rate = 3 * products(cell, {"input_size": inputs, "hidden_size": hidden, **extra}, steps, batch) / median["ours"] / 1e9
    return (
        f"| {name} | {steps}, {batch}, {inputs}, {hidden} | {median['ours'] * 1e3:.3f} | {rate:.0f} | {family} | "
        f"{median['theirs'] * 1e3:.3f} | {ratio:.2f} | {median['ours_inference'] * 1e3:.3f} | "
        f"{median['theirs_inference'] * 1e3:.3f} | {ratio_inference:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(cells.names()))
    parser.add_argument("--shapes", default="100x32x128x128", help="TxBxIxH, several with commas")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--seconds", type=float, default=0.2, help="of each candidate in a round, so that caches are its own"
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.dtype}; medians of {options.rounds} rounds"
    )
    print("| cell | T, B, I, H | train ms | GF/s | torch.nn | its train ms | ratio | infer ms | its infer ms | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.cells.split(","):
        for shape in options.shapes.split(","):
            steps, batch, inputs, hidden = map(int, shape.split("x"))
            line = row(name, (steps, batch, inputs, hidden), getattr(torch, options.dtype), options.rounds, options.seconds)
            print(line, flush=True)


if __name__ == "__main__":
    main()
