"""What stands at each character of a text, as arrays: quotes, brackets, places in line and word, sentences, patterns.

A yes/no feature is an array of bool [N], a number one of float32 [N], for a text of N characters. What a mark opens begins
with the mark and ends before the mark that closes it, so that the value at a character says where its successor stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import GatewiseError, ParameterError

Features = dict[str, np.ndarray]

INSIDE = "inside"  # the group of a pattern that is covered, where it has one of this name; else the whole match is
_NO_PARAGRAPH = r"(?!\n[ \t]*\n)"

# An apostrophe opens a quotation after no letter and before no space, and closes one after no space and before no letter.
_COVERED: dict[str, tuple[str, ...]] = {
    "double quotes": (
        rf'(?P<inside>"(?:{_NO_PARAGRAPH}[^"])*)"?',
        rf"(?P<inside>“(?:{_NO_PARAGRAPH}[^”])*)",
    ),
    "single quotes": (
        rf"(?<![\w'])(?P<inside>'(?=[^\s'])(?:{_NO_PARAGRAPH}[^']|(?<=\w)'(?=\w))+?)(?<=\S)'(?!\w)",
        rf"(?P<inside>‘(?:{_NO_PARAGRAPH}[^‘’]|(?<=\w)’(?=\w))*)(?=’)",
    ),
    "sentence end": (r"""[.!?…]+["'”’)\]]*(?=\s|\Z)""",),
    "line start": (r"(?m)^.",),
    "digit": (r"\d",),
    "vowel": (r"(?i)[aeiou]",),
    "space": (" ",),
    "line break": ("\n",),
}
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_BRACKET = re.compile(r"(?P<open>[(\[{])|(?P<close>[)\]}])|\n[ \t]*\n")


def features_of(text: str, patterns: Mapping[str, str] | None = None) -> Features:
    """Every feature of a text by name.

    Yes/no: "double quotes" (straight or curly; an open quotation ends with its paragraph), "single quotes" (only those whose
    two ends can be told from apostrophes: 'tis is none), "brackets" (round, square, curly), "sentence end" (the marks that
    end one, before a space), "line start" (a line's first character), "digit", "upper case", "vowel" (a, e, i, o, u),
    "space", "line break". Numbers: "bracket depth" (0 after a blank line), "line position" (characters before it in its
    line), "word position" (1 for a word's first letter; 0 outside of words), "indentation" (spaces and tabs that its line
    begins with).

    Args:
        patterns: regular expressions by name, each a further yes/no feature: true on the characters that its matches cover,
            or their groups called "inside".

    Raises:
        ParameterError: a pattern is not a regular expression, or its name is taken.
    """
    found: Features = {name: covered(text, *map(re.compile, own)) for name, own in _COVERED.items()}
    characters = np.array(list(text), dtype="<U1")
    found["upper case"] = np.char.isupper(characters) if len(text) else np.zeros(0, bool)
    depth = _bracket_depth(text)
    found |= {"brackets": depth > 0, "bracket depth": depth}
    found |= {"line position": _since(_first_of_lines(characters)), "word position": _word_position(text)}
    found["indentation"] = _indentation(text)
    for name, pattern in (patterns or {}).items():
        if name in found:
            raise ParameterError(f"there is a feature {name!r} already: call the pattern something else")
        found[name] = covered(text, compile_pattern(name, pattern))
    return found


def compile_pattern(name: str, pattern: str) -> re.Pattern[str]:
    """A user's regular expression; a `ParameterError` says where it is wrong."""
    try:
        return re.compile(pattern)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise ParameterError(f"pattern {name!r} is not a regular expression: {error.msg}{where} of {pattern!r}") from None


def covered(text: str, *patterns: re.Pattern[str]) -> np.ndarray:
    """True on the characters that a match of a pattern covers, bool [N]; of a match with a group "inside", that group's."""
    found = np.zeros(len(text), bool)
    for pattern in patterns:
        group = INSIDE if INSIDE in pattern.groupindex else 0
        for match in pattern.finditer(text):
            start, stop = match.span(group)
            found[max(start, 0) : max(stop, 0)] = True
    return found


def of_tokens(values: np.ndarray, tokens: Sequence[str]) -> np.ndarray:
    """A feature's value for each token, from those of the characters: the largest of the token's characters. So a word is
    upper case if a letter of it is, and its position in the line is that of its last character.

    Raises:
        GatewiseError: the tokens do not add up to the text.
    """
    lengths = np.array([len(token) for token in tokens], np.int64)
    if lengths.sum() != len(values) or not lengths.all():
        raise GatewiseError(f"the tokens have {lengths.sum():,} characters, the feature has {len(values):,}")
    return np.maximum.reduceat(values, np.cumsum(lengths) - lengths)


def _since(starts: np.ndarray) -> np.ndarray:
    """How many places ago the last start was, float32 [N]; the first place counts as one."""
    places = np.arange(len(starts))
    return (places - np.maximum.accumulate(np.where(starts, places, 0))).astype(np.float32)


def _first_of_lines(characters: np.ndarray) -> np.ndarray:
    return np.concatenate([[True], characters[:-1] == "\n"])[: len(characters)]


def _word_position(text: str) -> np.ndarray:
    found = np.zeros(len(text), np.float32)
    for match in _WORD.finditer(text):
        found[match.start() : match.end()] = np.arange(1, match.end() - match.start() + 1)
    return found


def _bracket_depth(text: str) -> np.ndarray:
    found = np.zeros(len(text), np.float32)
    depth, since = 0, 0
    for match in _BRACKET.finditer(text):
        found[since : match.start()] = depth
        depth = {"open": depth + 1, "close": max(0, depth - 1)}.get(match.lastgroup or "", 0)
        since = match.start()
    found[since:] = depth
    return found


def _indentation(text: str) -> np.ndarray:
    lines = text.split("\n")
    widths = [len(line) - len(line.lstrip(" \t")) for line in lines]
    return np.repeat(np.array(widths, np.float32), [len(line) + 1 for line in lines])[: len(text)]
