"""The cache on disk: what takes LLVM long to say, in files that are checked before they are believed.

An entry is its content behind a header with a digest of it and the key that asked for it. What does not match, or is
damaged, counts as absent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from functools import cache
from pathlib import Path

from ...errors import require

_MAGIC = b"gatewise-entry-2\n"


def folder() -> Path:
    """Where entries are kept: $GATEWISE_CACHE, or gatewise under the user's cache folder."""
    if os.environ.get("GATEWISE_CACHE"):
        return Path(os.environ["GATEWISE_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(base).expanduser() / "gatewise"


def key_of(facts: object) -> str:
    """The digest of everything that an entry depends on."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read(key: str) -> bytes | None:
    """The content of a sound entry, else None."""
    try:
        data = _path(key).read_bytes()
    except OSError:
        return None
    head = _MAGIC + key.encode() + b"\n"
    if not data.startswith(head) or len(data) < len(head) + 32:
        return None
    digest, content = data[len(head) : len(head) + 32], data[len(head) + 32 :]
    return content if hashlib.sha256(content).digest() == digest else None


def write(key: str, content: bytes) -> None:
    """Write an entry under a temporary name and rename it. A folder that cannot be written to is no error."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".building-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + key.encode() + b"\n" + hashlib.sha256(content).digest() + content)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError:
        return


def _path(key: str) -> Path:
    return folder() / f"{key}.o"


@cache
def compiler_version() -> str:
    """Which llvmlite, and with it LLVM, is installed: read from its files, since to import it takes long."""
    found = importlib.util.find_spec("llvmlite")
    if found is not None and found.origin is not None:
        try:
            return (Path(found.origin).parent / "_version.py").read_text()
        except OSError:
            pass
    llvm = require("llvmlite.binding", "jit", "the compiled CPU backend")
    return f"{require('llvmlite', 'jit', 'the compiled CPU backend').__version__} {llvm.llvm_version_info}"


@cache
def sources_digest() -> str:
    """A digest of the source files that shape the code."""
    package = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for name in ("ir", "plan", "backends"):
        for path in sorted((package / name).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
