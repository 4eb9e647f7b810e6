"""What training writes about itself: the file, what is found in it, and how it is shown."""

import json
import math

import numpy as np
import pytest

from gatewise import LanguageModel, SequenceClassifier
from gatewise.errors import FileError, ParameterError
from gatewise.inspect.colours import BLOCKS
from gatewise.inspect.dashboard import dashboard, spark
from gatewise.inspect.findings import find
from gatewise.inspect.recorder import read_watch, watch_beside

TEXT = "to be or not to be, that is the question\n" * 60
SMALL = {"hidden_size": 8, "bptt": 16, "max_steps": 50, "learning_rate": 0.02, "verbose": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    checkpoint = tmp_path_factory.mktemp("run") / "m.safetensors.checkpoint"
    model = LanguageModel(watch=10, num_layers=2, **SMALL).fit(TEXT, checkpoint=checkpoint)
    return checkpoint, model


def test_a_line_every_so_many_steps(run):
    checkpoint, _ = run
    watched = read_watch(watch_beside(checkpoint))
    assert [line.step for line in watched.lines] == [10, 20, 30, 40, 50]
    assert watched.facts["task"] == "language" and watched.facts["window"] == 16
    line = watched.lines[0]
    assert len(line.measures.norms) == 10 and list(line.measures.layers) == ["layer0", "layer1"]
    layer = line.measures.layers["layer0"]
    assert 0 < layer.gates["f"].mean < 1 and sum(layer.gates["f"].spread) == pytest.approx(1, abs=0.01)
    assert 0 < len(layer.gradients) <= 16 and 0 < len(layer.states["c"]) <= 8
    assert watched.latest().clipped is not None and len(watched.latest().norms) == 50
    assert watch_beside(checkpoint).stat().st_size < 5 * 6000


def test_watching_changes_nothing_of_what_is_trained(run):
    _, model = run
    plain = LanguageModel(num_layers=2, **SMALL).fit(TEXT)
    for name, array in plain.weights_.items():
        np.testing.assert_array_equal(model.weights_[name], array)


def test_padded_rows_do_not_count(tmp_path):
    texts, labels = ["a", "a long long long long long text"] * 20, [0, 1] * 20
    options = {"hidden_size": 8, "max_steps": 4, "watch": 2, "verbose": False, "batch_size": 40}
    SequenceClassifier(**options).fit(texts, labels, checkpoint=tmp_path / "m.checkpoint")
    for line in read_watch(tmp_path / "m.watch").lines:
        gates = line.measures.layers["layer0"].gates
        assert max(gates["f"].low, gates["i"].low) < 0.1  # half of the steps are not there: they would be shut


def test_a_line_that_was_cut_off_is_left_out_and_later_ones_replace_earlier_ones(run, tmp_path):
    text = watch_beside(run[0]).read_text()
    path = tmp_path / "m.watch"
    lines = text.splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:100])
    assert [line.step for line in read_watch(path).lines] == [10, 20]
    path.write_text("".join(lines) + "".join(lines[3:5]))
    assert [line.step for line in read_watch(path).lines] == [10, 20, 30, 40]


def test_a_resumed_run_goes_on_with_its_file(tmp_path):
    checkpoint = tmp_path / "m.checkpoint"
    options = {**SMALL, "watch": 10}
    LanguageModel(**{**options, "max_steps": 20}).fit(TEXT, checkpoint=checkpoint, checkpoint_seconds=0)
    path = watch_beside(checkpoint)
    path.write_text(path.read_text()[:-20])  # killed while it wrote
    LanguageModel(**{**options, "watch": None}).fit(TEXT, checkpoint=checkpoint, resume=True)  # goes on as it began
    assert [line.step for line in read_watch(path).lines] == [10, 20, 30, 40, 50]
    LanguageModel(**{**options, "watch": None}).fit(TEXT, checkpoint=checkpoint)  # another run
    assert not path.exists()
    LanguageModel(**options).fit(TEXT, checkpoint=checkpoint)
    assert [line.step for line in read_watch(tmp_path / "m.watch").lines] == [10, 20, 30, 40, 50]


def test_spikes_and_clipping_are_found_in_the_file(run, tmp_path):
    lines = [json.loads(line) for line in watch_beside(run[0]).read_text().splitlines()]
    lines[3]["measures"]["norms"][4] = 1000.0
    lines[0]["clip_norm"] = 0.01
    path = tmp_path / "m.watch"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    now = read_watch(path).latest()
    assert now.spikes == [(25, 1000.0)] and now.clipped == 1
    kinds = {f.kind: f for f in find(now)}
    assert {"exploding step", "clipping"} <= set(kinds) and kinds["exploding step"].where.startswith("step 25, layer")
    healthy = {f.kind for f in find(read_watch(watch_beside(run[0])).latest())}
    assert not {"exploding step", "clipping"} & healthy


def test_a_run_that_diverges_says_where_it_began(tmp_path):
    from gatewise.training.loop import TrainingDiverged

    options = {**SMALL, "cell": "rnn_relu", "learning_rate": 100.0, "clip_norm": None, "watch": 1, "warmup": 0.0}
    with pytest.raises(TrainingDiverged):
        LanguageModel(**options).fit(TEXT, checkpoint=tmp_path / "m.checkpoint")
    watched = read_watch(tmp_path / "m.watch")
    assert watched.lines and not math.isnan(watched.lines[0].measures.norms[0])
    assert "step" in dashboard(watched)


def test_the_view(run):
    watched = read_watch(watch_beside(run[0]))
    view = dashboard(watched, 80)
    assert view.startswith("language  step 50") and "layer1  lstm, 8 units" in view
    assert all(len(line) <= 80 for line in view.splitlines())
    assert "no step is recorded yet" in dashboard(type(watched)(watched.facts, []))


def test_sparks():
    assert spark([0, 1, 2, 4], 4) == "▁▃▅█" and spark([1.0] * 100, 10) == BLOCKS[-1] * 10
    assert spark([1e-9, 1e-3, 1e3], 3, log=True) == "▁▅█" and spark([], 5) == "" and spark([0.0], 5) == BLOCKS[0]


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(ParameterError, match="give fit a checkpoint="):
        LanguageModel(watch=10, **SMALL).fit(TEXT)
    with pytest.raises(FileError, match="m.watch is not there: it is written by training with --watch"):
        read_watch(watch_beside(tmp_path / "m"))
    (tmp_path / "m.watch").write_text("{}\n")
    with pytest.raises(FileError, match="is not the record of a training run"):
        read_watch(tmp_path / "m.watch")
