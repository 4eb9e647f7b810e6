"""How good the predictions of sequences are, beside what always saying the same would reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GatewiseError, require
from .classifier import SequenceClassifier
from .labels import numbers_of
from .regressor import SequenceRegressor, numbers_like, r2
from .sequences import SequenceModel, column
from .tagger import SequenceTagger

BINS = 10  # of confidence, for calibration


def evaluate(model: SequenceModel, X: Any, y: Any) -> dict[str, Any]:
    """Measure a fitted model on labelled sequences.

    Args:
        model: a fitted classifier, tagger or regressor.
        X, y: as in its ``fit``.

    Returns:
        For classes: accuracy, macro and weighted F1, log loss in nats, and calibration error (the mean distance of
        confidence and accuracy over `BINS` bins of confidence; Guo et al., arXiv 1706.04599, eq. 3); all but the last of a
        baseline too, which always says the most frequent label of these data, for the log loss their shares; precision,
        recall, F1 and count of each class; the confusion matrix, a row a true class. For numbers: MAE, RMSE, R², and the
        MAE and RMSE of always saying the training data's mean.

    Raises:
        GatewiseError: there are labels that were not there in ``fit``.
        MissingExtra: scikit-learn is not installed.
    """
    if isinstance(model, SequenceRegressor):
        return _of_numbers(model, X, y)
    if isinstance(model, SequenceTagger):
        found = model.predict_proba(X)
        lists = [column(labels) for labels in column(y)]
        if len(lists) != len(found):
            raise GatewiseError(f"X has {len(found)} sequences, y has {len(lists)} lists of labels")
        for k, (said, labels) in enumerate(zip(found, lists, strict=True)):
            if len(said) != len(labels):
                raise GatewiseError(f"X[{k}] has {len(said)} steps, y[{k}] has {len(labels)} labels")
        p, truth = np.concatenate(found), numbers_of([label for labels in lists for label in labels], model.classes_)
    elif isinstance(model, SequenceClassifier):
        p, truth = model.predict_proba(X), numbers_of(column(y), model.classes_)
        if len(p) != len(truth):
            raise GatewiseError(f"X has {len(p)} sequences, y has {len(truth)} labels")
    else:
        raise GatewiseError(f"a {type(model).__name__} has no labels to compare with")
    return _of_classes(p, truth, model.classes_)


def _of_classes(p: np.ndarray, truth: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    metrics: Any = require("sklearn.metrics", "train", "measuring predictions")
    found, numbers = p.argmax(1), np.arange(len(classes))
    names = [str(label) for label in classes]
    scores = metrics.precision_recall_fscore_support(truth, found, labels=numbers, zero_division=0.0)
    precision, recall, f1, count = map(np.asarray, scores)
    present, share = count > 0, count / len(truth)
    # Always saying the most frequent label: all of it is found, and it is right as often as it is there.
    baseline = 2 * share.max() / (1 + share.max())
    return {
        "count": len(truth),
        "accuracy": float((found == truth).mean()),
        "f1_macro": float(np.mean(f1[present])),
        "f1_weighted": float(np.average(f1, weights=count)),
        "log_loss": float(-np.log(np.maximum(p[np.arange(len(p)), truth], 1e-300)).mean()),
        "calibration_error": calibration_error(p.max(1), found == truth),
        "baseline_accuracy": float(share.max()),
        "baseline_f1_macro": float(baseline / present.sum()),
        "baseline_f1_weighted": float(baseline * share.max()),
        "baseline_log_loss": float(-(share[present] * np.log(share[present])).sum()),
        "classes": {
            name: {"precision": float(a), "recall": float(b), "f1": float(c), "count": int(n)}
            for name, a, b, c, n in zip(names, precision, recall, f1, count, strict=True)
        },
        "confusion": metrics.confusion_matrix(truth, found, labels=numbers).tolist(),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The distance of confidence and share of right answers, over bins of confidence, weighted by their counts.

    >>> round(calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, True, True, False])), 6)
    0.1
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gap).sum() / len(confidence))


def _of_numbers(model: SequenceRegressor, X: Any, y: Any) -> dict[str, Any]:
    found = model.predict(X)
    truth = numbers_like(y, found)
    error = found - truth
    baseline = (model.target_mean_ if truth.ndim == 2 else model.target_mean_[0]) - truth
    return {
        "count": len(truth),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": r2(truth, found),
        "baseline_mae": float(np.abs(baseline).mean()),
        "baseline_rmse": float(np.sqrt((baseline**2).mean())),
    }
