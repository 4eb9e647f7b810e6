"""A text in a terminal, coloured by what happens inside. Bars beside the colours say the same, so none are needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import numpy as np

from .colours import Scale, on_top
from .view import columns, visible, wrapped

if TYPE_CHECKING:
    from typing import TextIO

STEPS_OF_LEGEND = 17


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose user wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured_text(values: np.ndarray, tokens: Sequence[str], scale: Scale, gap: int = 0, width: int = 80) -> str:
    """The tokens on coloured ground in lines of so many characters, and under every line a bar for each value.

    Args:
        values: one a token, [steps].
        gap: how many spaces stand between tokens: 0 for characters, 1 for words.
    """
    lines = []
    for line in wrapped(tokens, width, gap):
        text, bars = [], []
        for k in line:
            shown, value = visible(tokens[k]), float(values[k])
            ground = scale.colour(value)
            text.append(click.style(shown, fg=on_top(ground), bg=ground))
            bars.append(scale.block(value) * columns(shown))
        lines += [(" " * gap).join(text), (" " * gap).join(bars)]
    return "\n".join(lines)


def listed_text(values: np.ndarray, tokens: Sequence[str], scale: Scale, digits: int = 3) -> str:
    """The same without colours, a line a token: its step, the token, its value, a bar."""
    shown, numbers = [visible(token) for token in tokens], [f"{v:.{digits}f}" for v in values]
    first, second, third = len(str(len(tokens) - 1)), max(map(columns, shown)), max(map(len, numbers))
    return "\n".join(
        f"{k:>{first}}  {token}{' ' * (second - columns(token))}  {number:>{third}}  {scale.block(float(value))}"
        for k, (token, number, value) in enumerate(zip(shown, numbers, values, strict=True))
    )


def legend(scale: Scale, title: str, values: np.ndarray, colour: bool) -> str:
    """A line that says what is shown, from which number to which, and the mean."""
    bar = ""
    for value in map(float, np.linspace(scale.low, scale.high, STEPS_OF_LEGEND)):
        ground = scale.colour(value)
        bar += click.style(scale.block(value), fg=on_top(ground), bg=ground) if colour else scale.block(value)
    return f"{title}: {scale.low:.3g} {bar} {scale.high:.3g}, mean {values.mean():.3g}"


def show(
    values: np.ndarray, tokens: Sequence[str], scale: Scale, title: str, colour: bool, gap: int = 0, width: int = 80
) -> str:
    """A legend, and the text below it: coloured, or a line a token where there are no colours."""
    body = coloured_text(values, tokens, scale, gap, width) if colour else listed_text(values, tokens, scale)
    return f"{legend(scale, title, values, colour)}\n{body}"
