"""What of a trace is looked at: a gate, a state or one unit of it beside the tokens; and how tokens are shown and sorted."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import ParameterError
from .trace import READOUT, Trace

Unit = int | Literal["mean"] | None  # None: the one whose value varies most

SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}
CLASSES = (
    "lower-case vowel",
    "lower-case consonant",
    "upper case",
    "other letter",
    "digit",
    "space",
    "line break",
    "punctuation",
)


@dataclass(frozen=True)
class View:
    """One gate or state of one layer.

    Attributes:
        layer, name: which.
        unit: the number of the unit that `line` shows, or "mean".
        gate: whether its values lie between 0 and 1.
        values: [steps, units]. line: [steps].
        tokens: what stands at every step of them.
    """

    layer: str
    name: str
    unit: int | str
    gate: bool
    values: np.ndarray
    tokens: tuple[str, ...]

    @property
    def line(self) -> np.ndarray:
        return self.values.mean(1) if isinstance(self.unit, str) else self.values[:, self.unit]

    @property
    def title(self) -> str:
        """In words, such as "f of layer0, unit 3 of 0 to 63"."""
        units = self.values.shape[1]
        which = f"mean of {units} units" if isinstance(self.unit, str) else f"unit {self.unit} of 0 to {units - 1}"
        return f"{self.name} of {self.layer}, {which}"


def look_at(trace: Trace, layer: str | None = None, name: str | None = None, unit: Unit = None) -> View:
    """A part of a trace.

    Args:
        layer: None takes the last one that reads forward.
        name: of a gate or state; None takes the first gate, or the output of a cell without gates.
        unit: a number, "mean" over all, or None for the one whose value varies most.

    Raises:
        ParameterError: there is no such layer, value or unit.
    """
    name = (trace.gates or trace.states)[0] if name is None else name
    values = trace.value(name, layer)
    layer = next(n for n in trace.layers if trace.values[n][name] is values)
    if unit is None:
        unit = liveliest(values)
    elif unit != "mean" and not 0 <= unit < values.shape[1]:
        raise ParameterError(f"unit is {unit}; {name} of {layer} has units 0 to {values.shape[1] - 1}, and their mean")
    return View(layer, name, unit, name in trace.gates, values, tokens_at(trace, values))


def liveliest(values: np.ndarray) -> int:
    """The unit of values [steps, units] that varies most."""
    return int(values.std(0).argmax())


def tokens_at(trace: Trace, values: np.ndarray) -> tuple[str, ...]:
    """The tokens at which the steps of a layer's values lie."""
    return tuple(trace.tokens[place] for place in trace.places(values))


def watched(trace: Trace) -> Mapping[str, Mapping[str, np.ndarray]]:
    """By layer and name everything that stands beside the steps, [steps, units]: the layers' values and, where it reads out
    by attention, the weights."""
    found = {layer: dict(trace.values[layer]) for layer in trace.layers}
    if "attention" in trace.values.get(READOUT, {}):
        found[READOUT] = {"attention": trace.values[READOUT]["attention"][:, None]}
    return found


def visible(token: str) -> str:
    """A token with signs for what cannot be seen: spaces, line breaks, and whatever else would steer a terminal."""
    return "".join(SIGNS.get(c) or (c if c.isprintable() else _picture(c)) for c in token) or "∅"


def sayable(name: str) -> str:
    """The name of an output as it is, but with signs where there would be nothing to see."""
    return name if name.strip() else visible(name)


def _picture(control: str) -> str:
    return chr(0x2400 + ord(control)) if ord(control) < 32 else "\N{REPLACEMENT CHARACTER}"


def columns(text: str) -> int:
    """How many columns of a terminal a visible text takes: wide characters two, accents that stand alone none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def character_class(token: str) -> str:
    """One of `CLASSES`, by the first character of a token."""
    first = token[:1]
    if first in ("\n", "\r"):
        return "line break"
    if not first or first.isspace():
        return "space"
    if first.isdigit():
        return "digit"
    if first.isupper():
        return "upper case"
    if first.isalpha():
        letter = unicodedata.normalize("NFD", first)[0]
        if not "a" <= letter <= "z":
            return "other letter"
        return "lower-case vowel" if letter in "aeiou" else "lower-case consonant"
    return "punctuation"


def wrapped(tokens: Sequence[str], width: int, gap: int) -> list[list[int]]:
    """The numbers of the tokens on each line of so many columns, `gap` of them between tokens. A line break ends its line;
    a line is cut at a space where it has one."""
    lines: list[list[int]] = []
    line: list[int] = []
    used = 0
    for k, token in enumerate(tokens):
        size = columns(visible(token)) + gap
        if line and used + size - gap > width:
            spaces = [place for place, n in enumerate(line) if tokens[n].isspace()]
            cut = spaces[-1] + 1 if spaces and not gap else len(line)
            lines.append(line[:cut])
            line = line[cut:]
            used = sum(columns(visible(tokens[n])) + gap for n in line)
        line.append(k)
        used += size
        if token == "\n":
            lines.append(line)
            line, used = [], 0
    return [*lines, line] if line else lines
