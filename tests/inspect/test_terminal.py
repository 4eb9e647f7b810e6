"""A text coloured in a terminal, and what says the same without colours."""

import io
import re

import numpy as np
import pytest

from gatewise.inspect.colours import scale_of
from gatewise.inspect.terminal import coloured_text, legend, listed_text, show, wants_colour

VALUES = np.array([0.0, 0.5, 1.0, 0.24])
TOKENS = ("t", " ", "語", "\n")
SCALE = scale_of(VALUES, gate=True)


def plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_every_token_has_the_colour_of_its_value_and_a_bar_below():
    text, bars = coloured_text(VALUES, TOKENS, SCALE).split("\n")
    assert plain(text) == "t␣語↵" and bars == "▁▅██▂"  # a wide character has a wide bar
    grounds = re.findall(r"48;2;(\d+);(\d+);(\d+)", text)
    assert [tuple(map(int, ground)) for ground in grounds] == [SCALE.colour(v) for v in VALUES]
    assert re.findall(r"38;2;(\d+)", text) == ["0", "0", "255", "0"]


def test_words_stand_apart_and_lines_are_wrapped():
    text = coloured_text(np.array([0.1, 0.9, 0.1]), ["one", "two", "three"], SCALE, gap=1, width=7)
    assert plain(text) == "one two\n▁▁▁ ███\nthree\n▁▁▁▁▁"


def test_without_colours_every_value_is_a_number():
    lines = listed_text(VALUES, TOKENS, SCALE).split("\n")
    assert lines == ["0  t   0.000  ▁", "1  ␣   0.500  ▅", "2  語  1.000  █", "3  ↵   0.240  ▂"]


def test_the_legend_says_from_where_to_where():
    line = legend(SCALE, "f of layer0, unit 3 of 0 to 9", VALUES, colour=False)
    assert line == "f of layer0, unit 3 of 0 to 9: 0 ▁▁▂▂▃▃▄▄▅▅▆▆▇▇███ 1, mean 0.435"
    assert plain(legend(SCALE, "f", VALUES, colour=True)) == line.replace("f of layer0, unit 3 of 0 to 9", "f")
    assert "\x1b" not in show(VALUES, TOKENS, SCALE, "f", colour=False)
    assert show(VALUES, TOKENS, SCALE, "f", colour=True).count("\n") == 2


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_colours_only_where_they_are_wanted(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Screen()) and not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Screen())
    monkeypatch.setenv("NO_COLOR", "")
    assert wants_colour(Screen())
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Screen())


@pytest.mark.parametrize("escape", ["\x1b[2J", "\x9b2J", "\x07"])
def test_a_text_cannot_steer_the_terminal(escape):
    assert escape not in coloured_text(VALUES[:1], [escape], SCALE)
    assert escape not in listed_text(VALUES[:1], [escape], SCALE)
