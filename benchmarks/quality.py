"""What the estimators reach on public data: one result for each row of docs/results.md.

    python benchmarks/quality.py --list
    python benchmarks/quality.py --only sst2 [--data ../shared/data] [--json benchmarks/quality.json]
    python benchmarks/quality.py --only sst2 --on validation --set dropout=0.3 --set hidden_size=64
    python benchmarks/quality.py --only arrow-head --on folds
    python benchmarks/quality.py --page docs/results.md        # writes the table from the file of results; trains nothing

`ROWS` below is the one place where the settings stand. They were chosen with `--on validation`: a tenth of the training
data is set aside, the model is trained on the rest, and the test data are not used; or, where the training data are few,
with `--on folds`, five-fold cross-validation within them. Inside every training the estimator holds out another part to keep
the weights with the lowest loss there. The seconds are those that training took, and those in which the processor worked for
it: on a machine that does other things too, the second number is the one to compare.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import platform
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from forecast_rows import ROWS as FORECASTS

from gatewise import LanguageModel, SequenceClassifier, SequenceTagger
from gatewise.data.labelled import Labelled, Reading, read_labelled
from gatewise.tasks.comparison import count_parameters
from gatewise.tasks.evaluation import evaluate
from gatewise.tasks.sequences import SequenceModel

FOLDS = 5
VALIDATION = 0.1  # of the training data, where settings are chosen
SEED = 0  # of every split that the data do not bring

Pairs = tuple[list[Any], list[Any]]  # sequences, and what belongs to each


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes:
        data: what it is trained on, for the table.
        read: gives the training and the test part of a folder of data; for a text, the file.
        estimator: the class.
        settings: its hyper-parameters.
        target: what was hoped for, as a share, or nats a character; None takes it as it comes.
        f1: whether the mean F1 over classes is shown too.
    """

    data: str
    read: Callable[[Path], tuple[Pairs, Pairs] | Path]
    estimator: type[SequenceModel] | type[LanguageModel]
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None
    f1: bool = False

    @property
    def unit(self) -> str:
        return "nats a character" if self.estimator is LanguageModel else "accuracy"


# ---- Reading.


def _pairs(data: Labelled, rows: np.ndarray | None = None) -> Pairs:
    assert data.y is not None
    places = range(len(data.X)) if rows is None else rows
    return [data.X[k] for k in places], [data.y[k] for k in places]


def tables(folder: str, train: str, test: str, reading: Reading) -> Callable[[Path], tuple[Pairs, Pairs]]:
    """A file to train on and one to test with."""

    def read(data: Path) -> tuple[Pairs, Pairs]:
        first, second = (_pairs(read_labelled([data / folder / name], reading)) for name in (train, test))
        return first, second

    return read


def series(name: str) -> Callable[[Path], tuple[Pairs, Pairs]]:
    return tables("ucr_uea", f"{name}_TRAIN.ts", f"{name}_TEST.ts", Reading())


def names(data: Path) -> tuple[Pairs, Pairs]:
    """A fifth of each language's names is the test. A name that stands twice in a language is taken once."""
    found = read_labelled(sorted((data / "names").glob("[A-Z]*.txt"), key=lambda p: p.name), Reading())
    assert found.y is not None
    pairs = sorted({(x, y) for x, y in zip(found.X, found.y, strict=True) if y != "SOURCE"})
    return split([x for x, _ in pairs], [y for _, y in pairs], 0.2)


def spoken(data: Path) -> tuple[Pairs, Pairs]:
    """Of every speaker and digit the recordings 0 to 4 are the test."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data / "fsdd" / "recordings.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        found = read_labelled([Path(folder)], Reading(pattern=r"^(\d)_"))
    index = np.array([int(Path(where).stem.rpartition("_")[2]) for where in found.where])
    return _pairs(found, np.flatnonzero(index >= 5)), _pairs(found, np.flatnonzero(index < 5))


def shakespeare(data: Path) -> Path:
    """Karpathy's 1 MB of plays."""
    return data / "tinyshakespeare" / "input.txt"


def mnist(shape: tuple[int, int]) -> Callable[[Path], tuple[Pairs, Pairs]]:
    """Images as sequences of this shape."""

    def part(folder: Path, name: str) -> Pairs:
        images = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, *shape).astype(np.float32) / 255
        return list(pixels), np.frombuffer(labels, np.uint8, offset=8).tolist()

    return lambda data: (part(data / "mnist", "train"), part(data / "mnist", "t10k"))


def babi(task: int, *more: int) -> Callable[[Path], tuple[Pairs, Pairs]]:
    """A sequence is a question and then the story up to it, as words; its label is the answer. There may be more
    tasks in the training part."""

    def words(text: str) -> list[str]:
        return re.findall(r"\w+|[.?]", text.lower())

    def part(path: Path) -> Pairs:
        X: list[Any] = []
        y: list[Any] = []
        story: list[str] = []
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            number, _, text = line.partition(" ")
            if number == "1":
                story = []
            question, *answer = text.split("\t")
            if answer:
                X.append(words(question) + story)
                y.append(answer[0])
            else:
                story = story + words(text)
        return X, y

    def file(data: Path, number: int, name: str) -> Path:
        return next((data / "babi_en10k").glob(f"qa{number}_*_{name}.txt.gz"))

    def read(data: Path) -> tuple[Pairs, Pairs]:
        parts = [part(file(data, number, "train")) for number in (task, *more)]
        train = [x for X, _ in parts for x in X], [answer for _, y in parts for answer in y]
        return train, part(file(data, task, "test"))

    return read


def split(X: list[Any], y: list[Any], share: float) -> tuple[Pairs, Pairs]:
    """Two parts, as many of every class where there are classes; the second is the share."""
    random = np.random.default_rng(SEED)
    second = np.zeros(len(X), bool)
    labels = np.array([str(label) for label in y]) if not isinstance(y[0], list) else np.zeros(len(X), int)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        second[rows[: round(len(rows) * share)]] = True
    first, rest = ([k for k in range(len(X)) if second[k] == which] for which in (False, True))
    return ([X[k] for k in first], [y[k] for k in first]), ([X[k] for k in rest], [y[k] for k in rest])


# ---- The rows.

SERIES = {"cell": "gru", "hidden_size": 64, "bidirectional": True, "readout": "max", "dropout": 0.5}
BABI = {"cell": "gru", "readout": "last", "learning_rate": 5e-3, "epochs": 15, "patience": None}
IMDB = tables("imdb", "imdb_train.csv.gz", "imdb_test.csv.gz", Reading("review", "sentiment"))

ROWS: dict[str, Row] = {
    "sst2": Row(
        "SST-2, sentences good or bad",
        tables("sst2", "train.tsv", "test.tsv", Reading("1", "2", header=False)),
        SequenceClassifier,
        {"hidden_size": 64, "bidirectional": True, "dropout": 0.5, "input_dropout": 0.5, "epochs": 6},
        0.79,
    ),
    "names": Row(
        "names, 18 languages, by characters",
        names,
        SequenceClassifier,
        {"level": "char", "lowercase": False, "embedding_size": None, "bidirectional": True, "dropout": 0.5, "epochs": 12},
        0.80,
        f1=True,
    ),
    "fsdd": Row(
        "FSDD, spoken digits",
        spoken,
        SequenceClassifier,
        {"bidirectional": True, "hidden_size": 64, "dropout": 0.3, "epochs": 15, "patience": None},
        0.97,
    ),
    "japanese-vowels": Row("JapaneseVowels", series("JapaneseVowels"), SequenceClassifier, SERIES, 0.97),
    "basic-motions": Row(
        "BasicMotions",
        series("BasicMotions"),
        SequenceClassifier,
        {"cell": "gru", "hidden_size": 64, "bidirectional": True, "dropout": 0.5, "convolution": 64, "convolution_width": 9,
         "convolution_stride": 2},
        0.97,
    ),
    "italy-power": Row("ItalyPowerDemand", series("ItalyPowerDemand"), SequenceClassifier, SERIES, 0.95),
    "arrow-head": Row(
        "ArrowHead",
        series("ArrowHead"),
        SequenceClassifier,
        {"cell": "gru", "hidden_size": 64, "readout": "max", "dropout": 0.3, "convolution": 32, "convolution_width": 9,
         "convolution_stride": 4},
    ),
    "ud-english": Row(
        "UD English EWT, parts of speech",
        tables("ud_english_ewt", "en_ewt-ud-train.conllu.gz", "en_ewt-ud-test.conllu.gz", Reading()),
        SequenceTagger,
        {"epochs": 4, "dropout": 0.3, "input_dropout": 0.2},
        0.93,
    ),
    **{f"babi-{k}": Row(f"bAbI task {k}", babi(k), SequenceClassifier, BABI, 0.98) for k in (1, 4)},
    "babi-6": Row("bAbI task 6, trained together with task 1", babi(6, 1), SequenceClassifier, BABI, 0.98),
    **{f"babi-{k}": Row(f"bAbI task {k}", babi(k), SequenceClassifier, BABI) for k in (2, 5, 15)},
    "imdb-keras": Row(
        "IMDb, the Keras model of `examples/sentiment.py`",
        IMDB,
        SequenceClassifier,
        {"embedding_size": 32, "hidden_size": 100, "readout": "last", "vocabulary_size": 5000, "max_length": 500,
         "epochs": 3, "batch_size": 64},
        0.87,
    ),
    "imdb": Row(
        "IMDb, a bidirectional GRU with attention",
        IMDB,
        SequenceClassifier,
        {"cell": "gru", "hidden_size": 64, "bidirectional": True, "readout": "attention", "max_length": 500, "dropout": 0.5,
         "input_dropout": 0.4, "epochs": 3, "batch_size": 64},
        0.89,
    ),
    "mnist-rows": Row(
        "MNIST, a row a step",
        mnist((28, 28)),
        SequenceClassifier,
        {"cell": "gru", "readout": "last", "dropout": 0.3, "epochs": 6, "batch_size": 64},
        0.985,
    ),
    "mnist-pixels": Row(
        "MNIST, a pixel a step, a convolution before the GRU",
        mnist((784, 1)),
        SequenceClassifier,
        {"cell": "gru", "batch_size": 64, "learning_rate": 2e-3, "convolution": 32, "convolution_width": 7,
         "convolution_stride": 4, "dropout": 0.2, "max_seconds": 900},
        0.95,
    ),
    "shakespeare-100s": Row(
        "tinyshakespeare by characters, 100 s",
        shakespeare,
        LanguageModel,
        {"dropout": 0.2, "max_seconds": 100},
        1.60,
    ),
    "shakespeare-10min": Row(
        "tinyshakespeare by characters, 10 minutes",
        shakespeare,
        LanguageModel,
        {"hidden_size": 512, "dropout": 0.3, "max_seconds": 600},
        1.50,
    ),
    "shakespeare-40min": Row(
        "tinyshakespeare by characters, 14 of 40 minutes",
        shakespeare,
        LanguageModel,
        {"hidden_size": 512, "dropout": 0.5, "max_seconds": 840},
        1.47,
    ),
}  # fmt: skip


# ---- Running.


def folds(X: list[Any], y: list[Any]) -> Iterator[tuple[Pairs, Pairs]]:
    """The parts to train on and to measure on, of each fold; as many of every class in each."""
    place = np.zeros(len(X), int)
    labels = np.array([str(label) for label in y])
    random = np.random.default_rng(SEED)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + random.integers(FOLDS)) % FOLDS
    for fold in range(FOLDS):
        inside, outside = np.flatnonzero(place != fold), np.flatnonzero(place == fold)
        yield ([X[k] for k in inside], [y[k] for k in inside]), ([X[k] for k in outside], [y[k] for k in outside])


def cross_validate(row: Row, data: Path, settings: Mapping[str, Any]) -> str:
    """Mean accuracy and log loss over the folds of the training data, in words."""
    parts = row.read(data)
    assert not isinstance(parts, Path)
    found = []
    for train, rest in folds(*parts[0]):
        model = row.estimator(**settings)
        assert isinstance(model, SequenceModel)
        found.append(evaluate(model.fit(*train), *rest))
    accuracy, loss = (np.mean([facts[key] for facts in found]) for key in ("accuracy", "log_loss"))
    return f"{accuracy:.2%}, log loss {loss:.4f}"


def measure(row: Row, data: Path, on: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train, and measure on the test or the validation part: the facts of one result."""
    model = row.estimator(**settings)
    parts = row.read(data)
    started, worked = time.perf_counter(), time.process_time()
    result: dict[str, Any]
    if isinstance(parts, Path):
        assert isinstance(model, LanguageModel)
        model.fit(parts)
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
        result = {"value": model.training_["validation_loss"], "count": None, "part": "validation"}
        parameters = count_parameters(model, len(model.vocabulary_))
    else:
        assert isinstance(model, SequenceModel)
        train, test = parts if on == "test" else split(*parts[0], VALIDATION)
        model.fit(*train)
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
        facts = evaluate(model, *test)
        result = {"value": facts["accuracy"], "f1_macro": facts["f1_macro"], "count": facts["count"], "part": on}
        constant = ("encoder.mean", "encoder.scale")  # of the data, not trained
        parameters = sum(a.size for name, a in model.weights_.items() if name not in constant)
    return {
        **result,
        "parameters": parameters,
        "seconds": round(seconds, 1),
        "processor_seconds": round(worked, 1),
        "steps": model.training_["steps"],
        "validation_loss": model.training_["validation_loss"],
        "settings": dict(settings),
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }


def said(row: Row, result: Mapping[str, Any]) -> str:
    """The result in words, with what was hoped for."""
    value, target = result["value"], row.target
    if row.unit == "accuracy":
        text = f"{value:.2%}" + (f", macro F1 {result['f1_macro']:.3f}" if row.f1 else "")
        if target is not None:
            text += f"; target {target:.1%}" + ("" if value >= target else f", missed by {target - value:.2%}")
        return text
    text = f"{value:.3f} {row.unit}"
    if target is not None:
        text += f"; target {target:.2f}" + ("" if value <= target else f", missed by {value - target:.3f}")
    return text


BEGIN, END = "<!-- rows: benchmarks/quality.py --page -->", "<!-- end of rows -->"
BEGIN_FORECASTS = "<!-- forecasts: benchmarks/quality.py --page -->"


def write_page(page: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the table of the results between the two marks of a page."""
    lines = ["| data | result | target | test | parameters | seconds | of the processor | `--only` |", "|---" * 8 + "|"]
    for name, row in ROWS.items():
        if name not in results:
            continue
        r = results[name]
        accuracy = row.unit == "accuracy"
        value = f"{r['value']:.2%}" if accuracy else f"{r['value']:.3f} nats"
        value += f" (macro F1 {r['f1_macro']:.3f})" if row.f1 else ""
        target = "" if row.target is None else f"{row.target:.1%}" if accuracy else f"{row.target:.2f} nats"
        if row.target is not None and (r["value"] < row.target if accuracy else r["value"] > row.target):
            target += " missed"
        count = f"{r['count']:,}" if r["count"] else "last tenth"
        lines.append(
            f"| {row.data} | {value} | {target} | {count} | {r['parameters']:,} | {r['seconds']:,.0f} | "
            f"{r['processor_seconds']:,.0f} | {name} |"
        )
    heads = ("data", "of the model", "of the best naive forecast", "MASE", "coverage of 80%", "forecasts", "parameters")
    forecasts = [f"| {' | '.join(heads)} | of the processor | `--only` |", "|---" * 9 + "|"]
    for name, row in FORECASTS.items():
        if name in results:
            r = results[name]
            mase, covered = (r["figures"].get(key) for key in ("mase", "coverage"))
            forecasts.append(
                f"| {row.data} | {r['value']:.4g} | {r['naive'][0]:.4g} ({r['naive'][1]}) | "
                f"{'' if mase is None else f'{mase:.3f}'} | {'' if covered is None else f'{covered:.0%}'} | "
                f"{r['count']:,} | {r['parameters']:,} | {r['processor_seconds']:,.0f} | {name} |"
            )
    text = page.read_text(encoding="utf-8")
    for begin, table in ((BEGIN, lines), (BEGIN_FORECASTS, forecasts)):
        before, rest = text.split(begin)
        _, after = rest.split(END, 1)
        text = f"{before}{begin}\n" + "\n".join(table) + f"\n{END}{after}"
    page.write_text(text, encoding="utf-8")


def measure_forecasts(name: str, data: Path, on: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train a forecaster, and measure it on the test or the validation part: the facts of one result."""
    started, worked = time.perf_counter(), time.process_time()
    found = FORECASTS[name].measure(data, on, settings)
    model = found.pop("model")
    return {
        "value": found["value"],
        "naive": found["naive"],
        "figures": found["figures"],
        "count": found["windows"],
        "part": on,
        "parameters": sum(a.size for array, a in model.weights_.items() if not array.startswith("encoder.")),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(time.process_time() - worked, 1),
        "steps": model.training_["steps"],
        "validation_loss": model.training_["validation_loss"],
        "settings": dict(settings),
        "threads": torch.get_num_threads(),
    }


def keep(path: Path | None, name: str, result: Mapping[str, Any]) -> None:
    """Put a result into a file of results, by name."""
    if path is not None:
        results = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**results, name: dict(result)}, indent=1) + "\n", encoding="utf-8")


def value_of(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as Python writes it, or a word."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*ROWS, *FORECASTS], default=[], help="a row; may be given again")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder with the data")
    parser.add_argument("--seconds", type=float, help="end training after so many seconds")
    parser.add_argument("--on", choices=("test", "validation", "folds"), default="test", help="what to measure on")
    parser.add_argument("--set", action="append", type=value_of, default=[], metavar="NAME=VALUE", help="another setting")
    parser.add_argument("--json", type=Path, help="a file of results to put these in, by name")
    parser.add_argument("--page", type=Path, help="write the table of --json (benchmarks/quality.json) into this page")
    parser.add_argument("--list", action="store_true", help="print the rows and their settings")
    options = parser.parse_args()
    if options.list:
        for name, row in ROWS.items():
            print(f"{name:18} {row.data}\n{'':18} {row.estimator(**row.settings)!r}")
    for name in options.only:
        if name in FORECASTS:
            result = measure_forecasts(name, options.data, options.on, {**FORECASTS[name].settings, **dict(options.set)})
            print(f"{name} ({options.on}): {json.dumps(result)}", flush=True)
            keep(options.json, name, result)
            continue
        row = ROWS[name]
        changed = dict(options.set) | ({"max_seconds": options.seconds} if options.seconds else {})
        settings = {**row.settings, **changed, "verbose": False}
        if options.on == "folds":
            print(f"{name} ({FOLDS} folds): {cross_validate(row, options.data, settings)}; {changed}", flush=True)
            continue
        result = measure(row, options.data, options.on, settings)
        result["command"] = f"python benchmarks/quality.py --only {name}" + "".join(
            f" --set {key}={value}" for key, value in dict(options.set).items()
        )
        print(
            f"{name} ({result['part']}): {said(row, result)}; {result['parameters']:,} parameters, "
            f"{result['seconds']:.0f} s, {result['processor_seconds']:.0f} s of the processor, "
            f"validation loss {result['validation_loss'] or float('nan'):.4f}" + (f"; {changed}" if changed else ""),
            flush=True,
        )
        keep(options.json, name, result)
    if options.page:
        write_page(options.page, json.loads((options.json or Path("benchmarks/quality.json")).read_text()))


if __name__ == "__main__":
    main()
