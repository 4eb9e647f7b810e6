"""One label a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..data.sequences import Sequences
from ..errors import GatewiseError
from ..runtime.network import log_softmax
from .labels import as_labels
from .sequences import WithClasses, WithReadout, check_count, column


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Of each class [N, C], from scores [N, C], or [N, 1] of the second of two."""
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], 1)
    return np.exp(log_softmax(scores))


class SequenceClassifier(WithClasses, WithReadout):
    """A recurrent network that says to which class a sequence belongs.

    Texts, or sequences of numbers, of any length. Trained with cross-entropy, on batches of sequences of about equal
    lengths; two classes have one sigmoid unit, more have a softmax. A part of the sequences is held out, as many of every
    class, and the weights with the lowest loss there are kept.

    {parameters}

    Attributes
    ----------
    classes_
        The labels, sorted.
    vocabulary_
        The tokens of texts, a `gatewise.data.lexicon.Lexicon`; None for numbers.
    n_features_in_
        Features a step, where X has numbers.
    architecture_, weights_, history_, training_
        As in `LanguageModel`; losses are in nats a sequence.

    Examples
    --------
    >>> texts = ["what a good film", "good, good fun", "a bad film", "bad acting, bad film"] * 8
    >>> model = SequenceClassifier(hidden_size=8, max_steps=60, learning_rate=0.02, verbose=False)
    >>> model = model.fit(texts, ["like", "like", "dislike", "dislike"] * 8)
    >>> model.predict(["good acting", "a bad one"]).tolist()
    ['like', 'dislike']
    """

    task: ClassVar[str] = "classify"

    @property
    def objective(self) -> str:
        return "binary" if len(self.classes_) == 2 else "classes"

    @property
    def outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def number_targets(self, y: Any, sequences: Sequences, number: Callable[[Any], np.ndarray]) -> np.ndarray:
        labels = column(y)
        check_count(labels, sequences)
        return number(labels)

    def target_weights(self, targets: np.ndarray, trained: np.ndarray) -> np.ndarray:
        return self.class_weights(targets[trained])[targets]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class [N, classes], in the order of `classes_`. X is as in `fit`."""
        self.check_is_fitted()
        return probabilities(self.scores_of_sequences(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """The network's scores (logits): [N] of the second class where there are two, else [N, classes]."""
        self.check_is_fitted()
        scores = self.scores_of_sequences(X)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sequence [N]."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of sequences that `predict` gets right, weighted if weights are given."""
        truth = as_labels(column(y))
        if (truth.dtype.kind in "US") != (self.classes_.dtype.kind in "US"):
            raise GatewiseError(f"y has labels of type {truth.dtype}, fit had {self.classes_.dtype}: give the same")
        return float(np.average(self.predict(X) == truth, weights=sample_weight))

    def meaning_of_scores(self) -> dict[str, Any]:
        return {"names": tuple(map(str, self.classes_)), "kind": "probability", "say": probabilities}

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags
