"""The demo, in twenty steps."""

import pytest

from gatewise import demo
from gatewise.cli.application import run
from gatewise.errors import GatewiseError


def test_the_demo_says_what_it_did(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["--steps", "20"], command=demo.demo) == 0
    out = capsys.readouterr().out
    for words in ("nats a character", "bits a character", demo.SENTENCE, demo.SHUFFLED, "Next:"):
        assert words in out
    for name in ("text.txt", "model.safetensors"):
        assert f"demo-output/{name}" in out
        assert (tmp_path / "demo-output" / name).exists()


def test_without_the_topics_it_asks_for_a_file(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydoc_data.topics", None)
    with pytest.raises(GatewiseError, match="give a text file"):
        demo.python_topics()


def test_the_two_sentences_have_nearly_the_same_words():
    assert set(demo.SENTENCE.split()) - set(demo.SHUFFLED.split()) == {"a"}


def test_the_librarys_comments_are_english_without_its_tests():
    comments = demo.library_comments()
    assert len(comments) > 300_000
    assert comments.isascii()
    assert comments.count("we need") > 20
