"""The errors that a user can cause, each with a message of one line that says what to do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from types import ModuleType


class GatewiseError(ValueError):
    """Something that the caller gave cannot be used; the message is one line and names the remedy."""


class ParameterError(GatewiseError):
    """A hyper-parameter or an option has a value that it cannot have."""


class FileError(GatewiseError):
    """A file is missing, unreadable, damaged, or not what it should be."""


class NotFittedError(GatewiseError, AttributeError):
    """An estimator was asked for what it learns in ``fit`` before it was fitted."""


def not_fitted_error() -> type[NotFittedError]:
    """`NotFittedError`; where scikit-learn is in use, one that is its error of this name too."""
    sklearn = sys.modules.get("sklearn.exceptions")
    return NotFittedError if sklearn is None else type("NotFittedError", (NotFittedError, sklearn.NotFittedError), {})


def meant(name: str, names: Iterable[str]) -> str:
    """What a message about an unknown name goes on with: the nearest of the known names, or nothing.

    >>> meant("lstn", ["rnn", "lstm", "gru"])
    "; did you mean 'lstm'?"
    >>> meant("transformer", ["rnn", "lstm", "gru"])
    ''
    """
    from difflib import get_close_matches

    near = get_close_matches(name, list(names), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


class MissingExtra(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


def require(module_name: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say how to install it.

    Args:
        module_name: the module to import, for example ``"torch"``.
        extra: the extra of this package that installs it, for example ``"train"``.
        purpose: what needs it, as the subject of a sentence, for example ``"training"``.

    Returns:
        The imported module.

    Raises:
        MissingExtra: the module is not installed.

    >>> require("json", "train", "training").__name__
    'json'
    >>> require("not_installed", "train", "training")
    Traceback (most recent call last):
        ...
    gatewise.errors.MissingExtra: training needs not-installed: pip install 'gatewise[train]'
    """
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is installed but lacks a dependency of its own is another fault: show it as it is.
        if error.name is None or error.name.partition(".")[0] != module_name.partition(".")[0]:
            raise
        package = module_name.partition(".")[0].replace("_", "-")
        raise MissingExtra(f"{purpose} needs {package}: pip install 'gatewise[{extra}]'", name=module_name) from None
