"""The benchmarks run in small: nothing is asked of a figure but that it is there, and that an absent peer is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHORT = ["--seconds", "0.01"]

# Arguments, how many rows there are, and a figure of each.
RUNS = {
    "layers.py": (["--cells", "lstm,rnn", "--shapes", "5x3x4x6,3x2x4x4", "--ragged", *SHORT], 4, "infer ratio"),
    "cells.py": (["--cells", "lstm,mgu", "--steps", "4", "--batch", "2", "--units", "8", *SHORT], 2, "ratio"),
    "streaming.py": (["--cells", "gru", "--units", "8", *SHORT], 1, "onnxruntime ratio"),
    "training_step.py": (
        ["--shape", "5x8x4x6", "--vocabulary", "50", "--peers", "torch.nn,jax-scan", *SHORT],
        None,
        "ratio",
    ),
    "roofline.py": (["--cells", "gru", "--shapes", "5x3x4x6", "--megabytes", "1", *SHORT], 1, "operations a byte"),
    "recording.py": (["--cells", "gru", "--shapes", "5x3x4x6", *SHORT], 1, "all cost"),
    "first_call.py": (["--cells", "rnn", "--shapes", "5x3x4x6"], 1, "load ms"),
}


def test_every_benchmark_is_run():
    others = {"report.py", "quality.py", "forecast_rows.py"}  # what they share; results, tested in tests/examples
    assert {p.name for p in BENCHMARKS.glob("*.py")} == {*RUNS, *others}


@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_in_small(name, tmp_path):
    arguments, rows, figure = RUNS[name]
    files = ["--json", str(tmp_path / "found.json"), "--plot", str(tmp_path / "found.svg")]
    command = [sys.executable, "-W", "error", str(BENCHMARKS / name), *arguments, "--rounds", "1", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert rows is None or len(found["rows"]) == rows
    assert all(row[figure] > 0 for row in found["rows"])
    assert "| - |" not in done.stdout
    assert done.stdout.count("\n| ") == len(found["rows"]) + 1  # and the heading
    assert (tmp_path / "found.svg").read_text().rstrip().endswith("</svg>")
    for peer in found["left_out"]:
        assert f"left out: {peer}: " in done.stdout
        assert found["versions"]["jax"] is None


def test_a_figure_that_cannot_be_drawn_is_refused_before_anything_is_measured():
    command = [sys.executable, str(BENCHMARKS / "layers.py"), "--plot", "figure.xyz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "a figure's name ends in one of" in done.stderr
    assert "Traceback" not in done.stderr
