"""The cache of compiled kernels: used when sound, rebuilt when damaged or foreign, keyed by everything that matters."""

import subprocess
import sys
from dataclasses import replace

import pytest

from gatewise import cells
from gatewise.backends.cpu import compile as compiling
from gatewise.backends.cpu import image, store, target
from gatewise.backends.cpu.layout import Layout
from gatewise.backends.cpu.target import host
from gatewise.plan import plan

SIZES = {"input_size": 3, "hidden_size": 5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    host()  # what is remembered of the processor stays out of it
    monkeypatch.setenv("GATEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build():
    return compiling.build_kernel(plan(cells.get("rnn")), SIZES, "float32", "infer", host())


def test_a_second_build_does_not_compile(folder, monkeypatch):
    build()
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(compiling, "compile_object", lambda *_: pytest.fail("compiled again"))
    build()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:50],
        lambda data: data[:-1],
        lambda data: data[:-8] + b"\1" * 8,
        lambda data: b"x" + data[1:],
        lambda data: data[: len(data) // 2] + b"!" + data[len(data) // 2 + 1 :],
    ],
)
def test_a_damaged_entry_is_rebuilt(folder, damage):
    build()
    (entry,) = folder.iterdir()
    sound = entry.read_bytes()
    entry.write_bytes(damage(sound))
    key = entry.stem
    assert store.read(key) is None
    build()
    assert store.read(key) is not None


def test_an_entry_under_a_foreign_name_is_not_trusted(folder):
    build()
    (entry,) = folder.iterdir()
    entry.rename(folder / f"{'0' * 64}.o")
    assert store.read("0" * 64) is None


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GATEWISE_CACHE", str(tmp_path / "file" / "cache"))
    build()


def test_the_key_covers_all_that_matters(monkeypatch):
    p, t = plan(cells.get("lstm")), host()
    base = Layout(p, SIZES, t, "float32", "infer")
    others = [
        Layout(plan(cells.get("gru")), SIZES, t, "float32", "infer"),
        Layout(plan(cells.get("lstm"), ("f",)), SIZES, t, "float32", "infer"),
        Layout(plan(cells.get("lstm"), (), False), SIZES, t, "float32", "infer"),
        Layout(p, {**SIZES, "hidden_size": 6}, t, "float32", "infer"),
        Layout(p, SIZES, t, "float64", "infer"),
        Layout(p, SIZES, t, "float32", "save"),
        *(Layout(p, SIZES, t, "float32", "infer", way) for way in ("tiles", "pairs")),
        Layout(p, SIZES, replace(t, cpu="other"), "float32", "infer"),
        Layout(p, SIZES, replace(t, features="-fma"), "float32", "infer"),
        Layout(p, SIZES, replace(t, lanes=4), "float32", "infer"),
    ]
    keys = {compiling.cache_key(o) for o in (base, *others)}
    assert len(keys) == 1 + len(others)
    monkeypatch.setattr(store, "compiler_version", lambda: "0.0")
    assert compiling.cache_key(base) not in keys
    same = Layout(plan(cells.get("lstm", forget_bias=3.0)), SIZES, t, "float32", "infer")
    monkeypatch.undo()
    assert compiling.cache_key(same) in keys  # how a bias starts is no part of the code


FIRST_CALL = """
import sys
import numpy as np
from gatewise import cells
from gatewise.backends import run_layer
cell, sizes = cells.get("lstm"), {"input_size": 3, "hidden_size": 5}
params = {p.name: np.full(p.shape(sizes), 0.1, np.float32) for p in cell.parameters}
y = run_layer(cell, params, np.ones((2, 1, 3), np.float32)).y
print("llvmlite" in sys.modules, y.tobytes().hex())
"""


def test_a_kernel_of_the_cache_runs_without_the_compiler(folder):
    """Where it was linked; elsewhere it runs with LLVM's loader, and the same."""
    first, again = (
        subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert first[0] == "True"
    assert again[0] == ("False" if image.links(host().triple) else "True")
    assert first[1] == again[1]


def test_what_is_remembered_of_the_processor_is_what_llvm_says(folder):
    target._processor.cache_clear()
    asked = target._processor()
    target._processor.cache_clear()
    assert target._processor() == asked
    llvm = target.binding()
    assert asked == (llvm.get_process_triple(), llvm.get_host_cpu_name(), dict(llvm.get_host_cpu_features()))
