"""What of a trace is looked at, how tokens are written, and which colours values have."""

import numpy as np
import pytest

from gatewise.errors import ParameterError
from gatewise.inspect.colours import BLACK, DIVERGING, SEQUENTIAL, WHITE, on_top, scale_of, scale_of_contributions
from gatewise.inspect.view import CLASSES, character_class, columns, look_at, visible, watched, wrapped


def test_the_first_gate_and_its_liveliest_unit_are_what_is_looked_at(text_trace):
    view = look_at(text_trace)
    assert (view.layer, view.name, view.gate) == ("layer0", "i", True)
    assert view.unit == np.var(text_trace.value("i"), axis=0).argmax()
    np.testing.assert_array_equal(view.line, text_trace.value("i")[:, view.unit])
    assert view.title == f"i of layer0, unit {view.unit} of 0 to 7" and view.tokens == text_trace.tokens
    mean = look_at(text_trace, name="c", unit="mean")
    np.testing.assert_array_equal(mean.line, text_trace.value("c").mean(1))
    assert not mean.gate and mean.title == "c of layer0, mean of 8 units"


def test_a_layer_is_chosen_by_name(reviewer):
    trace = reviewer.explain("a good film")
    assert look_at(trace).layer == "layer1"
    np.testing.assert_array_equal(look_at(trace, "layer0_reverse", "h", 2).line, trace.values["layer0_reverse"]["h"][:, 2])
    found = watched(trace)
    assert [*found] == ["layer0", "layer0_reverse", "layer1", "layer1_reverse", "readout"]
    assert found["readout"]["attention"].shape == (3, 1) and found["readout"]["attention"].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"unit": 8}, "unit is 8; i of layer0 has units 0 to 7"),
        ({"unit": -1}, "unit is -1"),
        ({"name": "q"}, "layer0 has no value 'q'"),
        ({"layer": "layer7"}, "no layer 'layer7'"),
    ],
)
def test_what_is_not_there_is_said(text_trace, what, message):
    with pytest.raises(ParameterError, match=message):
        look_at(text_trace, **what)


def test_tokens_are_written_so_that_each_can_be_seen():
    assert [visible(t) for t in ("a", " ", "\n", "\t", "\x1b[31m", "\x85", "é", "")] == [
        *("a", "␣", "↵", "⇥", "␛[31m", "\N{REPLACEMENT CHARACTER}", "é", "∅")
    ]
    assert [columns(t) for t in ("abc", "語", "e\N{COMBINING ACUTE ACCENT}")] == [3, 2, 1]


def test_classes_of_characters():
    tokens = ["e", "ö", "k", "Q", "É", "7", " ", "\t", "\n", ".", "€", "語", "well"]
    assert [CLASSES.index(character_class(t)) for t in tokens] == [0, 0, 1, 2, 2, 4, 5, 5, 6, 7, 7, 3, 1]


def test_lines_are_cut_at_spaces_and_line_breaks():
    def lines(text, width, gap=0):
        return [(" " if gap else "").join(text[k] for k in line) for line in wrapped(text, width, gap)]

    assert lines("to be or\nnot to be", 6) == ["to be ", "or\n", "not ", "to be"]
    assert lines("abcdefgh", 3) == ["abc", "def", "gh"]
    assert lines(["one", "two", "three"], 7, gap=1) == ["one two", "three"]
    assert lines("a\n\nb\n", 9) == ["a\n", "\n", "b\n"]


def test_colours_run_over_their_anchors_and_letters_stay_readable():
    gates, states = scale_of(np.array([0.2]), gate=True), scale_of(np.array([-3.0, 1.0]), gate=False)
    assert (gates.low, gates.high, states.low, states.high) == (0, 1, -3, 3)
    assert [gates.colour(v) for v in (-1, 0, 0.25, 0.5, 1, 9)] == [SEQUENTIAL[k] for k in (0, 0, 1, 2, 4, 4)]
    assert [states.colour(v) for v in (-3, 0, 1.5, 3)] == [DIVERGING[k] for k in (0, 2, 3, 4)]
    assert scale_of(np.array([0.1]), gate=False).high == 1 and scale_of_contributions(np.array([0.1, -0.2])).high == 0.2
    assert "".join(gates.block(v) for v in (0, 0.13, 0.5, 0.99, 1)) == "▁▂▅██"
    for scale in (gates, states):
        for value in np.linspace(scale.low, scale.high, 101):
            ground = scale.colour(value)
            light, dark = sorted((_luminance(ground), _luminance(on_top(ground))), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 4.5  # what WCAG asks of text
            assert on_top(ground) in (BLACK, WHITE)


def _luminance(colour):
    parts = np.array(colour) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
