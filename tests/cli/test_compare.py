"""`gatewise compare language`."""

import json

import pytest

from gatewise.cli.application import run


def test_a_comparison(corpus, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(corpus)
    options = ["--hidden-size", "16", "--max-steps", "20", "--validate-every", "5", "--bptt", "20", "--batch-size", "8"]
    files = ["--json", str(tmp_path / "all.json"), "--plot", str(tmp_path / "all.png")]
    arguments = ["compare", "language", str(tmp_path / "text.txt"), "--cells", "lstm,min_gru", *options, *files]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["cell", "units", "parameters", "steps", "seconds"]
    losses = {line.split()[0]: float(line.split()[5]) for line in lines[1:]}
    assert set(losses) == {"lstm", "min_gru"} and list(losses.values()) == sorted(losses.values())
    record = {r["cell"]: r for r in json.loads((tmp_path / "all.json").read_text())}
    for cell, loss in losses.items():
        assert record[cell]["training"]["validation_loss"] == pytest.approx(loss, abs=1e-4)
        assert [v["step"] for v in record[cell]["validations"]] == [5, 10, 15, 20]
    assert (tmp_path / "all.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["text.txt", "--cells", "lstm,lsmt"], 2, "there is no cell 'lsmt'"),
        (["text.txt", "--cells", ","], 2, "there is no cell ''"),
        (["none.txt", "--cells", "lstm"], 1, "no such file: none.txt"),
        (["text.txt", "--cells", "lstm,projected_lstm"], 2, "needs cell_sizes={'proj_size': a whole number}"),
        (["text.txt", "--cells", "lstm", "--parameters", "10"], 2, "above the 10 allowed"),
        (["text.txt", "--cells", "lstm", "--plot", "fig.txt"], 2, "a figure's name ends in one of"),
        (["text.txt", "--cells", "lstm", "--embedding-size", "8", "--tie-weights"], 2, "leave out --tie-weights"),
        (["text.txt", "--cells", "lstm", "--json", "no/such/folder.json"], 1, "no/such"),
    ],
)
def test_mistakes(arguments, code, message, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(corpus)
    assert run(["compare", "language", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_sizes_go_to_the_cells_that_have_them(corpus, tmp_path, capsys):
    (tmp_path / "text.txt").write_text(corpus)
    options = ["--hidden-size", "8", "--max-steps", "4", "--bptt", "10", "--batch-size", "4", "--cell-sizes", "proj_size=4"]
    assert run(["compare", "language", str(tmp_path / "text.txt"), "--cells", "lstm,projected_lstm", *options]) == 0
    assert "projected_lstm" in capsys.readouterr().out
