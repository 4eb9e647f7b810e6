"""Labelled sequences from files of every kind that is read; the ending of a file's name says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import FileError, GatewiseError, ParameterError
from .audio import LogMel, read_sound
from .conllu import read_conllu
from .series_file import read_series_file
from .tables import KINDS, as_number, kind_of, read_table
from .text import read_lines

SOUNDS = (".wav", ".flac")
ENDINGS = (*KINDS, ".ts", ".conllu", ".txt", *SOUNDS)  # of the names of files that are read


@dataclass(frozen=True)
class Reading:
    """What must be known to read files; a model file keeps it, so that new files are read as those it was trained on.

    Attributes:
        text: the column with the sequences: texts, or lists of numbers or of words.
        label: the column with what belongs to each; for CoNLL-U the column to learn, UPOS if None.
        header: whether the first line of CSV and TSV names the columns; else they are called 1, 2, and so on.
        pattern: for sound files, a regular expression whose first group is the label in a file's name; None takes the
            name of the folder.
        sound: how sound becomes features.
    """

    text: str | None = None
    label: str | None = None
    header: bool = True
    pattern: str | None = None
    sound: LogMel = field(default_factory=LogMel)

    def __post_init__(self) -> None:
        try:
            groups = 1 if self.pattern is None else re.compile(self.pattern).groups
        except re.error as error:
            raise ParameterError(f"the pattern '{self.pattern}' is not a regular expression: {error}") from None
        if not groups:
            raise ParameterError(f"the pattern '{self.pattern}' has no group in parentheses, which is to be the label")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> Reading:
        return cls(**{**record, "sound": LogMel(**record["sound"])})


@dataclass(frozen=True)
class Labelled:
    """Sequences and what belongs to them.

    Attributes:
        X: the sequences.
        y: what belongs to each; None where it was not asked for or not there.
        where: how an error names each.
        label_where: how an error names what belongs to it, if otherwise.
        files: how an error names all of it.
    """

    X: list[Any]
    y: list[Any] | None
    where: list[str]
    label_where: list[str] | None = None
    files: str = ""

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Errors about X[k] or y[k] name the place that it came from, others the files."""
        try:
            yield
        except GatewiseError as error:
            places = {"X": self.where, "y": self.label_where or self.where}
            where, count = re.subn(r"\b([Xy])\[(\d+)\]", lambda found: places[found[1]][int(found[2])], str(error))
            raise type(error)(where if count or not self.files else f"{self.files}: {where}") from error

    def __add__(self, other: Labelled) -> Labelled:
        y = None if self.y is None or other.y is None else self.y + other.y
        return Labelled(self.X + other.X, y, self.where + other.where)


def read_labelled(paths: Sequence[Path], reading: Reading, labels: bool = True, numbers: bool = False) -> Labelled:
    """Read files and folders.

    * ``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``: a row a sequence; ``reading.text`` and ``reading.label`` are columns.
    * ``.ts``: a line a series.  * ``.conllu``: words and their labels.
    * ``.txt``: a line a text; its label is the name of the file.
    * a folder: the ``.wav`` and ``.flac`` files in it and below; or one such file.

    All but sound may be compressed with gzip.

    Args:
        labels: whether the labels are needed; else they are left out where a column is not there.
        numbers: whether what belongs to a sequence must be a number.

    Raises:
        FileError: a file cannot be read; the message names it, the line and the column.
    """
    if not paths:
        raise FileError("no files were given")
    found = [_read(path, reading, labels) for path in paths]
    if numbers:
        found = [replace(part, y=part.y and as_numbers(part.y, part.label_where or part.where)) for part in found]
    whole = found[0]
    for part in found[1:]:
        whole = whole + part
    if labels and whole.y is None:
        raise FileError(f"{paths[0]} has no labels")
    return replace(whole, files=first_of(paths))


def first_of(names: Sequence[object]) -> str:
    """How an error names several files or texts."""
    return str(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _read(path: Path, reading: Reading, labels: bool) -> Labelled:
    kind = kind_of(path)
    if not path.exists():
        raise FileError(f"no such file: {path}")
    if path.is_dir() or kind in SOUNDS:
        return _read_sounds(path, reading, labels)
    if kind in KINDS:
        return _read_rows(path, reading, labels)
    if kind == ".ts":
        cases, classes, lines = read_series_file(path)
        return Labelled(cases, classes, [f"{path}, line {line}" for line in lines])
    if kind == ".conllu":
        sentences, tags = read_conllu(path, reading.label or "UPOS")
        return Labelled(sentences, tags, [f"{path}, sentence {k}" for k in range(1, len(sentences) + 1)])
    if kind == ".txt":
        lines = [(k, line.strip()) for k, line in enumerate(read_lines(path), 1) if line.strip()]
        if not lines:
            raise FileError(f"{path} has no line of text")
        name = path.name.partition(".")[0]
        return Labelled([line for _, line in lines], [name] * len(lines), [f"{path}, line {k}" for k, _ in lines])
    raise FileError(
        f"{path}: files that end in {path.suffix or 'nothing'} are not read; {', '.join(KINDS)}, .ts, .conllu, .txt "
        "and folders of .wav are"
    )


def _read_rows(path: Path, reading: Reading, labels: bool) -> Labelled:
    if reading.text is None:
        raise ParameterError(f"{path} is a table: say with --text which column has the sequences")
    table = read_table(path, reading.header)
    X = table.column(reading.text)
    for row, value in enumerate(X):
        if value is None or (isinstance(value, str | list) and not len(value if isinstance(value, list) else value.strip())):
            raise FileError(f"{table.where(row, reading.text)} is empty: leave the row out")
        if not isinstance(value, str | list):
            raise FileError(f"{table.where(row, reading.text)} is {value!r}, neither text nor a list")
    y, label_where = None, None
    if labels and reading.label is None:
        raise ParameterError(f"{path} is a table: say with --label which column has the labels")
    if reading.label is not None and (labels or reading.label in table.columns):
        y = table.column(reading.label)
        for row, value in enumerate(y):
            if labels and (value is None or value == ""):
                raise FileError(f"{table.where(row, reading.label)} is empty: leave the row out")
        label_where = [table.where(row, reading.label) for row in range(len(table))]
    return Labelled(X, y, [table.where(row, reading.text) for row in range(len(table))], label_where)


def _read_sounds(path: Path, reading: Reading, labels: bool) -> Labelled:
    files = sorted(f for f in path.rglob("*") if f.suffix.lower() in SOUNDS) if path.is_dir() else [path]
    if not files:
        raise FileError(f"{path} is a folder without .wav or .flac files")
    X, y, rates = [], [], {}
    for file in files:
        sound, rate = read_sound(file)
        rates.setdefault(rate, file)
        if len(rates) > 1:
            (a, first), (b, second) = rates.items()
            raise FileError(f"{second} has {b} samples a second, {first} has {a}: make them the same first")
        X.append(reading.sound(sound, rate))
        y.append(_label_of(file, reading.pattern, labels))
    return Labelled(X, y if labels else None, [str(file) for file in files])


def _label_of(file: Path, pattern: str | None, needed: bool) -> str:
    if pattern is None:
        return file.parent.name
    found = re.search(pattern, file.name)
    if found is None or found.lastindex is None:
        if needed:
            raise FileError(f"{file}: the pattern '{pattern}' finds no label in its name; it needs one group in parentheses")
        return ""
    return found[1]


def as_numbers(values: Sequence[Any], where: Sequence[str]) -> list[float]:
    """Values as numbers; thousands may be set apart with commas.

    Raises:
        FileError: one is not a number; the message says where.
    """
    numbers = []
    for value, place in zip(values, where, strict=True):
        try:
            numbers.append(as_number(value))
        except (TypeError, ValueError):
            raise FileError(f"{place}: {value!r} is not a number") from None
    return numbers
