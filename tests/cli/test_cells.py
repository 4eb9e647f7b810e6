"""The cells command, and the gallery that is made from the same source."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gatewise import cells
from gatewise.backends.equations import latex_equations, unicode_equations
from gatewise.cells.citation import bibtex
from gatewise.cli.application import run
from gatewise.cli.cells import gallery

GALLERY = Path(__file__).parents[2] / "docs" / "cells.md"


def test_the_gallery_is_current():
    assert GALLERY.read_text() == gallery(), "run scripts/docs"


def test_the_list_names_every_cell(capsys):
    assert run(["cells"]) == 0
    out = capsys.readouterr().out
    for name in cells.names():
        assert f"  {name} " in out


def test_the_lstm_is_shown_as_textbooks_write_it(capsys):
    assert run(["cells", "lstm", "--input-size", "3", "--hidden-size", "5"]) == 0
    out = capsys.readouterr().out
    for line in ("iₜ = σ(W_i xₜ + U_i hₜ₋₁ + b_i)", "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ", "hₜ = oₜ ⊙ tanh(cₜ)"):
        assert line in out
    assert "180 parameters, 160 multiply-adds a step" in out


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_has_equations_for_all_its_states_and_a_citation(name):
    cell = cells.get(name)
    text, page = unicode_equations(cell), latex_equations(cell)
    for state in cell.states:
        assert any(line.startswith(f"{state.name}ₜ ") for line in text.splitlines())
    assert page.count("{") == page.count("}")
    assert page.count(r"\left") == page.count(r"\right")
    assert bibtex(cell).startswith("@misc{" + name)
    assert "year = {" in bibtex(cell) or "doi = {" in bibtex(cell)
    assert not re.search(r"title = {{[^}]*\b(et al|&)", bibtex(cell))


def test_authors_are_told_from_titles():
    first, second = bibtex(cells.get("lstm")).split("\n\n")
    assert "author = {Hochreiter and Schmidhuber}" in first and "title = {{Long short-term memory}}" in first
    assert "author = {Gers and Schmidhuber and Cummins}" in second and "title = {{Learning to forget}}" in second
    assert r"Gers, Schmidhuber \& Cummins" in second
    assert "author = {Kusupati and others}" in bibtex(cells.get("fast_grnn"))
    assert "title = {{A thesis (2024)}}" in bibtex(replace(cells.get("rnn"), paper="A thesis (2024)"))


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("--ir", "return h = %"),
        ("--llvm", "define internal void"),
        ("--asm", "run:"),
        ("--latex", r"\begin{aligned}"),
        ("--cite", "@misc{gru"),
    ],
)
def test_every_stage_of_compilation(stage, expected, capsys):
    assert run(["cells", "gru", stage, "--input-size", "4", "--hidden-size", "8"]) == 0
    assert expected in capsys.readouterr().out


def test_a_hyper_parameter_is_bound(capsys):
    assert run(["cells", "rhn", "--set", "depth=2", "--ir"]) == 0
    assert "matmul weight_t2" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["cells", "lstn"], "no built-in cell 'lstn'", 1),
        (["cells", "lstn"], "did you mean 'lstm'?", 1),
        (["cells", "--latex"], "which cell?", 2),
        (["cells", "rhn", "--set", "depth"], "NAME=VALUE", 2),
        (["cells", "rhn", "--set", "depth=x"], "'x' is not a number", 2),
        (["cells", "rhn", "--set", "size=2"], "no hyper-parameter 'size'", 1),
    ],
)
def test_mistakes_get_one_line(arguments, message, code, capsys):
    assert run(arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
