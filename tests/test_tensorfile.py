"""The container of models and checkpoints: what is refused, and that a write is whole or not at all."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from gatewise import tensorfile
from gatewise.errors import FileError
from gatewise.modelfile import load

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "scalar": np.array(2.5, np.float32), "view": np.arange(6).reshape(2, 3).T}


def test_round_trip(tmp_path):
    tensorfile.write(tmp_path / "f", "model", 1, {"text": "é\n"}, ARRAYS)
    header, arrays = tensorfile.read(tmp_path / "f", "model", 1)
    assert header["text"] == "é\n"
    for name, array in ARRAYS.items():
        assert arrays[name].shape == array.shape
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def test_every_truncation_is_one_clear_line(model_file, tmp_path):
    data = model_file.read_bytes()
    path = tmp_path / "cut.safetensors"
    for size in [*range(0, 64, 7), len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(FileError, match="not a Gatewise model file, or it is truncated or damaged") as caught:
            load(path)
        assert "\n" not in str(caught.value)


def change_header(source, target, **changes):
    header, arrays = tensorfile.read(source, "model", 1)
    for name, value in changes.items():
        if value is None:
            del header[name]
        else:
            header[name] = value
    save_file(arrays, target, {"gatewise": json.dumps(header)})
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"version": 2, "gatewise": "9.0"},
            "version 2, written by Gatewise 9.0; this Gatewise .* reads up to version 1",
        ),
        ({"version": "x"}, "its version is 'x'"),
        ({"kind": "checkpoint"}, "is a Gatewise checkpoint file; a model file was expected"),
        ({"task": "chess"}, "the task 'chess', which this version does not know"),
        ({"vocabulary": None}, "damaged header: it lacks 'vocabulary'"),
        ({"architecture": {"encoder": 1}}, "damaged architecture"),
    ],
)
def test_a_header_that_is_not_ours(model_file, tmp_path, changes, message):
    with pytest.raises(FileError, match=message):
        load(change_header(model_file, tmp_path / "m", **changes))


def test_foreign_files(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        load(tmp_path / "missing")
    with pytest.raises(FileError, match="is a folder"):
        load(tmp_path)
    save_file({"a": np.zeros(2)}, tmp_path / "plain")
    with pytest.raises(FileError, match="not one of Gatewise"):
        load(tmp_path / "plain")
    save_file({"a": np.zeros(2)}, tmp_path / "broken", {"gatewise": "{"})
    with pytest.raises(FileError, match="damaged header"):
        load(tmp_path / "broken")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    tensorfile.write_atomically(path, b"old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileError, match="cannot write .*: No space left"):
        tensorfile.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(FileError, match="it is a folder"):
        tensorfile.check_writable(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        tensorfile.check_writable(tmp_path / "no" / "f")
