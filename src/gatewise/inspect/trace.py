"""What a trained model does with one input: every gate and state at every step, what it says, and which steps mattered."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import ParameterError
from ..ir.cell import Cell
from ..runtime.network import LayerStates, RuntimeNetwork, Seen

if TYPE_CHECKING:
    from .attribution import Attribution

READOUT = "readout"
Method = Literal["integrated", "gradient", "occlusion"]  # of attribution
Values = Mapping[str, Mapping[str, np.ndarray]]  # by layer and name, [T, units]


@dataclass(frozen=True)
class Interpretation:
    """How an estimator reads one input, and what its head's scores mean.

    Attributes:
        tokens: what stands at every step, in words.
        inputs: the same as the network takes it, [T, 1] or [T, 1, F].
        unit: what a step is called.
        names: of the outputs, [K].
        kind: what the outputs are.
        say: from scores [T, 1, C], or [1, C] for a sequence, to outputs [T, K] or [1, K].
        columns, scale, offset: of numbers, [K] each: output = offset + scale * scores[columns], for the score that is
            explained; an offset may differ from step to step, [T, K]. Of probabilities the log odds are explained, in nats.
        explained: what of a number that is, in words before its name, where it is not the number itself.
        hidden: steps at the beginning that are run but not shown.
        states: before the first step.
        truth: the number of the output that came true at each shown step, where that is known.
    """

    tokens: tuple[str, ...]
    inputs: np.ndarray
    unit: str
    names: tuple[str, ...]
    kind: Literal["probability", "number"]
    say: Callable[[np.ndarray], np.ndarray]
    columns: np.ndarray | None = None
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    explained: str = ""
    hidden: int = 0
    states: list[LayerStates] | None = None
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Trace:
    """One input seen from the inside.

    Attributes:
        tokens: what stands at every step: a character, a word, a time.
        unit: what a step is called.
        values: by layer ("layer0", "layer0_reverse", ...) and name ("i", "f", "h", "c", ...), arrays [T, units]. With a
            strided convolution a layer has fewer steps than there are tokens; `places` says where they lie. Where the
            readout is attention, `values["readout"]["attention"]` has the weights, [T].
        outputs: what the model says: [T, K] where it says something at every step, else [1, K].
        names: of the K outputs: classes, tokens, targets.
        kind: "probability" or "number".
        surprise: for a language model, -log p of every token given those before it, in nats, [T]; else None.
        cell: whose equations ran in every layer.
        stepwise: whether something is said at every step. stride: tokens from one step of the layers to the next.
    """

    tokens: tuple[str, ...]
    unit: str
    values: Values
    outputs: np.ndarray
    names: tuple[str, ...]
    kind: Literal["probability", "number"]
    cell: Cell
    stepwise: bool = False
    stride: int = 1
    surprise: np.ndarray | None = None
    _attribute: Callable[[Method, int | None, int], Attribution] | None = field(default=None, repr=False)
    _differentiate: Callable[[int | None, int], Values] | None = field(default=None, repr=False)

    @property
    def layers(self) -> list[str]:
        """The names of the recurrent layers, first to last."""
        return [name for name in self.values if name != READOUT]

    @property
    def gates(self) -> list[str]:
        """The names of the values that lie between 0 and 1."""
        return [*self.cell.gates]

    @property
    def states(self) -> list[str]:
        """The names of the states, the output first."""
        return [s.name for s in self.cell.states]

    def value(self, name: str, layer: str | None = None) -> np.ndarray:
        """A named value of a layer, [T, units]; of the last layer that reads forward if none is given.

        Raises:
            ParameterError: there is no such layer or value.
        """
        layer = next(n for n in reversed(self.layers) if not n.endswith("_reverse")) if layer is None else layer
        if layer not in self.layers:
            raise ParameterError(f"there is no layer {layer!r}; there are: {', '.join(self.layers)}")
        if name not in self.values[layer]:
            raise ParameterError(f"{layer} has no value {name!r}; it has: {', '.join(self.values[layer])}")
        return self.values[layer][name]

    def places(self, values: np.ndarray) -> np.ndarray:
        """The numbers of the tokens at which the steps of a layer's values lie, [steps]."""
        return np.arange(len(values)) * self.stride

    def attribute(self, method: Method = "integrated", of: str | None = None, step: int | None = None) -> Attribution:
        """Which steps mattered for an output.

        Args:
            method: "integrated" gradients, whose sum is the change that the input makes; "gradient" times input; or
                "occlusion", what is lost without each step.
            of: the name of an output; None takes the likeliest, or the first of several numbers.
            step: where the output is looked at, if there is one at every step; None takes the last.

        Raises:
            ParameterError: there is no such method, output or step.
            MissingExtra: torch is not installed.
        """
        if self._attribute is None:
            raise ParameterError("this trace was not made by a model's explain(): there is nothing to attribute")
        return self._attribute(method, *self.output(of, step))

    def gradients(self, of: str | None = None, step: int | None = None) -> Values:
        """The gradient of an output with respect to every value of every layer, by layer and name, [T, units].

        Args:
            of, step: the output, as in `attribute`. Of probabilities it is the log odds that are differentiated.

        Raises:
            ParameterError: there is no such output or step.
            MissingExtra: torch is not installed.
        """
        if self._differentiate is None:
            raise ParameterError("this trace was not made by a model's explain(): there is nothing to differentiate")
        return self._differentiate(*self.output(of, step))

    def output(self, of: str | None = None, step: int | None = None) -> tuple[int | None, int]:
        """The step, counted from the first one, None where something is said of the whole only, and the number of an output;
        of and step as in `attribute`."""
        last = len(self.outputs) - 1
        if step is not None and not -len(self.outputs) <= step <= last:
            raise ParameterError(f"step is {step}; the outputs have steps 0 to {last}")
        row = self.outputs[last if step is None else step]
        if of is None:
            number = int(row.argmax()) if self.kind == "probability" else 0
        elif of in self.names:
            number = self.names.index(of)
        else:
            shown = ", ".join(map(repr, self.names[:12])) + (", ..." if len(self.names) > 12 else "")
            raise ParameterError(f"there is no output {of!r}; there are: {shown}")
        return (last if step is None else step % len(self.outputs)) if self.stepwise else None, number

    def to_html(
        self,
        path: str | os.PathLike[str],
        method: Method | None = "integrated",
        of: str | None = None,
        step: int | None = None,
    ) -> None:
        """Write one page that needs nothing else: the text coloured by any unit, all figures, what the model said and why.

        Args:
            path: the file, replaced whole.
            method, of, step: as in `attribute`. A method of None leaves contributions and gradients out, and needs no torch.

        Raises:
            ParameterError: there is no such method, output or step.
            FileError: the file cannot be written.
            MissingExtra: matplotlib, or torch, is not installed.
        """
        from .page import write_page

        write_page(self, path, method, of, step)


def look(
    network: RuntimeNetwork,
    interpretation: Interpretation,
    attribute: Callable[[Method, int | None, int], Attribution] | None = None,
    differentiate: Callable[[int | None, int], Values] | None = None,
) -> Trace:
    """Run a trained network over one input and keep everything."""
    seen: Seen = {}
    scores, _ = network.run(interpretation.inputs, interpretation.states, seen=seen)
    outputs, first = interpretation.say(scores), interpretation.hidden
    surprise = None
    if interpretation.truth is not None:
        before = outputs[first - 1 : -1] if first else outputs
        surprise = -np.log(np.maximum(before[np.arange(len(before)), interpretation.truth], np.finfo(np.float64).tiny))
    return Trace(
        tokens=interpretation.tokens,
        unit=interpretation.unit,
        values={layer: {name: a[first:, 0] for name, a in values.items()} for layer, values in seen.items()},
        outputs=outputs[first:],
        names=interpretation.names,
        kind=interpretation.kind,
        cell=network.architecture.stack.running_cell,
        stepwise=scores.ndim == 3,
        stride=1 if (convolution := network.architecture.convolution) is None else convolution.stride,
        surprise=surprise,
        _attribute=attribute,
        _differentiate=differentiate,
    )
