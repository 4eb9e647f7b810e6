"""One number, or several, a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ..data.sequences import Sequences
from ..errors import GatewiseError
from .estimator import option
from .sequences import WithReadout, check_count, column


def r2(truth: np.ndarray, found: np.ndarray, weights: Any = None) -> float:
    """R², the share of the variance that is predicted; the mean over columns."""
    residual = np.average((truth - found) ** 2, axis=0, weights=weights)
    variance = np.average((truth - np.average(truth, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    return float(np.mean(1 - residual / np.where(variance > 0, variance, np.nan)))


def numbers_like(y: Any, found: np.ndarray) -> np.ndarray:
    """What is true, in the shape of what was predicted: [N] and [N, 1] are the same."""
    truth = np.asarray(column(y), np.float64)
    if truth.size != found.size or len(truth) != len(found):
        raise GatewiseError(f"y has the shape {truth.shape}, the predictions have {found.shape}")
    return truth.reshape(found.shape)


class SequenceRegressor(WithReadout):
    """A recurrent network that says a number, or several, of a sequence.

    As `SequenceClassifier`, but y is numbers [N] or [N, K]. They are scaled by their mean and standard deviation in the
    training data, so the loss is in their variances.

    {parameters}

    Attributes
    ----------
    target_mean_, target_scale_
        Mean and standard deviation of y in the training data, [K].
    vocabulary_, n_features_in_, architecture_, weights_, history_, training_
        As in `SequenceClassifier`.

    Examples
    --------
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> model = SequenceRegressor(hidden_size=16, max_steps=300, learning_rate=0.02, verbose=False).fit(X, X.sum(1))
    >>> model.score(X, X.sum(1)) > 0.9
    True
    """

    task: ClassVar[str] = "regress"

    loss: Literal["squared_error", "absolute_error", "huber"] = option(
        "What is made small: the mean squared error, the mean absolute error, or Huber's between them.",
        default="squared_error",
    )

    @property
    def objective(self) -> str:
        return self.loss

    @property
    def outputs(self) -> int:
        return len(self.target_mean_)

    def learn_targets(self, y: Any, sequences: Sequences) -> np.ndarray:
        numbers = self._numbers(y, sequences)
        self._single = numbers.ndim == 1
        return numbers.reshape(len(numbers), -1)

    def known_targets(self, y: Any, sequences: Sequences) -> np.ndarray:
        numbers = self._numbers(y, sequences)
        return self._standardised(numbers.reshape(len(numbers), -1))

    def _numbers(self, y: Any, sequences: Sequences) -> np.ndarray:
        try:
            numbers = np.asarray(column(y), np.float64)
        except (TypeError, ValueError):
            raise GatewiseError("y is not numbers (for labels take SequenceClassifier)") from None
        if numbers.ndim not in (1, 2):
            raise GatewiseError(f"y must be [N] or [N, K], got an array of shape {numbers.shape}")
        check_count(numbers, sequences)
        if not np.isfinite(numbers).all():
            raise GatewiseError(f"y[{int(np.argwhere(~np.isfinite(numbers))[0][0])}] contains NaN or infinity")
        return numbers

    def scale_targets(self, targets: np.ndarray, trained: np.ndarray) -> np.ndarray:
        self.target_mean_, scale = targets[trained].mean(0), targets[trained].std(0)
        self.target_scale_ = np.where(scale > 0, scale, 1.0)
        return self._standardised(targets)

    def _standardised(self, numbers: np.ndarray) -> np.ndarray:
        return (numbers - self.target_mean_) / self.target_scale_

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each sequence: [N], or [N, K] where y was so."""
        self.check_is_fitted()
        found = self.scores_of_sequences(X) * self.target_scale_ + self.target_mean_
        return found[:, 0] if self._single else found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², the share of y's variance that is predicted; the mean over K numbers."""
        found = self.predict(X)
        truth = numbers_like(y, found)
        return r2(truth, found, sample_weight)

    def meaning_of_scores(self) -> dict[str, Any]:
        scale, mean = self.target_scale_, self.target_mean_
        names = ("y",) if self._single else tuple(f"y[{k}]" for k in range(len(mean)))
        linear = {"columns": np.arange(len(mean)), "scale": scale, "offset": mean}
        return {"names": names, "kind": "number", "say": lambda scores: scores * scale + mean, **linear}

    def learned(self) -> dict[str, Any]:
        target = {"mean": self.target_mean_.tolist(), "scale": self.target_scale_.tolist(), "single": self._single}
        return {**super().learned(), "target": target}

    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(learned, arrays)
        target = learned["target"]
        self.target_mean_, self.target_scale_ = np.array(target["mean"]), np.array(target["scale"])
        self._single = target["single"]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import RegressorTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.target_tags.multi_output = True
        return tags
