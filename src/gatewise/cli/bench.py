"""``gatewise bench``: how fast layers train and run on this machine."""

from __future__ import annotations

import statistics
from typing import Any

import click


class ShapeType(click.ParamType):
    """``TxBxIxH``."""

    name = "TxBxIxH"

    def convert(self, value, param, ctx):
        try:
            steps, batch, inputs, hidden = (int(n) for n in value.split("x"))
        except (ValueError, AttributeError):
            self.fail(f"{value!r} is not TxBxIxH, such as 100x32x128x128", param, ctx)
        if min(steps, batch, inputs, hidden) < 1:
            self.fail(f"{value!r}: every size must be above 0", param, ctx)
        return steps, batch, inputs, hidden


@click.command("bench")
@click.option("--cells", "names", default="lstm,gru,rnn", show_default=True, metavar="CELL,...", help="Which cells.")
@click.option("--shape", type=ShapeType(), default="100x32x128x128", show_default=True, help="Steps, batch, inputs, units.")
@click.option("--rounds", "count", type=click.IntRange(1), default=7, show_default=True, help="Rounds of each.")
@click.option("--seconds", type=click.FloatRange(0.001), default=0.1, show_default=True, help="Of each in a round.")
@click.option("--threads", type=click.IntRange(1), default=None, help="By default as many as torch uses.")
def command(names: str, shape: tuple[int, int, int, int], count: int, seconds: float, threads: int | None) -> None:
    """Train and run a layer of each cell, interleaved with torch.nn's of its family, beside the processor's peak.

    Times are medians, in milliseconds; "of peak" counts only the cell's own products. Above 1, "times torch" is for us.
    """
    from .. import cells, measure
    from ..errors import ParameterError, require

    torch = require("torch", "train", "measuring layers")
    require("llvmlite", "jit", "compiling kernels")
    from .. import nn
    from ..backends.cpu.peak import peak_rate

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in cells.names()]
    if unknown:
        raise ParameterError(f"--cells: there is no cell {unknown[0]!r}; `gatewise cells` lists them")
    if threads:
        torch.set_num_threads(threads)
    peak = peak_rate(torch.get_num_threads())
    click.echo(f"{measure.processor()}; {torch.get_num_threads()} threads; torch {torch.__version__}")
    click.echo(f"multiply-add peak, float32: {peak / 1e9:.0f} GF/s\n")
    steps, batch, inputs, hidden = shape
    click.echo(f"{'cell':20}{'train ms':>10}{'GF/s':>7}{'of peak':>9}{'times torch':>13}{'infer ms':>11}{'times torch':>13}")
    for name in chosen:
        cell = cells.get(name)
        extra: dict[str, Any] = {d: max(1, hidden // 2) for d in cell.dims if d not in ("input_size", "hidden_size")}
        ours = nn.Recurrent(cell, inputs, hidden, **extra)
        theirs = getattr(torch.nn, measure.FAMILY.get(name, "LSTM"))(inputs, hidden)
        times = measure.rounds(measure.both_sides(ours, theirs, torch.randn(steps, batch, inputs)), count, seconds)
        train, infer = (statistics.median(times[k]) for k in ("ours", "ours_inference"))
        rate = 3 * measure.multiply_adds(cell, ours.layer_sizes(0), steps, batch) / train
        click.echo(
            f"{name:20}{train * 1e3:10.3f}{rate / 1e9:7.0f}{rate / peak:9.0%}{measure.ratio(times, 'ours', 'theirs'):13.2f}"
            f"{infer * 1e3:11.3f}{measure.ratio(times, 'ours_inference', 'theirs_inference'):13.2f}"
        )
