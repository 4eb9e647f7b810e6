"""What every benchmark here does in the same way: its options, the machine, a table as it is measured, JSON, a picture."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewise.errors import GatewiseError, MissingExtra
from gatewise.figure import check_figure, write_figure
from gatewise.measure import processor
from gatewise.tensorfile import check_writable, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

TABLE = (  # the shapes of docs/performance.md
    "100x32x32x100,100x32x128x128,100x32x256x256,100x64x512x512,50x128x1024x1024,100x1x128x128,500x64x32x100,"
    "50x256x64x64,1000x1x64x64,784x64x1x128,28x128x28x128"
)


def arguments(description: str | None, rounds: int, seconds: float | None = None) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="of all candidates in turn")
    if seconds is not None:
        parser.add_argument(
            "--seconds", type=float, default=seconds, help="of each candidate in a round, so that caches are its own"
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them; the ending says the format")
    return parser


def add_clock(parser: argparse.ArgumentParser) -> None:
    """The option that says by which clock is measured."""
    parser.add_argument(
        "--processor-time", action="store_true", help="count one thread's own time alone, where other programs run too"
    )


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    """The clock that was asked for; with the processor's, torch runs on one thread."""
    if not options.processor_time:
        return time.perf_counter
    import torch

    torch.set_num_threads(1)
    return time.thread_time


def sizes(text: str) -> tuple[int, ...]:
    """ "100x32x128x128" as numbers: T, B, I and H."""
    found = tuple(int(n) for n in text.split("x"))
    if len(found) != 4 or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not TxBxIxH, such as 100x32x128x128")
    return found


def shapes(text: str) -> list[tuple[int, ...]]:
    """Several with commas; "all" are those of docs/performance.md."""
    return [sizes(one) for one in (TABLE if text == "all" else text).split(",")]


def show(shape: Sequence[int]) -> str:
    """As tables name a shape."""
    return ", ".join(map(str, shape))


class Report:
    """Prints a table row by row; the same goes into the JSON file after each row, and into a picture at the end.

    Args:
        options: from `arguments`.
        modules: whose versions matter; one that is not installed is named.
        columns: the headings of the table and how their values are formatted; a row may hold more, for the JSON alone.
        said: what else to say at the top.
        facts: what else to put into the JSON.
    """

    def __init__(
        self, options: argparse.Namespace, modules: Sequence[str], columns: Mapping[str, str], said: str, **facts: Any
    ) -> None:
        self.columns, self.json, self.plot = columns, options.json, options.plot
        self.rows: list[Row] = []
        self.started = _busy()
        homes = packages_distributions()
        versions = {name: version(homes[name][0]) if name in homes else None for name in modules}
        self.facts = {
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "date": date.today().isoformat(),
            "processor": processor(),
            "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "versions": {"python": platform.python_version(), **versions},
            **facts,
            "left_out": {},
        }
        try:
            if self.plot is not None:
                check_figure(self.plot)
            for path in filter(None, (self.json, self.plot)):
                check_writable(path)
        except (GatewiseError, MissingExtra) as error:
            sys.exit(str(error))
        named = ", ".join(f"{name} {found or 'not installed'}" for name, found in self.facts["versions"].items())
        print(f"{self.facts['processor']}, {self.facts['processors']} processors; {self.facts['date']}; {named}; {said}\n")
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)

    def add(self, **row: Any) -> None:
        """A row of the table, by heading."""
        cells = (format(row[heading], how) if row.get(heading) is not None else "-" for heading, how in self.columns.items())
        print(f"| {' | '.join(cells)} |", flush=True)
        self.rows.append(row)
        self._write()

    def leave_out(self, name: str, reason: str) -> None:
        """A candidate that cannot be measured here."""
        self.facts["left_out"][name] = reason

    def finish(self, draw: Callable[[Figure, Sequence[Row]], None], height: float | None = None) -> None:
        """Say what was left out and how calm the machine was, and draw, so many inches high; else a line for each row."""
        for name, reason in self.facts["left_out"].items():
            print(f"left out: {name}: {reason}")
        now = _busy()
        if self.started and now:
            others, spent = ((b - a) for a, b in zip(self.started, now, strict=True))
            self.facts["used by others"] = max(0.0, others / spent)
            print(f"other programs used {self.facts['used by others']:.0%} of the processors meanwhile")
        self._write()
        if self.plot is not None and self.rows:
            write_figure(self.plot, lambda figure: draw(figure, self.rows), (10, height or 1.5 + 0.3 * len(self.rows)))

    def _write(self) -> None:
        if self.json is not None:
            write_atomically(self.json, json.dumps({**self.facts, "rows": self.rows}, indent=1).encode())


def _busy() -> tuple[float, float] | None:
    """Seconds of processors that other programs have used, and all seconds, since the system started; None if not told.

    Those of child processes count as others' until they have ended."""
    try:
        fields = [float(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    user, nice, system, idle, waiting, irq, softirq, stolen = (n / os.sysconf("SC_CLK_TCK") for n in fields)
    busy = user + nice + system + irq + softirq + stolen
    return busy - sum(os.times()[:4]), busy + idle + waiting


def bars(label: str, values: Sequence[str], axis: str) -> Callable[[Figure, Sequence[Row]], None]:
    """Draws a group of horizontal bars for each row, named by `label`, one bar each of the values, from 1 on a log scale."""

    def draw(figure: Figure, rows: Sequence[Row]) -> None:
        axes = figure.subplots()
        height = 0.8 / len(values)
        for k, value in enumerate(values):
            there = [(n + k * height, row[value]) for n, row in enumerate(rows) if row.get(value) is not None]
            axes.barh([n for n, _ in there], [v - 1 for _, v in there], height, left=1, label=value)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel(axis)
        axes.set_yticks([n + 0.4 - height / 2 for n in range(len(rows))], [label.format_map(row) for row in rows])
        axes.invert_yaxis()
        axes.grid(axis="x", which="both", alpha=0.3)
        if len(values) > 1:
            axes.legend()

    return draw
