"""``gatewise compare language FILE... --cells CELL,CELL,...``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..tasks.language import LanguageModel
from ..tasks.summary import aligned
from .outputs import json_option, plot_option, write_json
from .parameters import CellsType, estimator_options

if TYPE_CHECKING:
    from ..tasks.comparison import Result

SHARES = (0.25, 0.5, 0.75, 1.0)  # of the budget, at which losses are printed


@estimator_options(LanguageModel, leave_out=("cell", "patience"))
@click.command("language")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--cells", "chosen", type=CellsType(), required=True, help="The cells, by name; `gatewise cells` lists them.")
@click.option(
    "--parameters", type=click.IntRange(1), help="Trained numbers that each may have; by default what the first has."
)
@plot_option("Draw loss against seconds and against steps.")
@json_option("Write every validation of every cell.")
def command(
    files: tuple[Path, ...],
    chosen: list[str],
    parameters: int | None,
    plot: Path | None,
    record: Path | None,
    **options: Any,
) -> None:
    """Train a language model of every cell on the text in FILE..., with as many parameters and as much time each.

    Each cell gets the hidden size that fills the budget of parameters; --hidden-size is that of the first. Without
    --max-seconds, --max-steps or --epochs each trains for 60 seconds, the compilation of its kernels included.
    """
    from ..tasks.comparison import compare, draw

    if options["max_seconds"] is None and options["max_steps"] is None and options["epochs"] is None:
        options["max_seconds"] = 60.0

    def started(model: LanguageModel) -> None:
        if model.verbose:
            click.echo(f"{model.cell}: {model.hidden_size} units", err=True)

    results = []
    try:
        for result in compare(files, chosen, LanguageModel(**options), parameters, started):
            results.append(result)
            if record is not None:  # after each, so that what is done is not lost
                write_json(record, [_plain(r) for r in results])
            if plot is not None:
                draw(results, plot, _unit(result))
    finally:
        if results:
            click.echo(table(results))


def _unit(result: Result) -> str:
    return result.model.training_["unit"].removesuffix("s")


def _plain(result: Result) -> dict[str, Any]:
    return {
        "cell": result.cell,
        "hidden_size": result.model.hidden_size,
        "parameters": result.parameters,
        "validations": result.history,
        "training": result.model.training_,
    }


def _loss_at(result: Result, key: str, limit: float) -> str:
    """The last validation at or before a number of seconds or steps."""
    losses = [r["validation_loss"] for r in result.history if r[key] <= limit * (1 + 1e-9)]
    return f"{losses[-1]:.3f}" if losses else "-"


def table(results: Sequence[Result]) -> str:
    """The results, best first, and the losses at shares of the time and of the steps that all have reached."""
    ranked = sorted(results, key=lambda r: r.model.training_["validation_loss"] or math.inf)
    unit = _unit(ranked[0])
    seconds = max(r.model.training_["seconds"] for r in ranked)
    steps = min(r.model.training_["steps"] for r in ranked)
    headings = ["cell", "units", "parameters", "steps", "seconds", f"nats/{unit}"]
    headings += [f"at {share * seconds:.{0 if seconds >= 20 else 1}f} s" for share in SHARES[:-1]]
    headings += [f"at step {share * steps:,.0f}" for share in SHARES]
    rows: list[Sequence[str]] = [headings]
    for r in ranked:
        facts = r.model.training_
        loss = facts["validation_loss"]
        row = [r.cell, f"{r.model.hidden_size}", f"{r.parameters:,}", f"{facts['steps']:,}", f"{facts['seconds']:.1f}"]
        row.append("-" if loss is None else f"{loss:.4f}")
        row += [_loss_at(r, "seconds", share * seconds) for share in SHARES[:-1]]
        row += [_loss_at(r, "step", share * steps) for share in SHARES]
        rows.append(row)
    return aligned(rows, left=1)
