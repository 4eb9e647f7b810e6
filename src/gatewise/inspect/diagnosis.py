"""A network's examination: what it measures, what is wrong with it, and what to do. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import GatewiseError
from ..ir.transform import zoneout
from ..nn.watching import Pass
from .dynamics import jacobians, lyapunov_exponents, reach, recurrent_radii, singular_values
from .findings import Finding, find
from .measures import LayerMeasures, Measures, Padding, decay, horizon
from .measuring import measure_tape
from .tape import Place, places, record

MOST_STEPS = 64  # of the path along which Jacobians are multiplied
WORK = 10**10  # multiplications that they may take, about
FEW = 8  # Jacobians whose singular values are looked at
LEAST_FILLED = 3  # equal steps at the end of a sequence that count as filling


@dataclass(frozen=True)
class Diagnosis:
    """What was measured of a network, and what that means, the weightiest finding first."""

    measures: Measures
    findings: list[Finding]

    @classmethod
    def of(cls, measures: Measures) -> Diagnosis:
        return cls(measures, find(measures))

    def __str__(self) -> str:
        found = [f"{n}. {finding}" for n, finding in enumerate(self.findings, 1)] or [
            "Nothing is wrong with what was measured."
        ]
        return "\n\n".join([table(self.measures), *found])


def table(m: Measures) -> str:
    """The measures of every layer, a line each."""
    lines = [f"{m.steps} steps" + (f", training windows of {m.window}" if m.window else "")]
    for name, layer in m.layers.items():
        facts = [f"{layer.cell}, {layer.units} units"]
        if layer.reach:
            reached, tenth = horizon(layer.reach), decay(layer.reach)
            facts.append("gradients reach all steps" if reached is None else f"gradients reach {reached} steps")
            if tenth is not None and abs(tenth) < 1e4:
                facts.append(f"{'tenfold less' if tenth > 0 else 'tenfold more'} every {abs(tenth):.2g}")
        facts += [f"{gate} {g.mean:.2f}" for gate, g in layer.gates.items()]
        if layer.lyapunov:
            facts.append(f"Lyapunov exponents {', '.join(f'{e:.2g}' for e in layer.lyapunov)}")
        if layer.singular:
            facts.append("singular values of a step " + ", ".join(f"{s:.2g}" for s in layer.singular))
        if layer.radius:
            facts.append("spectral radius " + ", ".join(f"{n} {r:.2g}" for n, r in layer.radius.items()))
        lines.append(f"{name}: {'; '.join(facts)}")
    return "\n".join(lines)


def diagnose(
    model: nn.Module,
    x: Any,
    lengths: Any = None,
    *,
    loss: Callable[[Any], Tensor] | None = None,
    window: int | None = None,
) -> Diagnosis:
    """Examine a layer, or a module that has some, on a batch.

    Args:
        model: called with x, and with ``lengths=`` where they are given; it is examined in evaluation mode.
        x: what it takes, usually a tensor of features [T, B, I] (or [B, T, I]) or token numbers [T, B].
        lengths: [B], the steps that count of each row.
        loss: from what the model returns to the loss in training; None takes the mean square of its output.
        window: steps that a gradient can go back in training; None takes those of x.

    Raises:
        GatewiseError: the model has no recurrent layer of ours, or its loss is not finite.
    """
    counts = None if lengths is None else torch.as_tensor(lengths)

    def run() -> Any:
        return model(x) if counts is None else model(x, lengths=counts)

    def run_loss() -> Tensor:
        found = run()
        if loss is not None:
            return loss(found)
        return (found if isinstance(found, Tensor) else found[0]).square().mean()

    measures = examine(model, run, run_loss)
    measures.window = window
    return Diagnosis.of(measures)


def examine(model: nn.Module, run: Callable[[], Any], run_loss: Callable[[], Tensor]) -> Measures:
    """Measure all recurrent layers of a model, in evaluation mode.

    Args:
        run: calls the model on a batch. run_loss: the same, to the loss in training.
    """
    with _as_it_was(model), torch.enable_grad():
        with record(model, keep=None) as tape:
            value = run_loss()
            if not bool(torch.isfinite(value)):
                raise GatewiseError(f"the loss is {value.item()}: nothing can be measured of gradients")
            value.backward()
        for layer, passes in tape.passes.items():
            if len(passes) > 1:
                raise GatewiseError(
                    f"{layer} ran {len(passes)} times in one call of the model: examine it on whole sequences, one call each"
                )
        far = reach(model, run)
    measures = measure_tape(model, tape)
    for key, found in measures.layers.items():
        found.reach = far.get(key, [])
    for place in places(model):
        if place.name in measures.layers:
            _measure_dynamics(measures.layers[place.name], place, tape.passes[place.name][-1])
    return measures


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, with gradients for all its parameters; afterwards everything is as it was."""
    modes = {module: module.training for module in model.modules()}
    parameters = {p: (p.grad, p.requires_grad) for p in model.parameters()}
    try:
        model.eval()
        for p in parameters:
            p.grad = None
            p.requires_grad_()
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for p, (gradient, learns) in parameters.items():
            p.grad = gradient
            p.requires_grad_(learns)


def _measure_dynamics(found: LayerMeasures, place: Place, seen: Pass) -> None:
    """Jacobians along the longest row, and what follows from them."""
    stack = place.stack
    cell, sizes = zoneout(stack.cell, stack.zoneout), stack.layer_sizes(place.layer)
    tensors = stack.cell_parameters(place.layer, place.ending)
    params = {p.name: value.detach() for p, value in zip(cell.parameters, tensors, strict=True)}
    found.radius = recurrent_radii(cell, params, sizes)
    if stack.batch_norm:
        return
    x, values, lengths = seen.x, seen.values, seen.lengths
    row = 0 if lengths is None else int(lengths.argmax())
    states = np.concatenate([values[s.name][:, row].double().cpu().numpy() for s in cell.states], 1)
    widths = np.cumsum([values[s.name].shape[2] for s in cell.states])[:-1]
    end = len(x) if lengths is None else int(lengths[row])
    order = np.arange(end)[::-1] if place.reverse else np.arange(end)
    steps = min(end - 1, MOST_STEPS, max(4, WORK // max(1, states.shape[1]) ** 3))
    if steps < 1:
        return
    chosen = order[-steps:]  # the last ones, where the state has settled
    before = [np.split(states[order[n]], widths) for n in range(len(order) - steps - 1, len(order) - 1)]
    numbers = {name: value.double().cpu().numpy() for name, value in params.items()}
    path = jacobians(cell, numbers, x[:, row].double().cpu().numpy()[chosen], before)
    if not np.isfinite(path).all():
        return
    found.singular = singular_values(path[:: max(1, steps // FEW)])
    found.lyapunov = lyapunov_exponents(path)


def measure_padding(items: Sequence[np.ndarray], outputs: Callable[[list[np.ndarray]], np.ndarray]) -> Padding | None:
    """Whether sequences [T, F] end with equal steps that stand for nothing, and what they do to the outputs.

    Args:
        outputs: of some sequences, [N, K]: probabilities, or numbers.

    Returns:
        None where few sequences end so, or each in its own way.
    """
    ends: dict[bytes, list[tuple[int, int]]] = {}
    for n, item in enumerate(items):
        same = (item[::-1] == item[-1]).reshape(len(item), -1).all(1)
        count = len(item) if same.all() else int(same.argmin())
        if LEAST_FILLED <= count < len(item):
            ends.setdefault(item[-1].tobytes(), []).append((n, count))
    if not ends:
        return None
    rows = max(ends.values(), key=len)
    if len({len(item) for item in items}) > 1 or len({count for _, count in rows}) == 1:
        return None  # filled sequences are all as long as the longest, each by another count
    filled = [items[n] for n, _ in rows]
    whole, cut = outputs(filled), outputs([items[n][:-count] for n, count in rows])
    spread = 1.0 if whole.min() >= 0 and whole.max() <= 1 else float(whole.std()) or 1.0
    return Padding(
        len(rows) / len(items),
        sum(count for _, count in rows) / sum(len(item) for item in filled),
        np.array2string(np.asarray(filled[0][-1]), threshold=4, edgeitems=2),
        float(np.abs(whole - cut).max()) / spread,
    )
