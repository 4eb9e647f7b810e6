"""A training run from the inside, as text for a terminal: losses, gradients, every layer's gates, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from .colours import bar
from .findings import find
from .measures import LayerMeasures
from .recorder import Watched

MOST_FINDINGS = 6


def dashboard(watched: Watched, width: int = 80) -> str:
    """The state of a run.

    Args:
        width: columns of the terminal.
    """
    now = watched.latest()
    if now is None:
        return f"{watched.facts['task']}: no step is recorded yet; every {watched.facts['every']}th will be"
    last, wide = watched.lines[-1], max(10, width - 32)
    norms = [norm for line in watched.lines for norm in line.measures.norms]
    clipped = "" if now.clipped is None else f", {now.clipped:.0%} above clip_norm={now.clip_norm:g}"
    lines = [
        f"{watched.facts['task']}  step {last.step:,}  {last.seconds:,.0f} s  learning rate {last.learning_rate:.3g}",
        f"{'loss':12}{spark([line.loss for line in watched.lines], wide)}  {last.loss:.4g}",
        f"{'gradient':12}{spark(norms, wide, log=True)}  {median(now.norms):.3g} usual{clipped}" if now.norms else "",
    ]
    for name, layer in now.layers.items():
        lines += ["", f"{name}  {layer.cell}, {layer.units} units", *_layer(layer, wide)]
    findings = find(now)
    lines += ["", "nothing is wrong with what was measured" if not findings else f"{len(findings)} findings:"]
    lines += [f"  {f.title} ({f.where}): {f.remedy}" for f in findings[:MOST_FINDINGS]]
    return "\n".join(line[:width].rstrip() for line in lines)


def _layer(layer: LayerMeasures, width: int) -> list[str]:
    """A line for each gate, with how its values spread from 0 to 1; for each state, over the sequence; for gradients."""
    lines = []
    for name, gate in layer.gates.items():
        stuck = [f"{share:.0%} {word}" for share, word in ((gate.shut, "shut"), (gate.open, "open")) if share >= 0.005]
        lines.append(
            f"  {name:10}0{spark(gate.spread, 10)}1  mean {gate.mean:.2f}{'  always ' if stuck else ''}{', '.join(stuck)}"
        )
    lines += [f"  {name:10}{spark(sizes, width)}  size {sizes[-1]:.3g}" for name, sizes in layer.states.items()]
    if layer.gradients:
        least, most = min(layer.gradients), max(layer.gradients)
        lines.append(f"  {'gradient':10}{spark(layer.gradients, width, log=True)}  {least:.1e} to {most:.1e} over the steps")
    return lines


def spark(values: Sequence[float], width: int, log: bool = False) -> str:
    """Numbers as small bars, at most so many; of more, means of equal parts. log: of their logarithms."""
    if not values:
        return ""
    count = min(width, len(values))
    cuts = [len(values) * k // count for k in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    if log:
        floor = min((m for m in means if m > 0), default=1.0)
        means = [math.log(max(m, floor)) for m in means]
    low, high = min(means), max(means)
    if not log:
        low = min(low, 0.0)
    if high <= low:
        return bar(0.0) * count
    return "".join(bar((m - low) / (high - low)) for m in means)
