"""The manners of a scikit-learn estimator, without needing scikit-learn to run a model."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any, Self, TypeGuard

from ..errors import NotFittedError, ParameterError


class Estimator:
    """Base of all estimators: the constructor stores its arguments as they are, and does nothing else.

    `get_params` and `set_params` work as in scikit-learn, so `sklearn.base.clone` and its searches do too.
    """

    @classmethod
    def parameters(cls) -> dict[str, inspect.Parameter]:
        """The constructor's arguments, in order: names, annotations and defaults."""
        found = dict(inspect.signature(cls.__init__).parameters)
        found.pop("self")
        return found

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters by name. ``deep`` is there for scikit-learn; no parameter is an estimator."""
        return {name: getattr(self, name) for name in self.parameters()}

    def set_params(self, **parameters: Any) -> Self:
        """Change hyper-parameters; returns the estimator.

        Raises:
            ParameterError: there is no such parameter.
        """
        known = self.parameters()
        for name, value in parameters.items():
            if name not in known:
                raise ParameterError(f"{type(self).__name__} has no parameter {name!r}; it has: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def check_is_fitted(self) -> None:
        """Raise `NotFittedError` before `fit`."""
        if not hasattr(self, "weights_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted: call fit, or gatewise.load a model file")

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}" for name, value in self.get_params().items() if value != self.parameters()[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def check_number(
    name: str,
    value: Any,
    low: float,
    *,
    above: bool = False,
    below: float = float("inf"),
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Raise a `ParameterError` unless ``value`` is a number in the range.

    Args:
        low: the smallest value allowed; excluded when ``above``.
        below: the value must be smaller than this.
        whole: whether it must be an integer.
        optional: whether None is allowed.
    """
    if value is None and optional:
        return
    if _is_number(value, whole) and low <= value < below and not (above and value == low):
        return
    wanted = "a whole number" if whole else "a number"
    wanted += f" above {low:g}" if above else f" of at least {low:g}"
    wanted += f" and below {below:g}" if below < float("inf") else ""
    raise ParameterError(f"{name} is {value!r}; it must be {wanted}{', or None' if optional else ''}")


def _is_number(value: Any, whole: bool) -> TypeGuard[float]:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise a `ParameterError` unless ``value`` is one of the choices."""
    if value not in choices:
        raise ParameterError(f"{name} is {value!r}; it must be one of: {', '.join(choices)}")
