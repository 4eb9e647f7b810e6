"""Every cell against torchrecurrent's, a Python loop over torch: one training step, interleaved in one run.

    python benchmarks/cells.py
    python benchmarks/cells.py --cells mgu,janet --rounds 9

Medians of the rounds, and the median of the rounds' ratios (theirs over ours). Where torchrecurrent has no such cell the
peer is the torch.nn layer of its family.
"""

from __future__ import annotations

import argparse
import statistics
from importlib.metadata import version

import torch
import torchrecurrent

from gatewise import cells
from gatewise.measure import both_sides, layers, multiply_adds, ratio, rounds

PEERS = {
    "atr": "ATR", "brc": "BR", "nbrc": "NBR", "cfn": "CFN", "sgu": "SGU", "dsgu": "DSGU", "fast_rnn": "FastRNN",
    "fast_grnn": "FastGRNN", "ind_rnn": "IndRNN", "janet": "JANET", "li_gru": "LiGRU", "light_ru": "LightRU", "mgu": "MGU",
    "mut1": "MUT1", "mut2": "MUT2", "mut3": "MUT3", "minimal_rnn": "MinimalRNN", "multiplicative_lstm": "MultiplicativeLSTM",
    "nas": "NAS", "original_lstm": "OriginalLSTM", "peephole_lstm": "PeepholeLSTM", "ran": "RAN", "residual_lstm": "ResLSTM",
    "star": "STAR", "t_rnn": "TRNN", "t_gru": "TGRU", "t_lstm": "TLSTM", "ugrnn": "UGRNN", "unicornn": "UnICORNN",
    "cornn": "coRNN", "antisymmetric_rnn": "AntisymmetricRNN",
    "gated_antisymmetric_rnn": "GatedAntisymmetricRNN", "sgrn": "SGRN", "miru1": "MiRU1", "miru2": "MiRU2",
    "intersection_rnn": "IntersectionRNN", "working_memory_lstm": "WMCLSTM", "lem": "LEM", "scrn": "SCRN",
}  # fmt: skip


class Loop(torch.nn.Module):
    """A torchrecurrent cell over time, as its users run it."""

    def __init__(self, cell: torch.nn.Module):
        super().__init__()
        self.cell = cell
        self.output_first = isinstance(cell, torchrecurrent.IntersectionRNNCell)  # it gives (output, state), takes a state

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        state, ys = None, []
        for step in x:
            state = self.cell(step, state)
            ys.append(state[0] if isinstance(state, tuple) else state)
            if isinstance(state, tuple) and (isinstance(state[1], tuple) or self.output_first):
                state = state[1]
        return torch.stack(ys), None


def row(name: str, steps: int, batch: int, units: int, count: int, seconds: float) -> tuple[str, float]:
    ours, theirs = layers(name, units, units)
    peer = f"torch.nn {type(theirs).__name__}"
    if name in PEERS:
        peer = f"torchrecurrent {PEERS[name]}"
        theirs = Loop(getattr(torchrecurrent, f"{PEERS[name]}Cell")(units, units))
    sides = both_sides(ours, theirs, torch.randn(steps, batch, units))
    times = rounds({side: sides[side] for side in ("ours", "theirs")}, count, seconds)
    median = {k: statistics.median(v) for k, v in times.items()}
    faster = ratio(times, "ours", "theirs")
    rate = multiply_adds(name, units, units, steps, batch) / median["ours"] / 1e9
    line = f"| {name} | {median['ours'] * 1e3:.2f} | {rate:.0f} | {peer} | {median['theirs'] * 1e3:.2f} | {faster:.2f} |"
    return line, faster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=",".join(cells.names()))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.2, help="of each candidate in a round, so that caches are its own"
    )
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, torchrecurrent {version('torchrecurrent')}, {torch.get_num_threads()} threads; one "
        f"training step, T={options.steps} B={options.batch} I=H={options.units} float32; medians of {options.rounds} rounds"
    )
    print("| cell | ms | GF/s | peer | its ms | ratio |\n|---|---|---|---|---|---|")
    loops = []
    for name in options.cells.split(","):
        line, faster = row(name, options.steps, options.batch, options.units, options.rounds, options.seconds)
        print(line, flush=True)
        if name in PEERS:
            loops.append(faster)
    if loops:
        print(
            f"against torchrecurrent: least {min(loops):.1f}, median {statistics.median(loops):.1f}, most {max(loops):.1f}"
        )


if __name__ == "__main__":
    main()
