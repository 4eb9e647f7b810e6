"""A language model: the probability of text, one character or word after another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

from .. import cells
from ..data.text import TextLike
from ..data.vocabulary import Vocabulary, vocabulary_from_json
from ..errors import GatewiseError, ParameterError, require
from ..ir import Cell
from ..modelfile import save_model
from ..runtime.architecture import Architecture, Encoder, Head, Stack
from ..runtime.network import RuntimeNetwork
from ..runtime.sampling import Sampling, sample
from ..runtime.scoring import log_likelihoods
from .estimator import Estimator, check_choice, check_number
from .summary import table_of_layers

LARGEST_ONE_HOT = 1024


class LanguageModel(Estimator):
    """A recurrent language model, trained on plain text and run without torch.

    The text is cut in parallel streams and learned by truncated backpropagation through time, the state carried from
    window to window; Adam, warm-up and cosine decay; the last part of the text is held out to measure what was learned.

    Parameters
    ----------
    level
        Whether a token is a character or a word.
    cell
        The recurrent cell: the name of a built-in one (`gatewise cells` lists them), or a record from `gatewise.cell`.
    embedding_size
        Width of the trained embedding of tokens. None gives the cell one-hot vectors.
    hidden_size
        Units of a recurrent layer.
    num_layers
        Number of recurrent layers.
    cell_sizes
        Further sizes that some cells have, such as proj_size=64.
    dropout
        Share of each layer's output that is dropped while training, from 0 to below 1.
    input_dropout
        Share of the cell's inputs, of the embedding or the one-hot vectors, that is dropped while training.
    variational_dropout
        Whether dropout uses one mask for all steps of a window (Gal & Ghahramani, arXiv 1512.05287).
    weight_dropout
        Share of the recurrent matrices' numbers that is dropped, anew for every window (AWD-LSTM, arXiv 1708.02182).
    zoneout
        Share of a layer's states that keep their old value for a step (arXiv 1606.01305), from 0 to below 1.
    activation_penalty
        Weight in the loss of the mean squared output of the last layer (arXiv 1708.01009).
    temporal_penalty
        Weight in the loss of its mean squared change from step to step.
    tie_weights
        Use the embedding as the output matrix too; needs embedding_size as wide as the last layer's output.
    vocabulary_size
        Largest number of words; rarer ones become <unk>. Characters are all kept.
    bptt
        Steps of a training window, the reach of a gradient through time.
    batch_size
        Parallel streams.
    learning_rate
        Peak learning rate of Adam.
    epochs
        Passes over the text. With no other limit given, 10.
    max_steps
        Training ends after so many steps.
    max_seconds
        Training ends after so many seconds. Whichever limit comes first ends it, and the learning rate follows it.
    warmup
        Share of the training in which the learning rate rises from 0, from 0 to below 1.
    weight_decay
        Decoupled weight decay (AdamW).
    clip_norm
        Largest global norm of the gradients; above it they are scaled down.
    clip_value
        Largest absolute value of a gradient's elements; when given it replaces clip_norm.
    validation_fraction
        Share of the text, at its end, that is held out. 0 holds nothing out and never stops early.
    validate_every
        Steps between validations. None validates after every epoch, and at the end.
    patience
        Validations without a lower loss after which training stops. None never stops early.
    seed
        Number that fixes the initial weights and the dropout.
    device
        Where to train: auto, cpu, cuda or mps.
    precision
        Arithmetic of training, as Lightning Fabric names it.
    compute_dtype
        What the operands of the recurrent layers' matrix products are rounded to in training, on a CPU. bfloat16 is faster
        and needs a processor with AVX512-BF16, best one with AMX; all else stays as `precision` says.
    verbose
        Whether to show progress.

    Attributes
    ----------
    vocabulary_
        The tokens, a `gatewise.data.vocabulary.Vocabulary`.
    architecture_
        What the network is made of.
    weights_
        The trained arrays by name, float32.
    history_
        One record (dict) a validation: step, epoch, seconds, losses in nats a token (the training loss with its
        penalties, if any), learning rate.
    training_
        Facts about the training: steps, seconds, tokens, validation loss in nats a token, why it stopped.

    Examples
    --------
    >>> model = LanguageModel(hidden_size=32, max_steps=60, verbose=False)
    >>> model = model.fit("to be or not to be, that is the question\\n" * 100)
    >>> len("".join(model.generate("to be", length=20, seed=1)))
    20
    >>> likely, unlikely = model.log_likelihood(["to be or not", "ot be to nor"])
    >>> bool(likely > unlikely)
    True
    """

    def __init__(
        self,
        level: Literal["char", "word"] = "char",
        *,
        cell: str | Cell = "lstm",
        embedding_size: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell_sizes: Mapping[str, int] | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        variational_dropout: bool = False,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        tie_weights: bool = False,
        vocabulary_size: int = 10_000,
        bptt: int = 64,
        batch_size: int = 32,
        learning_rate: float = 1e-2,
        epochs: int | None = None,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        warmup: float = 0.02,
        weight_decay: float = 0.0,
        clip_norm: float | None = 1.0,
        clip_value: float | None = None,
        validation_fraction: float = 0.1,
        validate_every: int | None = None,
        patience: int | None = 5,
        seed: int = 0,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        precision: Literal["32-true", "64-true", "bf16-mixed", "bf16-true", "16-mixed"] = "32-true",
        compute_dtype: Literal["float32", "bfloat16"] = "float32",
        verbose: bool = True,
    ) -> None:
        self.level = level
        self.cell = cell
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.cell_sizes = cell_sizes
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.variational_dropout = variational_dropout
        self.weight_dropout = weight_dropout
        self.zoneout = zoneout
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self.tie_weights = tie_weights
        self.vocabulary_size = vocabulary_size
        self.bptt = bptt
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.validation_fraction = validation_fraction
        self.validate_every = validate_every
        self.patience = patience
        self.seed = seed
        self.device = device
        self.precision = precision
        self.compute_dtype = compute_dtype
        self.verbose = verbose

    def fit(
        self,
        text: TextLike,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> LanguageModel:
        """Train on a text.

        Args:
            text: a path, several paths, or the text itself. A string is a path when a file of that name exists.
                Files may be larger than memory.
            checkpoint: a file to keep the state of the training in. Ctrl-C and SIGTERM save it too.
            resume: go on from ``checkpoint`` if it exists. With a limit of epochs or steps the weights are then,
                bit for bit, those of a run that was never interrupted; with ``max_seconds`` the time that is left
                is used, so they depend on the speed of the machine, as they always do with that limit.
            checkpoint_seconds: at least so many seconds lie between two checkpoints.

        Returns:
            The estimator itself.

        Raises:
            ParameterError: a hyper-parameter has a value that it cannot have.
            GatewiseError: the text is empty, binary or too short; the loss became infinite or not a number.
            MissingExtra: torch or lightning-fabric is not installed.
            Interrupted: Ctrl-C or SIGTERM came; a `KeyboardInterrupt` that names the checkpoint.
        """
        self.check_parameters()
        require("torch", "train", "training a model")
        require("lightning_fabric", "train", "training a model")
        from .language_training import train

        result = train(
            self,
            text,
            checkpoint=Path(checkpoint) if checkpoint is not None else None,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
        )
        return self._become(*result)

    def _become(
        self,
        vocabulary: Vocabulary,
        architecture: Architecture,
        weights: dict[str, np.ndarray],
        history: list[dict[str, Any]],
        training: dict[str, Any],
    ) -> LanguageModel:
        self.__dict__.pop("_network", None)
        self.vocabulary_, self.architecture_, self.weights_ = vocabulary, architecture, weights
        self.history_, self.training_ = history, training
        return self

    def generate(
        self,
        prompt: str = "",
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Continue a text: an iterator that gives each token as soon as it is drawn.

        ``"".join(model.generate("Once", 200))`` is the whole continuation; the prompt is not part of it.

        Args:
            prompt: the text to continue. An empty one starts after a line break.
            length: how many tokens to draw.
            temperature: below 1 prefers likely tokens, above 1 evens them out, 0 always takes the likeliest.
            top_k: draw from the k likeliest tokens only.
            top_p: draw from the likeliest tokens that together have this probability.
            seed: the same seed gives the same text; None draws a new one each time.

        Raises:
            ParameterError: an argument is out of its range.
            GatewiseError: the prompt has characters that the model never saw.
        """
        self.check_is_fitted()
        check_number("length", length, 0, whole=True)
        sampling = Sampling(temperature, top_k, top_p)
        vocabulary = self.vocabulary_
        context = np.append(np.asarray([vocabulary.start]), vocabulary.encode(prompt))
        never = () if vocabulary.unknown is None else (vocabulary.unknown,)
        drawn = sample(self._network, context, length, sampling, np.random.default_rng(seed), never)
        return (vocabulary.tokens[number] for number in drawn)

    def log_likelihood(self, texts: Iterable[str]) -> np.ndarray:
        """How likely the model finds texts: log p(text) in nats, given that a line break stands before each.

        Args:
            texts: the texts; they may differ in length.

        Returns:
            An array, one number a text. Longer texts have lower values: divide by the number of tokens to compare.

        Raises:
            GatewiseError: a text has characters that the model never saw.
        """
        self.check_is_fitted()
        if isinstance(texts, str):
            raise ParameterError("texts is one string; it must be a list of strings")
        numbers = [self.vocabulary_.encode(text) for text in texts]
        return log_likelihoods(self._network, numbers, self.vocabulary_.start)

    def perplexity(self, text: str) -> float:
        """exp of the mean loss in nats a token; V, the number of tokens, is what guessing gives."""
        tokens = self.count_tokens(text)
        if not tokens:
            raise GatewiseError("the perplexity of an empty text is not defined")
        return float(np.exp(-self.log_likelihood([text])[0] / tokens))

    def count_tokens(self, text: str) -> int:
        """The number of characters or words in ``text``."""
        self.check_is_fitted()
        return len(self.vocabulary_.encode(text))

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
            "vocabulary": self.vocabulary_.to_json(),
            "hyperparameters": self.plain_params(),
            "history": self.history_,
            "training": self.training_,
        }
        save_model(path, "language", header, self.weights_)

    @classmethod
    def from_record(cls, header: Mapping[str, Any], weights: dict[str, np.ndarray]) -> LanguageModel:
        """The estimator of a model file's header and weights."""
        architecture = Architecture.from_json(header["architecture"])
        model = cls.from_plain_params(header["hyperparameters"], architecture.stack.cell)
        vocabulary = vocabulary_from_json(header["vocabulary"])
        model._become(vocabulary, architecture, weights, header["history"], header["training"])
        _ = model._network  # checks the weights against the architecture
        return model

    def plain_params(self) -> dict[str, Any]:
        """The hyper-parameters as JSON values. A cell that is not a built-in one is None: the architecture has it."""
        params = self.get_params()
        params["cell"] = self.cell if isinstance(self.cell, str) else None
        params["cell_sizes"] = None if self.cell_sizes is None else dict(self.cell_sizes)
        return params

    @classmethod
    def from_plain_params(cls, params: Mapping[str, Any], cell: Cell) -> LanguageModel:
        """An unfitted estimator of what `plain_params` gave; parameters that this version does not have are left."""
        known = {name: value for name, value in params.items() if name in cls.parameters()}
        if known.get("cell") is None:
            known["cell"] = cell
        return cls(**known)

    def build_architecture(self, tokens: int) -> Architecture:
        """The architecture for a vocabulary of so many tokens.

        Raises:
            ParameterError: sizes do not fit together, or a one-hot input would be very wide.
        """
        if self.embedding_size is None and tokens > LARGEST_ONE_HOT:
            raise ParameterError(
                f"one-hot input for {tokens:,} tokens would be slow and large: give embedding_size, for example 128"
            )
        encoder = (
            Encoder("one_hot", tokens, tokens)
            if self.embedding_size is None
            else Encoder("embedding", tokens, self.embedding_size)
        )
        stack = Stack(cells.get(self.cell), self.hidden_size, self.num_layers, dict(self.cell_sizes or {}), self.zoneout)
        return Architecture(encoder, stack, Head(tokens, self.tie_weights))

    def check_parameters(self) -> None:
        """Raise a `ParameterError` for the first hyper-parameter that has a value it cannot have."""
        for name in ("hidden_size", "num_layers", "bptt", "batch_size"):
            check_number(name, getattr(self, name), 1, whole=True)
        for name in ("embedding_size", "epochs", "max_steps", "validate_every", "patience"):
            check_number(name, getattr(self, name), 1, whole=True, optional=True)
        for name in ("max_seconds", "clip_norm", "clip_value"):
            check_number(name, getattr(self, name), 0, above=True, optional=True)
        for name in ("dropout", "input_dropout", "weight_dropout", "zoneout", "warmup", "validation_fraction"):
            check_number(name, getattr(self, name), 0, below=1)
        for name in ("level", "device", "precision", "compute_dtype"):
            check_choice(name, getattr(self, name), get_args(get_type_hints(type(self).__init__)[name]))
        check_number("vocabulary_size", self.vocabulary_size, 2, whole=True)
        check_number("learning_rate", self.learning_rate, 0, above=True)
        for name in ("weight_decay", "activation_penalty", "temporal_penalty"):
            check_number(name, getattr(self, name), 0)
        check_number("seed", self.seed, 0, whole=True, below=2**32)
        # Two tokens stand for any vocabulary: whether the parts fit together does not depend on how many there are.
        self.build_architecture(2)

    @cached_property
    def _network(self) -> RuntimeNetwork:
        return RuntimeNetwork(self.architecture_, self.weights_)
