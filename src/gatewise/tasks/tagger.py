"""One label a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..data.sequences import Sequences
from ..errors import GatewiseError, ParameterError
from ..runtime.network import log_softmax
from .estimator import other_default
from .sequences import SequenceModel, WithClasses, check_count, column


class SequenceTagger(WithClasses):
    """A recurrent network that gives every step of a sequence a label.

    X has lists of words, texts (a label a character), or sequences of numbers; y has a list of labels for each, as long as
    it. Trained with cross-entropy over the steps.

    {parameters}

    Attributes
    ----------
    classes_
        The labels, sorted.
    vocabulary_, n_features_in_, architecture_, weights_, history_, training_
        As in `SequenceClassifier`; losses are in nats a step.

    Examples
    --------
    >>> X = [["the", "old", "man"], ["a", "cat"], ["an", "old", "cat"]] * 8
    >>> y = [["DET", "ADJ", "NOUN"], ["DET", "NOUN"], ["DET", "ADJ", "NOUN"]] * 8
    >>> model = SequenceTagger(hidden_size=8, max_steps=60, learning_rate=0.02, verbose=False).fit(X, y)
    >>> model.predict([["an", "old", "man"]])
    [['DET', 'ADJ', 'NOUN']]
    """

    task: ClassVar[str] = "tag"

    bidirectional: bool = other_default(SequenceModel, "bidirectional", default=True)
    min_count: int = other_default(SequenceModel, "min_count", default=2)
    spelling_size: int | None = other_default(SequenceModel, "spelling_size", default=32)

    @property
    def objective(self) -> str:
        return "tags"

    @property
    def outputs(self) -> int:
        return len(self.classes_)

    def check_parameters(self) -> None:
        super().check_parameters()
        for name in ("max_length", "convolution_stride"):
            if getattr(self, name) != self.parameters()[name].default:
                raise ParameterError(f"{name} is {getattr(self, name)}; every step has a label, so none can be left out")

    def number_targets(self, y: Any, sequences: Sequences, number: Callable[[Any], np.ndarray]) -> list[np.ndarray]:
        if sequences.kind == "text" and self.level != "char":
            raise ParameterError("of a text each character has a label: give level='char', or X as lists of words")
        lists = [column(labels) for labels in column(y)]
        check_count(lists, sequences)
        for k, (labels, item) in enumerate(zip(lists, sequences.items, strict=True)):
            if len(labels) != len(item):
                raise GatewiseError(f"X[{k}] has {len(item)} steps, y[{k}] has {len(labels)} labels")
        flat = [label for labels in lists for label in labels]
        ends = np.cumsum([len(labels) for labels in lists])
        return np.split(number(flat), ends[:-1])

    def step_weights(self, targets: list[np.ndarray], trained: np.ndarray) -> np.ndarray:
        return self.class_weights(np.concatenate([targets[row] for row in np.flatnonzero(trained)]))

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """The probability of each label at each step: an array [T, classes] a sequence."""
        found: dict[int, np.ndarray] = {}
        for rows, scores, lengths in self.scores(X):
            p = np.exp(log_softmax(scores))
            found.update((row, p[:n, k]) for k, (row, n) in enumerate(zip(rows, lengths, strict=True)))
        return [found[row] for row in range(len(found))]

    def predict(self, X: Any) -> list[list[Any]]:
        """The likeliest label of each step: a list a sequence."""
        return [self.classes_[p.argmax(1)].tolist() for p in self.predict_proba(X)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of steps whose label `predict` gets right; weights are of sequences."""
        found, truth = self.predict(X), [list(column(labels)) for labels in column(y)]
        weights = np.ones(len(found)) if sample_weight is None else np.asarray(sample_weight)
        hits = [sum(a == b for a, b in zip(f, t, strict=True)) for f, t in zip(found, truth, strict=True)]
        return float((weights * hits).sum() / (weights * [len(t) for t in truth]).sum())

    def meaning_of_scores(self) -> dict[str, Any]:
        def say(scores: np.ndarray) -> np.ndarray:
            return np.exp(log_softmax(scores[:, 0]))

        return {"names": tuple(map(str, self.classes_)), "kind": "probability", "say": say}
