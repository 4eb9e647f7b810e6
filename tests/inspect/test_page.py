"""The page of a trace: it needs nothing else, anybody can use it, and what it says agrees with the trace."""

import base64
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from gatewise import SequenceRegressor, cells
from gatewise.backends.equations import unicode_equations
from gatewise.errors import FileError, ParameterError
from gatewise.inspect.page import page
from gatewise.inspect.trace import Trace
from gatewise.inspect.view import look_at, visible

VOID = {"meta", "input", "img", "br", "link", "hr"}


class Document(HTMLParser):
    """A page's elements, in order, each with its attributes and the text right inside it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert self._open == []  # every element was closed

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag  # and in order

    def handle_data(self, data):
        if self._open:
            self._open[-1][2].append(data)

    def all(self, tag, **attributes):
        return [e for e in self.elements if e[0] == tag and all(e[1].get(k) == v for k, v in attributes.items())]

    def text(self, tag, **attributes):
        ((_, _, text),) = self.all(tag, **attributes)
        return "".join(text)

    def json(self):
        return json.loads(self.text("script", id="data"))


@pytest.fixture(scope="module")
def text_page(text_trace):
    return page(text_trace, "integrated")


@pytest.fixture(scope="module")
def document(text_page):
    return Document(text_page)


def test_nothing_comes_from_elsewhere(text_page, document):
    assert re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"data:image/svg\+xml;base64,[\w+/=]+", "", text_page)) == []
    for _, attributes, _ in document.elements:
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:image/svg+xml;base64,"))
    assert "url(" not in text_page and "@import" not in text_page and not document.all("link")


def test_it_can_be_read_without_seeing_it(document):
    assert document.all("html")[0][1]["lang"] == "en" and document.text("title").startswith("Inside a network")
    assert all(len(document.all(tag)) == 1 for tag in ("header", "main", "h1")) and document.all("nav")
    levels = [int(tag[1]) for tag, _, _ in document.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))
    pictures = document.all("img")
    assert len(pictures) == len(document.all("figcaption")) >= 8
    assert all(len(attributes["alt"]) > 40 for _, attributes, _ in pictures)
    labelled = {attributes.get("for") for _, attributes, _ in document.all("label")}
    for tag in ("input", "select"):
        assert {attributes["id"] for _, attributes, _ in document.all(tag)} <= labelled
    ids = [attributes["id"] for _, attributes, _ in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in document.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert all(a.get("aria-label") or a.get("aria-labelledby") for _, a, _ in document.all("div", role="region"))


def test_a_keyboard_reaches_the_tokens_with_one_stop(document, text_trace):
    tokens = document.all("span", role="option")
    assert [a["tabindex"] for _, a, _ in tokens] == ["0"] + ["-1"] * (len(text_trace.tokens) - 1)
    line = look_at(text_trace).line
    expected = [f"step {k}, {visible(t)}: {v:.3f}" for k, (t, v) in enumerate(zip(text_trace.tokens, line, strict=True))]
    assert [a["aria-label"] for _, a, _ in tokens] == expected


def test_the_text_is_shown_as_it_is(document, text_trace):
    shown = "".join("".join(text) for _, _, text in document.all("span", role="option"))
    assert shown == "".join(text_trace.tokens).replace("\n", "↵")


def test_the_data_agree_with_the_trace(document, text_trace):
    data = document.json()
    assert data["tokens"] == [visible(token) for token in text_trace.tokens]
    assert data["layers"].keys() == text_trace.values.keys()
    for layer, named in text_trace.values.items():
        assert data["layers"][layer].keys() == named.keys()
        for name, values in named.items():
            entry = data["layers"][layer][name]
            np.testing.assert_allclose(np.transpose(entry["units"]), values, atol=0.51e-3)
            assert entry["gate"] == (name in ("i", "f", "o")) and entry["places"] == list(range(len(values)))


def test_tables_and_equations_agree_with_the_trace(document, text_trace):
    assert document.text("pre") == unicode_equations(cells.get("lstm"))
    cells_of_rows = ["".join(text) for _, _, text in document.all("td")]
    found = text_trace.attribute()
    assert [f"{v:.4g}" for v in found.steps] == cells_of_rows[-len(found.steps) :]
    likeliest = visible(text_trace.names[text_trace.outputs[3].argmax()])
    assert f"{likeliest} {text_trace.outputs[3].max():.4f}" in cells_of_rows
    assert f"{text_trace.surprise[3]:.3f}" in cells_of_rows


def test_what_a_user_wrote_is_text(text_page, document):
    assert "<b>" not in text_page and len(document.all("b")) == 0
    assert text_page.count("</script>") == 2  # the data and the script


def test_figures_are_pictures(document):
    for _, attributes, _ in document.all("img"):
        picture = base64.b64decode(attributes["src"].partition(",")[2])
        assert b"<svg" in picture[:600] and picture.rstrip().endswith(b"</svg>")


def test_it_is_written_whole(text_trace, tmp_path):
    path = tmp_path / "page.html"
    text_trace.to_html(path, method=None)
    assert path.read_text(encoding="utf-8") == page(text_trace) and [*tmp_path.iterdir()] == [path]
    assert "Which steps mattered" not in page(text_trace)
    with pytest.raises(FileError, match="the folder .*none does not exist"):
        text_trace.to_html(tmp_path / "none" / "page.html")
    with pytest.raises(ParameterError, match="no output 'q!'"):
        text_trace.to_html(path, of="q!")


def test_layers_attention_and_classes(reviewer):
    trace = reviewer.explain("a good film")
    document = Document(page(trace, "occlusion", of="like"))
    data = document.json()["layers"]
    assert [*data] == ["layer0", "layer0_reverse", "layer1", "layer1_reverse", "readout"]
    np.testing.assert_allclose(data["readout"]["attention"]["units"][0], trace.values["readout"]["attention"], atol=0.51e-3)
    chosen = [a["value"] for _, a, _ in document.all("option") if "selected" in a]
    assert chosen == ["layer1", "i"]
    alts = " ".join(a["alt"] for _, a, _ in document.all("img"))
    assert all(f"Heat maps of {layer}, units by steps" in alts for layer in trace.layers)
    assert "contribution of every step to log odds of like" in alts


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_numbers_with_a_strided_convolution_and_other_cells(cell):
    X = np.random.default_rng(0).random((40, 7, 2))
    options = {"hidden_size": 4, "max_steps": 5, "convolution": 4, "convolution_stride": 3, "verbose": False}
    trace = SequenceRegressor(cell=cell, **options).fit(X, X.sum((1, 2))).explain(X[0])
    document = Document(page(trace, "gradient"))
    assert document.json()["layers"]["layer0"]["h"]["places"] == [0, 3, 6]
    values = [a["data-value"] for _, a, _ in document.all("span", role="option")]
    assert [k for k, v in enumerate(values) if v != "none"] == [0, 3, 6]
    alts = " ".join(a["alt"] for _, a, _ in document.all("img"))
    assert ("kept by z" in alts) == (cell == "gru") and "Path of h" in alts
    assert f"{trace.outputs[0, 0]:.6g}" in ["".join(text) for _, _, text in document.all("td")]


def test_one_step(reviewer):
    document = Document(page(reviewer.explain("good"), "integrated"))
    assert len(document.all("span", role="option")) == 1


def test_a_trace_without_a_model_has_nothing_to_say_why(text_trace):
    bare = Trace(
        **{name: getattr(text_trace, name) for name in ("tokens", "unit", "values", "outputs", "names", "kind", "cell")}
    )
    for ask in (bare.attribute, bare.gradients):
        with pytest.raises(ParameterError, match=r"not made by a model's explain\(\)"):
            ask()
    assert "The text took" not in page(bare)
