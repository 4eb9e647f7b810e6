"""The command line: a thin layer over the estimators, a command a file, each loaded only when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    0 done, 1 the input or a file cannot be used, 2 the command line is wrong, 128 + n stopped by signal n.
    """
    from .application import run

    sys.exit(run(arguments))
