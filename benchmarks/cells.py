"""Every cell against torchrecurrent's, a Python loop over torch: one training step, interleaved in one run.

    python benchmarks/cells.py
    python benchmarks/cells.py --cells mgu,janet --rounds 9

Medians of the rounds, and the median of the rounds' ratios (theirs over ours). Where torchrecurrent has no such cell the
peer is the torch.nn layer of its family, as it is for all cells when torchrecurrent is not installed.
"""

from __future__ import annotations

import statistics

import torch
from report import Report, arguments, bars

from gatewise import cells
from gatewise.errors import MissingExtra, require
from gatewise.measure import compare

COLUMNS = {"cell": "", "train ms": ".2f", "GF/s": ".0f", "peer": "", "its train ms": ".2f", "ratio": ".2f"}

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

    def __init__(self, cell: torch.nn.Module, output_first: bool):
        super().__init__()
        self.cell = cell
        self.output_first = output_first

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        state, ys = None, []
        for step in x:
            state = self.cell(step, state)
            ys.append(state[0] if isinstance(state, tuple) else state)
            if isinstance(state, tuple) and (isinstance(state[1], tuple) or self.output_first):
                state = state[1]
        return torch.stack(ys), None


def main() -> None:
    parser = arguments(__doc__, rounds=7, seconds=0.2)
    parser.add_argument("--cells", default=",".join(cells.names()))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--units", type=int, default=128)
    options = parser.parse_args()
    shape = options.steps, options.batch, options.units, options.units
    said = (
        f"{torch.get_num_threads()} threads; one training step, T={options.steps} B={options.batch} I=H={options.units} "
        f"float32; medians of {options.rounds} rounds"
    )
    report = Report(options, ["torch", "torchrecurrent"], COLUMNS, said, threads=torch.get_num_threads(), shape=shape)
    try:
        library = require("torchrecurrent", "bench-torchrecurrent", "comparing with torchrecurrent")
    except MissingExtra as error:
        library = None
        report.leave_out("torchrecurrent", str(error))
    loops = []
    for name in options.cells.split(","):
        theirs = None
        if library and name in PEERS:
            # The intersection network's cell gives (output, state), and takes a state.
            theirs = Loop(
                getattr(library, f"{PEERS[name]}Cell")(options.units, options.units), PEERS[name] == "IntersectionRNN"
            )
        row = compare(name, shape, options.rounds, options.seconds, inference=False, theirs=theirs)
        row["peer"] = f"torchrecurrent {PEERS[name]}" if theirs else f"torch.nn {row['peer']}"
        report.add(cell=name, **row)
        if theirs:
            loops.append(row["ratio"])
    if loops:
        print(
            f"against torchrecurrent: least {min(loops):.1f}, median {statistics.median(loops):.1f}, most {max(loops):.1f}"
        )
    report.finish(bars("{cell}, {peer}", ["ratio"], "times the peer, a training step"))


if __name__ == "__main__":
    main()
