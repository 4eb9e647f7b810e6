"""``gatewise units``: its table, its files, and what it says of bad input."""

import json
import subprocess
import sys

import pytest

from gatewise.inspect.view import visible


@pytest.fixture
def text_file(tmp_path, corpus):
    path = tmp_path / "text.txt"
    path.write_text(corpus)
    return path


def test_units_are_listed_drawn_and_written(gatewise, model_file, text_file, tmp_path):
    pattern = "man=old (?P<inside>man)"
    done = gatewise(
        "units", model_file, text_file, "--pattern", pattern, "--json", "u.json", "--plot", "u.png", "--limit", "4000"
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "64 series of units over 2,800 characters, checked on 1,200 more" in done.stdout
    record = json.loads((tmp_path / "u.json").read_text())
    assert (record["first"], record["held_out"], record["searched"]) == (2_800, 1_200, 64)
    assert record["left_out"]["double quotes"] == "constant in the text"
    assert "left out: double quotes (constant in the text); single quotes" in done.stdout
    found = {row["feature"]: row for row in record["units"]}
    assert {"man", "space", "vowel", "line position"} <= set(found)
    best = found["space"]
    assert best["found"] and abs(best["held_out"]) > 0.3
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("space ")]
    r, held_out = f"{best['r']:.3f}", f"{best['held_out']:.3f}"
    assert line.split()[1:] == ["layer0", best["value"], str(best["unit"]), r, held_out, f"{best['p']:.2g}", "yes"]
    assert (tmp_path / "u.png").read_bytes().startswith(b"\x89PNG") and not list(tmp_path.glob(".*"))


def test_an_excerpt_has_its_unit_and_feature_under_it(gatewise, model_file, text_file):
    lines = gatewise("units", model_file, text_file, "--value", "h").stdout.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("layer0 h[") and line.endswith(" follows space"))
    text, unit, feature = (line[11:] for line in lines[at + 1 : at + 4])
    assert len(text) == len(unit) == 72 and set(unit) <= set("▁▂▃▄▅▆▇█") and len(set(unit)) > 2
    assert [mark == "^" for mark in feature.ljust(72)] == [character == visible(" ") for character in text]


def test_standard_input_values_and_top(gatewise, model_file, corpus):
    done = gatewise("units", model_file, "-", "--value", "f", "--value", "c", "--top", "2", input=corpus)
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("space ")]
    assert len(rows) == 2 and {row[2] for row in rows} <= {"f", "c"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["text.txt", "--pattern", "roman=a[IV"], 2, "'roman' is not a regular expression: unterminated character set at c"),
        (["text.txt", "--pattern", "roman"], 2, "'roman' is not NAME=REGEX, such as roman=[IVX]+"),
        (["text.txt", "--pattern", "a=x", "--pattern", "a=y"], 2, "two patterns have the same name"),
        (["text.txt", "--pattern", "digit=x"], 2, "there is a feature 'digit' already"),
        (["text.txt", "--value", "q"], 2, "cell 'lstm' has no value 'q'; it has: i, f, g, o, h, c"),
        (["text.txt", "--limit", "0"], 2, "0 is not in the range x>=1"),
        (["text.txt", "--limit", "999"], 1, "the text is too short: 999 tokens, where at least 1,000 are needed"),
        (["text.txt", "--plot", "u.doc"], 2, "u.doc: a figure's name ends in one of"),
        (["text.txt", "--json", "no/u.json"], 1, "the folder no does not exist"),
        (["empty.txt"], 1, "empty.txt is empty: there is nothing to follow"),
        (["-"], 1, "standard input is empty"),
        (["missing.txt"], 1, "no such file: missing.txt"),
        (["accent.txt"], 1, "never saw these characters: 'é'"),
        ([], 2, "Missing argument 'TEXT'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(gatewise, model_file, text_file, arguments, code, message):
    (text_file.parent / "empty.txt").write_text("")
    (text_file.parent / "accent.txt").write_text("é" * 2_000, encoding="utf-8")
    before = set(text_file.parent.iterdir())
    done = gatewise("units", model_file, *arguments, input="")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("gatewise: ") and message in done.stderr and done.stderr.count("\n") == 1
    assert set(text_file.parent.iterdir()) == before


def test_bytes_that_are_no_text_are_refused_on_standard_input(model_file):
    command = [sys.executable, "-m", "gatewise", "units", str(model_file), "-"]
    done = subprocess.run(command, input=b"caf\xe9 " * 300, capture_output=True, check=False)
    assert done.returncode == 1 and b"standard input is not UTF-8 text" in done.stderr and done.stderr.count(b"\n") == 1


def test_units_need_no_torch(model_file, text_file):
    code = (
        "import sys; from gatewise.cli.application import run; code = run(['units', *sys.argv[1:]]); "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model_file), str(text_file)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
