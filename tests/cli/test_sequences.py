"""Train, predict and evaluate models of labelled sequences from the command line."""

import csv
import io
import json
import wave

import pytest
from sklearn.metrics import f1_score, log_loss

from gatewise.cli.application import run

SMALL = ["--hidden-size", "8", "--max-steps", "80", "--learning-rate", "0.03", "--no-verbose"]
TEXTS = [("a good film", "like"), ("good, good fun", "like"), ("a bad film", "dislike"), ("bad acting", "dislike")] * 8


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "stars"), *((t, y, f"{len(t):,}.5") for t, y in TEXTS)])
    return path


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def test_classify_predict_evaluate(reviews, tmp_path, capsys):
    model, record = tmp_path / "m.safetensors", tmp_path / "figures.json"
    assert run(["train", "classify", str(reviews), "--text", "text", "--label", "label", "-o", str(model), *SMALL]) == 0
    assert "80 steps in" in capsys.readouterr().out and not (tmp_path / "m.safetensors.checkpoint").exists()
    assert run(["predict", str(model), "a good one", str(reviews), "--probabilities"]) == 0
    found = rows(capsys.readouterr().out)
    assert found[0] == ["sequence", "prediction", "probability", "p(dislike)", "p(like)"]
    assert found[1][:2] == ["a good one", "like"] and found[2][0] == f"{reviews}, line 2, column 'text'"
    assert [row[1] for row in found[2:]] == [y for _, y in TEXTS]
    assert float(found[1][3]) + float(found[1][4]) == pytest.approx(1, abs=1e-5)
    assert run(["evaluate", str(model), str(reviews), "--json", str(record)]) == 0
    out = capsys.readouterr().out
    assert "accuracy             1.0000                    0.5000" in out and "true \\ said" in out
    figures = json.loads(record.read_text())
    assert figures["accuracy"] == 1.0 and figures["confusion"] == [[16, 0], [0, 16]]
    truth, said = [0] * 16 + [1] * 16, [0] * 32  # the baseline's figures are scikit-learn's of always saying the same
    assert figures["baseline_f1_macro"] == pytest.approx(f1_score(truth, said, average="macro"))
    assert figures["baseline_f1_weighted"] == pytest.approx(f1_score(truth, said, average="weighted"))
    assert figures["baseline_log_loss"] == pytest.approx(log_loss(truth, [0.5] * 32))
    assert run(["show", str(model)]) == 0
    assert "estimator   SequenceClassifier(" in capsys.readouterr().out


def test_regress_and_its_baseline(reviews, tmp_path, capsys):
    model = tmp_path / "m.safetensors"
    arguments = ["train", "regress", str(reviews), "--text", "text", "--label", "stars", "-o", str(model), *SMALL]
    assert run([*arguments, "--readout", "last", "--level", "char"]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(model), str(reviews)]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["model", "always", "the", "mean"]
    rmse, baseline = map(float, table[2][1:])
    assert rmse < 0.5 * baseline == pytest.approx(1.0, rel=0.5)
    assert run(["predict", str(model), "a good film"]) == 0
    assert float(rows(capsys.readouterr().out)[1][1]) == pytest.approx(11.5, abs=1)


def test_tag_words(tmp_path, capsys):
    path, model = tmp_path / "a.conllu", tmp_path / "m.safetensors"
    sentence = "1\tThe\t_\tDET\t_\t_\t0\t_\t_\t_\n2\tcat\t_\tNOUN\t_\t_\t0\t_\t_\t_\n\n"
    path.write_text(sentence * 30)
    assert run(["train", "tag", str(path), "-o", str(model), *SMALL]) == 0
    capsys.readouterr()
    assert run(["predict", str(model), "The cat"]) == 0
    found = rows(capsys.readouterr().out)
    assert [row[:2] for row in found[1:3]] == [["The", "DET"], ["cat", "NOUN"]] and found[3] == []
    assert run(["evaluate", str(model), str(path)]) == 0
    assert "accuracy             1.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "classify", "{csv}", "-o", "{out}"], 2, "--text which column"),
        (["train", "classify", "{csv}", "--text", "text", "--label", "lable", "-o", "{out}"], 1, "has no column 'lable'"),
        (
            ["train", "regress", "{csv}", "--text", "text", "--label", "label", "-o", "{out}"],
            1,
            "line 2, column 'label': 'like' is not a number",
        ),
        (
            ["train", "classify", "{csv}", "--text", "text", "--label", "label", "-o", "{out}", "--readout", "sum"],
            2,
            "'sum'",
        ),
        (["train", "classify", "none.csv", "-o", "{out}"], 1, "no such file: none.csv"),
        (["train", "classify", "{csv}", "--text", "text", "--label", "label", "-o", "/no/folder/m"], 1, "/no/folder"),
        (["evaluate", "{csv}", "{csv}"], 1, "not a"),
        (["predict", "{csv}", "text"], 1, "not a"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(reviews, tmp_path, capsys, arguments, code, message):
    out = tmp_path / "m.safetensors"
    assert run([a.format(csv=reviews, out=out) for a in arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("gatewise: ") and error.count("\n") == 1 and message in error
    assert not out.exists() and list(tmp_path.iterdir()) == [reviews]


def test_mistakes_about_a_sequence_name_its_line(reviews, tmp_path, capsys):
    model = str(tmp_path / "m")
    assert run(["train", "classify", str(reviews), "--text", "text", "--label", "label", "-o", model, *SMALL]) == 0
    later = tmp_path / "later.csv"
    later.write_text("text,label\ngood,like\ngood,awful\n")
    capsys.readouterr()
    assert run(["evaluate", model, str(later)]) == 1
    assert f"{later}, line 3, column 'label' has a label that was not there in fit: awful" in capsys.readouterr().err
    later.write_text("text,label\ngood,\n\u2003,\n")
    assert run(["predict", model, str(later)]) == 1
    assert f"{later}, line 3, column 'text' is empty: leave the row out" in capsys.readouterr().err
    assert run(["predict", model, "good " * 100]) == 0  # longer than any file name
    assert run(["generate", model]) == 1
    assert "holds a SequenceClassifier; a LanguageModel is needed here" in capsys.readouterr().err


def test_mistakes_name_the_file(reviews, tmp_path, capsys):
    model, constant = tmp_path / "m.safetensors", tmp_path / "constant.csv"
    table = [
        "--text",
        "text",
        "--label",
        "label",
        "-o",
        str(model),
        "--no-verbose",
        "--max-steps",
        "2",
        "--hidden-size",
        "4",
    ]
    constant.write_text("text,label\na,1\nb,1\n")

    def said(*arguments):
        code = run([*map(str, arguments)])
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "Traceback" not in error
        return code, error

    assert said("train", "classify", constant, *table) == (
        1,
        f"gatewise: {constant}: y has only one class, 1: there is nothing to learn\n",
    )
    for pattern in ("(", "no group"):
        code, error = said("train", "classify", tmp_path, *table, "--label-pattern", pattern)
        assert code == 2 and f"the pattern {pattern!r}" in error
    missing = tmp_path / "nan.csv"
    missing.write_text("text,label\na,1\nb,nan\n")
    assert f"{missing}, line 3, column 'label' contains NaN" in said("train", "regress", missing, *table)[1]
    assert run(["train", "classify", str(reviews), *table]) == 0
    capsys.readouterr()
    assert said("predict", model, "no/such.csv") == (1, "gatewise: no such file: no/such.csv\n")
    assert said("predict", model, " ") == (2, "gatewise: INPUT is an empty text: there is nothing to predict for\n")
    for name in ("a.wav", "b.wav"):
        with wave.open(str(tmp_path / name), "wb") as sound:
            sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000), sound.writeframes(bytes(4000))
    code, error = said("train", "classify", tmp_path, *table)
    assert code == 1 and f"{tmp_path}: all recordings lie in folders of one name" in error and "--label-pattern" in error
    single = tmp_path / "one"  # a single label is nothing to learn from, but something to measure on
    for label in ("one", "two"):
        (tmp_path / label).mkdir()
        for name in ("a.wav", "b.wav"):
            (tmp_path / label / name).write_bytes((tmp_path / name).read_bytes())
    sounds = tmp_path / "sounds.safetensors"
    options = ["-o", str(sounds), "--no-verbose", "--max-steps", "2", "--hidden-size", "4"]
    assert run(["train", "classify", str(single), str(tmp_path / "two"), *options]) == 0
    assert run(["evaluate", str(sounds), str(single)]) == 0
    capsys.readouterr()
    code, error = said("predict", model, tmp_path)
    assert code == 1 and f"{tmp_path}: X has features, but this SequenceClassifier was fitted on strings" in error
    assert run(["train", "regress", str(constant), *table]) == 0
    assert run(["evaluate", str(model), str(constant), "--json", str(tmp_path / "e.json")]) == 0
    assert json.loads((tmp_path / "e.json").read_text())["r2"] is None
