"""``gatewise watch RUN``: a training run from the inside, while it goes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

HOME_AND_CLEAR = "\x1b[H\x1b[J"


@click.command("watch")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Between two looks.")
@click.option("--once", is_flag=True, help="Look once and end; so it is too where output is no terminal.")
def command(run: Path, seconds: float, once: bool) -> None:
    """Show the training that writes the model RUN: its loss and gradients, what every layer's gates and states do, and what
    is wrong with it. RUN is the model, its checkpoint, or the file beside them that `gatewise train ... --watch` writes.

    On a terminal the view is drawn anew every few seconds, until Ctrl-C.
    """
    import shutil

    from ..inspect.dashboard import dashboard
    from ..inspect.recorder import read_watch, watch_beside

    path = watch_beside(run)
    if once or not sys.stdout.isatty():
        click.echo(dashboard(read_watch(path), shutil.get_terminal_size().columns))
        return
    while True:
        view = dashboard(read_watch(path), shutil.get_terminal_size().columns)
        click.echo(HOME_AND_CLEAR + view)
        time.sleep(seconds)
