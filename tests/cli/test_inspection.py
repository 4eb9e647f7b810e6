"""diagnose and watch on the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gatewise.cli.application import run

SMALL = ["--hidden-size", "8", "--bptt", "16", "--max-steps", "40", "--learning-rate", "0.02", "--no-verbose"]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be, that is the question\n" * 60)
    return path


def test_train_with_watch_then_watch_and_diagnose(text, tmp_path, capsys):
    model, record = tmp_path / "m.safetensors", tmp_path / "found.json"
    assert run(["train", "language", str(text), "-o", str(model), *SMALL, "--watch", "10"]) == 0
    capsys.readouterr()
    assert run(["watch", str(model)]) == 0
    view = capsys.readouterr().out
    assert view.startswith("language  step 40") and "layer0  lstm, 8 units" in view
    assert run(["diagnose", str(model), str(text), "--json", str(record)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("128 steps, training windows of 16\nlayer0: lstm, 8 units; gradients reach")
    found = json.loads(record.read_text())
    assert len(found["measures"]["layers"]["layer0"]["reach"]) == 128
    for finding in found["findings"]:
        assert finding["title"] in said and finding["remedy"] in said


def test_watch_alone_means_every_hundredth_step(text, tmp_path, capsys):
    model = tmp_path / "m.safetensors"
    assert run(["train", "language", str(text), "-o", str(model), *SMALL, "--watch"]) == 0
    assert run(["watch", str(model), "--once"]) == 0
    assert "no step is recorded yet; every 100th will be" in capsys.readouterr().out


def test_a_forecaster_and_a_classifier_are_examined_on_what_they_read(tmp_path, capsys):
    series, reviews = tmp_path / "series.csv", tmp_path / "reviews.csv"
    series.write_text("load\n" + "".join(f"{k % 7}\n" for k in range(120)))
    reviews.write_text("text,label\n" + "a good film,like\na bad film,dislike\n" * 20)
    small = ["--hidden-size", "8", "--max-steps", "20", "--no-verbose"]
    model = tmp_path / "f.safetensors"
    arguments = ["train", "forecast", str(series), "--target", "load", "--horizon", "2", "--context", "16", *small]
    assert run([*arguments, "-o", str(model)]) == 0
    assert run(["diagnose", str(model)]) == 0
    assert "training windows of 16" in capsys.readouterr().out
    model = tmp_path / "c.safetensors"
    arguments = ["train", "classify", str(reviews), "--text", "text", "--label", "label", *small]
    assert run([*arguments, "-o", str(model)]) == 0
    assert run(["diagnose", str(model), str(reviews)]) == 0
    assert "layer0: lstm, 8 units" in capsys.readouterr().out


def test_what_cannot_be_is_said_in_one_line(text, tmp_path, capsys):
    model = tmp_path / "m.safetensors"
    assert run(["train", "language", str(text), "-o", str(model), *SMALL]) == 0
    (tmp_path / "short.txt").write_text("to be")
    capsys.readouterr()
    for arguments, code, message in (
        (["diagnose", str(model)], 2, "nothing to examine it on: give FILE..."),
        (["diagnose", str(model), str(tmp_path / "short.txt")], 1, "short.txt has 5 characters; at least 33 are needed"),
        (["watch", str(model)], 1, "m.safetensors.watch is not there: it is written by training with --watch"),
        (["train", "language", str(text), "-o", str(tmp_path / "n"), "--watch", "0"], 2, "watch"),
    ):
        assert run(arguments) == code
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
def test_on_a_terminal_it_is_drawn_until_interrupted(text, tmp_path):
    assert run(["train", "language", str(text), "-o", str(tmp_path / "m"), *SMALL, "--watch", "10"]) == 0
    mine, theirs = os.openpty()
    command = [sys.executable, "-m", "gatewise", "watch", str(tmp_path / "m"), "--seconds", "0.1"]
    shown = subprocess.Popen(
        command,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )
    seen, end = b"", time.monotonic() + 60
    while seen.count(b"step 40") < 2 and time.monotonic() < end:
        seen += os.read(mine, 10_000)
    shown.send_signal(signal.SIGINT)
    _, errors = shown.communicate(timeout=60)
    assert shown.returncode == 130 and seen.count(b"\x1b[H\x1b[J") >= 2 and b"Traceback" not in errors
    os.close(mine)
    os.close(theirs)
