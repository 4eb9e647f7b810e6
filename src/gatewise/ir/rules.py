"""Rules that are chosen by a text: a name, or a name with one number in brackets, as in "chrono(784)"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from ..errors import GatewiseError

Rule = TypeVar("Rule")


def find_rule(text: str, rules: Mapping[str, Rule], kind: str) -> tuple[Rule, float]:
    """The rule that a text names and its number, 0 where there is none. kind: what it is called in an error."""
    found = re.fullmatch(r"(\w+)(?:\(([-+.\de]+)\))?", text)
    if not found or found[1] not in rules:
        raise GatewiseError(f"there is no {kind} {text!r}; there are: {', '.join(rules)}")
    try:
        return rules[found[1]], float(found[2] or 0.0)
    except ValueError:
        raise GatewiseError(f"{kind} {text!r}: {found[2]!r} is not a number") from None
