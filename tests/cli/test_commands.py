"""The commands on good input, and that the command line says nothing that the estimator does not."""

import math

import click
import pytest

from gatewise._version import __version__
from gatewise.cli import train_language
from gatewise.cli.application import gatewise as group
from gatewise.cli.application import run
from gatewise.modelfile import load
from gatewise.tasks.language import LanguageModel

SMALL = ["--hidden-size", "16", "--batch-size", "4", "--bptt", "20", "--no-verbose"]


def test_every_parameter_is_an_option_with_the_estimators_default_and_help():
    options = {option.name: option for option in train_language.command.params}
    helps = LanguageModel.parameter_help()
    assert helps.keys() == LanguageModel.parameters().keys()
    for name, parameter in LanguageModel.parameters().items():
        option = options[name]
        assert isinstance(option, click.Option)
        assert option.default == parameter.default
        assert option.help == helps[name] != ""


def test_help_of_every_command(capsys):
    names = group.list_commands(click.Context(group))
    assert names == [
        *(
            "train",
            "generate",
            "score",
            "predict",
            "evaluate",
            "forecast",
            "backtest",
            "show",
            "explain",
            "diagnose",
            "watch",
            "resume",
            "compare",
            "units",
            "cells",
            "bench",
        )
    ]
    trained = [["train", task, "--help"] for task in ("language", "classify", "regress", "tag", "forecast")]
    tasks = (*trained, ["compare", "language", "--help"])
    for arguments in (["--help"], ["train", "-h"], *tasks, *([name, "-h"] for name in names)):
        assert run(arguments) == 0
        assert "Usage: gatewise" in capsys.readouterr().out


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gatewise {__version__}\n"


def test_train_reports_and_leaves_one_file(tmp_path, corpus, capsys):
    (tmp_path / "a.txt").write_text(corpus[:3000])
    (tmp_path / "b.txt").write_text(corpus[3000:5000])
    output = tmp_path / "m.safetensors"
    files = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert run(["train", "language", *files, "-o", str(output), *SMALL, "--max-steps", "30", "--patience", "none"]) == 0
    out, err = capsys.readouterr()
    model = load(output)
    loss = model.training_["validation_loss"]
    assert f"validation loss {loss:.4f} nats a character, {loss / math.log(2):.4f} bits a character" in out
    assert f"wrote {output}" in out
    assert err == ""
    assert model.training_["steps"] == 30
    assert model.training_["tokens"] == 5000
    assert model.patience is None
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b.txt", "m.safetensors"}


def test_progress_goes_to_standard_error(tmp_path, corpus, capsys):
    (tmp_path / "a.txt").write_text(corpus[:3000])
    arguments = [
        "train",
        "language",
        str(tmp_path / "a.txt"),
        "-o",
        str(tmp_path / "m"),
        *SMALL[:-1],
        "--max-steps",
        "3",
    ]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert "characters/s" in err
    assert "characters/s" not in out


def test_generate(model_file, model, capsys):
    assert run(["generate", str(model_file), "--prompt", "the cat", "--length", "20", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "the cat" + "".join(model.generate("the cat", 20, seed=3)) + "\n"


def test_score_ranks(model_file, model, tmp_path, capsys):
    good, bad = "the cat sees a dog.", "cat the a sees dog."
    (tmp_path / "t.txt").write_text(good * 3)
    assert run(["score", str(model_file), bad, good, "--file", str(tmp_path / "t.txt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "log-likelihood", "nats/character", "bits/character", "text"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert lines[1].endswith(good)
    (likelihood,) = model.log_likelihood([good])
    rank, total, nats, bits, *_ = lines[1].split()
    assert float(total) == pytest.approx(likelihood, abs=0.01)
    assert float(nats) == pytest.approx(-likelihood / len(good), abs=0.001)
    assert float(bits) == pytest.approx(-likelihood / len(good) / math.log(2), abs=0.001)


def test_show(model_file, model, capsys):
    assert run(["show", str(model_file)]) == 0
    out = capsys.readouterr().out
    assert model.summary() in out
    assert repr(model) in out
    assert f"{model.training_['validation_loss']:.4f} nats" in out
