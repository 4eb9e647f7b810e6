"""An estimator's network as a function of what it read at each step, for `Trace.attribute` and `Trace.gradients`.
Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..inspect.attribution import Attribution, Scalar, attribute
from ..inspect.tape import record
from ..inspect.trace import Interpretation, Method
from ..inspect.view import sayable
from .network import Network

if TYPE_CHECKING:
    from .model import Model


def load_network(model: Model) -> Network:
    """The trained network of an estimator as a torch module, for looking at."""
    network = Network(model.architecture_)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in model.weights_.items()})
    return network.eval()


@dataclass(frozen=True)
class Explained:
    """An output of a model as a function of what its network reads at the shown steps.

    Attributes:
        network: in evaluation mode; its parameters want no gradient.
        x: what it reads, [T, 1, E].
        f: the output of any x [T, B, E], one number a row, [B].
        of: what f is, in words.
    """

    network: Network
    x: Tensor
    f: Scalar
    of: str


def explained_output(model: Model, interpretation: Interpretation, step: int | None, number: int) -> Explained:
    """An output by its number, at a step or, for None, the only one there is."""
    network = load_network(model).requires_grad_(False)
    inputs = torch.from_numpy(
        interpretation.inputs.astype(np.float32 if interpretation.inputs.dtype.kind == "f" else np.int64)
    )
    with torch.no_grad():
        x = network.encode(inputs)
    hidden = x[: interpretation.hidden]  # its part is the same with any input
    states = None
    if interpretation.states is not None:
        states = [torch.from_numpy(np.stack(column)) for column in zip(*interpretation.states, strict=True)]

    def f(x: Tensor) -> Tensor:
        rows = x.shape[1]
        before = None if states is None else [s.expand(-1, rows, -1).contiguous() for s in states]
        whole = torch.cat([hidden.expand(-1, rows, -1), x]) if len(hidden) else x
        scores = network.read(whole, before)[0]
        return explained(scores[interpretation.hidden :] if step is not None else scores, interpretation, step, number)

    said = sayable(interpretation.names[number]) + (
        "" if step is None else f" after step {step % len(interpretation.tokens)}"
    )
    of = f"log odds of {said}" if interpretation.kind == "probability" else interpretation.explained + said
    return Explained(network, x[interpretation.hidden :], f, of)


def attribute_output(
    model: Model, interpretation: Interpretation, method: Method, step: int | None, number: int
) -> Attribution:
    """What each shown step contributed to an output; see `Trace.attribute`."""
    output = explained_output(model, interpretation, step, number)
    return attribute(output.f, output.x, method, output.of)


def gradients_of_output(
    model: Model, interpretation: Interpretation, step: int | None, number: int
) -> dict[str, dict[str, np.ndarray]]:
    """The gradient of an output with respect to every value of the recurrent layers; see `Trace.gradients`."""
    output = explained_output(model, interpretation, step, number)
    with record(output.network.recurrent, values=()) as tape:
        output.f(output.x.clone().requires_grad_()).sum().backward()
    return {
        layer: {name: gradient[interpretation.hidden :, 0].numpy() for name, gradient in of.items()}
        for layer, of in tape.gradients.items()
    }


def explained(scores: Tensor, interpretation: Interpretation, step: int | None, number: int) -> Tensor:
    """The score that is explained, one a row [B]: log odds in nats, or a number in its own units."""
    at = scores if step is None else scores[step]
    if interpretation.kind == "number":
        assert interpretation.columns is not None and interpretation.scale is not None and interpretation.offset is not None
        offset = interpretation.offset[..., number]
        start = float(offset if offset.ndim == 0 else offset[0 if step is None else step])
        return start + float(interpretation.scale[number]) * at[:, int(interpretation.columns[number])]
    if at.shape[1] == 1:  # one sigmoid unit for two classes
        return at[:, 0] if number else -at[:, 0]
    others = torch.cat([at[:, :number], at[:, number + 1 :]], 1)
    return at[:, number] - others.logsumexp(1)
