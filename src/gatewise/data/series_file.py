"""Labelled series in the ``.ts`` format of aeon and sktime: a header, then a line a case, channel:channel:...:label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import FileError
from .text import read_lines


def read_series_file(path: Path) -> tuple[list[np.ndarray], list[str] | None, list[int]]:
    """Read a file.

    Returns:
        The cases, arrays [T, channels] of float32; their labels, or None where the header says that there are none; and
        the line of each, counted from 1.

    Raises:
        FileError: there is no data, a value is missing or not a number, or the series have time stamps.
    """
    labelled, in_data, channels = False, False, None
    cases: list[np.ndarray] = []
    labels: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(read_lines(path), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not in_data:
            name, *values = line.split()
            match name.lower():
                case "@data":
                    in_data = True
                case "@timestamps" if values and values[0].lower() == "true":
                    raise FileError(f"{path}, line {number}: series with time stamps are not read; give one value a step")
                case "@classlabel" | "@targetlabel":
                    labelled = bool(values) and values[0].lower() == "true"
            continue
        parts = line.split(":")
        if labelled:
            *parts, label = parts
            labels.append(label.strip())
        rows = [_numbers(part, f"{path}, line {number}, channel {k}") for k, part in enumerate(parts, 1)]
        lengths = {len(row) for row in rows}
        if channels is None:
            channels = len(rows)
        if len(rows) != channels:
            raise FileError(f"{path}, line {number}: {len(rows)} channels where {channels} were expected")
        if len(lengths) != 1:
            raise FileError(f"{path}, line {number}: channels of different lengths: {sorted(lengths)}")
        cases.append(np.stack(rows, 1))
        numbers.append(number)
    if not cases:
        raise FileError(f"{path} has no cases{'' if in_data else ': it has no line @data'}")
    return cases, labels if labelled else None, numbers


def _numbers(part: str, where: str) -> np.ndarray:
    try:
        return np.array(part.split(","), np.float32)
    except ValueError:
        wrong = next(value for value in part.split(",") if not _is_number(value))
        what = "a missing value (?)" if wrong.strip() == "?" else f"{wrong.strip()!r}, not a number"
        raise FileError(f"{where}: {what}") from None


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
