"""``gatewise explain`` on every kind of model, and what a user can get wrong."""

import re
import subprocess
import sys

import numpy as np
import pytest

from gatewise import Forecaster, SequenceClassifier, SequenceRegressor, load
from gatewise.cli.application import run
from gatewise.inspect.view import look_at, visible

SMALL = {"hidden_size": 6, "max_steps": 20, "verbose": False}


@pytest.fixture(scope="module")
def reviewer_file(tmp_path_factory):
    texts = ["what a good film", "good, good fun", "a bad film", "bad acting, bad film"] * 8
    model = SequenceClassifier(**SMALL, bidirectional=True).fit(texts, ["like", "like", "dislike", "dislike"] * 8)
    path = tmp_path_factory.mktemp("explain") / "reviews.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def numbers_file(reviewer_file):
    X = np.random.default_rng(0).random((40, 5))
    path = reviewer_file.with_name("numbers.safetensors")
    SequenceRegressor(**SMALL).fit(X, X.sum(1)).save(path)
    return path


def table(out):
    """Step, token and value of every line of a plain listing."""
    return [match.groups() for match in re.finditer(r"^ *(\d+)  (\S+) +(-?[\d.]+)  [▁-█]$", out, re.M)]


def test_a_text_has_a_line_a_token_without_colours(model_file, model, capsys):
    text = "the cat sees\na dog"
    assert run(["explain", str(model_file), text, "--value", "c", "--unit", "3"]) == 0
    out = capsys.readouterr().out
    trace = model.explain(text)
    best = trace.outputs[-1].argmax()
    assert out.startswith(f"said after the last step: {visible(trace.names[best])!r} {trace.outputs[-1, best]:.4f}, ")
    assert "\nc of layer0, unit 3 of 0 to 31: " in out and "\x1b" not in out
    line = trace.value("c")[:, 3]
    assert table(out) == [(str(k), visible(t), f"{v:.3f}") for k, (t, v) in enumerate(zip(text, line, strict=True))]


def test_colours_always_never_and_by_default(model_file, capsys, monkeypatch):
    assert run(["explain", str(model_file), "the cat", "--color", "always"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[" in out and re.sub(r"\x1b\[[\d;]*m", "", out).splitlines()[2] == "the␣cat" and not table(out)
    assert run(["explain", str(model_file), "the cat", "--color", "never"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setattr("gatewise.inspect.terminal.wants_colour", lambda stream: True)
    assert run(["explain", str(model_file), "the cat"]) == 0
    assert "\x1b[" in capsys.readouterr().out


def test_the_text_may_come_from_standard_input_or_a_file(model_file, gatewise, tmp_path):
    expected = gatewise("explain", model_file, "the cat").stdout
    assert len(table(expected)) == 7
    assert gatewise("explain", model_file, "-", input="the cat\n").stdout == expected
    assert gatewise("explain", model_file, input="the cat").stdout == expected
    (tmp_path / "text").write_text("the cat")
    assert gatewise("explain", model_file, "--file", "text").stdout == expected


def test_why_lists_the_contributions(reviewer_file, capsys):
    model = load(reviewer_file)
    arguments = ["explain", str(reviewer_file), "a good film", "--why", "--method", "occlusion", "--of", "like"]
    assert run([*arguments, "--layer", "layer0_reverse"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    trace = model.explain("a good film")
    assert first.startswith("said: '") and f"'like' {trace.outputs[0, 1]:.4f}" in first and "layer0_reverse" in first
    found = trace.attribute("occlusion", of="like")
    assert second.startswith(str(found))
    assert [float(v) for _, _, v in table(second)] == pytest.approx(found.steps, abs=0.51e-3)


def test_a_row_of_a_file_of_numbers(numbers_file, tmp_path, capsys):
    path = tmp_path / "series.ts"
    path.write_text("@problemName a\n@univariate true\n@classLabel false\n@data\n0.1,0.2,0.3\n0.5,0.1,0.9,0.7\n")
    assert run(["explain", str(numbers_file), "--file", str(path), "--row", "2", "--value", "h", "--unit", "mean"]) == 0
    out = capsys.readouterr().out
    trace = load(numbers_file).explain([0.5, 0.1, 0.9, 0.7])
    assert f" {trace.outputs[0, 0]:.6g}\n" in out
    assert [v for _, _, v in table(out)] == [f"{v:.3f}" for v in look_at(trace, name="h", unit="mean").line]
    assert run(["explain", str(numbers_file), "--file", str(path), "--row", "3"]) == 1
    assert "has 2 sequences; --row is 3" in capsys.readouterr().err


def test_forecasts(tmp_path, capsys):
    rows = {"hour": list(range(120)), "id": ["a"] * 60 + ["b"] * 60, "load": [float(3 + np.sin(k / 3)) for k in range(120)]}
    model = Forecaster(horizon=2, context=12, calendar=False, **SMALL).fit(rows, time="hour", target="load", id="id")
    path, data = tmp_path / "m.safetensors", tmp_path / "rows.csv"
    model.save(path)
    data.write_text("hour,id,load\n" + "".join(f"{h},{i},{y}\n" for h, i, y in zip(*rows.values(), strict=True)))
    assert run(["explain", str(path), "--id", "b"]) == 0
    trained = capsys.readouterr().out
    assert "said after the last step: load +1 " in trained and len(table(trained)) == 12
    assert run(["explain", str(path), "--id", "b", "--file", str(data)]) == 0
    assert capsys.readouterr().out == trained
    assert run(["explain", str(path), "some text"]) == 2
    assert "reads rows, not TEXT" in capsys.readouterr().err


def test_a_page_and_a_picture_are_written(reviewer_file, tmp_path, capsys):
    page, picture = tmp_path / "page.html", tmp_path / "f.png"
    arguments = ["explain", str(reviewer_file), "a good film", "--html", str(page), "--plot", str(picture)]
    assert run(arguments) == 0
    assert capsys.readouterr().out.endswith(f"wrote {picture}\nwrote {page}\n")
    assert picture.read_bytes().startswith(b"\x89PNG") and "Which steps mattered" not in page.read_text(encoding="utf-8")
    assert run([*arguments, "--why", "--of", "dislike"]) == 0
    assert "Contributions to log odds of dislike, by integrated" in page.read_text(encoding="utf-8")


def test_torch_is_imported_for_why_alone(reviewer_file):
    code = (
        "import sys; from gatewise.cli.application import run; assert run(sys.argv[1:]) == 0; "
        "print(*sorted({'torch', 'matplotlib'} & {*sys.modules}), file=sys.stderr)"
    )
    for more, expected in (([], ""), (["--why"], "torch")):
        command = [sys.executable, "-c", code, "explain", str(reviewer_file), "a good film", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stderr.strip() == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["reviews", "a", "--value", "q"], 2, "layer0 has no value 'q'; it has: i, f, g, o, h, c"),
        (["reviews", "a", "--layer", "top"], 2, "there is no layer 'top'; there are: layer0, layer0_reverse"),
        (["reviews", "a", "--unit", "6"], 2, "unit is 6; i of layer0 has units 0 to 5"),
        (["reviews", "a", "--unit", "first"], 2, "'first' is neither the number of a unit nor 'mean'"),
        (["reviews", "a", "--of", "like"], 2, "say how --why explains: add --why"),
        (["reviews", "a", "--why", "--of", "love"], 2, "there is no output 'love'; there are: 'dislike', 'like'"),
        (["reviews", "a", "--why", "--step", "3"], 2, "step is 3; the outputs have steps 0 to 0"),
        (["reviews", "a", "--file", "b"], 2, "give TEXT or --file, not both"),
        (["reviews", "a", "--row", "2"], 2, "--row is a sequence of --file"),
        (["reviews", "a", "--id", "2"], 2, "--id names a series"),
        (["reviews", ""], 1, "empty"),
        (["reviews", "--file", "none.csv"], 1, "no such file: none.csv"),
        (["reviews", "a", "--html", "none/page.html"], 1, "the folder none does not exist"),
        (["reviews", "a", "--plot", "f.xyz"], 2, "a figure's name ends in one of"),
        (["numbers", "a"], 2, "this model reads numbers, not TEXT: give --file FILE"),
        (["none", "a"], 1, "no such file: "),
    ],
)
def test_what_is_wrong_is_one_line(reviewer_file, numbers_file, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    name, *rest = arguments
    assert run(["explain", str(reviewer_file.with_name(f"{name}.safetensors")), *rest]) == code
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("gatewise: ") and captured.err.count("\n") == 1
    assert [*tmp_path.iterdir()] == []
