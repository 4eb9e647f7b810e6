"""What a user can get wrong: one clear line on standard error, the right exit code, no traceback, no file left."""

import gzip
import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from gatewise.cli.application import run

TRAIN = ["train", "language"]


@pytest.fixture
def files(tmp_path, model_file, corpus):
    """A folder of files that are wrong in all ways, and two that are right."""
    (tmp_path / "good.txt").write_text(corpus)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\0\0\1")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(corpus.encode())[:50])
    data = model_file.read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data)
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    future = json.dumps({"kind": "model", "version": 99, "gatewise": "7.0"})
    save_file({"a": np.zeros(1)}, tmp_path / "future.safetensors", {"gatewise": future})
    save_file(load_file(model_file), tmp_path / "foreign.safetensors")
    (tmp_path / "folder").mkdir()
    (tmp_path / "left.checkpoint").write_text("precious")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([*TRAIN, "missing.txt", "-o", "m"], 1, "no such file: missing.txt"),
        ([*TRAIN, "empty.txt", "-o", "m"], 1, "empty.txt is empty"),
        ([*TRAIN, "empty.txt", "empty.txt", "-o", "m"], 1, "the text of 2 files is empty"),
        ([*TRAIN, "binary.txt", "-o", "m"], 1, "binary.txt is binary, not text: it has a zero byte at offset 4"),
        ([*TRAIN, "latin.txt", "-o", "m"], 1, "latin.txt is not UTF-8 text: byte 0xe9 at offset 3"),
        ([*TRAIN, "cut.gz", "-o", "m"], 1, "cut.gz is not a whole gzip file"),
        ([*TRAIN, "folder", "-o", "m"], 1, "folder is a folder"),
        ([*TRAIN, "short.txt", "-o", "m"], 1, "the text is too short"),
        ([*TRAIN, "good.txt", "-o", "no/m"], 1, "the folder no does not exist"),
        ([*TRAIN, "good.txt", "-o", "folder"], 1, "cannot write folder: it is a folder"),
        ([*TRAIN, "good.txt", "-o", "left"], 1, "left.checkpoint is left of an interrupted run: add --resume"),
        ([*TRAIN, "good.txt", "-o", "good.txt"], 1, "good.txt is there already and is not a Gatewise file"),
        ([*TRAIN, "good.txt", "-o", "foreign.safetensors"], 1, "foreign.safetensors is there already and is not"),
        ([*TRAIN, "good.txt", "-o", "m", "--device", "cuda"], 2, "--device is 'cuda', which this machine does not have"),
        ([*TRAIN, "good.txt"], 2, "Missing option '-o'"),
        ([*TRAIN, "-o", "m"], 2, "Missing argument 'FILE...'"),
        ([*TRAIN, "good.txt", "-o", "m", "--cell", "lstn"], 2, "'lstn' is not one of 'rnn'"),
        ([*TRAIN, "good.txt", "-o", "m", "--level", "byte"], 2, "'byte' is not one of 'char', 'word'"),
        ([*TRAIN, "good.txt", "-o", "m", "--hidden-size", "x"], 2, "'x' is not a valid integer"),
        ([*TRAIN, "good.txt", "-o", "m", "--hidden-size", "0"], 2, "--hidden-size is 0; it must be a whole number"),
        ([*TRAIN, "good.txt", "-o", "m", "--patience", "few"], 2, "'few' is not a valid integer"),
        ([*TRAIN, "good.txt", "-o", "m", "--dropout", "1"], 2, "--dropout is 1.0; it must be a number of at least 0"),
        (
            [*TRAIN, "good.txt", "-o", "m", "--tie-weights"],
            2,
            "--tie-weights needs an embedding to share: give --embedding-size",
        ),
        ([*TRAIN, "good.txt", "-o", "m", "--cell", "projected_lstm"], 2, "needs cell_sizes={'proj_size'"),
        ([*TRAIN, "good.txt", "-o", "m", "--cell-sizes", "proj"], 2, "'proj' is not name=number"),
        ([*TRAIN, "good.txt", "-o", "m", "--hiden-size", "3"], 2, "No such option '--hiden-size'"),
        (["train", "chess"], 2, "No such command 'chess'"),
        (["frobnicate"], 2, "No such command 'frobnicate'"),
        (["trian"], 2, "No such command 'trian'; did you mean 'train'?"),
        (["train", "langauge"], 2, "did you mean 'language'?"),
        (["show", "missing"], 1, "no such file: missing"),
        (["show", "folder"], 1, "folder is a folder, not a model file"),
        (["show", "good.txt"], 1, "good.txt is not a Gatewise model file"),
        (["show", "cut.safetensors"], 1, "it is truncated or damaged"),
        (["show", "future.safetensors"], 1, "of version 99, written by Gatewise 7.0"),
        (["show", "foreign.safetensors"], 1, "not one of Gatewise"),
        (["generate", "model.safetensors", "--prompt", "the é"], 1, "never saw these characters: 'é'"),
        (["generate", "model.safetensors", "--temperature", "-1"], 2, "--temperature is -1.0"),
        (["generate", "model.safetensors", "--length", "-1"], 2, "--length is -1"),
        (["score", "model.safetensors"], 2, "nothing to score"),
        (["score", "model.safetensors", ""], 1, "is empty: there is nothing to score"),
        (["score", "model.safetensors", "--file", "binary.txt"], 1, "binary.txt is binary"),
        (["score", "model.safetensors", "ÄÖ"], 1, "never saw these characters: 'Ä', 'Ö'"),
        (["resume", "missing.checkpoint"], 1, "no such file: missing.checkpoint"),
        (["resume", "model.safetensors"], 2, "if it is a model, its training is over"),
        (["resume", "good.txt"], 2, "say with -o where to write the model"),
        (["resume", "model.safetensors", "-o", "m"], 1, "a checkpoint file was expected"),
    ],
)
def test_one_clear_line(files, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(files)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = {path.name for path in files.iterdir()}
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("gatewise: ")
    assert err.count("\n") == 1
    assert {path.name for path in files.iterdir()} == before


def test_a_process_ends_with_the_same_code_and_line(gatewise):
    result = gatewise("show", "missing")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "gatewise: no such file: missing\n")


def test_without_a_command_there_is_help(capsys):
    assert run([]) == 2
    assert "Usage: gatewise" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(model_file):
    command = [sys.executable, "-m", "gatewise", "generate", str(model_file), "--length", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_an_output_that_is_full(tmp_path):
    """Where no file may grow, what is left to write fails when Python ends."""
    command = ["sh", "-c", f"ulimit -f 0; exec {shlex.quote(sys.executable)} -m gatewise cells"]
    with open(tmp_path / "out", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "gatewise: cannot write the output: File too large\n")
