"""Sequences of different lengths: what a caller may pass, and batches of about equal lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import GatewiseError, require

FEWEST_HELD_OUT = 20  # sequences: the loss on fewer tells little
POOL = 32  # batches among which sequences are sorted by length: more pads less, fewer mixes better


@dataclass(frozen=True)
class Sequences:
    """What `read_sequences` made of a caller's X.

    Attributes:
        kind: ``"text"`` (strings), ``"tokens"`` (lists of strings) or ``"features"`` (float32 arrays [T, F]).
        items: one a sequence.
    """

    kind: Literal["text", "tokens", "features"]
    items: list[Any]

    @property
    def width(self) -> int:
        """Features a step, F."""
        return self.items[0].shape[1]

    def __len__(self) -> int:
        return len(self.items)


def read_sequences(X: Any, name: str = "X") -> Sequences:
    """Make sequences of a list of strings, of lists of strings, of arrays [T, F] or [T] (one feature); of one array
    [N, T, F] or [N, T]; or of a dataframe's column of any of these.

    Raises:
        GatewiseError: it is none of them; a number is missing or infinite; sequences have different features; one is empty.
    """
    X = _from_column(X, name)
    if isinstance(X, str | bytes):
        raise GatewiseError(f"{name} is one string; it must be a list of them")
    if hasattr(X, "toarray"):
        raise GatewiseError(f"{name} is a sparse matrix; sequences must be dense: pass {name}.toarray()")
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUS" and X.ndim == 1:
        X = X.tolist()
    if isinstance(X, np.ndarray) or not isinstance(X, Sequence):
        items: list[Any] = list(_from_array(X, name))
    else:
        items = list(X)
    if not items:
        raise GatewiseError(f"{name} has 0 sequences; a minimum of 1 is required")
    if all(isinstance(item, str) for item in items):
        return Sequences("text", items)
    if all(isinstance(item, list | tuple) and item and isinstance(item[0], str) for item in items):
        for k, item in enumerate(items):
            if not all(isinstance(token, str) for token in item):
                raise GatewiseError(f"{name}[{k}] mixes strings with other things")
        return Sequences("tokens", [list(item) for item in items])
    if any(isinstance(item, list | tuple) and item and isinstance(item[0], str) for item in items):
        for k, item in enumerate(items):
            if isinstance(item, list | tuple) and not item:
                raise GatewiseError(f"{name}[{k}] is empty: a sequence needs at least one step")
    arrays = [_features(item, f"{name}[{k}]") for k, item in enumerate(items)]
    widths = {a.shape[1] for a in arrays}
    if len(widths) > 1:
        at = next(k for k, a in enumerate(arrays) if a.shape[1] != arrays[0].shape[1])
        raise GatewiseError(
            f"{name}[0] has {arrays[0].shape[1]} features a step, {name}[{at}] has {arrays[at].shape[1]}: "
            "all sequences must have the same"
        )
    return Sequences("features", arrays)


def _from_column(X: Any, name: str) -> Any:
    """The values of a dataframe's column, or of a dataframe with one column; anything else as it is."""
    if isinstance(X, np.ndarray | list | tuple | str | bytes) or (not hasattr(X, "columns") and not hasattr(X, "to_list")):
        return X
    narwhals = require("narwhals", "train", "reading a dataframe")
    found = narwhals.from_native(X, allow_series=True, eager_only=True, pass_through=True)
    if isinstance(found, narwhals.DataFrame):
        if all(kind.is_numeric() for kind in found.schema.values()):
            return found.to_numpy()
        if len(found.columns) == 1:
            return found[found.columns[0]].to_list()
        raise GatewiseError(f"{name} is a dataframe with {len(found.columns)} columns: pass the one with the sequences")
    return found.to_list() if isinstance(found, narwhals.Series) else X


def _from_array(X: Any, name: str) -> np.ndarray:
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise GatewiseError(f"Complex data not supported: {name} has complex numbers")
    if array.ndim not in (2, 3):
        raise GatewiseError(
            f"{name} has {array.ndim} dimensions; it must be [N, T, F], or [N, T] for one feature a step. "
            f"Reshape your data, with {name}.reshape(1, -1) if it is one sequence"
        )
    if array.shape[0] == 0:
        raise GatewiseError(f"{name} has 0 sequences (shape={array.shape}) while a minimum of 1 is required.")
    if array.shape[1] == 0 or array.shape[-1] == 0:
        raise GatewiseError(f"{name} has 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    return array


def _features(item: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(item)
        if array.dtype.kind == "c":
            raise GatewiseError(f"Complex data not supported: {name} has complex numbers")
        array = array.astype(np.float32)
    except (TypeError, ValueError) as error:
        if isinstance(error, GatewiseError):
            raise
        raise GatewiseError(f"{name} is not numbers, not a string and not a list of strings: {error}") from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise GatewiseError(f"{name} has {array.ndim} dimensions; a sequence is [T, F], or [T] for one feature a step")
    if not len(array):
        raise GatewiseError(f"{name} is empty: a sequence needs at least one step")
    if not np.isfinite(array).all():
        step, feature = np.argwhere(~np.isfinite(array))[0]
        what = "NaN" if np.isnan(array[step, feature]) else "infinity"
        raise GatewiseError(f"{name} contains {what} at step {step}, feature {feature}: fill it or leave the sequence out")
    return array


class Buckets:
    """Batches of sequences of about equal lengths, in another order each epoch.

    Args:
        lengths: the steps of every sequence.
        batch_size: sequences a batch.
        seed: fixes all orders.

    >>> Buckets(np.array([3, 1, 3, 1]), 2, seed=0).batch(epoch=0, index=0).tolist() in ([0, 2], [1, 3], [2, 0], [3, 1])
    True
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = np.asarray(lengths), batch_size, seed
        self._epoch: int | None = None
        self._batches: list[np.ndarray] = []

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def batch(self, epoch: int, index: int) -> np.ndarray:
        """The sequences of a batch. It depends on the arguments alone."""
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._deal(np.random.default_rng([self.seed, epoch]))
        return self._batches[index]

    def _deal(self, random: np.random.Generator) -> list[np.ndarray]:
        order = random.permutation(len(self.lengths))
        pool = POOL * self.batch_size
        parts = [order[k : k + pool] for k in range(0, len(order), pool)]
        order = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in parts])
        batches = [order[k : k + self.batch_size] for k in range(0, len(order), self.batch_size)]
        return [batches[k] for k in random.permutation(len(batches))]


def by_length(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """The numbers of all sequences in batches, the longest first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def hold_out(count: int, fraction: float, seed: int, labels: np.ndarray | None = None) -> np.ndarray:
    """Which of so many sequences to hold out [N]: a share of all, or, with labels [N], of each class, which always keeps one
    to train on. None at all where they would be fewer than `FEWEST_HELD_OUT`."""
    random = np.random.default_rng([seed, 1])
    held_out = np.zeros(count, bool)
    if count * fraction < FEWEST_HELD_OUT:
        return held_out
    groups = [np.arange(count)] if labels is None else [np.flatnonzero(labels == label) for label in np.unique(labels)]
    owed = 0.0  # carried from class to class, so that many small ones together give their share
    for group in groups:
        owed += len(group) * fraction
        chosen = max(0, min(round(owed), len(group) - 1))
        held_out[random.permutation(group)[:chosen]] = True
        owed -= chosen
    return held_out


def within(steps: int, lengths: np.ndarray) -> np.ndarray:
    """Which of so many steps lie within the lengths of their rows: [steps, B].

    >>> within(3, np.array([1, 3])).T.tolist()
    [[True, False, False], [True, True, True]]
    """
    return np.arange(steps)[:, None] < lengths


def pad(items: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Arrays [T_i, ...] side by side with zeros after their ends: [T, B, ...], and their lengths unless all are equal."""
    lengths = np.array([len(item) for item in items])
    padded = np.zeros((int(lengths.max()), len(items), *items[0].shape[1:]), items[0].dtype)
    for row, item in enumerate(items):
        padded[: len(item), row] = item
    return padded, None if (lengths == len(padded)).all() else lengths
