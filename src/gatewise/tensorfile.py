"""Arrays plus a JSON header in one ``.safetensors`` file: the container of model files and checkpoints.

The header is a JSON object stored as text under the metadata key ``gatewise``; it always has ``kind`` and ``version``.
Nothing is pickled, so reading a file never runs code from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from ._version import __version__
from .errors import FileError

METADATA_KEY = "gatewise"


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at ``path`` by ``data`` so that a reader, or a crash, sees the old file or the new one whole.

    Raises:
        FileError: the folder does not exist or cannot be written.
    """
    path = Path(path)
    # One fixed name: a killed process leaves at most one partial file behind, and the next write takes it over.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; on systems that cannot open a folder the rename is all there is."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Fail now, in one line, rather than after an hour of training.

    Raises:
        FileError: ``path`` is a folder, or its folder is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise FileError(f"cannot write {path}: no permission to write in {path.parent}")


def write(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write arrays and a header atomically. ``kind`` says what the file is, such as "model"."""
    facts = {"kind": kind, "version": version, "gatewise": __version__, **header}
    text = json.dumps(facts, ensure_ascii=False, allow_nan=False)
    # safetensors stores the buffer as it lies in memory, so a transposed view must be copied first.
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomically(path, serialize(contiguous, metadata={METADATA_KEY: text}))


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Fail rather than write over a file that is not one of Gatewise, such as what is trained on.

    Raises:
        FileError: there is such a file at ``path``.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size:
        try:
            with safe_open(path, framework="np") as file:
                _read_header(file, path)
        except (FileError, SafetensorError, OSError) as error:
            raise FileError(f"{path} is there already and is not a Gatewise file: choose another name") from error


def read(path: str | os.PathLike[str], kind: str, version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write` wrote: the header and the arrays.

    Raises:
        FileError: the file is missing, truncated, not a Gatewise file of this kind, or of a newer version.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(f"no such file: {path}")
    if path.is_dir():
        raise FileError(f"{path} is a folder, not a {kind} file")
    try:
        with safe_open(path, framework="np") as file:
            header = _read_header(file, path)
            _check_header(header, path, kind, version)
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise FileError(f"{path} is not a Gatewise {kind} file, or it is truncated or damaged ({error})") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error


def _read_header(file: Any, path: Path) -> dict[str, Any]:
    text = (file.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise FileError(f"{path} is a safetensors file, but not one of Gatewise: it has no {METADATA_KEY!r} header")
    try:
        header = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"{path} has a damaged header: {error}") from error
    if not isinstance(header, dict):
        raise FileError(f"{path} has a damaged header: {type(header).__name__} where an object was expected")
    return header


def _check_header(header: Mapping[str, Any], path: Path, kind: str, version: int) -> None:
    if header.get("kind") != kind:
        raise FileError(f"{path} is a Gatewise {header.get('kind')} file; a {kind} file was expected")
    found = header.get("version")
    if not isinstance(found, int) or found < 1:
        raise FileError(f"{path} has a damaged header: its version is {found!r}")
    if found > version:
        writer = header.get("gatewise", "a newer version")
        raise FileError(
            f"{path} is a {kind} file of version {found}, written by Gatewise {writer}; this Gatewise {__version__} "
            f"reads up to version {version}: pip install --upgrade gatewise"
        )
