"""Ctrl-C and SIGTERM as a request to stop between two steps, never in the middle of one."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and has.

    Attributes:
        signal: the number of the signal.
        checkpoint: the file from which training can go on, or None when none was asked for.
    """

    def __init__(self, signal_number: int, step: int, checkpoint: Path | None) -> None:
        self.signal, self.checkpoint = signal_number, checkpoint
        kept = f"saved in {checkpoint}" if checkpoint else "nothing was saved, as no checkpoint file was given"
        super().__init__(f"training was interrupted at step {step}; {kept}")


class Interrupts:
    """While this context is open the first signal only sets `received`; a second one acts at once, as it used to.

    Outside of the main thread Python does not allow it, and signals keep their usual effect.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python; it cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()
