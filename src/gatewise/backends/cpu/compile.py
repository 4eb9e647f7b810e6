"""From a layout to machine code, through a cache on disk.

An entry of the cache is an object file behind a header with a digest of its bytes and the key that asked for it. The key
covers the cell's equations, the sizes, the dtype, the target, the versions of llvmlite and LLVM and the text of every
source file that has a say in the code. What does not match, or is damaged, is built anew and written over.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path

from ...plan import Plan
from .layout import Layout
from .target import Target, binding
from .team import YIELD, yield_address

_MAGIC = b"gatewise-object-1\n"
_engines: list[object] = []  # machine code lives as long as its engine


class Kernel:
    """One compiled schedule: `pack` and `run` take the address of a thread's argument table, the teams' functions that of
    all of them."""

    def __init__(self, layout: Layout, code: bytes):
        llvm = binding()
        _name_what_kernels_call()
        machine = machine_of(layout.target)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        self.layout = layout
        self.blueprints: dict = {}  # of the runner, by the shape of the call
        self.run_team = engine.get_function_address("run_team")
        self.pack_team = engine.get_function_address("pack_team")
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64)  # a foreign call: the GIL is released while it runs
        self.pack = prototype(engine.get_function_address("pack"))
        self.run = prototype(engine.get_function_address("run"))


@cache
def _name_what_kernels_call() -> None:
    binding().add_symbol(YIELD, yield_address())


def machine_of(target: Target):
    """LLVM's code generator for a target."""
    llvm = binding()
    found = llvm.Target.from_triple(target.triple)
    return found.create_target_machine(cpu=target.cpu, features=target.features, opt=2, jit=True, codemodel="jitdefault")


def build_kernel(plan: Plan, sizes: dict[str, int], dtype: str, mode: str, target: Target, bfloat16: str = "") -> Kernel:
    """The kernel of a plan at the given sizes: from the cache on disk if it has a sound entry, else compiled."""
    layout = Layout(plan, sizes, target, dtype, mode, bfloat16)
    key = cache_key(layout)
    path = cache_folder() / f"{key}.o"
    code = read_entry(path, key)
    if code is None:
        code = compile_object(emit_text(layout), target)
        write_entry(path, key, code)
    return Kernel(layout, code)


def emit_text(layout: Layout) -> str:
    """The LLVM IR of a layout's kernel."""
    from .emit import Module
    from .outer import emit_backward
    from .step import emit_forward
    from .team import emit_teams

    module = Module(layout.target, layout.dtype)
    (emit_backward if layout.mode == "backward" else emit_forward)(module, layout)
    emit_teams(module, len(layout.fields))
    return str(module.module)


def optimise(text: str, target: Target):
    """The parsed and optimised module, and the machine for it."""
    llvm = binding()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = machine_of(target)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # tiles are written out as they should run: unrolling them again spills registers
    options.loop_unrolling = options.loop_interleaving = options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)
    return module, machine


def compile_object(text: str, target: Target) -> bytes:
    """Machine code, as an object file."""
    module, machine = optimise(text, target)
    return machine.emit_object(module)


# the cache ---------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where compiled kernels are kept: $GATEWISE_CACHE, or gatewise under the user's cache folder."""
    if os.environ.get("GATEWISE_CACHE"):
        return Path(os.environ["GATEWISE_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(base).expanduser() / "gatewise"


@cache
def _sources_digest() -> str:
    """A digest of the source files that shape the code."""
    package = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for folder in ("ir", "plan", "backends"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _versions() -> tuple:
    import llvmlite

    return llvmlite.__version__, binding().llvm_version_info


def cache_key(layout: Layout) -> str:
    """The digest of everything that the machine code depends on."""
    t = layout.target
    facts = [
        layout.cell.key,
        layout.plan.record,
        layout.plan.input_gradient,
        layout.plan.gradients,
        sorted(layout.sizes.items()),
        layout.dtype,
        layout.mode,
        layout.bfloat16,
        t.triple,
        t.cpu,
        t.features,
        t.lanes,
        t.registers,
        t.fma,
        _versions(),
        _sources_digest(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_entry(path: Path, key: str) -> bytes | None:
    """The code of a sound entry, else None."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head = _MAGIC + key.encode() + b"\n"
    if not data.startswith(head) or len(data) < len(head) + 32:
        return None
    digest, code = data[len(head) : len(head) + 32], data[len(head) + 32 :]
    return code if hashlib.sha256(code).digest() == digest else None


def write_entry(path: Path, key: str, code: bytes) -> None:
    """Write an entry under a temporary name and rename it. A folder that cannot be written to is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".building-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + key.encode() + b"\n" + hashlib.sha256(code).digest() + code)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError:
        return
