"""Forecasts from the command line."""

import csv
import io
import json
import math
import re

import pytest

from gatewise.cli.application import run

SMALL = [
    "--horizon",
    "4",
    "--context",
    "24",
    "--hidden-size",
    "8",
    "--max-steps",
    "60",
    "--learning-rate",
    "0.02",
    "--no-verbose",
]


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.csv"
    rows = [f'2024-{1 + k // 28:02}-{1 + k % 28:02},"{1000 + 100 * math.sin(k / 3):,.2f}"\n' for k in range(200)]
    path.write_text("day,close\n" + "".join(reversed(rows)))
    return path


def test_train_forecast_backtest(prices, tmp_path, capsys):
    model, plot, record, table = (tmp_path / name for name in ("m.safetensors", "p.png", "b.json", "b.csv"))
    arguments = ["train", "forecast", str(prices), "--time", "day", "--target", "close", "-o", str(model), *SMALL]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert "data: rows are not in the order of time: they were sorted" in err
    assert "last value" in out and "these rows chose the weights" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.safetensors", "prices.csv"]
    assert run(["forecast", str(model), "--plot", str(plot), "--levels", "0.05,0.95"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 4 and rows[0].keys() == {"day", "mean", "q0.05", "q0.95"}
    assert float(rows[0]["q0.05"]) < float(rows[0]["q0.95"]) and plot.read_bytes()[:4] == b"\x89PNG"
    assert run(["backtest", str(model), str(prices), "--windows", "3", "--json", str(record), "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    assert "3 windows" in out and "no room" not in out
    figures = json.loads(record.read_text())
    assert (figures["windows"], figures["missing"]) == (3, 0)
    assert set(figures["figures"]["close"]) == {"model", "last value", "last season", "drift"}
    assert len(table.read_text().splitlines()) == 1 + 12
    pictures = [tmp_path / "backtest.png", tmp_path / "train.svg"]
    assert run(["backtest", str(model), str(prices), "--windows", "1000", "--plot", str(pictures[0])]) == 0
    out = capsys.readouterr().out
    found, missing = int(out.split()[0]), int(re.search(r"there is no room for (\d+) more that were asked for", out)[1])
    assert found + missing == 1000 and found > 3
    assert run([*arguments, "--plot", str(pictures[1])]) == 0
    assert pictures[0].read_bytes()[:4] == b"\x89PNG" and b"<svg" in pictures[1].read_bytes()
    capsys.readouterr()
    assert run(["show", str(model)]) == 0
    assert "estimator   Forecaster(" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--time", "date", "--target", "close"], 1, "no column 'date'; they have: day, close"),
        (["--time", "day", "--target", "day"], 1, "prices.csv: column 'day', row 1"),
        (["--time", "close", "--target", "close"], 1, "is not a time that is known"),
        (["--time", "day"], 2, "--target"),
        (["--time", "day", "--target", "close", "--horizon", "0"], 2, "horizon is 0"),
        (["--time", "day", "--target", "close", "--plot", "picture.doc"], 2, "a figure's name ends in one of"),
        (["--time", "day", "--target", "close", "--plot", "no folder/a.png"], 1, "the folder no folder does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(prices, tmp_path, capsys, arguments, code, message):
    assert run(["train", "forecast", str(prices), "-o", str(tmp_path / "m"), *SMALL, *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("gatewise: ") and error.count("\n") == 1 and message in error
    assert list(tmp_path.iterdir()) == [prices]
