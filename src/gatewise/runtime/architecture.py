"""What a model is made of: encoder → recurrent stack → head. Torch (training) and NumPy (running) build from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..errors import FileError, ParameterError
from ..ir import Cell
from ..ir.transform import zoneout

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Encoder:
    """Token numbers to vectors.

    Attributes:
        kind: ``"one_hot"`` (one input per token, nothing trained) or ``"embedding"`` (a trained row per token).
        tokens: how many tokens there are, V.
        size: the width of the vectors; V for one-hot.
    """

    kind: Literal["one_hot", "embedding"]
    tokens: int
    size: int

    def __post_init__(self) -> None:
        if self.kind not in ("one_hot", "embedding"):
            raise FileError(f"the model has an encoder of kind {self.kind!r}, which this version does not know")

    def shapes(self) -> Shapes:
        return {"encoder.weight": (self.tokens, self.size)} if self.kind == "embedding" else {}


@dataclass(frozen=True)
class Stack:
    """Recurrent layers, each on the output of the one before it.

    Attributes:
        cell: the record of the cell; all layers have the same.
        hidden_size: units of a layer, H.
        num_layers: how many layers.
        cell_sizes: the further sizes that some cells have, such as ``{"proj_size": 64}``.
        zoneout: the share of its old state that every unit kept in training, on the average.
    """

    cell: Cell
    hidden_size: int
    num_layers: int
    cell_sizes: Mapping[str, int] = field(default_factory=dict)
    zoneout: float = 0.0

    @property
    def running_cell(self) -> Cell:
        """The cell as it runs after training."""
        return zoneout(self.cell, self.zoneout)

    def sizes(self, input_size: int) -> dict[str, int]:
        """Every size that the cell's shapes refer to."""
        return {"input_size": input_size, "hidden_size": self.hidden_size, **self.cell_sizes}

    @property
    def output_size(self) -> int:
        return self.sizes(0)[self.cell.output_dim]

    def layer_sizes(self, input_size: int) -> list[dict[str, int]]:
        """The sizes of every layer: the first reads the input, the others the outputs below them."""
        return [self.sizes(input_size if layer == 0 else self.output_size) for layer in range(self.num_layers)]

    def shapes(self, input_size: int) -> Shapes:
        found: Shapes = {}
        for layer, sizes in enumerate(self.layer_sizes(input_size)):
            for name, shape in self.cell.shapes(sizes).items():
                found[f"recurrent.{name}_l{layer}"] = shape
        return found


@dataclass(frozen=True)
class Head:
    """A linear map of the stack's output to one score per class.

    Attributes:
        classes: how many; for a language model the number of tokens.
        tied: whether its matrix is the embedding's.

    Paper of tying: O. Press and L. Wolf, "Using the output embedding to improve language models", EACL 2017.
    """

    classes: int
    tied: bool = False

    def shapes(self, input_size: int) -> Shapes:
        weight: Shapes = {} if self.tied else {"head.weight": (self.classes, input_size)}
        return {**weight, "head.bias": (self.classes,)}


@dataclass(frozen=True)
class Architecture:
    """Encoder → stack → head.

    Raises:
        ParameterError: the parts do not fit together.
    """

    encoder: Encoder
    stack: Stack
    head: Head

    def __post_init__(self) -> None:
        unknown = set(self.stack.cell_sizes) - set(self.stack.cell.dims)
        if unknown:
            raise ParameterError(f"cell {self.stack.cell.name!r} has no size {sorted(unknown)[0]!r}")
        missing = [size for size in self.stack.cell.dims if size not in self.stack.sizes(self.encoder.size)]
        if missing:
            raise ParameterError(f"cell {self.stack.cell.name!r} needs cell_sizes={{{missing[0]!r}: a whole number}}")
        if self.head.tied and self.encoder.kind != "embedding":
            raise ParameterError("tie_weights needs an embedding to share: give embedding_size")
        if self.head.tied and self.encoder.size != self.stack.output_size:
            raise ParameterError(
                f"tie_weights needs the embedding as wide as the stack's output: embedding_size is "
                f"{self.encoder.size}, the output has {self.stack.output_size}"
            )

    def shapes(self) -> Shapes:
        """The shape of every trained array, by its name in the model file."""
        return {
            **self.encoder.shapes(),
            **self.stack.shapes(self.encoder.size),
            **self.head.shapes(self.stack.output_size),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "encoder": asdict(self.encoder),
            "stack": {
                "cell": self.stack.cell.to_json(),
                "hidden_size": self.stack.hidden_size,
                "num_layers": self.stack.num_layers,
                "cell_sizes": dict(self.stack.cell_sizes),
                "zoneout": self.stack.zoneout,
            },
            "head": asdict(self.head),
        }

    @classmethod
    def from_json(cls, record: Any) -> Architecture:
        """The architecture that `to_json` wrote; `FileError` when it is not one."""
        try:
            stack = dict(record["stack"])
            stack["cell"] = Cell.from_json(stack["cell"])
            return cls(Encoder(**record["encoder"]), Stack(**stack), Head(**record["head"]))
        except (KeyError, TypeError) as error:
            raise FileError(f"the file has a damaged architecture: {type(error).__name__} at {error}") from error
