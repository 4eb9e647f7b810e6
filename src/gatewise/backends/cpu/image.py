"""Machine code as one block of memory that runs wherever it lies: an object file of ours, linked once, loaded often.

A linked image needs no compiler to be loaded, and importing LLVM takes longer than all else of a first call. Kernels
address their constants and one another relative to where they are, so putting the sections of an ELF file one after the
other and filling in those distances is all that linking is. The few functions of the system that code calls are reached
through a jump behind the code, whose target is filled in at loading. What is not of this kind (another processor or
system, a relocation that is none of these) is left to LLVM's own loader.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import struct
import sys
from collections.abc import Callable, Mapping

MAGIC = b"gatewise-image-1\n"
_ELF, _X86_64, _RELOCATABLE = b"\x7fELF\x02\x01", 62, 1
_CONTENT, _SYMBOLS, _RELOCATIONS, _EMPTY = 1, 2, 4, 8  # types of sections
_ALLOCATED = 2  # flag of a section that is needed when the code runs
_GLOBAL = 1  # binding of a symbol that others may use
_RELATIVE, _CALL = 2, 4  # relocations: the distance to a place, and to a function
_JUMP = b"\xff\x25\x00\x00\x00\x00"  # jmp to the address that follows
_EXECUTABLE = 1 | 4  # mprotect: read, execute
_blocks: list[mmap.mmap] = []  # code lives as long as the process


def _text(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode()


def links(triple: str) -> bool:
    """Whether code for such a machine can be linked here; elsewhere LLVM loads it."""
    return triple.startswith("x86_64") and "linux" in triple


def link(code: bytes) -> bytes | None:
    """The image of an object file, or None where it is not of the kind that can be linked here."""
    if code[:6] != _ELF or struct.unpack_from("<HH", code, 16) != (_RELOCATABLE, _X86_64):
        return None
    at, count = struct.unpack_from("<Q", code, 40)[0], struct.unpack_from("<H", code, 60)[0]
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, at + 64 * k) for k in range(count)]
    bodies = [b"" if s[1] == _EMPTY else code[s[4] : s[4] + s[5]] for s in sections]
    block, starts = bytearray(), {}
    for k, (_, kind, flags, _, _, size, _, _, align, _) in enumerate(sections):
        if kind in (_CONTENT, _EMPTY) and flags & _ALLOCATED:
            block += bytes(-len(block) % max(1, align))
            starts[k] = len(block)
            block += bodies[k] or bytes(size)
    table = next(k for k, s in enumerate(sections) if s[1] == _SYMBOLS)
    names = bodies[sections[table][6]]
    symbols = list(struct.iter_unpack("<IBBHQQ", bodies[table]))  # name, kind, visibility, section, value, size
    places = {k: starts[s[3]] + s[4] for k, s in enumerate(symbols) if s[3] in starts}
    imports: dict[str, int] = {}

    def jump(name: str) -> int:
        """Where the jump to a function of the system is."""
        if name not in imports:
            block.extend(_JUMP + bytes(8))
            imports[name] = len(block) - 8
        return imports[name] - len(_JUMP)

    for section, body in zip(sections, bodies, strict=True):
        if section[1] != _RELOCATIONS or section[7] not in starts:
            continue
        for offset, info, addend in struct.iter_unpack("<QQq", body):
            symbol, kind = info >> 32, info & 0xFFFFFFFF
            if kind not in (_RELATIVE, _CALL) or not (symbol in places or kind == _CALL):
                return None
            here = starts[section[7]] + offset
            there = places[symbol] if symbol in places else jump(_text(names, symbols[symbol][0]))
            struct.pack_into("<i", block, here, there + addend - here)
    public = {_text(names, symbols[k][0]): p for k, p in places.items() if symbols[k][1] >> 4 == _GLOBAL}
    head = json.dumps({"names": public, "imports": imports}).encode()
    return MAGIC + struct.pack("<I", len(head)) + head + block


def load(image: bytes, address_of: Callable[[str], int]) -> Mapping[str, int]:
    """The addresses of an image's functions by name, ready to be called. address_of: that of a function of the system."""
    begin = len(MAGIC) + 4
    end = begin + struct.unpack_from("<I", image, len(MAGIC))[0]
    facts, code = json.loads(image[begin:end]), bytearray(image[end:])
    for name, offset in facts["imports"].items():
        struct.pack_into("<Q", code, offset, address_of(name))
    block = mmap.mmap(-1, len(code))
    block.write(code)
    base = ctypes.addressof(ctypes.c_char.from_buffer(block))
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(base), ctypes.c_size_t(len(code)), _EXECUTABLE):
        raise OSError(ctypes.get_errno(), "the system does not let compiled kernels run")
    _blocks.append(block)
    return {name: base + offset for name, offset in facts["names"].items()}


def loadable(payload: bytes) -> bool:
    """Whether a file's content is an image, which this system can load."""
    return payload.startswith(MAGIC) and sys.platform.startswith("linux")
