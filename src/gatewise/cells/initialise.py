"""How a parameter starts, by name. Works on torch tensors, in place.

A rule is written as its name, with its argument in brackets where it has one: "orthogonal", "chrono(784)", "normal(0.01)".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import GatewiseError
from ..ir.rules import find_rule

Rule = Callable[[Any, int, float], Any]


def _fans(value: Any) -> tuple[int, int]:
    """Inputs and outputs of a matrix; a vector feeds each unit by itself."""
    return (value.shape[1], value.shape[0]) if value.dim() == 2 else (1, 1)


def _uniform(value: Any, hidden_size: int, bound: float) -> None:
    bound = bound or 1.0 / math.sqrt(hidden_size)
    value.uniform_(-bound, bound)


def _orthogonal(value: Any, hidden_size: int, gain: float) -> None:
    import torch

    torch.nn.init.orthogonal_(value, gain or 1.0) if value.dim() == 2 else _uniform(value, hidden_size, 0.0)


def _identity(value: Any, hidden_size: int, scale: float) -> None:
    import torch

    if value.dim() == 2:
        value.copy_(torch.eye(*value.shape, dtype=value.dtype, device=value.device) * (scale or 1.0))
    else:
        value.fill_(scale or 1.0)


def _chrono(value: Any, hidden_size: int, longest: float) -> None:
    if longest <= 2:
        raise GatewiseError(f"chrono needs the longest dependence in steps, above 2, as in chrono(784); got {longest:g}")
    value.uniform_(1.0, longest - 1.0).log_()


def _xavier(value: Any, hidden_size: int, gain: float) -> None:
    inputs, outputs = _fans(value)
    bound = (gain or 1.0) * math.sqrt(6.0 / (inputs + outputs))
    value.uniform_(-bound, bound)


RULES: dict[str, Rule] = {
    "uniform": _uniform,  # within 1 / sqrt(hidden_size), as torch.nn's recurrent layers start, or within the argument
    "normal": lambda v, h, deviation: v.normal_(0.0, deviation or 1.0),
    "zeros": lambda v, h, _: v.zero_(),
    "ones": lambda v, h, _: v.fill_(1.0),
    "orthogonal": _orthogonal,  # Saxe et al. 2013, arXiv 1312.6120; the argument is a gain
    "identity": _identity,  # Le et al. 2015, arXiv 1504.00941; the argument is a factor
    "xavier": _xavier,  # Glorot & Bengio 2010, uniform; the argument is a gain
    "he": lambda v, h, _: v.normal_(0.0, math.sqrt(2.0 / _fans(v)[0])),  # He et al. 2015, arXiv 1502.01852
    "chrono": _chrono,  # log U[1, T - 1] for a forget gate's bias; Tallec & Ollivier 2018, arXiv 1804.11188
    "minus_chrono": lambda v, h, longest: (_chrono(v, h, longest), v.neg_()),  # for an input gate's bias
}


def initialise(init: str | float, value: Any, hidden_size: int) -> None:
    """Fill a part of a parameter. init: a number, or a rule of RULES."""
    if not isinstance(init, str):
        value.fill_(float(init))
        return
    rule, number = find_rule(init, RULES, "initialiser")
    rule(value, hidden_size, number)
