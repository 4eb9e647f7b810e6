"""`gatewise bench`: it measures, so nothing is asked of the figures but that they are there and agree."""

import re

import pytest

from gatewise.backends.cpu.peak import peak_rate
from gatewise.cli.application import run


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # said by torch of its own layer
def test_a_small_bench(capsys):
    arguments = ["--shape", "5x4x8x16", "--rounds", "1", "--seconds", "0.01", "--cells", "lstm,projected_lstm"]
    assert run(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    peak = float(re.search(r"peak, float32: (\d+) GF/s", out)[1])
    assert peak > 1
    rows = [line.split() for line in out.splitlines() if line.startswith(("lstm", "projected_lstm"))]
    assert [row[0] for row in rows] == ["lstm", "projected_lstm"]
    for row in rows:
        milliseconds, rate, share = float(row[1]), float(row[2]), float(row[3].rstrip("%"))
        assert milliseconds > 0
        assert share == pytest.approx(100 * rate / peak, abs=100 * 0.51 / peak + 0.51)


def test_the_peak_is_one_that_arithmetic_can_have():
    """Were the loop optimised away, the rate would be beyond any processor's."""
    assert 0 < peak_rate(1, "float32", 0.02) < 1e12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--shape", "1x2"], "'1x2' is not TxBxIxH"), (["--shape", "0x1x1x1"], "above 0"), (["--cells", "a"], "no cell 'a'")],
)
def test_mistakes(arguments, message, capsys):
    assert run(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err
