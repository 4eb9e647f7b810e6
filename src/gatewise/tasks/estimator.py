"""The manners of a scikit-learn estimator, without needing scikit-learn to run a model.

A hyper-parameter is one line of a class: its type, its default, what it means and what it may be. From that line come the
constructor, the docstring, the check before training, and the option of the command line.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Collection
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, Self, TypeGuard, dataclass_transform, get_args, get_origin, get_type_hints

from ..errors import ParameterError, not_fitted_error


def option(
    text: str,
    *,
    default: Any,
    at_least: float | None = None,
    above: float | None = None,
    below: float = float("inf"),
    kw_only: bool = True,
    bare: Any = None,
) -> Any:
    """A hyper-parameter of an `Estimator`.

    Args:
        text: what it means, in whole sentences.
        at_least, above, below: the numbers allowed; of the first two at most one. The type of the field says the rest:
            ``int``, ``float``, one of a ``Literal``'s values, and whether None is allowed.
        kw_only: False lets it be given by position.
        bare: what its option on the command line stands for where it has no value.
    """
    meaning = {"text": text, "at_least": at_least, "above": above, "below": below, "bare": bare}
    return field(default=default, kw_only=kw_only, metadata=meaning)


def other_default(owner: type[Estimator], name: str, *, default: Any, more: str = "") -> Any:
    """The option of another class with another default, and perhaps one more sentence about it."""
    known = owner.__dataclass_fields__[name]
    text = f"{known.metadata['text']} {more}".strip()
    return field(default=default, kw_only=bool(known.kw_only), metadata={**known.metadata, "text": text})


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(option, other_default))
@dataclass(eq=False, repr=False, kw_only=True)
class Estimator:
    """Base of all estimators: the constructor stores its arguments as they are, and does nothing else.

    `get_params` and `set_params` work as in scikit-learn, so `sklearn.base.clone` and its searches do too. Subclasses
    write their hyper-parameters as fields, with `option`; ``{parameters}`` in their docstring is replaced by the list.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(eq=False, repr=False, kw_only=True)(cls)
        if cls.__doc__:
            text = "\n".join(f"{f.name}\n" + _wrapped(f.metadata["text"]) for f in fields(cls))
            section = textwrap.indent(f"Parameters\n----------\n{text}", "    ").lstrip()
            cls.__doc__ = cls.__doc__.replace("{parameters}", section)

    @classmethod
    def parameters(cls) -> dict[str, inspect.Parameter]:
        """The constructor's arguments, in order: names, annotations and defaults."""
        found = dict(inspect.signature(cls.__init__).parameters)
        found.pop("self")
        return found

    @classmethod
    def parameter_help(cls) -> dict[str, str]:
        """What each hyper-parameter means."""
        return {f.name: f.metadata["text"] for f in fields(cls)}

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

    def check_parameters(self) -> None:
        """Raise a `ParameterError` for the first hyper-parameter that has a value it cannot have."""
        hints = get_type_hints(type(self))
        for f in fields(self):
            kinds = get_args(hints[f.name]) if get_origin(hints[f.name]) is not Literal else (hints[f.name],)
            kinds = kinds or (hints[f.name],)
            value, optional = getattr(self, f.name), NoneType in kinds
            if value is None and optional:
                continue
            for kind in kinds:
                if get_origin(kind) is Literal:
                    check_choice(f.name, value, get_args(kind))
                elif kind in (int, float):
                    check_number(f.name, value, _range(f), whole=kind is int, optional=optional)

    def check_is_fitted(self) -> None:
        """Raise `NotFittedError` before `fit`."""
        if not hasattr(self, "weights_"):
            raise not_fitted_error()(f"this {type(self).__name__} is not fitted: call fit, or gatewise.load a model file")

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}" for name, value in self.get_params().items() if value != self.parameters()[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


Range = tuple[float, bool, float]  # the smallest number, whether it is allowed itself, the number that all are below


def _range(of: Field[Any]) -> Range:
    m = of.metadata
    low = m["above"] if m["above"] is not None else m["at_least"] if m["at_least"] is not None else -float("inf")
    return low, m["above"] is None, m["below"]


def check_number(name: str, value: Any, within: Range, *, whole: bool = False, optional: bool = False) -> None:
    """Raise a `ParameterError` unless ``value`` is a number in the range.

    Args:
        whole: whether it must be an integer.
        optional: whether None is allowed.
    """
    if value is None and optional:
        return
    low, included, below = within
    if _is_number(value, whole) and low <= value < below and (included or value != low):
        return
    wanted = "a whole number" if whole else "a number"
    if low > -float("inf"):
        wanted += f" of at least {low:g}" if included else f" above {low:g}"
    wanted += f" and below {below:g}" if below < float("inf") else ""
    raise ParameterError(f"{name} is {value!r}; it must be {wanted}{', or None' if optional else ''}")


def _is_number(value: Any, whole: bool) -> TypeGuard[float]:
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool)


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise a `ParameterError` unless ``value`` is one of the choices."""
    if value not in choices:
        raise ParameterError(f"{name} is {value!r}; it must be one of: {', '.join(choices)}")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 112, initial_indent="    ", subsequent_indent="    ")
