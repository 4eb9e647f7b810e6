"""``gatewise bench``: how fast layers train and run on this machine."""

from __future__ import annotations

import click

from .parameters import CellsType


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
@click.option("--cells", "chosen", type=CellsType(), default="lstm,gru,rnn", show_default=True, help="Which cells.")
@click.option("--shape", type=ShapeType(), default="100x32x128x128", show_default=True, help="Steps, batch, inputs, units.")
@click.option("--rounds", "count", type=click.IntRange(1), default=7, show_default=True, help="Rounds of each.")
@click.option("--seconds", type=click.FloatRange(0.001), default=0.1, show_default=True, help="Of each in a round.")
@click.option("--threads", type=click.IntRange(1), default=None, help="By default as many as torch uses.")
def command(chosen: list[str], shape: tuple[int, int, int, int], count: int, seconds: float, threads: int | None) -> None:
    """Train and run a layer of each cell, interleaved with torch.nn's of its family, beside the processor's peak.

    Times are medians, in milliseconds; "of peak" counts only the cell's own products. Above 1, "times torch" is for us.
    """
    from .. import measure
    from ..errors import require

    torch = require("torch", "train", "measuring layers")
    require("llvmlite", "jit", "compiling kernels")
    from ..backends.cpu.peak import peak_rate

    if threads:
        torch.set_num_threads(threads)
    peak = peak_rate(torch.get_num_threads())
    click.echo(f"{measure.processor()}; {torch.get_num_threads()} threads; torch {torch.__version__}")
    click.echo(f"multiply-add peak, float32: {peak / 1e9:.0f} GF/s\n")
    click.echo(f"{'cell':20}{'train ms':>10}{'GF/s':>7}{'of peak':>9}{'times torch':>13}{'infer ms':>11}{'times torch':>13}")
    for name in chosen:
        row = measure.compare(name, shape, count, seconds)
        click.echo(
            f"{name:20}{row['train ms']:10.3f}{row['GF/s']:7.0f}{1e9 * row['GF/s'] / peak:9.0%}{row['ratio']:13.2f}"
            f"{row['infer ms']:11.3f}{row['infer ratio']:13.2f}"
        )
