"""Figures: what is drawn is what was given."""

import io
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from gatewise.errors import ParameterError
from gatewise.inspect import figures
from gatewise.inspect.attribution import Attribution
from gatewise.inspect.colours import SEQUENTIAL, scale_of
from gatewise.inspect.view import character_class

TOKENS = tuple("a $1\tB\n語")
RANDOM = np.random.default_rng(3)
GATE = RANDOM.random((len(TOKENS), 5))
STATE = RANDOM.normal(size=(len(TOKENS), 5))
FOUND = Attribution("integrated", "log odds of $like$", np.array([0.5, -0.25, 0.0, 1, 2, -1, 0.1, 3]), 2.0, -3.35)

ALL = {
    "coloured_text": lambda ax: figures.coloured_text(STATE[:, 0], TOKENS, label="$h$", ax=ax),
    "heat_map": lambda ax: figures.heat_map(GATE, TOKENS, gate=True, label="f", ax=ax),
    "mean_by": lambda ax: figures.mean_by(GATE, TOKENS, gate=True, label="f", ax=ax),
    "trajectory": lambda ax: figures.trajectory(STATE, TOKENS, label="c", ax=ax),
    "gradient_norms": lambda ax: figures.gradient_norms({"RNN": 0.5 ** np.arange(9), "LSTM": 0.9 ** np.arange(9)}, ax=ax),
    "saturation": lambda ax: figures.saturation({"f": GATE, "i": GATE[:, :2]}, ax=ax),
    "memory_horizon": lambda ax: figures.memory_horizon(GATE, ax=ax),
    "contributions": lambda ax: figures.contributions(FOUND, TOKENS, ax=ax),
}


@pytest.mark.parametrize("draw", ALL.values(), ids=ALL)
def test_every_figure_uses_the_axes_it_is_given_and_can_be_written(draw):
    ax = Figure(figsize=(5, 3), layout="constrained").subplots()
    assert draw(ax) is ax and ax.has_data()
    own = draw(None)
    for figure in (ax.figure, own.figure):
        for kind in ("png", "svg"):
            file = io.BytesIO()
            figure.savefig(file, format=kind)
            assert len(file.getvalue()) > 1000
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_text_is_drawn_with_its_colours_and_bars():
    values = np.array([0.0, 0.25, 1.0, 0.5])
    ax = figures.coloured_text(values, ["a", "b", "\n", "c"], gate=True, width=10)
    assert [t.get_text() for t in ax.texts] == ["a", "b", "↵", "c"]
    grounds, bars = ax.patches[::2], ax.patches[1::2]
    assert [tuple(round(255 * c) for c in p.get_facecolor()[:3]) for p in grounds] == [SEQUENTIAL[k] for k in (0, 1, 4, 2)]
    np.testing.assert_allclose([b.get_height() / 0.27 for b in bars], values)
    assert [p.get_y() for p in grounds] == [0, 0, 0, 1]
    signed = figures.coloured_text([-1.0, 1.0], ["a", "b"])
    down, up = signed.patches[1::2]
    assert down.get_y() == pytest.approx(up.get_y() + up.get_height())  # y grows downwards: one hangs, one stands


def test_a_heat_map_has_a_row_a_unit_and_thins_its_labels():
    values = np.arange(600.0).reshape(200, 3) / 600
    ax = figures.heat_map(values, ["x"] * 200, gate=True)
    np.testing.assert_array_equal(ax.images[0].get_array(), values.T)
    assert ax.images[0].get_clim() == (0, 1) and ax.get_xticks().tolist() == list(range(0, 200, 4))
    assert ax.get_xlabel() == "step; one token in 4 is named"
    ax = figures.heat_map(STATE, TOKENS)
    most = np.abs(STATE).max()
    assert ax.images[0].get_clim() == (-most, most)
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "a",
        "␣",
        "$",
        "1",
        "⇥",
        "B",
        "↵",
        "□",
    ]  # no such sign in the font


def test_means_by_token_and_by_class_have_their_counts():
    tokens, values = list("abab c."), np.array([0.1, 0.5, 0.3, 0.7, 0.0, 0.6, 1.0])
    ax = figures.mean_by(values, tokens, gate=True)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["␣", "a", "b", "c", "."]
    np.testing.assert_allclose([p.get_width() for p in ax.patches], [0, 0.2, 0.6, 0.6, 1])
    assert [t.get_text() for t in ax.texts][1] == "0.20  n = 2"
    ax = figures.mean_by(np.stack([values, values + 0.2], 1), tokens, by=character_class)
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        *("space", "lower-case vowel", "lower-case consonant", "punctuation")
    ]
    np.testing.assert_allclose([p.get_width() for p in ax.patches], [0.1, 0.3, 0.7, 1.1])
    assert len(figures.mean_by(values, tokens, most=2).patches) == 2


def test_principal_components_are_those_of_the_covariance():
    states = RANDOM.normal(size=(40, 3)) * (5, 2, 0.1)
    places, shares = figures.principal_components(states)
    values, vectors = np.linalg.eigh(np.cov(states.T, bias=True))
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum())
    expected = (states - states.mean(0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(places), np.abs(expected), atol=1e-9)
    for few in (states[:1], states[:, :1]):  # one step, one unit
        places, shares = figures.principal_components(few)
        assert places.shape == (len(few), 2) and not places[:, 1].any()


def test_gradient_norms_begin_at_the_step_of_the_loss():
    import torch

    gradients = np.zeros((5, 2, 3))
    gradients[:, 0, 1] = [1, 2, 4, 8, 0]
    gradients[:, 1, 0] = [0, 0, 0, 8, 0]
    assert figures.norms_back(gradients).tolist() == [0, 8, 2, 1, 0.5]
    assert figures.norms_back(torch.from_numpy(gradients), step=3).tolist() == [8, 2, 1, 0.5]
    assert figures.norms_back(gradients[:, 0], step=-2).tolist() == [8, 4, 2, 1]
    ax = figures.gradient_norms({"RNN": [8, 2, 0], "LSTM": [1, 1, 1]})
    assert ax.get_yscale() == "log" and [line.get_label() for line in ax.lines] == ["RNN", "LSTM"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [8, 2, np.nan])
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_saturation_says_how_much_is_shut_and_open():
    ax = figures.saturation({"f": np.array([0.05, 0.5, 0.95, 0.99]), "i": np.array([0.01, 0.02])})
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["f: 25% shut, 50% open", "i: 100% shut, 0% open"]


def test_a_gate_that_stays_at_a_value_remembers_for_as_long_as_it_says():
    steps = np.array([2.0, 30.0, 400.0])
    forget = np.exp(-1 / np.tile(steps, (7, 1)))
    np.testing.assert_allclose(figures.time_constants(forget), steps)
    assert np.prod(np.full(30, forget[0, 1])) == pytest.approx(1 / np.e)
    assert figures.time_constants(np.ones((3, 1))) == pytest.approx([1e6])
    assert 0 < figures.time_constants(np.zeros((3, 1)))[0] < 0.01
    ax = figures.memory_horizon(forget)
    assert ax.get_xscale() == "log" and sum(p.get_height() for p in ax.patches) == 3
    assert ax.get_legend().get_texts()[0].get_text() == "median 30 steps, longest 400"


def test_contributions_that_lower_the_output_are_hatched():
    ax = figures.contributions(FOUND, TOKENS)
    np.testing.assert_array_equal([p.get_height() for p in ax.patches], FOUND.steps)
    assert [bool(p.get_hatch()) for p in ax.patches] == [v < 0 for v in FOUND.steps]
    assert [t.get_text() for t in ax.texts][:2] == ["0.5", "-0.25"]
    assert ax.get_title(loc="left") == "log odds of $like$: 2, without any input -3.35 (integrated)"


@pytest.mark.parametrize("values", [np.zeros((4, 2)), np.zeros(4), np.zeros((0, 2)), np.zeros((3, 2, 2))])
def test_shapes_that_do_not_fit_the_tokens_are_refused(values):
    with pytest.raises(ParameterError, match=r"\[steps, units\] was expected, with as many steps as the 3 tokens"):
        figures.heat_map(values, ["a", "b", "c"])


def test_a_scale_can_be_given():
    ax = figures.coloured_text([0.1], ["a"], scale=scale_of(np.array([0.1]), gate=True))
    assert ax.patches[0].get_facecolor()[2] > 0.97  # almost white, though the diverging scale would be orange
