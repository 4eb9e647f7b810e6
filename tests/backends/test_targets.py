"""Processors that are not this one: the same emitter, its code looked at, since it cannot run here."""

import re

import pytest

from gatewise import cells
from gatewise.backends.cpu.compile import emit_text, machine_of, optimise
from gatewise.backends.cpu.layout import Layout
from gatewise.backends.cpu.target import PAIRS, TILES, Target, binding
from gatewise.backends.cpu.team import YIELD
from gatewise.plan import plan

ARM = Target("aarch64-unknown-linux-gnu", "generic", "+neon", 4, 32, True)
AVX2 = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 8, 16, True)
SSE = Target("x86_64-unknown-linux-gnu", "x86-64", "+sse2", 4, 16, False)
ZEN4 = Target("x86_64-unknown-linux-gnu", "znver4", "", 16, 32, True)
SAPPHIRE_RAPIDS = Target("x86_64-unknown-linux-gnu", "sapphirerapids", "", 16, 32, True)
MACHINES = {0xB7: "aarch64", 0x3E: "x86_64"}


def code(target, name, mode, dtype="float32", bfloat16=""):
    llvm = binding()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    sizes = {"input_size": 20, "hidden_size": 37, "proj_size": 9}
    module, machine = optimise(emit_text(Layout(plan(cells.get(name)), sizes, target, dtype, mode, bfloat16)), target)
    return machine.emit_assembly(module), machine_of(target).emit_object(module)


@pytest.mark.parametrize("mode", ["infer", "save", "backward"])
@pytest.mark.parametrize("name", ["lstm", "gru_v1", "layer_norm_lstm", "min_gru"])
def test_arm_code_is_emitted(name, mode):
    assembly, elf = code(ARM, name, mode)
    assert elf[:4] == b"\x7fELF"
    assert MACHINES[int.from_bytes(elf[18:20], "little")] == "aarch64"
    assert len(re.findall(r"\bfmla\tv\d+\.4s", assembly)) > 20  # the tiles
    assert re.search(r"\bmsr\tFPCR", assembly)  # subnormals are flushed, and the mode is put back
    calls = set(re.findall(r"\bbl\t(\S+)", assembly))
    assert calls <= set(re.findall(r"^(\w+):", assembly, re.MULTILINE)) | {"memset", YIELD}  # nothing is left to a library


@pytest.mark.parametrize(("target", "register"), [(AVX2, "ymm"), (SSE, "xmm")], ids=["avx2", "sse"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_narrower_x86_code_keeps_to_its_registers(target, register, dtype):
    for mode in ("save", "backward"):
        assembly, elf = code(target, "lstm", mode, dtype)
        assert MACHINES[int.from_bytes(elf[18:20], "little")] == "x86_64"
        assert f"%{register}" in assembly
        assert "%zmm" not in assembly
        assert ("%ymm" in assembly) == (register == "ymm")
        assert ("vfmadd" in assembly) == target.fma


@pytest.mark.parametrize("mode", ["infer", "save", "backward"])
@pytest.mark.parametrize("name", ["lstm", "gru_v1", "layer_norm_lstm", "min_gru"])
def test_products_of_bfloat16_use_what_the_processor_has(name, mode):
    assembly, _ = code(ZEN4, name, mode, bfloat16=PAIRS)
    assert "vdpbf16ps" in assembly
    assert "tdpbf16ps" not in assembly
    assembly, _ = code(SAPPHIRE_RAPIDS, name, mode, bfloat16=TILES)
    assert "tdpbf16ps" in assembly
    assert "vdpbf16ps" not in assembly
    assert assembly.count("ldtilecfg") == assembly.count("tilerelease") == 1
    for bfloat16 in (assembly, code(ZEN4, name, mode, bfloat16=PAIRS)[0]):
        assert "vcvtneps2bf16" in bfloat16  # and no slow rounding in software
        assert "__truncsfbf2" not in bfloat16
