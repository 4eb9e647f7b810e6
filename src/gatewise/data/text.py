"""Text from a string or from files, read in pieces so that a file may be larger than memory."""

from __future__ import annotations

import codecs
import gzip
import io
import mmap
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileError

_FILE_NAME = re.compile(r"\S+\.(txt|text|gz)", re.IGNORECASE)  # that no text is meant by
PIECE_BYTES = 1 << 20

TextLike = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Text:
    """Text that can be read from its beginning as often as needed.

    Attributes:
        string: the text itself, or None when it lies in files.
        paths: the files, read one after another as if they were one.
    """

    string: str | None = None
    paths: tuple[Path, ...] = ()

    def pieces(self) -> Iterator[str]:
        """The text in order, in pieces of about a megabyte, with every line ending as ``\\n``.

        Raises:
            FileError: a file is missing, a folder, unreadable, binary, or not UTF-8.
        """
        if self.string is not None:
            for start in range(0, len(self.string), PIECE_BYTES):
                yield self.string[start : start + PIECE_BYTES]
        for path in self.paths:
            yield from _decode(path)

    def describe(self) -> str:
        """What an error message calls this text."""
        if not self.paths:
            return "the text"
        return str(self.paths[0]) if len(self.paths) == 1 else f"the text of {len(self.paths)} files"


def open_text(source: TextLike) -> Text:
    """Make a `Text` of what a user may pass.

    Args:
        source: a path, several paths, or the text itself. A string is a path when a file of that name exists or it is
            one word that ends as a text file's name does (``.txt``, ``.gz``), and text otherwise. A file that ends in
            ``.gz`` is decompressed while it is read.

    Raises:
        FileError: a path in a list, or a `pathlib.Path`, is not a readable file.

    >>> open_text("to be or not to be").string
    'to be or not to be'
    """
    if isinstance(source, Text):
        return source
    if isinstance(source, str):
        if not (_names_a_file(source) or _FILE_NAME.fullmatch(source)):
            return Text(string=source)
        source = Path(source)
    paths = (Path(source),) if isinstance(source, os.PathLike) else tuple(Path(item) for item in source)
    if not paths:
        raise FileError("no text: the list of files is empty")
    for path in paths:
        check_readable(path)
    return Text(paths=paths)


def check_readable(path: Path) -> None:
    """Raise a `FileError` of one line unless ``path`` is a file that can be read."""
    if path.is_dir():
        raise FileError(f"{path} is a folder: give the files in it")
    if not path.exists():
        raise FileError(f"no such file: {path}")
    if not os.access(path, os.R_OK):
        raise FileError(f"no permission to read {path}")


def read_bytes(path: Path) -> bytes:
    """What is in a file, decompressed if its name ends in ``.gz``.

    Raises:
        FileError: it cannot be read, or is not a whole gzip file.
    """
    with _naming(path):
        return b"".join(_read_pieces(path))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends.

    Raises:
        FileError: as `Text.pieces`.
    """
    return "".join(_decode(path)).removesuffix("\n").split("\n")


def _names_a_file(string: str) -> bool:
    # No system has file names this long or with these characters; asking it about a whole book would be an error.
    return 0 < len(string) < 4096 and "\n" not in string and "\0" not in string and os.path.isfile(string)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What goes wrong while a file is read is a `FileError` that names it."""
    check_readable(path)
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileError(f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _decode(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0  # of the bytes given to the decoder so far
    with _naming(path):
        for data in _read_pieces(path):
            zero = data.find(b"\0")
            if zero >= 0:
                raise FileError(f"{path} is binary, not text: it has a zero byte at offset {offset + zero}")
            yield from _decode_piece(path, decoder, newlines, data, offset, final=False)
            offset += len(data)
        yield from _decode_piece(path, decoder, newlines, b"", offset, final=True)


def _decode_piece(
    path: Path,
    decoder: codecs.IncrementalDecoder,
    newlines: io.IncrementalNewlineDecoder,
    data: bytes,
    offset: int,
    *,
    final: bool,
) -> Iterator[str]:
    held_back = decoder.getstate()[0]  # the start of a character whose end comes with the next piece
    try:
        piece = newlines.decode(decoder.decode(data, final), final)
    except UnicodeDecodeError as error:
        where = offset - len(held_back) + error.start
        raise FileError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {where}; "
            "convert it first, for example with: iconv -f latin1 -t utf-8"
        ) from error
    if piece:
        yield piece


def _read_pieces(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as file:
            while data := file.read(PIECE_BYTES):
                yield data
        return
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:  # an empty file cannot be mapped, and a pipe has no size
            while data := file.read(PIECE_BYTES):
                yield data
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            for start in range(0, size, PIECE_BYTES):
                yield view[start : start + PIECE_BYTES]
