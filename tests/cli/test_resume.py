"""Kill, and go on: the weights are those of a run that was never killed, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gatewise.cli.application import run
from gatewise.modelfile import load

OPTIONS = [
    "--hidden-size", "24", "--num-layers", "2", "--dropout", "0.2", "--batch-size", "4", "--bptt", "16",
    "--embedding-size", "8", "--epochs", "3", "--no-verbose",
]  # fmt: skip

# The command line with a checkpoint at every step, and a file that says how far training is.
SLOW = """
import sys, time
from gatewise.cli.application import run
from gatewise.training import loop
step = loop.Trainer.train_step
def slow_step(self):
    step(self)
    self.checkpoint_seconds = 0
    print(self.position.step, flush=True)
    time.sleep(0.002)
loop.Trainer.train_step = slow_step
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, corpus):
    """The folder, the text and the weights of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("resume")
    (folder / "text.txt").write_text(corpus)
    output = folder / "whole.safetensors"
    assert run(["train", "language", str(folder / "text.txt"), "-o", str(output), *OPTIONS]) == 0
    return folder, load(output)


def start(folder, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", SLOW, *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_until(process: subprocess.Popen, step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == str(step):
            return
    raise AssertionError(f"the run ended before step {step}")


def assert_same(folder, name, model):
    other = load(folder / name)
    assert all(np.array_equal(other.weights_[key], array) for key, array in model.weights_.items())
    assert [r["loss"] for r in other.history_] == [r["loss"] for r in model.history_]
    assert not list(folder.glob(f"*{name}*.checkpoint*"))
    assert not list(folder.glob(".*.partial"))


def test_killed_twice_at_random_moments(whole):
    folder, model = whole
    draw = random.Random(os.urandom(4))
    steps = model.training_["steps"]
    first = draw.randrange(1, steps // 2)
    second = draw.randrange(steps // 2 + 1, steps - 5)
    command = ["train", "language", "text.txt", "-o", "killed.safetensors", *OPTIONS]
    for arguments, step in ((command, first), ([*command, "--resume"], second)):
        with start(folder, *arguments) as process:
            run_until(process, step)
            time.sleep(draw.random() * 0.02)  # in the middle of a step, or of writing the checkpoint
            process.kill()
    assert not (folder / "killed.safetensors").exists()
    with start(folder, "resume", "killed.safetensors.checkpoint") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, (first, second, err)
    assert_same(folder, "killed.safetensors", model)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(whole, number, monkeypatch):
    folder, model = whole
    name = f"{number.name} of mine.safetensors"  # spaces, so that the command must be quoted
    with start(folder, "train", "language", "text.txt", "-o", name, *OPTIONS) as process:
        run_until(process, 40)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    said = err.strip().splitlines()[-1]
    assert said == f"go on with: gatewise resume '{name}.checkpoint'"
    monkeypatch.chdir(folder)
    assert run(["resume", f"{name}.checkpoint"]) == 0
    assert_same(folder, name, model)


def test_resume_without_a_checkpoint_starts(whole, monkeypatch):
    folder, model = whole
    monkeypatch.chdir(folder)
    assert run(["train", "language", "text.txt", "-o", "anew.safetensors", *OPTIONS, "--resume"]) == 0
    assert_same(folder, "anew.safetensors", model)


SEQUENCES = ["--hidden-size", "8", "--dropout", "0.2", "--max-steps", "60", "--batch-size", "4", "--no-verbose"]
OTHERS = {
    "classify": ["reviews.csv", "--text", "text", "--label", "label", *SEQUENCES],
    "regress": ["reviews.csv", "--text", "text", "--label", "stars", *SEQUENCES],
    "tag": ["words.conllu", "--spelling-size", "4", *SEQUENCES],
    "forecast": [
        "wave.csv",
        "--time",
        "day",
        "--target",
        "y",
        "--id",
        "who",
        "--horizon",
        "3",
        "--context",
        "12",
        *SEQUENCES,
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    texts = [("a good film", "like"), ("good, good fun", "like"), ("a bad film", "dislike"), ("bad acting", "dislike")]
    rows = [f'"{text}",{label},{len(text)}' for text, label in texts * 60]
    (folder / "reviews.csv").write_text("\n".join(["text,label,stars", *rows]))
    word = "{}\t{}\t_\t{}\t_\t_\t_\t_\t_\t_\n"
    sentence = "".join(word.format(k, w, t) for k, (w, t) in enumerate([("a", "DET"), ("bad", "ADJ"), ("film", "NOUN")], 1))
    (folder / "words.conllu").write_text((sentence + "\n") * 30)
    days = [f"{2000 + k},{who},{np.sin(k / 3):.4f}" for who in ("a", "b") for k in range(80)]
    (folder / "wave.csv").write_text("\n".join(["day,who,y", *days]))
    return folder


@pytest.mark.parametrize("task", OTHERS)
def test_every_task_goes_on_from_its_checkpoint_alone(files, task, monkeypatch, tmp_path):
    monkeypatch.chdir(files)
    assert run(["train", task, *OTHERS[task], "-o", f"whole {task}"]) == 0
    with start(files, "train", task, *OTHERS[task], "-o", f"{task}.safetensors") as process:
        run_until(process, 20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert err.strip().splitlines()[-1] == f"go on with: gatewise resume {task}.safetensors.checkpoint"
    monkeypatch.chdir(tmp_path)  # the checkpoint knows where its files are
    assert run(["resume", str(files / f"{task}.safetensors.checkpoint")]) == 0
    whole = load(files / f"whole {task}")
    assert_same(files, f"{task}.safetensors", whole)
    resumed = load(files / f"{task}.safetensors")
    assert resumed.get_params() == {**whole.get_params(), "verbose": True}
    assert getattr(resumed, "reading_", None) == getattr(whole, "reading_", None)


def test_data_from_python_cannot_be_found_again(tmp_path, capsys):
    from gatewise import SequenceClassifier

    path = tmp_path / "a.checkpoint"
    SequenceClassifier(hidden_size=4, max_steps=2, verbose=False).fit(["a", "b"] * 4, [0, 1] * 4, checkpoint=path)
    assert run(["resume", str(path)]) == 1
    assert "was made of data in Python" in capsys.readouterr().err
