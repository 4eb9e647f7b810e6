"""The cache of compiled kernels: used when sound, rebuilt when damaged or foreign, keyed by everything that matters."""

from dataclasses import replace

import pytest

from gatewise import cells
from gatewise.backends.cpu import compile as compiling
from gatewise.backends.cpu.layout import Layout
from gatewise.backends.cpu.target import host
from gatewise.plan import plan

SIZES = {"input_size": 3, "hidden_size": 5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
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
        lambda data: data[:-8] + b"\0" * 8,
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
    assert compiling.read_entry(entry, key) is None
    build()
    assert compiling.read_entry(entry, key) is not None


def test_an_entry_under_a_foreign_name_is_not_trusted(folder):
    build()
    (entry,) = folder.iterdir()
    assert compiling.read_entry(entry, "0" * 64) is None


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
    monkeypatch.setattr(compiling, "_versions", lambda: ("0.0", (1, 2, 3)))
    assert compiling.cache_key(base) not in keys
    same = Layout(plan(cells.get("lstm", forget_bias=3.0)), SIZES, t, "float32", "infer")
    monkeypatch.undo()
    assert compiling.cache_key(same) in keys  # how a bias starts is no part of the code
