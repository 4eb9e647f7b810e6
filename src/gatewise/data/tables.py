"""Tables from files: CSV, TSV, JSON lines and Parquet, each also compressed with gzip."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FileError, GatewiseError, require
from .text import read_bytes, read_lines

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN and the like, an empty text or one of the usual words.

    >>> [is_missing(value) for value in (None, float("nan"), " ", "NA", 0, "0")]
    [True, True, True, True, False, False]
    """
    if isinstance(value, str):
        return value.strip().lower() in ("", "na", "nan", "null", "?")
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas.NA is neither equal to itself nor not
        return True


def as_number(value: Any) -> float:
    """A value as a number; thousands may be set apart with commas. `ValueError` or `TypeError` where it is none."""
    if isinstance(value, str) and THOUSANDS.fullmatch(value.strip()):
        value = value.replace(",", "")
    return float(value)


@dataclass(frozen=True)
class Table:
    """Columns of equal length. Values of CSV and TSV are strings; those of the other kinds are what they are.

    Attributes:
        path: the file.
        columns: the values by name, in the file's order.
        lines: for each row the line of the file where it ends, counted from 1, or its number where a file has no lines.
    """

    path: Path
    columns: dict[str, list[Any]]
    lines: list[int]

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Raises:
            FileError: there is none of this name.
        """
        if name not in self.columns:
            raise FileError(f"{self.path} has no column {name!r}; it has: {', '.join(self.columns)}")
        return self.columns[name]

    def where(self, row: int, name: str) -> str:
        """How an error names a value."""
        return f"{self.path}, line {self.lines[row]}, column {name!r}"

    def __len__(self) -> int:
        return len(self.lines)


@contextmanager
def naming(path: Path | None) -> Iterator[None]:
    """Errors about what is in a file name it; None names nothing."""
    try:
        yield
    except GatewiseError as error:
        if path is None or str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def kind_of(path: Path) -> str:
    """The ending of a file's name that says what it is, without that of its compression."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def read_table(path: Path, header: bool = True) -> Table:
    """Read a table; the ending of its name says what it is.

    Args:
        header: whether the first line of CSV and TSV names the columns; else they are called 1, 2, and so on.

    Raises:
        FileError: the file is of another kind or damaged, rows differ in their number of fields, or there are none.
    """
    kind = kind_of(path)
    if kind not in KINDS:
        raise FileError(f"{path} is not a table: its name should end in {', '.join(KINDS)}, or these and .gz")
    if kind in (".csv", ".tsv"):
        table = _read_delimited(path, "," if kind == ".csv" else "\t", header)
    elif kind == ".parquet":
        polars = require("polars", "train", "reading Parquet")
        try:
            frame = polars.read_parquet(io.BytesIO(read_bytes(path)))
        except polars.exceptions.PolarsError as error:
            raise FileError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from error
        table = Table(path, {name: frame[name].to_list() for name in frame.columns}, list(range(1, frame.height + 1)))
    else:
        table = _read_json_lines(path)
    if not len(table):
        raise FileError(f"{path} has no rows")
    return table


def _read_delimited(path: Path, delimiter: str, header: bool) -> Table:
    text = "\n".join(read_lines(path))
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    # In a tab-separated file a quotation mark is a character like any other, as the format's registration has it.
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, quoting=quoting, strict=True)
    names: Sequence[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not row:
                continue
            if names is None:
                names = row if header else [str(k + 1) for k in range(len(row))]
                if len(set(names)) < len(names):
                    twice = next(n for k, n in enumerate(names) if n in names[:k])
                    raise FileError(f"{path} has two columns of the name {twice!r}")
                if header:
                    continue
            if len(row) != len(names):
                raise FileError(f"{path}, line {reader.line_num}: {len(row)} fields where {len(names)} were expected")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}: {error}") from error
    columns = {name: [row[k] for row in rows] for k, name in enumerate(names or [])}
    return Table(path, columns, lines)


def _read_json_lines(path: Path) -> Table:
    columns: dict[str, list[Any]] = {}
    lines: list[int] = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise FileError(f"{path}, line {number}: not JSON: {error.msg} at character {error.pos + 1}") from error
        if not isinstance(record, dict):
            raise FileError(f"{path}, line {number}: not a JSON object with a name for every value")
        for name in record.keys() - columns.keys():
            columns[name] = [None] * len(lines)
        for name, values in columns.items():
            values.append(record.get(name))
        lines.append(number)
    return Table(path, columns, lines)
