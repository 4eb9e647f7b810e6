"""What a layer hands out while somebody watches it: named values and their gradients at every step of every pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from ..ir.cell import Cell

Named = dict[str, Tensor]


class Pass:
    """One pass of one layer and direction over a sequence. It may come in pieces, see `Recurrent(checkpoint_steps=)`.

    Args:
        values, gradients: the names that are to be kept.
        x: what the layer reads, [T, B, I].
        lengths: the steps that count of each row of the layer's batch, [B]; None where all do.
        rows: where each row of the caller's batch lies in that of the layer, which packed sequences sort by length.
    """

    def __init__(
        self,
        values: tuple[str, ...],
        gradients: tuple[str, ...],
        x: Tensor,
        lengths: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> None:
        self._names = values, gradients
        self._x, self._rows = x.detach(), rows
        self.lengths = lengths if lengths is None or rows is None else lengths[rows.to(lengths.device)]
        self._pieces: dict[int, tuple[Named, Named]] = {}

    def piece(self, start: int) -> Watcher:
        """What takes the values of the steps from `start` on."""
        values, gradients = self._pieces.setdefault(start, ({}, {}))
        return Watcher(*self._names, values, gradients)

    @property
    def x(self) -> Tensor:
        """[T, B, I], what the layer read, detached."""
        return self._x if self._rows is None else self._x.index_select(1, self._rows)

    @property
    def values(self) -> Named:
        """[T, B, units] each, by name, in the order of x; 0 past a row's length."""
        return self._joined(0)

    @property
    def gradients(self) -> Named:
        """The same of the gradients; empty before backward."""
        return self._joined(1)

    def _joined(self, kind: int) -> Named:
        pieces = [self._pieces[start][kind] for start in sorted(self._pieces)]
        if not all(pieces):
            return {}
        found = {name: torch.cat([p[name] for p in pieces]) if len(pieces) > 1 else pieces[0][name] for name in pieces[0]}
        if self._rows is None:
            return found
        return {name: value.index_select(1, self._rows) for name, value in found.items()}


class Watcher:
    """Takes what one run of a layer's steps shows. values, gradients: the names that it wants."""

    def __init__(self, values: tuple[str, ...], gradients: tuple[str, ...], kept: Named, kept_gradients: Named) -> None:
        self.values, self.gradients = values, gradients
        self._values, self._gradients = kept, kept_gradients

    def take_values(self, found: Mapping[str, Tensor]) -> None:
        self._values.update(found)

    def take_gradients(self, found: Mapping[str, Tensor]) -> None:
        """Add to what earlier backward passes left, as torch adds to a tensor's grad."""
        for name, value in found.items():
            self._gradients[name] = self._gradients[name] + value if name in self._gradients else value

    def see_gradients(self, steps: int) -> Callable[[str, int, Tensor], None]:
        """For the interpreter, which torch differentiates: called with every value, it takes the gradient that comes."""

        def see(name: str, step: int, value: Tensor) -> None:
            if name not in self.gradients:
                return
            if name not in self._gradients:
                self._gradients[name] = value.new_zeros((steps, *value.shape))
            if value.requires_grad:
                value.register_hook(partial(keep, name, step))

        def keep(name: str, step: int, gradient: Tensor) -> None:
            self._gradients[name][step] += gradient.detach()

        return see


def watched_names(cell: Cell, names: Iterable[str] | None) -> tuple[str, ...]:
    """Those of the names that the cell has; all that it has for None."""
    return tuple(n for n, _ in cell.named if names is None or n in names)
