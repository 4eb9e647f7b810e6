"""Features of a text: what each says at each character, written out by hand under the text."""

import numpy as np
import pytest

from gatewise.errors import GatewiseError, ParameterError
from gatewise.inspect.features import features_of, of_tokens


def marks(text: str, name: str, **patterns: str) -> str:
    """A yes/no feature as a line of "^" under the text."""
    values = features_of(text, patterns)[name]
    assert values.dtype == bool and values.shape == (len(text),)
    return "".join("^" if value else "." for value in values)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("double quotes", 'a "bc" d "e" f', '..^^^....^^...'),
        ("double quotes", "a “bc” d", "..^^^..."),
        ("double quotes", 'a "b\n\nc "d" e', "..^^....^^..."),  # one that was left open ends with its paragraph
        ("single quotes", "a 'bc' d", "..^^^..."),
        ("single quotes", "he said 'don't go' now", "........^^^^^^^^^....."),
        ("single quotes", "'tis John's and 'twas", "....................."),
        ("single quotes", "the dogs' bone", ".............."),
        ("single quotes", "a ‘bc’ d’s", "..^^^....."),
        ("brackets", "a (b [c] d) e", "..^^^^^^^^..."),
        ("brackets", "a) b", "...."),
        ("sentence end", 'So. He (3.5) "went!" Why?!', '..^...............^^....^^'),
        ("line start", "ab\n\ncd", "^...^."),
        ("digit", "a1 22", ".^.^^"),
        ("upper case", "aB ÄÖ1", ".^.^^."),
        ("vowel", "EaxY", "^^.."),
        ("space", "a b\n", ".^.."),
        ("line break", "a b\n", "...^"),
    ],
)  # fmt: skip
def test_yes_and_no(name, text, expected):
    assert marks(text, name) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("bracket depth", "a(b[c]d)e)f", "01122110000"),
        ("bracket depth", "a(b\n\nc", "011000"),
        ("line position", "ab\ncd", "01201"),
        ("word position", "ab don't 3", "1201234501"),
        ("indentation", "a\n  b\n\tc\n\nd", "0022221110"+"0"),
    ],
)  # fmt: skip
def test_numbers(name, text, expected):
    assert "".join(f"{value:.0f}" for value in features_of(text)[name]) == expected


def test_a_pattern_covers_its_matches_or_their_group():
    assert marks("say IV or X.", "roman", roman="[IVX]+") == "....^^....^."
    assert marks("f(x) g(y)", "argument", argument=r"\((?P<inside>\w)\)") == "..^....^."
    assert marks("aaa", "nothing", nothing="b*") == "..."


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"roman": "x[IV"}, "pattern 'roman' is not a regular expression: unterminated character set at character 2 of"),
        ({"digit": "3"}, "there is a feature 'digit' already"),
    ],
)
def test_what_is_no_pattern_is_said(patterns, message):
    with pytest.raises(ParameterError, match=message):
        features_of("text", patterns)


def test_a_token_takes_the_largest_value_of_its_characters():
    text, tokens = "To be, Or", ["To", " be", ",", " Or"]
    found = features_of(text)
    assert of_tokens(found["upper case"], tokens).tolist() == [True, False, False, True]
    assert of_tokens(found["line position"], tokens).tolist() == [1, 4, 5, 8]
    with pytest.raises(GatewiseError, match="tokens have 2 characters, the feature has 9"):
        of_tokens(found["digit"], ["To"])


def test_an_empty_text_has_empty_features():
    assert {len(values) for values in features_of("").values()} == {0}


def test_one_long_paragraph_with_marks_takes_no_long_time():
    text = "it is 'twas (\" so " * 5_000
    assert np.mean(features_of(text)["space"]) == pytest.approx(5 / 18)
