"""What a labelled text is made of: characters, words, or tokens that the caller has cut; number 0 is all the rest.

Unlike the vocabulary of a language model this one need not give the text back: spaces are left out, letters lowered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import FileError, GatewiseError
from .vocabulary import UNKNOWN, Tokens, most_frequent, word_pattern

UNITS = {"char": "characters", "word": "words", "token": "tokens"}
LETTERS = 20  # of a word that are looked at


class Lexicon(Tokens):
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

    def __init__(self, level: str, tokens: Sequence[str], lowercase: bool, characters: Lexicon | None = None) -> None:
        super().__init__(tokens)
        self.level, self.unit, self.lowercase, self.characters = level, UNITS[level], lowercase, characters

    @classmethod
    def build(
        cls, items: Iterable[Any], level: str, max_size: int | None = None, min_count: int = 1, lowercase: bool = True
    ) -> Lexicon:
        """The lexicon of the most frequent tokens of some texts, at most ``max_size`` with the unknown one."""
        empty = cls(level, [UNKNOWN], lowercase)
        counts: Counter[str] = Counter()
        for item in items:
            counts.update(empty.split(item))
        return cls(level, most_frequent(counts, max_size, min_count), lowercase)

    def split(self, item: Any, as_written: bool = False) -> Sequence[str]:
        """The tokens of one text; as_written: without lowering letters."""
        lower = self.lowercase and not as_written
        if self.level == "token":
            return [lowered(token) for token in item] if lower else item
        text = lowered(item) if lower else item
        return text if self.level == "char" else word_pattern(lossless=False).findall(text)

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

    def to_json(self) -> dict[str, Any]:
        characters = None if self.characters is None else self.characters.to_json()
        return {"level": self.level, "tokens": list(self.tokens), "lowercase": self.lowercase, "characters": characters}

    @classmethod
    def from_json(cls, record: Any) -> Lexicon:
        """The lexicon that `to_json` wrote."""
        try:
            characters = None if record["characters"] is None else cls.from_json(record["characters"])
            return cls(record["level"], record["tokens"], record["lowercase"], characters)
        except (KeyError, TypeError, GatewiseError):
            raise FileError("the file has a damaged vocabulary") from None


def lowered(text: str) -> str:
    """A text in lower case, of as many characters as before.

    >>> "İstanbul".lower() == "i\u0307stanbul", lowered("İstanbul")
    (True, 'istanbul')
    """
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(character.lower()[0] for character in text)
