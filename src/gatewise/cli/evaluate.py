"""``gatewise evaluate MODEL FILE...``: how good a model of labelled sequences is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .outputs import json_option, write_json

MOST_CLASSES = 12  # of a confusion matrix that is printed whole
MOST_CONFUSIONS = 10


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@json_option("Write every figure to a file.")
def command(model: Path, files: tuple[Path, ...], record: Path | None) -> None:
    """Measure the model in the file MODEL on the labelled sequences in FILE..., which are read as those it was trained on.

    Printed are, for classes: accuracy, F1, log loss, calibration error, and what is taken for what; for numbers: MAE, RMSE
    and R². Beside them stands what always giving the same answer would reach.
    """
    from ..data.labelled import read_labelled
    from ..tasks.evaluation import evaluate
    from ..tasks.summary import aligned
    from .predict import load_sequence_model

    estimator, reading = load_sequence_model(model)
    data = read_labelled(files, reading, numbers=estimator.task == "regress")
    with data.naming():
        found = evaluate(estimator, data.X, data.y)
    if record is not None:
        write_json(record, found)
    click.echo(aligned(_rows(found), left=1))
    if "confusion" in found:
        click.echo()
        click.echo(aligned(_class_rows(found), left=1))
        click.echo()
        click.echo(aligned(*_confusion_rows(found)))


def _rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    if "mae" in found:
        return [
            ("", "model", "always the mean"),
            ("MAE", f"{found['mae']:.4g}", f"{found['baseline_mae']:.4g}"),
            ("RMSE", f"{found['rmse']:.4g}", f"{found['baseline_rmse']:.4g}"),
            ("R²", f"{found['r2']:.4f}", "0"),
            ("count", f"{found['count']:,}", ""),
        ]
    return [
        ("", "model", "always the most frequent"),
        ("accuracy", f"{found['accuracy']:.4f}", f"{found['baseline_accuracy']:.4f}"),
        ("F1, mean of classes", f"{found['f1_macro']:.4f}", f"{found['baseline_f1_macro']:.4f}"),
        ("F1, weighted", f"{found['f1_weighted']:.4f}", f"{found['baseline_f1_weighted']:.4f}"),
        ("log loss, nats", f"{found['log_loss']:.4f}", f"{found['baseline_log_loss']:.4f}"),
        ("calibration error", f"{found['calibration_error']:.4f}", ""),
        ("count", f"{found['count']:,}", ""),
    ]


def _class_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("class", "precision", "recall", "F1", "count")]
    for name, c in found["classes"].items():
        rows.append((name, f"{c['precision']:.3f}", f"{c['recall']:.3f}", f"{c['f1']:.3f}", f"{c['count']:,}"))
    return rows


def _confusion_rows(found: dict[str, Any]) -> tuple[list[tuple[str, ...]], int]:
    """The matrix, or where it is large the pairs that are confused most; and how many columns are names."""
    names, matrix = list(found["classes"]), found["confusion"]
    if len(names) <= MOST_CLASSES:
        rows = [("true \\ said", *names), *((name, *map(str, row)) for name, row in zip(names, matrix, strict=True))]
        return rows, 1
    pairs = [(n, names[i], names[j]) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    return [("true", "said", "times"), *((a, b, f"{n:,}") for n, a, b in pairs[:MOST_CONFUSIONS])], 2
