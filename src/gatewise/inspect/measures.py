"""What a recurrent layer's numbers come to in one pass: a few figures a layer, small enough to keep of every hundredth step.

`measuring` takes them from a tape, `findings` judges them, `recorder` writes them down during training.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SHUT, OPEN = 0.1, 0.9  # a gate below or above is as good as shut or open
NEARLY_ALWAYS = 0.99  # of the steps
STILL = 1e-3  # of the typical spread of a layer's units: a unit that changes less does not change
STRETCHES = 8  # of a sequence, over which states are averaged


@dataclass
class Gate:
    """One gate of a layer over a batch.

    Attributes:
        mean: over steps, rows and units.
        low, high: share of the values below `SHUT`, above `OPEN`.
        shut, open: share of the units that are so at `NEARLY_ALWAYS` all steps.
        keeps: "open" or "shut" if the gate then keeps a state as it is; empty for the others.
        spread: how many of the values lie in each tenth between 0 and 1, as shares.
    """

    mean: float
    low: float
    high: float
    shut: float
    open: float
    spread: list[float]
    keeps: str = ""


@dataclass
class LayerMeasures:
    """One layer and direction.

    Attributes:
        cell: its name. units: of its output.
        gates: by name.
        still: share of the units whose output does not change.
        states: of each state the root mean square in `STRETCHES` equal parts of the sequence, in the order of reading.
        gradients: the gradient of the loss with respect to the output: its norm at every step, mean over rows, in the order
            of reading, at most 64 numbers that are each the largest of their part of the sequence.
        reach: the gradient of one output, the last, with respect to the output so many steps earlier, as a share of that
            with respect to itself: [steps], geometric means over rows.
        radius: spectral radius of every square recurrent matrix, by its gate.
        singular: largest, median and smallest singular value of a step's Jacobian, medians over steps.
        lyapunov: leading Lyapunov exponents, in nats a step.
    """

    cell: str
    units: int
    gates: dict[str, Gate] = field(default_factory=dict)
    still: float = 0.0
    states: dict[str, list[float]] = field(default_factory=dict)
    gradients: list[float] = field(default_factory=list)
    reach: list[float] = field(default_factory=list)
    radius: dict[str, float] = field(default_factory=dict)
    singular: list[float] = field(default_factory=list)
    lyapunov: list[float] = field(default_factory=list)


@dataclass
class Measures:
    """Everything that is measured of a network.

    Attributes:
        steps: of the longest sequence that was looked at. window: steps that a gradient can go back in training.
        pooled: whether the loss reads the outputs of all steps together, as a mean does, and not the last one's.
        layers: by name, first to last.
        norms: gradient norms of training steps, or of batches. clip_norm: above which they were scaled down.
        clipped: share of the steps that were.
        spikes: training steps whose norm was far above the others', with the norm.
        padding: see `Padding`. memory: see `Memory`.
    """

    steps: int
    window: int | None = None
    pooled: bool = False
    layers: dict[str, LayerMeasures] = field(default_factory=dict)
    norms: list[float] = field(default_factory=list)
    clip_norm: float | None = None
    clipped: float | None = None
    spikes: list[tuple[int, float]] = field(default_factory=list)
    padding: Padding | None = None
    memory: Memory | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; empty ones are left out."""
        found = asdict(self)
        found["layers"] = {n: _without_empty(layer) for n, layer in found["layers"].items()}
        return _rounded(_without_empty(found))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Measures:
        """What `to_json` gave."""
        plain = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        layers = {}
        for name, values in plain.pop("layers", {}).items():
            gates = {n: Gate(**g) for n, g in values.get("gates", {}).items()}
            layers[name] = LayerMeasures(**{**values, "gates": gates})
        for name, kind in (("padding", Padding), ("memory", Memory)):
            if name in plain:
                plain[name] = kind(**plain[name])
        plain["spikes"] = [(int(step), float(norm)) for step, norm in plain.get("spikes", [])]
        return cls(layers=layers, **plain)


@dataclass
class Padding:
    """Steps at the ends of sequences that are all the same, as filling leaves them.

    Attributes:
        share: of the sequences that end with such steps.
        steps: how many of their steps, as a share.
        value: what stands there.
        effect: how much the outputs change when these steps are left out: the largest change of a probability, or of a
            number as a share of its spread.
    """

    share: float
    steps: float
    value: str
    effect: float


@dataclass
class Memory:
    """What the state is worth at the beginning of a training window.

    Attributes:
        window: steps.
        carried, fresh: loss in nats a step with the state of the window before, and with one that begins at zero.
    """

    window: int
    carried: float
    fresh: float


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in values.items() if v not in (None, [], {})}


def _rounded(value: Any) -> Any:
    """Floats with four digits, which is all that a figure needs. JSON has no infinity: the largest number stands for it."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else -sys.float_info.max if value < 0 else sys.float_info.max
    if isinstance(value, Mapping):
        return {n: _rounded(v) for n, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def horizon(reach: list[float], share: float = 0.01) -> int | None:
    """Steps back after which a gradient is below a share of what it was and stays there; None if it does not fall so far."""
    below = 0
    for k in range(len(reach) - 1, -1, -1):
        if reach[k] >= share:
            below = k + 1
            break
    return below if below < len(reach) else None


def decay(reach: list[float]) -> float | None:
    """Steps in which a gradient falls to a tenth, from a line through its logarithms down to a hundredth; negative where it
    grows; None for fewer than three steps."""
    logs = [(k, math.log10(r)) for k, r in enumerate(reach) if r >= 0.01]
    logs = logs[: next((n for n, (k, _) in enumerate(logs) if n != k), len(logs))]  # up to the first that is lost
    if len(logs) < 3:
        return None
    mean_k, mean_r = (sum(pair[i] for pair in logs) / len(logs) for i in (0, 1))
    slope = sum((k - mean_k) * (r - mean_r) for k, r in logs) / sum((k - mean_k) ** 2 for k, _ in logs)
    return -1 / slope if abs(slope) > 1e-9 else math.inf
