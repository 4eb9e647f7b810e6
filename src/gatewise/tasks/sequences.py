"""What the estimators of labelled sequences have in common: how X is read, what is built for it, how scores are computed."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from .. import cells
from ..data.labelled import Reading, read_labelled
from ..data.lexicon import Lexicon
from ..data.sequences import FEWEST_HELD_OUT, Sequences, by_length, hold_out, pad, read_sequences
from ..errors import FileError, GatewiseError, ParameterError
from ..inspect.trace import Interpretation
from ..runtime.architecture import Architecture, Convolution, Encoder, Head, Readout, Spelling, Stack
from .estimator import option, other_default
from .labels import balance, learn_classes, numbers_of
from .language import LARGEST_ONE_HOT
from .model import Model, Run, Trained
from .options import RecurrentOptions, TrainingOptions

if TYPE_CHECKING:
    from .examination import Material

CHARACTER_SIZE = 32  # the largest width of a character's vector
PREDICT_ROWS = 64  # sequences that are scored side by side
KEPT_ON_RESUME = ("batch_size", "validation_fraction", "seed", "max_length")


class SequenceModel(Model):
    """An estimator of sequences and what belongs to each; see its subclasses."""

    hidden_size: int = other_default(RecurrentOptions, "hidden_size", default=128)
    learning_rate: float = other_default(TrainingOptions, "learning_rate", default=3e-3)
    validation_fraction: float = other_default(
        TrainingOptions,
        "validation_fraction",
        default=0.1,
        more=f"Where it would be fewer than {FEWEST_HELD_OUT} sequences, which tell little, none are.",
    )
    bidirectional: bool = option("Whether every layer also reads the sequence from its end.", default=False)
    convolution: int | None = option(
        "Channels of a convolution over steps, with a rectifier, before the recurrent layers. None has none.",
        default=None,
        at_least=1,
    )
    convolution_width: int = option("Steps that one output of the convolution sees, an odd number.", default=5, at_least=1)
    convolution_stride: int = option("Steps from one output of the convolution to the next.", default=1, at_least=1)
    level: Literal["char", "word"] = option("Whether a step of a text is a character or a word.", default="word")
    lowercase: bool = option("Whether the letters of a text are lowered.", default=True)
    vocabulary_size: int = option("Largest number of tokens; rarer ones become <unk>.", default=20_000, at_least=2)
    embedding_size: int | None = option(
        "Width of the trained embedding of tokens. None gives the cell one-hot vectors.", default=64, at_least=1
    )
    min_count: int = option("How often a token must stand in the training data to be known.", default=1, at_least=1)
    spelling_size: int | None = option(
        "Units, in each direction, of a second recurrent network that reads the characters of every word. None has none.",
        default=None,
        at_least=1,
    )
    max_length: int | None = option(
        "Steps of a sequence that are read, its last ones. None reads all.", default=None, at_least=1
    )

    def check_parameters(self) -> None:
        super().check_parameters()
        if self.convolution_width % 2 == 0:
            raise ParameterError(f"convolution_width is {self.convolution_width}; it must be an odd number")

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """Train on sequences and what belongs to each.

        Args:
            X: a list of strings; a list of lists of strings; a list of arrays [T, F], or [T] for one feature; one array
                [N, T, F] or [N, T]; or a dataframe's column of any of these. Sequences may differ in length.
            y: what belongs to each sequence, as the class says.
            sample_weight: how much each sequence counts, [N].
            checkpoint: a file to keep the state of the training in. Ctrl-C and SIGTERM save it too.
            resume: go on from ``checkpoint`` if it exists.
            checkpoint_seconds: at least so many seconds lie between two checkpoints.

        Returns:
            The estimator itself.

        Raises:
            ParameterError: a hyper-parameter has a value that it cannot have.
            GatewiseError: X or y cannot be used; the message names the first sequence that is wrong.
            MissingExtra: torch or lightning-fabric is not installed.
            Interrupted: Ctrl-C or SIGTERM came; a `KeyboardInterrupt` that names the checkpoint.
        """
        with self._fitting():
            self.reading_ = None
            return self._become(self._fit(X, y, sample_weight, Run.of(checkpoint, resume, checkpoint_seconds)))

    def fit_files(
        self,
        paths: Sequence[str | os.PathLike[str]],
        reading: Reading,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """As `fit`, on the labelled sequences in files, which `gatewise.data.labelled.read_labelled` reads.

        Args:
            reading: how they are read; it is kept, so that `gatewise predict` reads new files in the same way.

        Raises:
            FileError: a file cannot be read. All errors name the file and the line.
        """
        with self._fitting():
            files = [Path(path) for path in paths]
            data = read_labelled(files, reading, numbers=self.task == "regress")
            if self.task == "classify" and reading.pattern is None and files[0].is_dir() and len(set(data.y or [])) == 1:
                raise FileError(
                    f"{files[0]}: all recordings lie in folders of one name, which is their label; put those of each "
                    "label into a folder of its own, or say with --label-pattern where the label is in a file's name"
                )
            self.reading_ = reading.to_json()
            source = {"paths": [str(path.resolve()) for path in files], "reading": self.reading_}
            with data.naming():
                return self._become(self._fit(data.X, data.y, None, Run.of(checkpoint, resume, checkpoint_seconds, source)))

    def fit_source(self, source: Mapping[str, Any], *, checkpoint: Path, resume: bool = False) -> Self:
        return self.fit_files(source["paths"], Reading.from_json(source["reading"]), checkpoint=checkpoint, resume=resume)

    def _fit(self, X: Any, y: Any, sample_weight: Any, run: Run) -> Trained:
        if y is None:
            raise GatewiseError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        sequences = read_sequences(X)
        targets = self.learn_targets(y, sequences)
        labels = targets if self.objective in ("binary", "classes") else None
        held_out = hold_out(len(sequences), self.validation_fraction, self.seed, labels)
        targets = self.scale_targets(targets, ~held_out)
        weights = check_weights(sample_weight, len(sequences)) * self.target_weights(targets, ~held_out)
        self._learn_input(sequences, ~held_out)
        items = self.encode(sequences)
        from .sequence_training import train_sequences

        return train_sequences(self, items, targets, weights, held_out, run)

    @property
    @abstractmethod
    def objective(self) -> str:
        """Which of `sequence_training.LOSSES` is made small."""

    @abstractmethod
    def learn_targets(self, y: Any, sequences: Sequences) -> Any:
        """Check y, and give it as numbers: an array a sequence, or one of all."""

    @abstractmethod
    def known_targets(self, y: Any, sequences: Sequences) -> Any:
        """Check y, and give it as the loss wants it, by what `fit` has learned."""

    def scale_targets(self, targets: Any, trained: np.ndarray) -> Any:
        """Targets as the loss wants them, by what those that are trained on [N] say."""
        return targets

    def target_weights(self, targets: Any, trained: np.ndarray) -> np.ndarray | float:
        """How much each sequence counts for what its target is, by those that are trained on [N]."""
        return 1.0

    def step_weights(self, targets: Any, trained: np.ndarray) -> np.ndarray | None:
        """For labels of steps, how much each class counts, by the sequences that are trained on [N]."""
        return None

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that the head gives."""

    @property
    def architecture_readout(self) -> Readout:
        return Readout()

    def _learn_input(self, sequences: Sequences, trained: np.ndarray) -> None:
        """Features, or the tokens of the sequences that are trained on [N]."""
        self.vocabulary_ = None
        if sequences.kind == "features":
            self.n_features_in_ = sequences.width
        else:
            level = self.level if sequences.kind == "text" else "token"
            texts = [item for item, there in zip(sequences.items, trained, strict=True) if there]
            lexicon = Lexicon.build(texts, level, self.vocabulary_size, self.min_count, self.lowercase)
            self.vocabulary_ = lexicon
            if self.spelling_size is not None and level != "char":
                words = (lexicon.split(item, as_written=True) for item in texts)
                lexicon.characters = Lexicon.build((w for item in words for w in item), "char", lowercase=False)

    def encode(self, sequences: Sequences) -> list[np.ndarray]:
        """Token numbers [T] or features [T, F] of every sequence, cut to `max_length`."""
        lexicon, items = self.vocabulary_, sequences.items
        if (lexicon is None) != (sequences.kind == "features") or (
            lexicon is not None and (lexicon.level == "token") != (sequences.kind == "tokens")
        ):
            wanted = "features" if lexicon is None else "lists of strings" if lexicon.level == "token" else "strings"
            raise GatewiseError(f"X has {sequences.kind}, but this {type(self).__name__} was fitted on {wanted}")
        if lexicon is None:
            if sequences.width != self.n_features_in_:
                raise GatewiseError(
                    f"X has {sequences.width} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input"
                )
        else:
            items = [lexicon.encode(item) for item in items]
            for k, item in enumerate(items):
                if not len(item):
                    raise GatewiseError(f"X[{k}] is empty: it has no {lexicon.unit}; leave it out")
        return items if self.max_length is None else [item[-self.max_length :] for item in items]

    def build_architecture(self) -> Architecture:
        """The architecture for what `fit` has seen."""
        lexicon = self.vocabulary_
        if lexicon is None:
            encoder = Encoder("features", 0, self.n_features_in_)
        elif self.embedding_size is not None:
            encoder = Encoder("embedding", len(lexicon), self.embedding_size)
        elif len(lexicon) <= LARGEST_ONE_HOT:
            encoder = Encoder("one_hot", len(lexicon), len(lexicon))
        else:
            raise ParameterError(f"one-hot input for {len(lexicon):,} tokens would be slow and large: give embedding_size")
        convolution = None
        if self.convolution is not None:
            convolution = Convolution(self.convolution, self.convolution_width, self.convolution_stride)
        spelling = None
        if lexicon is not None and lexicon.characters is not None and self.spelling_size is not None:
            reader = Stack(cells.get(self.cell), self.spelling_size, 1, dict(self.cell_sizes or {}), bidirectional=True)
            spelling = Spelling(len(lexicon.characters), min(self.spelling_size, CHARACTER_SIZE), reader)
        stack = self.build_stack(self.bidirectional)
        return Architecture(encoder, stack, Head(self.outputs), convolution, self.architecture_readout, spelling)

    def interpret(self, input: Any) -> Interpretation:
        sequences = read_sequences([input])
        (item,) = self.encode(sequences)
        lexicon = self.vocabulary_
        if lexicon is None:
            tokens: Sequence[str] = [str(k) for k in range(len(sequences.items[0]))]
        else:
            tokens = list(lexicon.split(sequences.items[0], as_written=True))
        return Interpretation(
            tokens=tuple(tokens[-len(item) :]),
            inputs=item[:, None],
            unit="step" if lexicon is None else lexicon.unit.removesuffix("s"),
            **self.meaning_of_scores(),
        )

    def material(self, data: Any, y: Any) -> Material:
        from .examination import sequence_material

        return sequence_material(self, data, y)

    @abstractmethod
    def predict(self, X: Any) -> Any:
        """What the model says of each sequence."""

    @abstractmethod
    def meaning_of_scores(self) -> dict[str, Any]:
        """What `Interpretation` says of the head's scores: names, kind, say, and of numbers their scale."""

    def scores(self, X: Any) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """What the head gives for sequences, in batches: their places in X, scores [B, C] or [T, B, C], and lengths [B]."""
        self.check_is_fitted()
        items = self.encode(read_sequences(X))
        sizes = np.array([len(item) for item in items])
        for rows in by_length(sizes, PREDICT_ROWS):
            inputs, lengths = pad([items[row] for row in rows])
            yield rows, self._network.run(inputs, lengths=lengths)[0], sizes[rows]

    def scores_of_sequences(self, X: Any) -> np.ndarray:
        """What the head gives for every sequence: [N, C]."""
        found = list(self.scores(X))
        out = np.empty((sum(len(rows) for rows, _, _ in found), self.outputs), np.float64)
        for rows, scores, _ in found:
            out[rows] = scores
        return out

    def learned(self) -> dict[str, Any]:
        return {
            "vocabulary": None if self.vocabulary_ is None else self.vocabulary_.to_json(),
            "features": getattr(self, "n_features_in_", None),
            "reading": self.reading_,
        }

    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.vocabulary_ = None if learned["vocabulary"] is None else Lexicon.from_json(learned["vocabulary"])
        if learned["features"] is not None:
            self.n_features_in_ = learned["features"]
        self.reading_ = learned["reading"]

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks an estimator about itself."""
        from sklearn.utils import InputTags, Tags, TargetTags

        inputs = InputTags(two_d_array=True, three_d_array=True, string=True)
        return Tags(None, TargetTags(required=True), input_tags=inputs, non_deterministic=False)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")


class WithReadout(SequenceModel):
    """An estimator of one thing a sequence."""

    readout: Literal["last", "mean", "max", "attention"] = option(
        "What the head reads of the outputs: the last step of each direction, their mean or largest over steps, or their "
        "mean weighted by trained attention.",
        default="mean",
    )

    @property
    def architecture_readout(self) -> Readout:
        return Readout(self.readout)


class WithClasses(SequenceModel):
    """An estimator whose answers are classes."""

    class_weight: Mapping[Any, float] | str | None = option(
        "Weight of each class in the loss: 'balanced' makes all count the same, a dict gives weights by label.", default=None
    )

    @abstractmethod
    def number_targets(self, y: Any, sequences: Sequences, number: Callable[[Any], np.ndarray]) -> Any:
        """Check y, and give it as numbers, which `number` gives of labels [n]."""

    def learn_targets(self, y: Any, sequences: Sequences) -> Any:
        def learn(labels: Any) -> np.ndarray:
            self.classes_ = learn_classes(labels)
            return numbers_of(labels, self.classes_)

        return self.number_targets(y, sequences, learn)

    def known_targets(self, y: Any, sequences: Sequences) -> Any:
        return self.number_targets(y, sequences, lambda labels: numbers_of(labels, self.classes_))

    def class_weights(self, numbers: np.ndarray) -> np.ndarray:
        """The weight of each class in the loss, given the labels' numbers."""
        counts = np.maximum(np.bincount(numbers, minlength=len(self.classes_)), 1)  # a label may be held out altogether
        return balance(self.classes_, counts, self.class_weight)

    def learned(self) -> dict[str, Any]:
        return {**super().learned(), "classes": self.classes_.tolist()}

    def restore(self, learned: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(learned, arrays)
        self.classes_ = np.array(learned["classes"])


def check_weights(sample_weight: Any, count: int) -> np.ndarray:
    """How much each sequence counts [N]; 1 when nothing is given."""
    if sample_weight is None:
        return np.ones(count)
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (count,):
        raise GatewiseError(f"sample_weight has shape {weights.shape}; for {count} sequences it must be ({count},)")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise GatewiseError("sample_weight has numbers that are negative or not finite")
    if not weights.any():
        raise GatewiseError("sample_weight is zero for every sequence")
    return weights


def column(y: Any) -> Any:
    """The values of a dataframe's column or of what can be made an array; lists as they are."""
    if isinstance(y, list | tuple | np.ndarray):
        return y
    return y.to_list() if hasattr(y, "to_list") else np.asarray(y)


def check_count(y: Sequence[Any] | np.ndarray, sequences: Sequences) -> None:
    """Raise unless y has one entry a sequence."""
    if len(y) != len(sequences):
        raise GatewiseError(f"inconsistent numbers of samples: X has {len(sequences)} sequences, y has {len(y)} entries")
