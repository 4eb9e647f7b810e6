"""Labels and their numbers."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from ..errors import GatewiseError, ParameterError


def learn_classes(labels: Any, name: str = "y") -> np.ndarray:
    """The distinct labels, sorted: strings, whole numbers or truth values.

    Raises:
        GatewiseError: there is only one, or they are of other kinds.
    """
    array = as_labels(labels)
    if array.ndim != 1:
        raise GatewiseError(f"{name} should be a 1d array of labels, got an array of shape {array.shape} instead")
    if array.dtype.kind == "O" and not all(isinstance(label, str) for label in array):
        raise GatewiseError(f"Unknown label type: {name} mixes strings with other things, or misses some labels")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise GatewiseError(f"{name} contains NaN or infinity")
        if (array != np.round(array)).any():
            raise GatewiseError(
                f"Unknown label type: {name} has numbers with fractions; classes are whole numbers or strings "
                "(for numbers to predict take SequenceRegressor)"
            )
    classes = np.unique(array.astype(str) if array.dtype.kind == "O" else array)
    if len(classes) < 2:
        raise GatewiseError(f"{name} has only one class, {classes[0]}: there is nothing to learn")
    return classes


def numbers_of(labels: Any, classes: np.ndarray, name: str = "y") -> np.ndarray:
    """The number of each label among the classes.

    Raises:
        GatewiseError: a label is none of them.
    """
    array = as_labels(labels)
    if array.dtype.kind == "O":
        array = array.astype(str)
    places = np.minimum(np.searchsorted(classes, array), len(classes) - 1)
    wrong = np.flatnonzero(classes[places] != array)
    if len(wrong):
        unseen = sorted({str(label) for label in array[wrong]})
        where = f"{name}[{wrong[0]}]" + (f" and {len(wrong) - 1} others have" if len(wrong) > 1 else " has")
        raise GatewiseError(f"{where} a label that was not there in fit: {', '.join(unseen[:5])}")
    return places


def balance(classes: np.ndarray, counts: np.ndarray, class_weight: Any) -> np.ndarray:
    """The weight of each class: ``"balanced"`` makes all classes count the same, a dict gives weights by label."""
    if class_weight is None:
        return np.ones(len(classes))
    if class_weight == "balanced":
        return counts.sum() / (len(classes) * counts)
    if not isinstance(class_weight, dict):
        raise ParameterError(f"class_weight is {class_weight!r}; it must be 'balanced', a dict of weights by label, or None")
    unknown = [label for label in class_weight if label not in classes.tolist()]
    if unknown:
        raise ParameterError(f"class_weight has the label {unknown[0]!r}, which y does not have")
    return np.array([float(class_weight.get(label, 1.0)) for label in classes.tolist()])


def as_labels(labels: Any) -> np.ndarray:
    """Labels as an array; a column [N, 1] as [N], with scikit-learn's warning where it is in use."""
    array = np.asarray(labels)
    if array.dtype.kind in "US" and not isinstance(labels, np.ndarray) and not all(isinstance(v, str) for v in labels):
        array = np.array(labels, object)  # NumPy would have made "nan" of a missing label, and "3" of 3
    if array.ndim == 2 and array.shape[1] == 1:
        kind = getattr(sys.modules.get("sklearn.exceptions"), "DataConversionWarning", UserWarning)
        warnings.warn("A column-vector y was passed when a 1d array was expected", kind, stacklevel=2)
        return array[:, 0]
    return array
