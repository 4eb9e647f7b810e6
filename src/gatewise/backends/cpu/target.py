"""The processor that kernels are emitted for: vector width, number of vector registers, features."""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...errors import GatewiseError, require
from . import store

WIDTHS = (4, 8, 16)  # float32 lanes: SSE or NEON, AVX2, AVX-512

_X86_LEVELS = {  # features that a width needs, beyond the 64-bit baseline
    16: ("avx512f", "avx512vl", "avx512dq", "avx512bw", "fma"),
    8: ("avx2", "fma"),
    4: (),
}
_DESCRIBES = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")  # lines of Linux on x86
TILES, PAIRS = "tiles", "pairs"  # how a processor multiplies bfloat16: AMX tiles, or AVX-512 dot products of pairs
_PERMIT, _TILE_DATA = (158, 0x1023), 18  # Linux: arch_prctl(ARCH_REQ_XCOMP_PERM, the state of the tiles)


@dataclass(frozen=True)
class Target:
    """What the emitter and the compiler need to know of a processor. lanes: float32 numbers in one vector."""

    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int
    fma: bool

    def vector(self, dtype: str) -> int:
        """Numbers of a dtype in one vector."""
        return self.lanes if dtype == "float32" else max(2, self.lanes // 2)


def binding():
    """llvmlite's binding, with the native target ready."""
    llvm = require("llvmlite.binding", "jit", "the compiled CPU backend")
    _initialise(llvm)
    return llvm


@cache
def _initialise(llvm) -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def _processor() -> tuple[str, str, dict[str, bool]]:
    """Triple, name and features of this processor, as LLVM sees it; remembered on disk where the system describes it."""
    facts = _description()
    key = store.key_of([facts, sys.platform, platform.machine(), store.compiler_version()])
    known = store.read(key) if facts else None
    if known is None:
        llvm = binding()
        known = json.dumps(
            [llvm.get_process_triple(), llvm.get_host_cpu_name(), dict(llvm.get_host_cpu_features())]
        ).encode()
        if facts:
            store.write(key, known)
    triple, name, features = json.loads(known)
    return triple, name, features


def _description() -> list[str]:
    """What the system says of the first processor that does not change with time; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return []
    return [line for line in lines if line.partition("\t")[0] in _DESCRIBES]


@cache
def host(lanes: int | None = None) -> Target:
    """This machine, at its widest vectors or at the given width. Raises GatewiseError if it has no such vectors."""
    triple, name, found = _processor()
    arm = triple.startswith(("aarch64", "arm64"))
    possible = [4] if arm else [w for w in WIDTHS if all(found.get(f, False) for f in _X86_LEVELS[w])]
    if lanes is None:
        lanes = max(possible)
    if lanes not in possible:
        raise GatewiseError(f"vector width {lanes} is not one of this processor's: {', '.join(map(str, possible))}")
    features = dict(found)
    if not arm and lanes < 16:  # keep the compiler from using wider registers than were asked for
        for f in features:
            if f.startswith(("avx512", "amx")):
                features[f] = False
    if not arm and lanes < 8:
        for f in features:
            if f.startswith("avx") or f in ("fma", "f16c", "vaes", "vpclmulqdq", "gfni"):
                features[f] = False
    flat = ",".join(("+" if on else "-") + f for f, on in sorted(features.items()))
    fma = arm or features.get("fma", False)
    return Target(triple, name, flat, lanes, 32 if arm or lanes == 16 else 16, fma)


def bfloat16_products(lanes: int | None = None) -> str:
    """How products of bfloat16 operands are summed in float32 here, `TILES` or `PAIRS`.

    Raises GatewiseError where the processor cannot, or not with vectors of the given width."""
    here = host(lanes)
    if here.lanes == 16 and "+avx512bf16" in here.features:
        return TILES if all(f in here.features for f in ("+amx-tile", "+amx-bf16")) and _tiles_permitted() else PAIRS
    raise GatewiseError(
        "compute_dtype='bfloat16' needs a processor with AVX512-BF16 (Intel from Cooper Lake, AMD from Zen 4 on), "
        "which this one lacks; use compute_dtype='float32'"
    )


@cache
def _tiles_permitted() -> bool:
    """Ask the system, once a process and for all its threads, to keep the tiles' registers."""
    if not sys.platform.startswith("linux"):
        return False
    number, request = _PERMIT
    return ctypes.CDLL(None).syscall(*map(ctypes.c_long, (number, request, _TILE_DATA))) == 0
