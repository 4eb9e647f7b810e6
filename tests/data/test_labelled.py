"""Readers of labelled sequences: what they read, and how they name what they cannot."""

import gzip
import json
import wave

import numpy as np
import polars
import pytest

from gatewise.data.audio import LogMel, read_sound
from gatewise.data.conllu import read_conllu
from gatewise.data.labelled import Reading, as_numbers, read_labelled
from gatewise.data.series_file import read_series_file
from gatewise.data.tables import read_table
from gatewise.errors import FileError, ParameterError

COLUMNS = Reading("text", "label")
ROWS = [("a good, long\nfilm", "like"), ('he said "no"', "dislike"), ("plain", "like")]


def write(path, text):
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def quoted(rows):
    return "text,label\r\n" + "".join('"{}",{}\r\n'.format(t.replace('"', '""'), label) for t, label in rows)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.ndjson.gz", "a.parquet"])
def test_tables_of_every_kind_give_the_same(tmp_path, name):
    path = tmp_path / name
    if "csv" in name:
        write(path, "\ufeff" + quoted(ROWS))
    elif "json" in name:
        write(path, "\n".join(json.dumps({"text": t, "label": label}) for t, label in ROWS) + "\n\n")
    else:
        polars.DataFrame({"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]}).write_parquet(path)
    data = read_labelled([path], COLUMNS)
    assert list(zip(data.X, data.y, strict=True)) == ROWS
    assert data.where[0].startswith(str(path))


def test_a_table_without_a_header_and_quotation_marks_in_tsv(tmp_path):
    path = write(tmp_path / "a.tsv", 'a "b c\t1\nd\t0\n')
    assert read_labelled([path], Reading("1", "2", header=False)).X == ['a "b c', "d"]


@pytest.mark.parametrize(
    ("name", "text", "reading", "message"),
    [
        ("a.csv", "text,label\na,b\nc\n", COLUMNS, "a.csv, line 3: 1 fields where 2 were expected"),
        ("a.csv", 'text,label\n"a,b\n', COLUMNS, "a.csv, line 2: unexpected end of data"),
        ("a.csv", "text,text\na,b\n", COLUMNS, "two columns of the name 'text'"),
        ("a.csv", "text,label\n", COLUMNS, "has no rows"),
        ("a.csv", "text,label\na,b\n", Reading("body", "label"), "has no column 'body'; it has: text, label"),
        ("a.csv", "text,label\na,\n", COLUMNS, "line 2, column 'label' is empty: leave the row out"),
        ("a.csv", "text,label\n ,b\n", COLUMNS, "line 2, column 'text' is empty"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text":\n', COLUMNS, "line 2: not JSON"),
        ("a.jsonl", '{"text": 3, "label": 1}\n', COLUMNS, "line 1, column 'text' is 3, neither text nor a list"),
        ("a.jsonl", "[1]\n", COLUMNS, "line 1: not a JSON object"),
        ("a.csv.gz", None, COLUMNS, "is not a whole gzip file"),
        ("a.txt", " \n\n", COLUMNS, "a.txt has no line of text"),
        ("a.txt", "", COLUMNS, "a.txt has no line of text"),
        ("a.csv", "text,label\na\0b,c\n", COLUMNS, "a.csv is binary, not text: it has a zero byte at offset 12"),
        ("a.parquet", "no", COLUMNS, "is not a Parquet file"),
        ("a.xlsx", "no", COLUMNS, "files that end in .xlsx are not read"),
        ("a.conllu", "1\tword\n", Reading(), "line 1: 2 fields where CoNLL-U has 10"),
        ("a.conllu", "# nothing\n", Reading(), "has no sentences"),
        ("a.ts", "@classLabel true a b\n@data\n1,2:3,x:a\n", COLUMNS, "line 3, channel 2: 'x', not a number"),
        ("a.ts", "@classLabel true a b\n@data\n1,?:a\n", COLUMNS, r"line 3, channel 1: a missing value \(\?\)"),
        ("a.ts", "@classLabel true a b\n@data\n1,2:3:a\n", COLUMNS, r"channels of different lengths: \[1, 2\]"),
        ("a.ts", "@timeStamps true\n@data\n", COLUMNS, "line 1: series with time stamps"),
        ("a.ts", "@classLabel true\n", COLUMNS, "has no cases: it has no line @data"),
        ("a.ts", "@data\n1,2\n", COLUMNS, "has no labels"),
        ("a.wav", "no sound", COLUMNS, "is not a sound file that can be read"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, name, text, reading, message):
    path = tmp_path / name
    write(path, text) if text is not None else path.write_bytes(gzip.compress(b"text")[:-3])
    with pytest.raises(FileError, match=message) as caught:
        read_labelled([path], reading)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_needs_its_columns_named(tmp_path):
    path = write(tmp_path / "a.csv", quoted(ROWS))
    with pytest.raises(ParameterError, match="--text which column has the sequences"):
        read_labelled([path], Reading())
    with pytest.raises(ParameterError, match="--label which column has the labels"):
        read_labelled([path], Reading("text"))
    assert read_labelled([path], Reading("text"), labels=False).y is None
    with pytest.raises(FileError, match="no such file"):
        read_labelled([tmp_path / "none.csv"], COLUMNS)


def test_series_files(tmp_path):
    path = write(tmp_path / "a.ts.gz", "# about\n@problemName x\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n\n7:8: b\n")
    cases, labels, lines = read_series_file(path)
    assert [c.tolist() for c in cases] == [[[1, 4], [2, 5], [3, 6]], [[7, 8]]]
    assert (labels, lines) == (["a", "b"], [5, 7])


def test_conllu_leaves_out_ranges_and_empty_nodes(tmp_path):
    def row(number, form, tag, fine):
        return f"{number}\t{form}\t_\t{tag}\t{fine}\t_\t0\t_\t_\t_\n"

    rows = [
        row("1-2", "don't", "_", "_"), row(1, "do", "AUX", "VBP"), row(2, "n't", "PART", "RB"), row("2.1", "e", "X", "X"),
        "\n\n# next\n", row(1, "go", "VERB", "VB"),
    ]  # fmt: skip
    path = write(tmp_path / "a.conllu", "# text\n" + "".join(rows))
    assert read_conllu(path) == ([["do", "n't"], ["go"]], [["AUX", "PART"], ["VERB"]])
    assert read_labelled([path], Reading(label="xpos")).y == [["VBP", "RB"], ["VB"]]
    with pytest.raises(FileError, match="no column 'TAG' in CoNLL-U"):
        read_conllu(path, "TAG")


def test_text_files_are_labelled_by_their_names(tmp_path):
    paths = [write(tmp_path / "Greek.txt", "Alpha\n\nBeta \n"), write(tmp_path / "Czech.txt.gz", "Novak")]
    data = read_labelled(paths, Reading())
    assert (data.X, data.y) == (["Alpha", "Beta", "Novak"], ["Greek", "Greek", "Czech"])
    assert data.where[1] == f"{paths[0]}, line 3"


def tone(path, frequency, rate=8000, seconds=0.3, channels=1):
    samples = (8000 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).tobytes())


def test_sound_is_labelled_by_folder_or_name(tmp_path):
    for folder, frequency in (("low", 300), ("high", 2000)):
        (tmp_path / folder).mkdir()
        tone(tmp_path / folder / f"7_{folder}_0.wav", frequency, channels=2)
    data = read_labelled([tmp_path], Reading())
    assert data.y == ["high", "low"]
    high, low = (x.mean(0).argmax() for x in data.X)
    assert high > low + 5 and data.X[0].shape == (28, 40)
    assert read_labelled([tmp_path], Reading(pattern=r"^(\d)_")).y == ["7", "7"]
    with pytest.raises(FileError, match="finds no label in its name"):
        read_labelled([tmp_path], Reading(pattern=r"^([a-z])_"))
    tone(tmp_path / "low" / "other.wav", 300, rate=16000)
    with pytest.raises(FileError, match="16000 samples a second, .* has 8000"):
        read_labelled([tmp_path], Reading())
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="a folder without .wav or .flac files"):
        read_labelled([tmp_path / "empty"], Reading())


def test_a_tones_energy_lies_in_its_band(tmp_path):
    """Against the definition: the filter whose edges surround the tone, on the mel scale, has the most energy."""
    tone(tmp_path / "a.wav", 1000)
    sound, rate = read_sound(tmp_path / "a.wav")
    features = LogMel(bands=20)(sound, rate)
    mel = 2595 * np.log10(1 + np.array([20, 4000, 1000]) / 700)
    centre = (mel[2] - mel[0]) / (mel[1] - mel[0]) * 21 - 1
    assert abs(features.mean(0).argmax() - centre) < 1
    assert LogMel()(np.zeros(10), 8000).shape == (1, 40)
    filters = LogMel(bands=20).filters(8000, 512)
    assert (filters.max(1) > 0.5).all() and filters.min() == 0


def test_numbers_with_thousands_set_apart():
    assert as_numbers(["1,657,300", "2.5", 3], ["", "", ""]) == [1657300.0, 2.5, 3.0]
    with pytest.raises(FileError, match="line 2: 'x' is not a number"):
        as_numbers(["1", "x"], ["line 1", "line 2"])


def test_a_line_separator_inside_a_text_is_kept(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\none\u2028two,x\n")
    assert read_table(path).column("text") == ["one\u2028two"]
