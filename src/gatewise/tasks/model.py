"""What every estimator of sequences does with its trained network: keep it, show it, write it to a file and read it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ..errors import require
from ..inspect.trace import Interpretation, Method, Trace, Values, look
from ..modelfile import save_model
from ..runtime.architecture import Architecture
from ..runtime.network import RuntimeNetwork
from .options import RecurrentOptions, TrainingOptions
from .summary import table_of_layers

if TYPE_CHECKING:
    from ..inspect.attribution import Attribution
    from ..inspect.diagnosis import Diagnosis
    from .examination import Material

LEARNED = "learned."  # the beginning of the names of arrays that are not the network's


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes:
        architecture: what was trained.
        weights: its arrays by name, float32.
        history: one record a validation.
        facts: steps, seconds, the lowest validation loss, why it ended, and what the task adds.
    """

    architecture: Architecture
    weights: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """Where a training run keeps its state, and from where its data are.

    Attributes:
        checkpoint: the file with the state; None keeps none.
        resume: whether to go on from that file if it exists.
        seconds: at least so many lie between two checkpoints.
        source: JSON values from which `Model.fit_source` reads the data again; None where they are not in files.
    """

    checkpoint: Path | None = None
    resume: bool = False
    seconds: float = 30.0
    source: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
        seconds: float,
        source: dict[str, Any] | None = None,
    ) -> Run:
        """The run that arguments of a `fit` describe."""
        return cls(None if checkpoint is None else Path(checkpoint), resume, seconds, source)


class Model(TrainingOptions, RecurrentOptions, ABC):
    """An estimator whose fitted state is a network and what its task learned beside it."""

    task: ClassVar[str]  # its name in a model file

    def learned_arrays(self) -> dict[str, np.ndarray]:
        """What the task learned beside the network that is large: arrays by name, beginning with `LEARNED`."""
        return {}

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What the task learned beside the network, as JSON values by name: vocabulary, classes, scales."""

    @abstractmethod
    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Set what `learned` and `learned_arrays` gave."""

    @abstractmethod
    def fit_source(self, source: Mapping[str, Any], *, checkpoint: Path, resume: bool = False) -> Self:
        """As `fit`, on the files that a `Run`'s source names."""

    def on_held_out(self) -> str | None:
        """How good the fitted model is on what it held out, in words; None where the loss says it all."""
        return None

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Around a `fit`: looks after hyper-parameters and torch first; when it fails, the estimator stays as it was."""
        self.check_parameters()
        for module in ("torch", "lightning_fabric"):
            require(module, "train", "training a model")
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _become(self, trained: Trained) -> Self:
        self.architecture_, self.weights_ = trained.architecture, trained.weights
        self.history_, self.training_ = trained.history, trained.facts
        self._network = RuntimeNetwork(self.architecture_, self.weights_)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_network"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "weights_" in state:
            self._network = RuntimeNetwork(self.architecture_, self.weights_)

    @abstractmethod
    def interpret(self, input: Any) -> Interpretation:
        """How one input is read, step by step, and what the head's scores of it mean."""

    def explain(self, input: Any) -> Trace:
        """Look inside while the model reads one input: every gate and state at every step, what it says, and, by
        `Trace.attribute` and `Trace.gradients`, which steps mattered.

        Args:
            input: one of what `predict` takes many of; a text for a language model.

        Raises:
            GatewiseError: the input cannot be read.
        """
        self.check_is_fitted()
        interpretation = self.interpret(input)

        def attribute(method: Method, step: int | None, number: int) -> Attribution:
            require("torch", "train", "saying which steps mattered")
            from .explanation import attribute_output

            return attribute_output(self, interpretation, method, step, number)

        def differentiate(step: int | None, number: int) -> Values:
            require("torch", "train", "gradients")
            from .explanation import gradients_of_output

            return gradients_of_output(self, interpretation, step, number)

        return look(self._network, interpretation, attribute, differentiate)

    def diagnose(self, data: Any = None, y: Any = None) -> Diagnosis:
        """Examine the trained network: how far its gradients reach, stuck gates, units that never change, states that drift,
        and more; each finding with its evidence, its meaning and its remedy.

        Args:
            data: as for `fit`: a text, sequences, or series. A `Forecaster` takes that of `fit` for None.
            y: what belongs to each sequence; without it, what the model says.

        Raises:
            GatewiseError: the data cannot be read, or are too short.
            MissingExtra: torch is not installed.
        """
        self.check_is_fitted()
        require("torch", "train", "examining a model")
        from .examination import diagnose_model

        return diagnose_model(self, self.material(data, y))

    @abstractmethod
    def material(self, data: Any, y: Any) -> Material:
        """What `diagnose` examines the network on."""

    @property
    def training_window(self) -> int | None:
        """Steps that a gradient can go back in training; None where it goes back to the beginning."""
        return None

    def summary(self) -> str:
        """A table of layers, shapes and parameter counts."""
        self.check_is_fitted()
        return table_of_layers(self.architecture_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one ``.safetensors`` file, atomically; `gatewise.load` reads it.

        Raises:
            FileError: the file cannot be written.
        """
        self.check_is_fitted()
        header = {
            "architecture": self.architecture_.to_json(),
            "hyperparameters": self.plain_params(),
            "history": self.history_,
            "training": self.training_,
            **self.learned(),
        }
        save_model(path, self.task, header, {**self.weights_, **self.learned_arrays()})

    @classmethod
    def from_record(cls, header: Mapping[str, Any], weights: dict[str, np.ndarray]) -> Self:
        """The estimator of a model file's header and weights."""
        architecture = Architecture.from_json(header["architecture"])
        model = cls.from_plain_params(header["hyperparameters"], architecture.stack.cell)
        others = {name: weights.pop(name) for name in [*weights] if name.startswith(LEARNED)}
        model.restore(header, others)
        return model._become(Trained(architecture, weights, header["history"], header["training"]))
