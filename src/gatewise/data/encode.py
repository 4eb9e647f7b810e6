"""A whole text as one compact array of token numbers, in memory or, when it is large, in a mapped temporary file."""

from __future__ import annotations

import hashlib
import tempfile

import numpy as np

from .text import Text
from .vocabulary import Vocabulary, vocabulary_type

MEMORY_LIMIT = 256 << 20  # bytes; a larger array goes to a temporary file, which the system pages in and out


def encode_text(
    text: Text, level: str, max_size: int | None = None, memory_limit: int = MEMORY_LIMIT
) -> tuple[Vocabulary, np.ndarray]:
    """Read a text twice: once for its vocabulary, once for its token numbers.

    Args:
        text: the text; it is never in memory as a whole.
        level: ``"char"`` or ``"word"``.
        max_size: the largest number of words; ignored for characters.
        memory_limit: bytes above which the array is a memory map of a temporary file that goes away with it.

    Returns:
        The vocabulary and an array [N] of the smallest unsigned integer type that holds its numbers.
    """
    vocabulary, length = vocabulary_type(level).build(text.pieces(), max_size)
    tokens = _allocate(length, vocabulary.dtype, memory_limit)
    end = 0
    for numbers in vocabulary.encode_pieces(text.pieces()):
        tokens[end : end + len(numbers)] = numbers
        end += len(numbers)
    if end != length:
        raise OSError(f"{text.describe()} changed while it was read: {length} tokens, then {end}")
    return vocabulary, tokens


def _allocate(length: int, dtype: np.dtype, memory_limit: int) -> np.ndarray:
    if length * dtype.itemsize <= memory_limit:
        return np.empty(length, dtype)
    with tempfile.TemporaryFile(prefix="gatewise-") as file:  # the map keeps the file alive after it is closed
        return np.memmap(file, dtype, "w+", shape=(length,))


def fingerprint(*arrays: np.ndarray) -> str:
    """A digest of the numbers that a network is trained on, by which a resumed run knows that they are the same."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        for start in range(0, len(array), 1 << 24):
            digest.update(np.ascontiguousarray(array[start : start + (1 << 24)]).data)
    return digest.hexdigest()
