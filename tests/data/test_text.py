"""Reading text: what it accepts, and that every bad file gives one clear line."""

import codecs
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewise.data import text as text_module
from gatewise.data.text import open_text, read_bytes, read_lines
from gatewise.errors import FileError


def read(source) -> str:
    return "".join(open_text(source).pieces())


def test_a_string_is_a_path_when_the_file_exists_and_text_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("note txt") == "note txt"
    with pytest.raises(FileError, match="no such file: note.txt"):
        read("note.txt")
    (tmp_path / "note.txt").write_text("inside")
    assert read("note.txt") == "inside"
    assert read("note.txt\n") == "note.txt\n"
    assert read(tmp_path / "note.txt") == "inside"


def test_several_files_are_one_text(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(f"{name}\n")
    assert read([tmp_path / "a", str(tmp_path / "b")]) == "a\nb\n"


def test_a_text_can_be_read_again(tmp_path):
    (tmp_path / "a").write_text("again")
    text = open_text(tmp_path / "a")
    assert list(text.pieces()) == list(text.pieces()) == ["again"]


def test_gzip_byte_order_mark_and_line_ends(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress("é\r\nb".encode()))
    (tmp_path / "b").write_bytes(codecs.BOM_UTF8 + b"a\r\nb\rc\n")
    assert read(tmp_path / "a.gz") == "é\nb"
    assert read(tmp_path / "b") == "a\nb\nc\n"


@given(st.text(alphabet=st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), st.integers(1, 7))
def test_pieces_of_any_size_give_the_same_text(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("text") / "a"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "PIECE_BYTES", size)
        assert read(path) == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc\0def", "is binary, not text: it has a zero byte at offset 3"),
        (b"abc\xffdef", "is not UTF-8 text: byte 0xff at offset 3"),
        ("aé".encode()[:-1], "is not UTF-8 text: byte 0xc3 at offset 1"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_bad_content_is_named_with_its_place(tmp_path, monkeypatch, content, message, size):
    monkeypatch.setattr(text_module, "PIECE_BYTES", size)
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_damaged_gzip(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        open_text(tmp_path / "missing")
    with pytest.raises(FileError, match="is a folder"):
        open_text([tmp_path])
    with pytest.raises(FileError, match="the list of files is empty"):
        open_text([])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"hello" * 100)[:-12])
    (tmp_path / "not.gz").write_bytes(b"hello")
    whole = bytearray(gzip.compress(b"hello" * 100))
    whole[12:16] = b"\xff" * 4
    (tmp_path / "damaged.gz").write_bytes(whole)
    for name in ("cut.gz", "not.gz", "damaged.gz"):
        for reader in (read, read_bytes, read_lines):
            with pytest.raises(FileError, match=f"{name} is not a whole gzip file"):
                reader(tmp_path / name)
