"""``gatewise predict MODEL INPUT...``: labels or numbers for sequences."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..data.labelled import Labelled, Reading


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--probabilities", is_flag=True, help="Add a column with the probability of every class.")
def command(model: Path, inputs: tuple[str, ...], probabilities: bool) -> None:
    """Predict with the model in the file MODEL, for each sequence in the files INPUT... or, if no file has that name, for
    the text INPUT itself.

    Written is CSV: a row a sequence with its place or its text, what is predicted, and how probable that is; or, from a
    model that labels every step, a row a step with an empty one after each sequence.
    """
    estimator, reading = load_sequence_model(model)
    data = _read_inputs(inputs, reading, estimator)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    with data.naming():
        rows = list(_rows(estimator, data, probabilities))
    writer.writerows(rows)


def load_sequence_model(path: Path) -> tuple[Any, Reading]:
    """A model of labelled sequences, and how the files that it was trained on were read.

    Raises:
        FileError: the file holds a model of another kind.
    """
    from ..errors import FileError
    from ..modelfile import load
    from ..tasks.sequences import SequenceModel

    estimator = load(path)
    if not isinstance(estimator, SequenceModel):
        raise FileError(f"{path} holds a {type(estimator).__name__}, which gives no labels or numbers for sequences")
    return estimator, reading_of(estimator)


def reading_of(estimator: Any) -> Reading:
    """How the files that a model was trained on were read."""
    from ..data.labelled import Reading

    return Reading() if estimator.reading_ is None else Reading.from_json(estimator.reading_)


def sequence_of(text: str, estimator: Any) -> str | list[str]:
    """A text as a model of texts takes it: words that stand apart for one of tokens."""
    return text.split() if estimator.vocabulary_.level == "token" else text


def _read_inputs(inputs: Sequence[str], reading: Reading, estimator: Any) -> Labelled:
    from ..data.labelled import ENDINGS, Labelled, first_of, read_labelled
    from ..data.tables import kind_of
    from ..errors import FileError, ParameterError

    data = Labelled([], None, [])
    for text in inputs:
        if os.path.exists(text):
            data = data + read_labelled([Path(text)], reading, labels=False)
        elif estimator.vocabulary_ is None or kind_of(Path(text)) in ENDINGS:
            raise FileError(f"no such file: {text}")
        elif not text.strip():
            raise ParameterError("INPUT is an empty text: there is nothing to predict for")
        else:
            data = data + Labelled([sequence_of(text, estimator)], None, [text])
    return replace(data, files=first_of(inputs))


def _rows(estimator: Any, data: Labelled, probabilities: bool) -> Iterator[list[Any]]:
    if estimator.task == "regress":
        yield ["sequence", "prediction"]
        for where, number in zip(data.where, estimator.predict(data.X), strict=True):
            yield [where, *(f"{n:.6g}" for n in ([number] if number.ndim == 0 else number))]
        return
    classes = [str(label) for label in estimator.classes_]
    more = [f"p({name})" for name in classes] if probabilities else []
    head = ["prediction", "probability", *more]
    p = estimator.predict_proba(data.X)
    if estimator.task == "classify":
        yield ["sequence", *head]
        for where, row in zip(data.where, p, strict=True):
            yield [where, *_said(row, classes, probabilities)]
        return
    yield ["step", *head]
    for item, steps in zip(data.X, p, strict=True):
        for k, row in enumerate(steps):
            yield [item[k] if isinstance(item[k], str) else k + 1, *_said(row, classes, probabilities)]
        yield []


def _said(p: Any, classes: Sequence[str], probabilities: bool) -> list[Any]:
    return [classes[p.argmax()], f"{p.max():.4f}", *([f"{q:.6f}" for q in p] if probabilities else [])]
