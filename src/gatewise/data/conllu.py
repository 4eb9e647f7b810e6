"""Sentences with a label a word, in the CoNLL-U format of Universal Dependencies (https://universaldependencies.org)."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileError
from .text import read_lines

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")


def read_conllu(path: Path, label: str = "UPOS") -> tuple[list[list[str]], list[list[str]]]:
    """The words of every sentence, and the label of each. Ranges (1-2) and empty nodes (1.1) are left out.

    Args:
        label: the column of the label.

    Raises:
        FileError: a line does not have ten fields, or there is no such column.
    """
    if label.upper() not in COLUMNS:
        raise FileError(f"{path}: there is no column {label!r} in CoNLL-U; there are {', '.join(COLUMNS)}")
    at = COLUMNS.index(label.upper())
    sentences: list[list[str]] = [[]]
    labels: list[list[str]] = [[]]
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            if sentences[-1]:
                sentences.append([])
                labels.append([])
            continue
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != len(COLUMNS):
            raise FileError(f"{path}, line {number}: {len(fields)} fields where CoNLL-U has {len(COLUMNS)}")
        if fields[0].isdigit():
            sentences[-1].append(fields[1])
            labels[-1].append(fields[at])
    if not sentences[-1]:
        sentences.pop()
        labels.pop()
    if not sentences:
        raise FileError(f"{path} has no sentences")
    return sentences, labels
