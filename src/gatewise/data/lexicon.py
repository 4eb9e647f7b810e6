"""What a labelled text is made of: characters, words, or tokens that the caller has cut; number 0 is all the rest.

Unlike the vocabulary of a language model this one need not give the text back: spaces are left out, letters lowered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import FileError
from .vocabulary import UNKNOWN

WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")  # \u2019: a typographic apostrophe
LETTERS = 20  # of a word that are looked at


class Lexicon:
    """The tokens that a model of labelled texts knows.

    Args:
        level: ``"char"``, ``"word"``, or ``"token"`` for texts that come as lists of strings.
        tokens: every token once; the first stands for all that are not among them.
        lowercase: whether letters are lowered before they are looked up.
        characters: when the characters of words are looked at too, the lexicon of these.

    >>> lexicon = Lexicon.build(["To be, or not to be"], "word", max_size=4)
    >>> lexicon.tokens, lexicon.encode("BE what?").tolist()
    (('<unk>', 'be', 'to', ','), [1, 0, 0])
    """

    units: ClassVar[Mapping[str, str]] = {"char": "characters", "word": "words", "token": "tokens"}

    def __init__(self, level: str, tokens: Sequence[str], lowercase: bool, characters: Lexicon | None = None) -> None:
        self.level, self.tokens, self.lowercase, self.characters = level, tuple(tokens), lowercase, characters
        self._numbers = {token: number for number, token in enumerate(self.tokens)}

    @classmethod
    def build(
        cls, items: Iterable[Any], level: str, max_size: int | None = None, min_count: int = 1, lowercase: bool = True
    ) -> Lexicon:
        """The lexicon of the most frequent tokens of some texts, at most ``max_size`` with the unknown one."""
        empty = cls(level, [UNKNOWN], lowercase)
        counts: Counter[str] = Counter()
        for item in items:
            counts.update(empty.split(item))
        # Equal counts in the order of the tokens, so that the same texts always give the same numbers.
        ranked = sorted((t for t, n in counts.items() if n >= min_count), key=lambda token: (-counts[token], token))
        return cls(level, [UNKNOWN, *(ranked if max_size is None else ranked[: max_size - 1])], lowercase)

    def split(self, item: Any, as_written: bool = False) -> Sequence[str]:
        """The tokens of one text; as_written: without lowering letters."""
        lower = self.lowercase and not as_written
        if self.level == "token":
            return [token.lower() for token in item] if lower else item
        text = item.lower() if lower else item
        return text if self.level == "char" else WORD.findall(text)

    def encode(self, item: Any) -> np.ndarray:
        """The numbers of a text's tokens: an array [T], int32; or, with characters, [T, 1 + `LETTERS`]: then those of its
        characters with -1 after the last. Of a longer word the first half and the last half are looked at."""
        tokens = self.split(item)
        numbers = np.fromiter((self._numbers.get(token, 0) for token in tokens), np.int32, len(tokens))
        if self.characters is None:
            return numbers
        spelled = np.full((len(tokens), 1 + LETTERS), -1, np.int32)
        spelled[:, 0] = numbers
        for k, word in enumerate(self.split(item, as_written=True)):
            if len(word) > LETTERS:
                word = word[: LETTERS // 2] + word[-LETTERS // 2 :]
            spelled[k, 1 : 1 + max(1, len(word))] = self.characters.encode(word) if word else 0
        return spelled

    @property
    def unit(self) -> str:
        return self.units[self.level]

    def to_json(self) -> dict[str, Any]:
        characters = None if self.characters is None else self.characters.to_json()
        return {"level": self.level, "tokens": list(self.tokens), "lowercase": self.lowercase, "characters": characters}

    @classmethod
    def from_json(cls, record: Any) -> Lexicon:
        """The lexicon that `to_json` wrote."""
        try:
            characters = None if record["characters"] is None else cls.from_json(record["characters"])
            return cls(record["level"], record["tokens"], record["lowercase"], characters)
        except (KeyError, TypeError):
            raise FileError("the file has a damaged vocabulary") from None

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __repr__(self) -> str:
        return f"<Lexicon of {len(self):,} {self.unit}>"
