"""Tokens and their numbers: characters, or words.

Both levels cut a text without loss: joining the tokens gives the text back. A word token takes the space before it
along ("to", " be"), so a model of words needs no rule for where spaces go.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np

from ..errors import FileError, GatewiseError, ParameterError

UNKNOWN = "<unk>"


@cache
def word_pattern(lossless: bool) -> re.Pattern[str]:
    """What matches the words and marks of a text one after another; with ``lossless`` spaces too, one of them taken along
    by what follows it.

    Combining marks belong to the letter before them (Python's ``\\w`` leaves out the vowel signs of Hindi, for one), and so
    do the two joiners; an apostrophe belongs to the letters on both its sides.
    """
    marks = "".join(filter(lambda c: unicodedata.category(c)[0] == "M", map(chr, range(0x20000))))
    # Looking ahead for spaces and ASCII, which are no marks, makes it three times faster on most texts.
    letters = rf"\w+(?:(?![\s!-~])[{marks}\u200c\u200d]+\w*)*"
    word = rf"{letters}(?:['\u2019]{letters})*"
    return re.compile(rf" ?{word}| ?[^\w\s]|\s" if lossless else rf"{word}|[^\w\s]")


def most_frequent(counts: Counter[str], max_size: int | None, min_count: int = 1) -> list[str]:
    """`UNKNOWN` and the most frequent tokens, at most ``max_size`` in all."""
    # Equal counts in the order of the tokens, so that the same text always gives the same numbers.
    ranked = sorted((t for t, n in counts.items() if n >= min_count), key=lambda token: (-counts[token], token))
    return [UNKNOWN, *(ranked if max_size is None else ranked[: max_size - 1])]


class Tokens:
    """What a model knows of texts; token ``k`` has number ``k``.

    Args:
        tokens: every token once, in the order of their numbers.
    """

    level: str
    unit: str  # what a token is called, in the plural

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self._numbers = {token: number for number, token in enumerate(self.tokens)}
        if len(self._numbers) != len(self.tokens):
            raise GatewiseError("a vocabulary has the same token twice")

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} {self.unit}>"


class Vocabulary(Tokens, ABC):
    """Tokens from which a text can be made again."""

    unknown: ClassVar[int | None]  # the number that stands for every token outside of the vocabulary

    @classmethod
    @abstractmethod
    def build(cls, pieces: Iterable[str], max_size: int | None = None) -> tuple[Vocabulary, int]:
        """Read a text once; return its vocabulary and the number of tokens in the text."""

    @abstractmethod
    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        """The token numbers of a text that comes in pieces, as arrays of `dtype`."""

    @classmethod
    @abstractmethod
    def cut(cls, text: str) -> list[str]:
        """The tokens of ``text`` as it has them, known or not; joined they are the text."""

    def encode(self, text: str) -> np.ndarray:
        """The numbers of the tokens of ``text``: an array [N] of `dtype`.

        Raises:
            GatewiseError: ``text`` has characters that the vocabulary lacks (characters only; a word that it
                lacks becomes the unknown token).
        """
        return np.concatenate([np.empty(0, self.dtype), *self.encode_pieces([text])])

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of these token numbers."""
        return "".join(self.tokens[number] for number in numbers)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integer type that holds every number."""
        return np.min_scalar_type(max(len(self) - 1, 0))

    @property
    def start(self) -> int:
        """The token that stands before the first one: a line break, or token 0 where the text has none."""
        return self._numbers.get("\n", 0)

    def to_json(self) -> dict[str, Any]:
        return {"level": self.level, "tokens": list(self.tokens)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.level, self.tokens) == (other.level, other.tokens)


class CharVocabulary(Vocabulary):
    """Every character of the training text, in the order of Unicode.

    >>> vocabulary, length = CharVocabulary.build(["hello"])
    >>> vocabulary.tokens, length, vocabulary.encode("hole").tolist()
    (('e', 'h', 'l', 'o'), 5, [1, 3, 2, 0])
    """

    level = "char"
    unit = "characters"
    unknown = None

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(tokens)
        points = _code_points("".join(self.tokens))
        if len(points) != len(self.tokens):
            raise GatewiseError("a vocabulary of characters has a token that is not one character")
        # The number of each code point; len(self) marks one that is not known.
        self._table = np.full(int(points.max(initial=0)) + 2, len(self), np.int32)
        self._table[points] = np.arange(len(self))

    @classmethod
    def build(cls, pieces: Iterable[str], max_size: int | None = None) -> tuple[CharVocabulary, int]:
        found: set[str] = set()
        length = 0
        for piece in pieces:
            found.update(piece)
            length += len(piece)
        return cls(sorted(found)), length

    @classmethod
    def cut(cls, text: str) -> list[str]:
        return list(text)

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        for piece in pieces:
            points = _code_points(piece)
            numbers = self._table[np.minimum(points, len(self._table) - 1)]
            if (numbers == len(self)).any():
                raise GatewiseError(_name_unseen(sorted(set(piece) - set(self.tokens))))
            yield numbers.astype(self.dtype)


class WordVocabulary(Vocabulary):
    """The most frequent words, marks and spaces of the training text; number 0 stands for every other word.

    >>> vocabulary, length = WordVocabulary.build(["to be, or not to be"], max_size=4)
    >>> vocabulary.tokens, length
    (('<unk>', ' be', ' not', ' or'), 7)
    >>> vocabulary.decode(vocabulary.encode("we be"))
    '<unk> be'
    """

    level = "word"
    unit = "words"
    unknown = 0

    @classmethod
    def build(cls, pieces: Iterable[str], max_size: int | None = None) -> tuple[WordVocabulary, int]:
        counts: Counter[str] = Counter()
        for words in _split_words(pieces):
            counts.update(words)
        return cls(most_frequent(counts, max_size)), counts.total()

    @classmethod
    def cut(cls, text: str) -> list[str]:
        return word_pattern(lossless=True).findall(text)

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        for words in _split_words(pieces):
            yield np.fromiter((self._numbers.get(word, 0) for word in words), self.dtype, len(words))


LEVELS: dict[str, type[Vocabulary]] = {kind.level: kind for kind in (CharVocabulary, WordVocabulary)}


def vocabulary_type(level: str) -> type[Vocabulary]:
    """The class of a level; a `ParameterError` names the levels there are."""
    if level not in LEVELS:
        raise ParameterError(f"level is {level!r}; it must be one of: {', '.join(LEVELS)}")
    return LEVELS[level]


def vocabulary_from_json(record: dict[str, Any]) -> Vocabulary:
    """The vocabulary that `Vocabulary.to_json` wrote."""
    try:
        level, tokens = record["level"], record["tokens"]
    except (KeyError, TypeError):
        raise FileError("the file has a damaged vocabulary") from None
    return vocabulary_type(level)(tokens)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _split_words(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The words of each piece; one that is cut by the end of a piece comes whole with the next."""
    find, rest = word_pattern(lossless=True).findall, ""
    for piece in pieces:
        text = rest + piece
        # What stands before the last space is whole: no token reaches over a space, it can only begin with one.
        cut = next((at for at in range(len(text) - 1, -1, -1) if text[at].isspace()), 0)
        text, rest = text[:cut], text[cut:]
        yield find(text)
    yield find(rest)


def _name_unseen(characters: list[str]) -> str:
    shown = ", ".join(repr(character) for character in characters[:10])
    more = f" and {len(characters) - 10} more" if len(characters) > 10 else ""
    return f"the model never saw these characters: {shown}{more}"
