"""What a model is made of, from encoder to head. Torch (training) and NumPy (running) build from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from ..errors import FileError, ParameterError
from ..ir import Cell
from ..ir.transform import zoneout

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Encoder:
    """What comes in at a step to a vector.

    Attributes:
        kind: ``"one_hot"`` (a token, one input each, nothing trained), ``"embedding"`` (a trained row a token), or
            ``"features"`` (numbers, less their mean in the training data and divided by their standard deviation there).
        tokens: how many tokens there are, V; 0 for features.
        size: the width of the vectors; V for one-hot.
    """

    kind: Literal["one_hot", "embedding", "features"]
    tokens: int
    size: int

    def __post_init__(self) -> None:
        check_kind("an encoder", self.kind, get_args(get_type_hints(Encoder)["kind"]))

    def shapes(self) -> Shapes:
        if self.kind == "features":
            return {"encoder.mean": (self.size,), "encoder.scale": (self.size,)}
        return {"encoder.weight": (self.tokens, self.size)} if self.kind == "embedding" else {}


@dataclass(frozen=True)
class Convolution:
    """A convolution over steps with a rectifier, between encoder and stack. Steps before the first and after the last are 0.

    Attributes:
        size: channels out.
        width: steps that one output sees, an odd number.
        stride: steps from one output to the next; a sequence of n steps leaves it with ceil(n / stride).
    """

    size: int
    width: int
    stride: int = 1

    def shapes(self, input_size: int) -> Shapes:
        return {"convolution.weight": (self.size, input_size, self.width), "convolution.bias": (self.size,)}

    def steps(self, lengths: Any) -> Any:
        """How many steps are left of so many."""
        return -(-lengths // self.stride)


READOUTS = ("steps", "last", "mean", "max", "attention")


@dataclass(frozen=True)
class Readout:
    """From the stack's outputs to what the head reads.

    Attributes:
        kind: ``"steps"`` gives every step; the others one vector a sequence: the ``"last"`` step of each direction, the
            ``"mean"`` or ``"max"`` over steps, or ``"attention"``, the mean weighted with softmax over the steps of
            query · tanh(weight y + bias), all trained.

    Paper of the attention: Z. Yang et al., "Hierarchical attention networks for document classification", NAACL 2016.
    """

    kind: Literal["steps", "last", "mean", "max", "attention"] = "steps"

    def __post_init__(self) -> None:
        check_kind("a readout", self.kind, READOUTS)

    def shapes(self, size: int) -> Shapes:
        if self.kind != "attention":
            return {}
        return {"readout.weight": (size, size), "readout.bias": (size,), "readout.query": (size,)}


def check_kind(what: str, kind: str, known: Sequence[str]) -> None:
    """Raise a `FileError` for a kind that this version does not have."""
    if kind not in known:
        raise FileError(f"the model has {what} of kind {kind!r}, which this version does not know")


@dataclass(frozen=True)
class Stack:
    """Recurrent layers, each on the output of the one before it.

    Attributes:
        cell: the record of the cell; all layers have the same.
        hidden_size: units of a layer, H.
        num_layers: how many layers.
        cell_sizes: the further sizes that some cells have, such as ``{"proj_size": 64}``.
        zoneout: the share of its old state that every unit kept in training, on the average.
        bidirectional: whether every layer has a second direction, its outputs beside those of the first.
    """

    cell: Cell
    hidden_size: int
    num_layers: int
    cell_sizes: Mapping[str, int] = field(default_factory=dict)
    zoneout: float = 0.0
    bidirectional: bool = False

    @property
    def directions(self) -> list[str]:
        """The ending of the names of each direction's parameters."""
        return ["", "_reverse"] if self.bidirectional else [""]

    @property
    def running_cell(self) -> Cell:
        """The cell as it runs after training."""
        return zoneout(self.cell, self.zoneout)

    def sizes(self, input_size: int) -> dict[str, int]:
        """Every size that the cell's shapes refer to."""
        return {"input_size": input_size, "hidden_size": self.hidden_size, **self.cell_sizes}

    @property
    def output_size(self) -> int:
        return self.sizes(0)[self.cell.output_dim] * len(self.directions)

    def layer_sizes(self, input_size: int) -> list[dict[str, int]]:
        """The sizes of every layer: the first reads the input, the others the outputs below them."""
        return [self.sizes(input_size if layer == 0 else self.output_size) for layer in range(self.num_layers)]

    def to_json(self) -> dict[str, Any]:
        return {**_plain(self), "cell": self.cell.to_json(), "cell_sizes": dict(self.cell_sizes)}

    @classmethod
    def from_json(cls, record: Any) -> Stack:
        return cls(**{**record, "cell": Cell.from_json(record["cell"])})

    def shapes(self, input_size: int, prefix: str = "recurrent") -> Shapes:
        found: Shapes = {}
        for layer, sizes in enumerate(self.layer_sizes(input_size)):
            for ending in self.directions:
                for name, shape in self.cell.shapes(sizes).items():
                    found[f"{prefix}.{name}_l{layer}{ending}"] = shape
        return found


@dataclass(frozen=True)
class Spelling:
    """A second recurrent network that reads the characters of every word; the last output of each of its directions
    stands beside the word's own vector.

    Attributes:
        characters: how many there are.
        size: the width of their trained vectors.
        stack: the layers.

    Paper: W. Ling et al., "Finding function in form: compositional character models", EMNLP 2015 (arXiv 1508.02096).
    """

    characters: int
    size: int
    stack: Stack

    def shapes(self) -> Shapes:
        return {"spelling.weight": (self.characters, self.size), **self.stack.shapes(self.size, "spelling.recurrent")}


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
    """Encoder, with spelling where there is one → convolution, where there is one → stack → readout → head.

    Attributes:
        skip: whether the head also reads what the stack reads, beside the stack's output at the same step.

    Raises:
        ParameterError: the parts do not fit together.
    """

    encoder: Encoder
    stack: Stack
    head: Head
    convolution: Convolution | None = None
    readout: Readout = field(default_factory=Readout)
    spelling: Spelling | None = None
    skip: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.stack.cell_sizes) - set(self.stack.cell.dims)
        if unknown:
            raise ParameterError(f"cell {self.stack.cell.name!r} has no size {sorted(unknown)[0]!r}")
        missing = [size for size in self.stack.cell.dims if size not in self.stack.sizes(self.input_size)]
        if missing:
            raise ParameterError(f"cell {self.stack.cell.name!r} needs cell_sizes={{{missing[0]!r}: a whole number}}")
        if self.head.tied and self.encoder.kind != "embedding":
            raise ParameterError("tie_weights needs an embedding to share: give embedding_size")
        if self.skip and self.readout.kind != "steps":
            raise ParameterError("a skip goes to the head of the same step: it needs a readout of steps")
        if self.head.tied and self.encoder.size != self.stack.output_size:
            raise ParameterError(
                f"tie_weights needs the embedding as wide as the stack's output: embedding_size is "
                f"{self.encoder.size}, the output has {self.stack.output_size}"
            )

    @property
    def input_size(self) -> int:
        """What the stack reads a step."""
        return self.encoded_size if self.convolution is None else self.convolution.size

    @property
    def head_size(self) -> int:
        """What the head reads."""
        return self.stack.output_size + (self.input_size if self.skip else 0)

    @property
    def encoded_size(self) -> int:
        """The width of what a step is encoded as."""
        return self.encoder.size + (0 if self.spelling is None else self.spelling.stack.output_size)

    def shapes(self) -> Shapes:
        """The shape of every array, by its name in the model file."""
        return {
            **self.encoder.shapes(),
            **({} if self.spelling is None else self.spelling.shapes()),
            **({} if self.convolution is None else self.convolution.shapes(self.encoded_size)),
            **self.stack.shapes(self.input_size),
            **self.readout.shapes(self.stack.output_size),
            **self.head.shapes(self.head_size),
        }

    def to_json(self) -> dict[str, Any]:
        spelling = None
        if self.spelling is not None:
            spelling = {**_plain(self.spelling), "stack": self.spelling.stack.to_json()}
        return {
            "encoder": asdict(self.encoder),
            "spelling": spelling,
            "convolution": None if self.convolution is None else asdict(self.convolution),
            "stack": self.stack.to_json(),
            "readout": asdict(self.readout),
            "head": asdict(self.head),
            "skip": self.skip,
        }

    @classmethod
    def from_json(cls, record: Any) -> Architecture:
        """The architecture that `to_json` wrote, now or in an earlier version; `FileError` when it is not one."""
        try:
            convolution, spelling = record.get("convolution"), record.get("spelling")
            return cls(
                Encoder(**record["encoder"]),
                Stack.from_json(record["stack"]),
                Head(**record["head"]),
                None if convolution is None else Convolution(**convolution),
                Readout(**record.get("readout", {})),
                None if spelling is None else Spelling(**{**spelling, "stack": Stack.from_json(spelling["stack"])}),
                record.get("skip", False),
            )
        except (KeyError, TypeError) as error:
            raise FileError(f"the file has a damaged architecture: {type(error).__name__} at {error}") from error


def _plain(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in fields(record)}
