"""A tape of what happens inside recurrent layers: gates, states and their gradients at every step of any pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import GatewiseError, require
from ..ir.cell import layer_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..ir.cell import Cell
    from ..nn.recurrent import Recurrent
    from ..nn.watching import Named, Pass


Names = Iterable[str] | None  # None: all


class Tape:
    """What `record` wrote down.

    values: by layer ("layer0", "layer0_reverse", "layer1", ...; behind the layer's own name in the model, "decoder.layer0",
        where the model has several stacks) and by name ("i", "f", "h", "c", ...), tensors [T, B, units], detached; past a
        row's length they are 0. They are those of the layer's last pass.
    gradients: the same of the gradient of whatever `backward` was called on; empty before it was. Calling it twice adds up.
        The gradient of a value is the whole one: of h with what it does to the outputs, to this step and to all later ones.
    lengths: by layer, the steps that count of each row, [B]; None where all do.
    passes: of every layer, its last passes, oldest first; how many is `record`'s `keep`.
    """

    def __init__(self, prefixes: dict[Recurrent, str], values: Names, gradients: Names, keep: int | None) -> None:
        self._values, self._gradients = values, gradients
        self._keep = keep
        self._prefixes = prefixes
        self.passes: dict[str, list[Pass]] = {}

    @property
    def values(self) -> dict[str, Named]:
        return {layer: passes[-1].values for layer, passes in self.passes.items()}

    @property
    def gradients(self) -> dict[str, Named]:
        return {layer: passes[-1].gradients for layer, passes in self.passes.items()}

    @property
    def lengths(self) -> dict[str, Tensor | None]:
        return {layer: passes[-1].lengths for layer, passes in self.passes.items()}

    def begin(self, layer: Recurrent, name: str, cell: Cell, x: Tensor, lengths: Tensor | None, rows: Tensor | None) -> Pass:
        """A layer's pass begins; called by the layer."""
        from ..nn.watching import Pass, watched_names

        passes = self.passes.setdefault(self._prefixes[layer] + name, [])
        passes.append(Pass(watched_names(cell, self._values), watched_names(cell, self._gradients), x, lengths, rows))
        if self._keep is not None:
            del passes[: -self._keep]
        return passes[-1]


@contextmanager
def record(model: nn.Module, values: Names = None, gradients: Names = None, keep: int | None = 1) -> Iterator[Tape]:
    """Record the named values of every recurrent layer of a model, and their gradients, in any pass inside the block.

    Args:
        model: a `gatewise.nn` layer, or any module that has some.
        values: the names of the values to keep; None keeps all, () none. A cell's names are its gates and states: `i`, `f`,
            `g`, `o`, `h`, `c` of an LSTM.
        gradients: the names of those whose gradients to keep, likewise.
        keep: how many passes of each layer the tape remembers; None all of them, which takes their memory.

    The layers compute the same numbers as without, in training or not; without gradients also under `torch.no_grad`. The
    block may contain a whole training loop. One tape at a time can be on a layer.

    Raises:
        GatewiseError: the model has no recurrent layer of ours, none of them has a value of that name, or a layer has
            a tape on it already.

        >>> import torch, gatewise.nn
        >>> layer = gatewise.nn.LSTM(8, 16)
        >>> with record(layer) as tape:
        ...     y, _ = layer(torch.zeros(5, 3, 8))
        ...     y.sum().backward()
        >>> tape.values["layer0"]["f"].shape, tape.gradients["layer0"]["h"].shape
        (torch.Size([5, 3, 16]), torch.Size([5, 3, 16]))
    """
    require("torch", "train", "gatewise.inspect.record")
    layers = recurrent_layers(model)
    values, gradients = (n if n is None else (n,) if isinstance(n, str) else tuple(n) for n in (values, gradients))
    known = sorted({name for layer in layers.values() for name, _ in layer.cell.named})
    unknown = sorted({*(values or ()), *(gradients or ())} - set(known))
    if unknown:
        raise GatewiseError(f"no layer of this model has a value {unknown[0]!r}; there are: {', '.join(known)}")
    if keep is not None and (not isinstance(keep, int) or isinstance(keep, bool) or keep < 1):
        raise GatewiseError(f"keep must be a number of passes above 0, or None for all, got {keep!r}")
    taken = [path for path, layer in layers.items() if layer.observer is not None]
    if taken:
        raise GatewiseError(f"a tape is already on layer {taken[0]!r}: one at a time")
    tape = Tape(_prefixes(layers), values, gradients, keep)
    for layer in layers.values():
        layer.observer = tape
    try:
        yield tape
    finally:
        for layer in layers.values():
            layer.observer = None


def recurrent_layers(model: nn.Module) -> dict[str, Recurrent]:
    """The recurrent layers of a model by their names in it. Raises GatewiseError where there are none."""
    from ..nn import Recurrent

    found = {name: module for name, module in model.named_modules() if isinstance(module, Recurrent)}
    if not found:
        raise GatewiseError(f"{type(model).__name__} has no recurrent layer of gatewise.nn in it")
    return found


@dataclass(frozen=True)
class Place:
    """One layer and direction in a model.

    Attributes:
        name: what a tape calls it.
        stack: the `Recurrent` that it belongs to.
        layer, reverse, ending: as in the stack's `runs`.
    """

    name: str
    stack: Recurrent
    layer: int
    reverse: bool
    ending: str


def places(model: nn.Module) -> list[Place]:
    """Every recurrent layer and direction of a model. Raises GatewiseError where there are none."""
    prefixes = _prefixes(recurrent_layers(model))
    return [
        Place(prefix + layer_name(layer, reverse), stack, layer, reverse, ending)
        for stack, prefix in prefixes.items()
        for layer, reverse, ending in stack.runs
    ]


def _prefixes(stacks: Mapping[str, Recurrent]) -> dict[Recurrent, str]:
    """What stands before the names of every stack's layers: its own name in the model if there are several."""
    return {stack: f"{path}." if len(stacks) > 1 else "" for path, stack in stacks.items()}
