"""One line that says how training goes: rewritten in place on a terminal, printed now and then elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any, Self, TextIO

from ..errors import require

TERMINAL_SECONDS = 0.2  # between two refreshes of the line
PLAIN_SECONDS = 10.0  # between two lines where output is not a terminal


@dataclass(frozen=True)
class Facts:
    """What the line says.

    Attributes:
        used: the share of the budget that is spent, from 0 to 1.
        loss: the recent training loss, in nats a token.
        validation_loss: the last one, or None.
        rate: tokens a second.
        seconds_left: an estimate, or None.
    """

    step: int
    epoch: int
    used: float
    loss: float
    validation_loss: float | None
    rate: float
    seconds_left: float | None
    unit: str

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch + 1}", f"step {self.step:,}", f"loss {self.loss:.3f}"]
        if self.validation_loss is not None:
            parts.append(f"validation {self.validation_loss:.3f}")
        parts.append(f"{format_count(self.rate)} {self.unit}/s")
        if self.seconds_left is not None:
            parts.append(f"{format_seconds(self.seconds_left)} left")
        return "  ".join(parts)


class Progress:
    """Shows `Facts` on a stream; a context manager, as the terminal must be given back.

    Args:
        stream: where to write; standard error by default, so that standard output stays clean.
        enabled: False shows nothing.
    """

    def __init__(self, enabled: bool = True, stream: TextIO | None = None) -> None:
        self.enabled = enabled
        self.stream = stream if stream is not None else sys.stderr
        self.terminal = enabled and self.stream.isatty()
        self._interval = TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS
        self._shown = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self.terminal:
            rich_progress = require("rich.progress", "train", "the progress line")
            console = require("rich.console", "train", "the progress line").Console(file=self.stream)
            columns = rich_progress.BarColumn(bar_width=20), rich_progress.TextColumn("{task.description}")
            self._bar = rich_progress.Progress(*columns, console=console, auto_refresh=False)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=1.0)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def due(self) -> bool:
        """Whether it is time for `show`; asked after every step, so it must cost nothing."""
        return self.enabled and time.monotonic() - self._shown >= self._interval

    def show(self, facts: Facts) -> None:
        """Write the line."""
        if not self.enabled:
            return
        self._shown = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=facts.used, description=str(facts))
            self._bar.refresh()
        else:
            print(facts, file=self.stream, flush=True)


def format_seconds(seconds: float) -> str:
    """Minutes and seconds, or hours too.

    >>> format_seconds(75), format_seconds(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_count(count: float) -> str:
    """A rough number.

    >>> format_count(950), format_count(215_300), format_count(3_210_000)
    ('950', '215k', '3.2M')
    """
    if count >= 1e6:
        return f"{count / 1e6:.1f}M"
    return f"{count / 1e3:.0f}k" if count >= 1e3 else f"{count:.0f}"
