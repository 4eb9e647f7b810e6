"""Checkpoints: every bit comes back, and damaged files are refused."""

import random

import numpy as np
import pytest
import torch

from gatewise.errors import FileError
from gatewise.training import checkpoint as checkpoints
from gatewise.training import random_state
from gatewise.training.checkpoint import Position, Snapshot


def snapshot() -> Snapshot:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    position = Position(step=3, seconds=0.1 + 0.2, loss_sum=1 / 3, best_loss=1e-300, history=[{"step": 1}])
    carried = (torch.randn(2), torch.randn(2, 2).to(torch.bfloat16), torch.randn(1, dtype=torch.float64))
    best = {"a": torch.randn(3)}
    return Snapshot(position, network.state_dict(), best, optimizer.state_dict(), carried, random_state.capture())


def test_every_bit_comes_back(tmp_path):
    before = snapshot()
    checkpoints.save(tmp_path / "a", {"paths": ["é"]}, before)
    job, after = checkpoints.load(tmp_path / "a")
    assert job == {"paths": ["é"]}
    assert after.position == before.position
    for name in ("network", "best"):
        x, y = getattr(before, name), getattr(after, name)
        assert x.keys() == y.keys()
        assert all(torch.equal(x[key], y[key]) for key in x)
    assert [t.dtype for t in after.carried] == [t.dtype for t in before.carried]
    assert all(torch.equal(x, y) for x, y in zip(before.carried, after.carried, strict=True))
    for index, state in before.optimizer["state"].items():
        assert all(torch.equal(state[key], after.optimizer["state"][index][key]) for key in state)
    for name, array in before.random[0].items():
        assert np.array_equal(array, after.random[0][name])


def test_random_generators_go_on_where_they_were(tmp_path):
    random.gauss(0, 1)  # leaves a second number in store, which is part of the state
    np.random.standard_normal(1)
    checkpoints.save(tmp_path / "a", {}, snapshot())
    expected = random.gauss(0, 1), np.random.standard_normal(3).tolist(), torch.rand(3).tolist()
    random_state.restore(*checkpoints.load(tmp_path / "a")[1].random)
    assert (random.gauss(0, 1), np.random.standard_normal(3).tolist(), torch.rand(3).tolist()) == expected


def test_a_truncated_or_foreign_file_is_refused(tmp_path, model_file):
    checkpoints.save(tmp_path / "a", {}, snapshot())
    data = (tmp_path / "a").read_bytes()
    for size in (0, 5, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "b").write_bytes(data[:size])
        with pytest.raises(FileError, match="truncated or damaged"):
            checkpoints.load(tmp_path / "b")
    with pytest.raises(FileError, match="is a Gatewise model file; a checkpoint file was expected"):
        checkpoints.load(model_file)
