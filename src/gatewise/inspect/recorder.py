"""What training looks like from the inside, written down now and then: a line of JSON every so many steps, in one file.

The first line says what is trained; each other one has what a step showed (`Measures`) and the gradient norms of all steps
since the one before. A line that was cut off, as by a kill, is left out; of a run that was resumed later lines replace
earlier ones of the same steps. `Recorder` writes it and imports torch; `read_watch` reads it and does not.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..errors import FileError
from ..training import CHECKPOINT_SUFFIX
from .findings import SPIKE
from .measures import Measures

if TYPE_CHECKING:
    from torch import nn

KIND, FORMAT = "gatewise.watch", 1
SUFFIX = ".watch"
RECENT = 10  # lines whose norms count for what is found


class Recorder:
    """Watches a training run; what `gatewise.training.loop.Trainer` calls its observer.

    Args:
        path: the file; lines of an earlier part of the run stay.
        every: steps between two lines.
        facts: what the first line says: task, cell, clip_norm, window.
    """

    def __init__(self, path: Path, every: int, **facts: Any) -> None:
        self.path, self.every = path, every
        self._facts = {"kind": KIND, "format": FORMAT, "every": every, **facts}
        self._norms: list[float] = []
        self._found: Measures | None = None

    def begin(self, resumed: bool) -> None:
        """Start the file anew, or go on with it."""
        if not (resumed and self.path.exists()):
            self.path.write_text(json.dumps(self._facts) + "\n")
            return
        text = self.path.read_bytes()
        if not text.endswith(b"\n"):  # a line was cut off, as by a kill
            os.truncate(self.path, text.rfind(b"\n") + 1)

    @contextmanager
    def watching(self, step: int, network: nn.Module) -> Iterator[None]:
        """Around forward and backward of a step."""
        if step % self.every:
            yield
            return
        from .measuring import measure_tape
        from .tape import record, recurrent_layers

        outputs = {stack.cell.states[0].name for stack in recurrent_layers(network).values()}
        with record(network, gradients=outputs) as tape:
            yield
        self._found = measure_tape(network, tape)

    def saw(self, step: int, seconds: float, loss: float, norm: float, learning_rate: float) -> None:
        """A step is done: its loss, the norm of its gradient before clipping, and its learning rate."""
        self._norms.append(norm)
        if self._found is None:
            return
        found = replace(self._found, norms=self._norms)
        line = {"step": step, "seconds": round(seconds, 3), "loss": loss, "learning_rate": learning_rate}
        with self.path.open("a") as file:
            file.write(json.dumps({**line, "measures": found.to_json()}, separators=(",", ":")) + "\n")
        self._norms, self._found = [], None


@dataclass(frozen=True)
class Line:
    """What one recorded step showed. norms in `measures` are those of the steps up to this one."""

    step: int
    seconds: float
    loss: float
    learning_rate: float
    measures: Measures


@dataclass(frozen=True)
class Watched:
    """A run as its file has it: the facts of its first line, and the others."""

    facts: dict[str, Any]
    lines: list[Line]

    def latest(self) -> Measures | None:
        """The measures of the last recorded step, with norms, clipping and spikes of the last lines; None before it."""
        if not self.lines:
            return None
        recent = self.lines[-RECENT:]
        steps = [
            (line.step - len(line.measures.norms) + 1 + k, n) for line in recent for k, n in enumerate(line.measures.norms)
        ]
        norms = [norm for _, norm in steps]
        usual, clip = median(norms) if norms else math.nan, self.facts.get("clip_norm")
        return replace(
            self.lines[-1].measures,
            window=self.facts.get("window"),
            norms=norms,
            clip_norm=clip,
            clipped=None if clip is None or not norms else sum(norm > clip for norm in norms) / len(norms),
            spikes=[(step, norm) for step, norm in steps if norm > SPIKE * usual],
        )


def watch_beside(run: Path) -> Path:
    """The file that is written beside a run's checkpoint, or beside its model."""
    return run.with_name(run.name.removesuffix(SUFFIX).removesuffix(CHECKPOINT_SUFFIX) + SUFFIX)


def read_watch(path: Path) -> Watched:
    """What a recorder has written so far.

    Raises:
        FileError: the file is not there, or not one of a recorder.
    """
    if not path.exists():
        raise FileError(f"{path} is not there: it is written by training with --watch")
    try:
        first, *others = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read: {error}") from None
    try:
        facts = json.loads(first)
    except json.JSONDecodeError:
        facts = None
    if not isinstance(facts, dict) or facts.get("kind") != KIND:
        raise FileError(f"{path} is not the record of a training run")
    if facts["format"] > FORMAT:
        raise FileError(f"{path} has format {facts['format']}, newer than {FORMAT}: update gatewise")
    lines: list[Line] = []
    for text in others[:-1]:  # what stands after the last line break is still being written
        try:
            record = json.loads(text)
            line = Line(**{**record, "measures": Measures.from_json(record["measures"])})
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
        while lines and lines[-1].step >= line.step:
            lines.pop()
        lines.append(line)
    return Watched(facts, lines)
