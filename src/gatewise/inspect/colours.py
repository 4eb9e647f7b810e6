"""The colours of values, the same in a figure, on a page and in a terminal. Both scales can be told apart without seeing
red from green, and their ends are darker than their middle or beginning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SEQUENTIAL = ((247, 251, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107))  # white to blue
DIVERGING = ((94, 60, 153), (178, 171, 210), (247, 247, 247), (253, 184, 99), (230, 97, 1))  # purple, white, orange
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Scale:
    """From numbers to colours.

    Attributes:
        low, high: what has the first and the last colour; what lies outside has it too.
        anchors: colours at equal distances between.
    """

    low: float
    high: float
    anchors: tuple[Colour, ...]

    def share(self, value: float) -> float:
        """Where a value lies between low and high, from 0 to 1."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def colour(self, value: float) -> Colour:
        at = self.share(value) * (len(self.anchors) - 1)
        places, parts = range(len(self.anchors)), zip(*self.anchors, strict=True)
        red, green, blue = (round(float(np.interp(at, places, part))) for part in parts)
        return red, green, blue

    def block(self, value: float) -> str:
        """One of eight bars, the higher the greater the value is."""
        return bar(self.share(value))


def bar(share: float) -> str:
    """One of eight bars for a share from 0 to 1."""
    return BLOCKS[min(len(BLOCKS) - 1, int(share * len(BLOCKS)))]


def scale_of(values: np.ndarray, gate: bool) -> Scale:
    """White to blue from 0 to 1 for gates; else purple to orange around 0, as far as the values go, at least to 1."""
    if gate:
        return Scale(0.0, 1.0, SEQUENTIAL)
    most = float(np.abs(values).max(initial=1.0))
    return Scale(-most, most, DIVERGING)


def scale_of_contributions(values: np.ndarray) -> Scale:
    """Purple to orange around 0, as far as the values go."""
    most = float(np.abs(values).max(initial=0.0)) or 1.0
    return Scale(-most, most, DIVERGING)


def on_top(background: Colour) -> Colour:
    """Black or white, whichever has more contrast with a background (relative luminance of WCAG 2.2)."""
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return WHITE if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else BLACK
