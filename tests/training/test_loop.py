"""The loop on a task so small that each thing it must do can be seen: a linear fit with a carried state."""

import math
import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import nn

from gatewise.errors import FileError
from gatewise.training import checkpoint as checkpoints
from gatewise.training.interrupts import Interrupted, Interrupts
from gatewise.training.loop import Options, Trainer, TrainingDiverged


class LinearTask:
    """Fit y = 3 x with dropout; the carried state counts the batches of a pass and enters the loss."""

    unit = "numbers"
    steps_per_epoch = 7

    def __init__(self, validation=(), bad_step=None, after=None):
        self.validation = list(validation)
        self.bad_step = bad_step
        self.after = after or (lambda step: None)
        self.step = 0
        self.seen = []

    def build_network(self):
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 1))

    def batch(self, epoch, index, device):
        self.seen.append((epoch, index))
        draw = torch.Generator().manual_seed(epoch * 100 + index)
        return torch.randn(5, 4, generator=draw)

    def loss(self, network, batch, carried):
        (count,) = carried or (torch.zeros(1),)
        self.step += 1
        loss = (network(batch) - 3 * batch.sum(1, keepdim=True) + 0.01 * count).square().mean()
        if self.step == self.bad_step:
            loss = loss * math.nan
        self.after(self.step)
        return loss, len(batch), (count + 1,)

    def validation_loss(self, network, device):
        assert not network.training
        return self.validation.pop(0) if self.validation else None


def options(**changes) -> Options:
    return Options(**{"learning_rate": 0.05, "max_steps": 20, "verbose": False, "device": "cpu", **changes})


def weights(network) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in network.parameters()]


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_batches_come_in_order_and_the_state_starts_anew_with_each_epoch():
    task = LinearTask()
    trainer = Trainer(task, options(max_steps=None, epochs=2))
    carried = []
    task.after = lambda step: carried.append(None if trainer.carried is None else trainer.carried[0].item())
    trainer.fit()
    assert task.seen == [(epoch, index) for epoch in range(2) for index in range(7)]
    assert carried == [None, 1, 2, 3, 4, 5, 6] * 2
    assert trainer.position.stopped == "all steps done"


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_random_state_alone():
    before = torch.get_rng_state()
    a, b, c = (Trainer(LinearTask(), options(seed=seed)).fit() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert equal(a, b)
    assert not equal(a, c)


@pytest.mark.parametrize("stop_at", range(1, 21))
def test_a_resumed_run_gives_the_same_weights_wherever_it_stopped(tmp_path, stop_at):
    whole = Trainer(LinearTask(), options()).fit()
    path = tmp_path / "a.checkpoint"

    def stop(step):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    trainer = Trainer(LinearTask(after=stop), options(), job={"name": "linear"}, checkpoint_path=path)
    try:
        resumed = trainer.fit()
    except Interrupted as interrupted:
        assert interrupted.checkpoint == path
        assert interrupted.signal == signal.SIGINT
        job, snapshot = checkpoints.load(path)
        assert job == {"name": "linear"}
        assert snapshot.position.step == (stop_at if stop_at > 1 else 0)  # before step 1 a save is due anyway
        resumed = Trainer(LinearTask(), options(), checkpoint_path=path).fit(snapshot)
    else:
        assert stop_at == 20  # the last step: there was nothing left to stop
    assert equal(resumed, whole)


def test_checkpoints_at_every_step_change_nothing(tmp_path):
    path = tmp_path / "a.checkpoint"
    plain = Trainer(LinearTask(), options()).fit()
    saved = Trainer(LinearTask(), options(), checkpoint_path=path, checkpoint_seconds=0).fit()
    assert equal(plain, saved)
    assert os.listdir(tmp_path) == ["a.checkpoint"]


def test_the_best_weights_are_kept_and_patience_ends_training(tmp_path):
    task = LinearTask(validation=[3.0, 2.0, 2.5, 2.4, 2.1])
    trainer = Trainer(task, options(max_steps=100, validate_every=5, patience=3))
    at_ten = []
    task.after = lambda step: at_ten.extend(weights(trainer.module) if step == 11 else [])
    network = trainer.fit()
    assert trainer.position.step == 25
    assert trainer.position.stopped == "no lower validation loss in 3 validations"
    assert [record["validation_loss"] for record in trainer.position.history] == [3.0, 2.0, 2.5, 2.4, 2.1]
    assert all(np.array_equal(x, y) for x, y in zip(weights(network), at_ten, strict=True))
    assert not network.training


def test_a_loss_that_is_not_finite_stops_and_keeps_the_good_checkpoint(tmp_path):
    path = tmp_path / "a.checkpoint"
    task = LinearTask(bad_step=4)
    with pytest.raises(TrainingDiverged) as caught:
        Trainer(task, options(), checkpoint_path=path, checkpoint_seconds=0).fit()
    message = str(caught.value)
    assert "the loss is nan at step 4" in message
    assert "gradient norms of the steps before: " in message
    assert "lower learning_rate (now 0.05), or clip_norm (now 1)" in message
    assert f"the last good checkpoint is {path}" in message
    assert "\n" not in message
    _, snapshot = checkpoints.load(path)
    assert snapshot.position.step == 2  # of the weights that gave the last finite loss
    assert all(torch.isfinite(tensor).all() for tensor in snapshot.network.values())


def test_an_exploding_run_is_stopped_before_its_weights_are_lost():
    with pytest.raises(TrainingDiverged, match="give clip_norm"):
        Trainer(LinearTask(), options(learning_rate=1e30, clip_norm=None)).fit()


@pytest.mark.parametrize(("clip", "bound"), [({"clip_norm": 0.5}, 0.5), ({"clip_norm": None, "clip_value": 0.01}, 0.1)])
def test_gradients_are_clipped(clip, bound):
    trainer = Trainer(LinearTask(), options(**clip))
    norms = []

    def look(step):
        if step > 1:  # the gradients of the step before are still there
            grads = [p.grad.flatten() for p in trainer.module.parameters()]
            norms.append(torch.cat(grads).norm().item())

    trainer.task.after = look
    trainer.fit()
    assert max(norms) <= bound * 1.0001
    assert max(trainer._norms) > bound  # there was something to clip


def test_time_is_a_budget_too():
    trainer = Trainer(LinearTask(), options(max_steps=None, max_seconds=0.3))
    trainer.fit()
    assert trainer.position.stopped == "time is up"
    assert 0.3 <= trainer.position.seconds < 3


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = tmp_path / "a.checkpoint"
    Trainer(LinearTask(), options(max_steps=2), checkpoint_path=path, checkpoint_seconds=0).fit()

    class Wider(LinearTask):
        def build_network(self):
            return nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 1))

    with pytest.raises(FileError, match="another network"):
        Trainer(Wider(), options(), checkpoint_path=path).fit(checkpoints.load(path)[1])


@pytest.fixture
def signals_act():
    """A suite that runs in the background inherits that Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("signals_act")
def test_a_second_signal_acts_at_once():
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_train_without_signals():
    done = []
    thread = threading.Thread(target=lambda: done.append(Trainer(LinearTask(), options(max_steps=2)).fit()))
    thread.start()
    thread.join()
    assert len(done) == 1


class RareToken:
    """Token 1 of three is seen in the first batch only."""

    unit = "tokens"
    steps_per_epoch = 1000

    def build_network(self):
        return nn.Embedding(3, 4)

    def batch(self, epoch, index, device):
        return torch.tensor([0, 1 if index == 0 else 2])

    def loss(self, network, batch, carried):
        return (network(batch) - 1.0).square().mean(), len(batch), None

    def validation_loss(self, network, device):
        return None


def test_no_moment_of_a_rare_token_becomes_subnormal():
    trainer = Trainer(RareToken(), options(max_steps=None, epochs=1))
    trainer.fit()
    (state,) = trainer.optimizer.state_dict()["state"].values()
    smallest = torch.finfo(torch.float32).smallest_normal
    for moment in (state["exp_avg"], state["exp_avg_sq"]):
        assert not ((moment != 0) & (moment.abs() < smallest)).any()
    assert not state["exp_avg"][1].any() and state["exp_avg_sq"][1].all()
    alone = torch.tensor([smallest * 2**-20])  # what would be left of it: it never reaches 0
    for _ in range(1000):
        alone *= 0.9
    assert 0 < alone.item() < smallest
