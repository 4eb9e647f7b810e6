"""From a layout to machine code, through the cache on disk (`store`).

The key of an entry covers the cell's equations, the sizes, the dtype, the target, the version of llvmlite and the text of
every source file that has a say in the code.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from ...plan import Plan
from . import image, store
from .layout import Layout
from .target import Target, binding
from .team import YIELD, yield_address

_engines: list[object] = []  # machine code lives as long as its engine


class Kernel:
    """One compiled schedule: `pack` and `run` take the address of a thread's argument table, the teams' functions that of
    all of them."""

    def __init__(self, layout: Layout, code: bytes):
        self.layout = layout
        names = ["run", "pack", "run_team", "pack_team"]
        run, pack, self.run_team, self.pack_team = addresses(code, layout.target, names)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64)  # a foreign call: the GIL is released while it runs
        self.run, self.pack = prototype(run), prototype(pack)


def addresses(code: bytes, target: Target, names: list[str]) -> list[int]:
    """The addresses of functions of machine code, an image or an object file, which is loaded for good."""
    if image.loadable(code):
        found = image.load(code, _address_of)
        return [found[name] for name in names]
    llvm = binding()
    _name_what_kernels_call()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine_of(target))
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return [engine.get_function_address(name) for name in names]


def _address_of(name: str) -> int:
    """Where a function of the system that kernels call is."""
    if name == YIELD:
        return yield_address()
    return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0


@cache
def _name_what_kernels_call() -> None:
    binding().add_symbol(YIELD, yield_address())


def machine_of(target: Target):
    """LLVM's code generator for a target, of such code as `image` can link where it can."""
    llvm = binding()
    found = llvm.Target.from_triple(target.triple)
    if image.links(target.triple):
        kind = {"reloc": "pic", "codemodel": "small"}
    else:
        kind = {"jit": True, "codemodel": "jitdefault"}
    return found.create_target_machine(cpu=target.cpu, features=target.features, opt=2, **kind)


def build_kernel(plan: Plan, sizes: dict[str, int], dtype: str, mode: str, target: Target, bfloat16: str = "") -> Kernel:
    """The kernel of a plan at the given sizes: from the cache on disk if it has a sound entry, else compiled."""
    layout = Layout(plan, sizes, target, dtype, mode, bfloat16)
    key = cache_key(layout)
    code = store.read(key)
    if code is None:
        with uncollected():
            code = compile_object(emit_text(layout), target)
        code = image.link(code) or code
        store.write(key, code)
    return Kernel(layout, code)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for reference cycles: an emitter makes some hundred thousand objects and drops none, and
    looking through them, beside those of torch, takes a fifth of the time of compiling."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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
    with loops_as_written():
        return machine.emit_object(module)


@contextmanager
def loops_as_written() -> Iterator[None]:
    """While code is generated: without the pass that looks for cheaper addresses in loops. It takes a third of the time of
    generating code, and ours, whose sizes are constants, runs no faster for it. The setting is one for the whole process,
    so it is put back for other users of LLVM."""
    llvm = binding()
    llvm.set_option("gatewise", "-disable-lsr=true")
    try:
        yield
    finally:
        llvm.set_option("gatewise", "-disable-lsr=false")


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
        store.compiler_version(),
        store.sources_digest(),
    ]
    return store.key_of(facts)
