"""``gatewise train classify FILE... -o MODEL``."""

from __future__ import annotations

from ..tasks.classifier import SequenceClassifier
from .reading import train_command

command = train_command(
    SequenceClassifier,
    "classify",
    """Learn a label for each sequence from the files FILE...

    Read are CSV, TSV, JSON lines and Parquet (--text and --label name their columns), aeon's .ts, CoNLL-U, .txt (a line a
    text, the file's name its label), and folders of .wav; each but sound also with .gz.

    While training runs, a checkpoint lies beside MODEL. Ctrl-C saves it and says how to go on.""",
)
