"""The estimators of sequences under scikit-learn's own checks, and inside its tools."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from gatewise import SequenceClassifier, SequenceRegressor

SMALL = {"hidden_size": 8, "verbose": False, "learning_rate": 0.03, "max_steps": 60}

# A sequence's length is not a number of features: what scikit-learn calls features are steps of one feature here.
EXEMPT = {
    "check_n_features_in": "n_features_in_ counts the features of a step; a matrix [N, T] has one",
    "check_n_features_in_after_fitting": "sequences may be longer or shorter in predict than in fit",
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn of sequences, so one of weight 2 is not two",
}
LEARNS_TO_A_SCORE = {  # these demand a score, and after it that sequences of other lengths are refused
    "check_classifiers_train": "sequences may be longer or shorter in predict than in fit",
    "check_regressors_train": "a linear map of ten numbers, one a step, is not learned in 60 steps",
}


with warnings.catch_warnings():  # inheriting from scikit-learn would make every import wait for it
    warnings.filterwarnings("ignore", message=".*does not inherit from `sklearn.base.BaseEstimator`")
    every_check = parametrize_with_checks(
        [SequenceClassifier(**SMALL), SequenceRegressor(**SMALL)],
        expected_failed_checks=lambda estimator: {**EXEMPT, **LEARNS_TO_A_SCORE},
    )


@every_check
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def sequences(count=60):
    """Sequences of different lengths, rising or falling."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, count)
    slope = np.where(y == 1, 1.0, -1.0)
    return [
        np.linspace(0, s, n) + 0.1 * rng.standard_normal(n) for s, n in zip(slope, rng.integers(4, 12, count), strict=True)
    ], y


def test_a_pipeline_a_search_and_cross_validation():
    X, y = sequences()
    scaled = Pipeline([
        ("scale", FunctionTransformer(lambda items: [10 * item for item in items])),
        ("classify", SequenceClassifier(**SMALL)),
    ])  # fmt: skip
    assert scaled.fit(X, y).score(X, y) > 0.9
    assert cross_val_score(SequenceClassifier(**SMALL), X, y, cv=3).min() > 0.8
    search = GridSearchCV(SequenceClassifier(**SMALL), {"hidden_size": [4, 8], "cell": ["gru", "lstm"]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8
    assert search.best_estimator_.hidden_size == search.best_params_["hidden_size"]


@pytest.mark.parametrize("weights", [{"dislike": 1.0, "like": 30.0}, "balanced"])
def test_class_weights_move_the_answer_towards_the_heavier_class(weights):
    texts = ["good film"] * 5 + ["bad film"] * 55
    labels = ["like"] * 5 + ["dislike"] * 55
    plain = SequenceClassifier(**SMALL).fit(texts, labels).predict_proba(["film"])[0, 1]
    heavy = SequenceClassifier(**SMALL, class_weight=weights).fit(texts, labels).predict_proba(["film"])[0, 1]
    assert heavy > 2 * plain


def test_a_sequence_of_weight_zero_teaches_nothing():
    X, y = sequences(40)
    wrong = np.append(y, 1 - y)
    weight = np.append(np.ones(40), np.zeros(40))
    model = SequenceClassifier(**SMALL).fit([*X, *X], wrong, sample_weight=weight)
    assert model.score(X, y) > 0.95
