"""Linking an object file into one block of memory: distances, functions of the system, and what is left to LLVM."""

import ctypes

import pytest

from gatewise import cells
from gatewise.backends.cpu import image
from gatewise.backends.cpu.compile import addresses, compile_object, emit_text
from gatewise.backends.cpu.layout import Layout
from gatewise.backends.cpu.target import Target, binding, host
from gatewise.plan import plan

linked = pytest.mark.skipif(
    not image.links(host().triple), reason="only code for Linux on x86 is linked; on other systems LLVM's loader does it"
)

SOURCE = """
@table = internal constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]
declare double @cbrt(double)
define internal double @entry(i64 %k) noinline {
  %p = getelementptr [4 x double], ptr @table, i64 0, i64 %k
  %v = load double, ptr %p
  ret double %v
}
define double @root(i64 %k) {
  %v = call double @entry(i64 %k)
  %r = call double @cbrt(double %v)
  %s = fadd double %r, 0.125
  ret double %s
}
"""


def address_in_c(name):
    return ctypes.cast(getattr(ctypes.CDLL("libm.so.6"), name), ctypes.c_void_p).value or 0


@linked
def test_constants_functions_and_imports_are_found():
    linked_image = image.link(compile_object(SOURCE, host()))
    assert linked_image is not None
    found = image.load(linked_image, address_in_c)
    assert list(found) == ["root"]  # internal names are not given away
    root = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(found["root"])
    assert [root(k) for k in (0, 3)] == [1.125, 2.125]


@linked
def test_two_loads_of_an_image_are_apart():
    linked_image = image.link(compile_object(SOURCE, host()))
    assert linked_image is not None
    one, two = (image.load(linked_image, address_in_c)["root"] for _ in range(2))
    assert one != two


@linked
@pytest.mark.parametrize("mode", ["infer", "save", "backward"])
@pytest.mark.parametrize("name", ["lstm", "layer_norm_lstm", "unicornn"])
def test_every_kernel_can_be_linked(name, mode):
    sizes = {"input_size": 5, "hidden_size": 37, "proj_size": 9}
    for lanes in (4, 8, 16):
        try:
            target = host(lanes)
        except ValueError:
            continue
        assert image.link(compile_object(emit_text(Layout(plan(cells.get(name)), sizes, target, "float32", mode)), target))


@linked
def test_a_relocation_of_another_kind_is_left_to_llvm():
    code = compile_object("@there = external global i64\ndefine ptr @f() {\n  ret ptr @there\n}", host())
    assert image.link(code) is None


@linked
def test_what_is_not_linked_is_loaded_by_llvm():
    (root,) = addresses(compile_object(SOURCE, host()), host(), ["root"])
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(root)(3) == 2.125


def test_another_processors_code_is_left_to_llvm():
    llvm = binding()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    arm = Target("aarch64-unknown-linux-gnu", "generic", "+neon", 4, 32, True)
    assert image.link(compile_object("define i64 @f() {\n  ret i64 1\n}", arm)) is None
    assert image.link(b"") is None
    assert image.link(b"MZ" + bytes(100)) is None
