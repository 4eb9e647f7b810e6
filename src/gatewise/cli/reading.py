"""Options that say how files of labelled sequences are read, and the commands that train on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..data.labelled import Reading
from ..tasks.sequences import SequenceModel
from .parameters import estimator_options
from .training import begin, finish, training_options

FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the options of a `Reading`."""
    for option in (
        click.option(
            "--label-pattern",
            "pattern",
            metavar="REGEX",
            help="For sound files: its first group is the label in a file's name. By default the folder's name is.",
        ),
        click.option("--no-header", is_flag=True, help="The columns of CSV and TSV have no names: they are 1, 2, ..."),
        click.option("--label", metavar="COL", help="The column with what belongs to each sequence."),
        click.option("--text", metavar="COL", help="The column with the sequences: texts, or lists of numbers or words."),
    ):
        command = option(command)
    return command


HELP = """Learn {what} from the files FILE...

Read are CSV, TSV, JSON lines and Parquet (--text and --label name their columns), aeon's .ts, CoNLL-U, .txt (a line a text,
the file's name its label), and folders of .wav; each but sound also with .gz.

While training runs, a checkpoint lies beside MODEL. Ctrl-C saves it and says how to go on."""


def train_command(estimator: type[SequenceModel], what: str) -> click.Command:
    """``gatewise train TASK FILE... -o MODEL`` for an estimator that learns ``what``."""

    @estimator_options(estimator)
    @click.command(estimator.task, help=HELP.format(what=what))
    @FILES
    @reading_options
    @training_options
    def command(files: tuple[Path, ...], output: Path, resume: bool, no_header: bool, **options: Any) -> None:
        reading = Reading(options.pop("text"), options.pop("label"), not no_header, options.pop("pattern"))
        model = estimator(**options)
        model.check_parameters()
        checkpoint = begin(output, resume)
        model.fit_files(files, reading, checkpoint=checkpoint, resume=resume)
        finish(model, output, checkpoint)

    return command
