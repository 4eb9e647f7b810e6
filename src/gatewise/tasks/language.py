"""A language model: the probability of text, one character or word after another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ..data.text import TextLike, open_text
from ..data.vocabulary import vocabulary_from_json
from ..errors import GatewiseError, ParameterError
from ..inspect.features import features_of, of_tokens
from ..inspect.trace import Interpretation
from ..inspect.units import Units, find_units
from ..runtime.architecture import Architecture, Encoder, Head
from ..runtime.network import log_softmax
from ..runtime.sampling import Sampling, sample
from ..runtime.scoring import log_likelihoods
from .estimator import check_number, option
from .model import Model, Run

if TYPE_CHECKING:
    from .examination import Material

LARGEST_ONE_HOT = 1024


class LanguageModel(Model):
    """A recurrent language model, trained on plain text and run without torch.

    The text is cut in parallel streams and learned by truncated backpropagation through time, the state carried from
    window to window; Adam, warm-up and cosine decay; the last part of the text is held out to measure what was learned.

    {parameters}

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

    task: ClassVar[str] = "language"

    level: Literal["char", "word"] = option("Whether a token is a character or a word.", default="char", kw_only=False)
    embedding_size: int | None = option(
        "Width of the trained embedding of tokens. None gives the cell one-hot vectors.", default=None, at_least=1
    )
    tie_weights: bool = option(
        "Use the embedding as the output matrix too; needs embedding_size as wide as the last layer's output.", default=False
    )
    vocabulary_size: int = option(
        "Largest number of words; rarer ones become <unk>. Characters are all kept.", default=10_000, at_least=2
    )
    bptt: int = option("Steps of a training window, the reach of a gradient through time.", default=64, at_least=1)

    def fit(
        self,
        text: TextLike,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
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
        with self._fitting():
            from .language_training import train_language

            opened = open_text(text)
            source = {"paths": [str(path.resolve()) for path in opened.paths]} if opened.paths else None
            run = Run.of(checkpoint, resume, checkpoint_seconds, source)
            self.vocabulary_, trained = train_language(self, opened, run)
            return self._become(trained)

    def fit_source(self, source: Mapping[str, Any], *, checkpoint: Path, resume: bool = False) -> Self:
        return self.fit([Path(path) for path in source["paths"]], checkpoint=checkpoint, resume=resume)

    def learned(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary_.to_json()}

    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.vocabulary_ = vocabulary_from_json(learned["vocabulary"])

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
        check_number("length", length, (0, True, float("inf")), whole=True)
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

    def units(
        self,
        text: str,
        *,
        patterns: Mapping[str, str] | None = None,
        values: Sequence[str] | None = None,
        top: int = 1,
    ) -> Units:
        """Find the units that follow something in a text: quotes, brackets, the place in the line, and what patterns cover.

        `gatewise.inspect.units` says how units are found and what their p means, `gatewise.inspect.features` what is looked
        for. A token of several characters has the largest of their values.

        Args:
            text: a long one, of at least a thousand tokens and better a hundred thousand; memory grows with it.
            patterns: regular expressions by name, to be followed by units too.
            values: names of the cell's values to search, such as ``["h", "c"]`` or ``["f"]``; None takes the states.
            top: how many units are given for a feature.

        Raises:
            ParameterError: a pattern is not a regular expression, or the cell has no such value.
            GatewiseError: the text is too short, has characters that the model never saw, or nothing in it varies.
        """
        self.check_is_fitted()
        tokens, features = self.vocabulary_.cut(text), features_of(text, patterns)
        features = {name: of_tokens(v, tokens) for name, v in features.items()} if tokens else {}
        inputs = np.append(np.asarray([self.vocabulary_.start]), self.vocabulary_.encode(text))[:, None]
        return find_units(self._network, inputs, tokens, features, values, top)

    def perplexity(self, text: str) -> float:
        """exp of the mean loss in nats a token; V, the number of tokens, is what guessing gives."""
        tokens = self.count_tokens(text)
        if not tokens:
            raise GatewiseError("the perplexity of an empty text is not defined")
        return float(np.exp(-self.log_likelihood([text])[0] / tokens))

    def interpret(self, input: Any) -> Interpretation:
        vocabulary = self.vocabulary_
        numbers = vocabulary.encode(input)
        if not len(numbers):
            raise GatewiseError("there is nothing to explain in an empty text")
        return Interpretation(
            tokens=tuple(vocabulary.tokens[n] for n in numbers),
            inputs=np.append(np.asarray([vocabulary.start]), numbers)[:, None],
            unit=vocabulary.unit.removesuffix("s"),
            names=vocabulary.tokens,
            kind="probability",
            say=lambda scores: np.exp(log_softmax(scores[:, 0])),
            hidden=1,  # the line break that stands before every text
            truth=numbers,
        )

    @property
    def training_window(self) -> int | None:
        return self.bptt

    def material(self, data: Any, y: Any) -> Material:
        from .examination import language_material

        return language_material(self, data)

    def count_tokens(self, text: str) -> int:
        """The number of characters or words in ``text``."""
        self.check_is_fitted()
        return len(self.vocabulary_.encode(text))

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
        return Architecture(encoder, self.build_stack(), Head(tokens, self.tie_weights))

    def check_parameters(self) -> None:
        """Raise a `ParameterError` for the first hyper-parameter that has a value it cannot have."""
        super().check_parameters()
        # Two tokens stand for any vocabulary: whether the parts fit together does not depend on how many there are.
        self.build_architecture(2)
