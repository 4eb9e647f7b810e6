"""Several cells on one task, under the same budget of parameters and of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import cells as library
from ..data.text import TextLike
from ..errors import ParameterError
from ..figure import write_figure
from .language import LanguageModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE = 5  # validations an epoch: each costs about a thirtieth of it


@dataclass(frozen=True)
class Result:
    """What one cell reached.

    Attributes:
        cell: its name.
        parameters: trained numbers.
        model: the fitted model; its `history_` has every validation.
    """

    cell: str
    parameters: int
    model: LanguageModel

    @property
    def history(self) -> list[dict[str, Any]]:
        """The validations: step, seconds, losses in nats a token."""
        return [record for record in self.model.history_ if record["validation_loss"] is not None]


def count_parameters(model: LanguageModel, tokens: int) -> int:
    """The trained numbers of a model over so many tokens."""
    return sum(math.prod(shape) for shape in model.build_architecture(tokens).shapes().values())


def fit_hidden_size(model: LanguageModel, tokens: int, budget: int) -> int:
    """The most hidden units with which a model has at most `budget` trained numbers.

    Raises:
        ParameterError: one unit is too many already.
    """

    def count(hidden_size: int) -> int:
        candidate = LanguageModel(**{**model.get_params(), "hidden_size": hidden_size})
        return count_parameters(candidate, tokens)

    if count(1) > budget:
        raise ParameterError(f"cell {model.cell!r} has {count(1):,} parameters with one unit, above the {budget:,} allowed")
    low, high = 1, 2
    while count(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low


def compare(
    text: TextLike,
    cells: Sequence[str],
    model: LanguageModel,
    parameters: int | None = None,
    started: Callable[[LanguageModel], None] = lambda model: None,
) -> Iterator[Result]:
    """Train a language model of each cell; gives each result as soon as it is there.

    Args:
        text: as in `LanguageModel.fit`.
        cells: names of built-in cells.
        model: all hyper-parameters but the cell; hidden_size is that of the first cell. Without validate_every each is
            measured five times an epoch, so that there is a curve to draw.
        parameters: how many trained numbers each may have; None gives all what the first cell has. Every cell gets the
            largest hidden_size that fits.
        started: called with each model before it is trained.

    Raises:
        ParameterError: a cell does not fit in the budget, or needs a size that was not given.
    """
    from ..data.encode import encode_text
    from ..data.text import open_text

    if model.tie_weights:
        raise ParameterError("cells of different widths cannot share one embedding with the output: leave out tie_weights")
    vocabulary, tokens = encode_text(open_text(text), model.level, model.vocabulary_size)
    steps = len(tokens) * (1 - model.validation_fraction) / (model.batch_size * model.bptt)
    every = model.validate_every or max(1, round(steps / CURVE))
    candidates = []
    for cell in cells:
        sizes = {d: n for d, n in (model.cell_sizes or {}).items() if d in library.get(cell).dims}
        changed = {"cell": cell, "patience": None, "cell_sizes": sizes, "validate_every": every}
        candidates.append(LanguageModel(**{**model.get_params(), **changed}))
    for candidate in candidates:
        candidate.check_parameters()
    budget = parameters or count_parameters(candidates[0], len(vocabulary))
    for candidate in candidates:
        candidate.hidden_size = fit_hidden_size(candidate, len(vocabulary), budget)
    for cell, candidate in zip(cells, candidates, strict=True):
        started(candidate)
        candidate.fit(text)
        yield Result(cell, count_parameters(candidate, len(vocabulary)), candidate)


def draw(results: Sequence[Result], path: Path, unit: str) -> None:
    """Write a figure: validation loss against seconds, and against steps, a line a cell."""

    def curves(figure: Figure) -> None:
        panels = zip(figure.subplots(1, 2, sharey=True), ("seconds", "step"), ("seconds", "steps"), strict=True)
        for axes, key, label in panels:
            for result in results:
                axes.plot(
                    [record[key] for record in result.history],
                    [record["validation_loss"] for record in result.history],
                    marker="o",
                    markersize=3,
                    label=f"{result.cell}, {result.model.hidden_size} units",
                )
            axes.set_xlabel(label)
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylabel(f"validation loss, nats a {unit}")
        figure.axes[0].legend()

    write_figure(path, curves)
