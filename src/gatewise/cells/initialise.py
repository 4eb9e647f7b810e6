"""How a parameter starts, by name. Works on torch tensors, in place."""

from __future__ import annotations

import math
from typing import Any

from ..errors import GatewiseError


def initialise(init: str | float, value: Any, hidden_size: int) -> None:
    """Fill a part of a parameter. init: a number, or the name of a rule in RULES."""
    if not isinstance(init, str):
        value.fill_(float(init))
        return
    if init not in RULES:
        raise GatewiseError(f"there is no initialiser {init!r}; there are: {', '.join(RULES)}, or a number")
    RULES[init](value, hidden_size)


def _uniform(value: Any, hidden_size: int) -> None:
    """Within 1 / sqrt(hidden_size), as torch.nn's recurrent layers start."""
    bound = 1.0 / math.sqrt(hidden_size)
    value.uniform_(-bound, bound)


RULES = {"uniform": _uniform, "zeros": lambda value, _: value.zero_(), "ones": lambda value, _: value.fill_(1.0)}
