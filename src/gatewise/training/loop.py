"""The training loop: fit_loop → run_epoch → train_step, each short, each made to be overridden."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..errors import FileError, GatewiseError, ParameterError
from . import checkpoint, random_state
from .checkpoint import Position, RandomState, Snapshot
from .interrupts import Interrupted, Interrupts
from .progress import Facts, Progress
from .schedule import Budget, learning_rate_share

Carried = Sequence[Tensor] | None


# Adam's moments below it change no weight by a bit: they are divided by 1e-8 at least. One that is above it, and shrinks by
# 0.9 a step, is not subnormal before the next time.
TINY = 1e-30
CLEARED_EVERY = 100  # steps


class TrainingDiverged(GatewiseError):
    """The loss or a gradient became infinite or not a number."""


@dataclass(frozen=True)
class Options:
    """How to train; the estimators' docstrings say what each one means."""

    learning_rate: float
    weight_decay: float = 0.0
    warmup: float = 0.0
    epochs: int | None = None
    max_steps: int | None = None
    max_seconds: float | None = None
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    validate_every: int | None = None
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "32-true"
    verbose: bool = True


class Task(Protocol):
    """What the loop must be told about a task."""

    unit: str
    steps_per_epoch: int

    def build_network(self) -> nn.Module:
        """A new network; called once, with the random generators seeded."""
        ...

    def batch(self, epoch: int, index: int, device: torch.device) -> Any:
        """Batch ``index`` of a pass. It must depend on nothing else, so that a resumed run sees the same ones."""
        ...

    def loss(self, network: nn.Module, batch: Any, carried: Carried) -> tuple[Tensor, int, Carried]:
        """The mean loss in nats, over how many tokens, and the state for the next batch, without its graph."""
        ...

    def validation_loss(self, network: nn.Module, device: torch.device) -> float | None:
        """The mean loss in nats a token on held-out data, or None when none is held out."""
        ...


class Observer(Protocol):
    """Looks at steps while they are trained, as `gatewise.inspect.recorder.Recorder` does."""

    def begin(self, resumed: bool) -> None:
        """Training begins, or goes on from a snapshot."""
        ...

    def watching(self, step: int, network: nn.Module) -> AbstractContextManager[None]:
        """Around forward and backward of a step, which are counted from 1."""
        ...

    def saw(self, step: int, seconds: float, loss: float, norm: float, learning_rate: float) -> None:
        """A step is done; norm is of its gradient, before clipping."""
        ...


class Trainer:
    """Trains one task once.

    Args:
        task: the network, its batches and its loss.
        options: how to train.
        job: JSON values from which the caller can build the task again; they are kept in the checkpoint.
        checkpoint_path: where to keep checkpoints; None keeps none.
        checkpoint_seconds: the least time between two of them.
        observer: looks at every step.
    """

    def __init__(
        self,
        task: Task,
        options: Options,
        *,
        job: Mapping[str, Any] | None = None,
        checkpoint_path: Path | None = None,
        checkpoint_seconds: float = 30.0,
        observer: Observer | None = None,
    ) -> None:
        self.task = task
        self.observer = observer
        self.options = options
        self.job = job or {}
        self.checkpoint_path = checkpoint_path
        self.checkpoint_seconds = checkpoint_seconds
        self.budget = Budget.of(task.steps_per_epoch, options.epochs, options.max_steps, options.max_seconds)
        self.position = Position()
        self.carried: Carried = None
        self.best: dict[str, Tensor] | None = None
        self.progress = Progress(options.verbose)
        self.interrupts = Interrupts()
        self._norms: deque[float] = deque(maxlen=4)  # of the gradients of the last steps, for an error message
        self._saved_at: float | None = None
        self._rate = _Rate()
        self._recent_loss = math.nan

    def fit(self, snapshot: Snapshot | None = None) -> nn.Module:
        """Train from the beginning, or go on from a snapshot; returns the network with its best weights.

        Raises:
            TrainingDiverged: the loss is infinite or not a number; the last good checkpoint stays where it is.
            Interrupted: Ctrl-C or SIGTERM came; the checkpoint is saved.
        """
        options = self.options
        with random_state.seeded(options.seed), self.interrupts, self.progress:
            _check_device(options.device)
            self.fabric = Fabric(accelerator=options.device, devices=1, precision=options.precision)  # pyright: ignore[reportArgumentType]
            self.module = self.task.build_network()
            decay = options.weight_decay
            optimizer = torch.optim.AdamW(self.module.parameters(), options.learning_rate, weight_decay=decay, fused=True)
            self.network, self.optimizer = self.fabric.setup(self.module, optimizer)
            if snapshot is not None:
                self.restore(snapshot)
            if self.observer is not None:
                self.observer.begin(resumed=snapshot is not None)
            self._started = time.monotonic() - self.position.seconds
            self.fit_loop()
        if self.best is not None:
            self.module.load_state_dict(self.best)
        return self.module.eval()

    def fit_loop(self) -> None:
        """Epochs until something ends the training."""
        while self.position.stopped is None:
            self.run_epoch()

    def run_epoch(self) -> None:
        """The batches that are left of one pass over the data."""
        position = self.position
        self.network.train()
        while position.batch < self.task.steps_per_epoch and position.stopped is None:
            self.train_step()
            self.after_step()
        if position.batch == self.task.steps_per_epoch:
            position.epoch, position.batch, self.carried = position.epoch + 1, 0, None

    def train_step(self) -> None:
        """Forward, backward, clip, update."""
        position = self.position
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        save = self.checkpoint_due()
        random = random_state.capture() if save else None
        batch = self.task.batch(position.epoch, position.batch, self.fabric.device)
        observer, step = self.observer, position.step + 1
        with nullcontext() if observer is None else observer.watching(step, self.module):
            loss, count, carried = self.task.loss(self.network, batch, self.carried)
            value = loss.item()
            self.check_finite("the loss", value)
            if random is not None:
                # Only now is it known that the weights are good: they have given a finite loss.
                self.save(random)
            self.optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(loss)
        norm = self.clip_gradients()
        if observer is not None:
            observer.saw(step, time.monotonic() - self._started, value, norm, self.optimizer.param_groups[0]["lr"])
        self.check_finite("the gradient norm", norm)
        self._norms.append(norm)
        self.optimizer.step()
        self.carried = carried
        position.step += 1
        if position.step % CLEARED_EVERY == 0:
            clear_tiny_moments(self.optimizer.state_dict())
        position.batch += 1
        position.loss_sum += value * count
        position.loss_count += count
        self._recent_loss = value if math.isnan(self._recent_loss) else 0.95 * self._recent_loss + 0.05 * value
        self._rate.add(count)

    def after_step(self) -> None:
        """Validate, stop or report when it is time to."""
        position = self.position
        position.seconds = time.monotonic() - self._started
        spent = self.budget.used(position.step, position.seconds) >= 1
        if spent or self.validation_due():
            self.validate()
        if spent and position.stopped is None:
            by_steps = self.budget.max_steps is not None and position.step >= self.budget.max_steps
            position.stopped = "all steps done" if by_steps else "time is up"
        if position.stopped is not None or self.progress.due():
            self.progress.show(self.facts())

    def learning_rate(self) -> float:
        """The rate of the next step."""
        used = self.budget.used(self.position.step, self.position.seconds)
        return self.options.learning_rate * learning_rate_share(used, self.options.warmup)

    def clip_gradients(self) -> float:
        """Clip by value or by global norm, whichever is asked for; returns the norm before."""
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.options.clip_value is not None:
            nn.utils.clip_grad_value_(parameters, self.options.clip_value)
        elif self.options.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.options.clip_norm, norm)
        return norm.item()

    def check_finite(self, what: str, value: float) -> None:
        """Raise `TrainingDiverged` with all that is known when a number is not finite."""
        if math.isfinite(value):
            return
        options = self.options
        norms = ", ".join(f"{norm:.3g}" for norm in self._norms) or "none yet"
        clip = (
            f"clip_value (now {options.clip_value:g})"
            if options.clip_value is not None
            else "give clip_norm=1.0"
            if options.clip_norm is None
            else f"clip_norm (now {options.clip_norm:g})"
        )
        kept = f"; the last good checkpoint is {self.checkpoint_path}" if self._saved_at is not None else ""
        raise TrainingDiverged(
            f"{what} is {value} at step {self.position.step + 1} (gradient norms of the steps before: {norms}): "
            f"lower learning_rate (now {options.learning_rate:g}), or {clip}{kept}"
        )

    def validation_due(self) -> bool:
        every = self.options.validate_every or self.task.steps_per_epoch
        return self.position.step % every == 0

    def validate(self) -> None:
        """Measure the held-out loss, record it, keep the best weights, and stop when there is no progress."""
        position = self.position
        self.network.eval()
        with torch.no_grad():
            loss = self.task.validation_loss(self.network, self.fabric.device)
        self.network.train()
        position.seconds = time.monotonic() - self._started
        position.history.append(
            {
                "step": position.step,
                "epoch": position.epoch,
                "seconds": round(position.seconds, 3),
                "loss": position.loss_sum / max(position.loss_count, 1),
                "validation_loss": loss,
                "learning_rate": self.learning_rate(),
            }
        )
        position.loss_sum, position.loss_count = 0.0, 0
        if loss is None:
            return
        self.check_finite("the validation loss", loss)
        if position.best_loss is None or loss < position.best_loss:
            position.best_loss, position.waited = loss, 0
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}
            return
        position.waited += 1
        if self.options.patience is not None and position.waited >= self.options.patience:
            position.stopped = f"no lower validation loss in {position.waited} validations"

    def checkpoint_due(self) -> bool:
        """Whether to save before this step: at the start, when time has passed, and when a signal asks to stop."""
        if self.interrupts.received is not None:
            return True
        if self.checkpoint_path is None:
            return False
        return self._saved_at is None or time.monotonic() - self._saved_at >= self.checkpoint_seconds

    def save(self, random: RandomState) -> None:
        """Write the checkpoint; if a signal asked to stop, raise `Interrupted`."""
        if self.checkpoint_path is not None:
            snapshot = Snapshot(
                position=replace(self.position, seconds=time.monotonic() - self._started),
                network=self.module.state_dict(),
                best=self.best,
                optimizer=self.optimizer.state_dict(),
                carried=self.carried,
                random=random,
            )
            checkpoint.save(self.checkpoint_path, self.job, snapshot)
            self._saved_at = time.monotonic()
        if self.interrupts.received is not None:
            raise Interrupted(self.interrupts.received, self.position.step, self.checkpoint_path)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot.

        Raises:
            FileError: it is of another network.
        """
        try:
            self.module.load_state_dict(dict(snapshot.network))
        except RuntimeError as error:
            raise FileError(f"{self.checkpoint_path} is of another network: {str(error).splitlines()[-1]}") from error
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": snapshot.optimizer["state"], "param_groups": groups})
        self.position = snapshot.position
        self.best = None if snapshot.best is None else dict(snapshot.best)
        device = self.fabric.device
        self.carried = None if snapshot.carried is None else tuple(t.to(device) for t in snapshot.carried)
        random_state.restore(*snapshot.random)
        self._saved_at = time.monotonic()

    def facts(self) -> Facts:
        """What the progress line says now."""
        position = self.position
        history = position.history
        return Facts(
            step=position.step,
            epoch=position.epoch,
            used=self.budget.used(position.step, position.seconds),
            loss=self._recent_loss,
            validation_loss=history[-1]["validation_loss"] if history else None,
            rate=self._rate.per_second(),
            seconds_left=self.budget.seconds_left(position.step, position.seconds),
            unit=self.task.unit,
        )


def clear_tiny_moments(optimizer: Mapping[str, Any]) -> None:
    """Set those of an Adam's moments to 0, in its ``state_dict``, that are too small to matter.

    Where a parameter has no gradient for long, as the embedding of a rare word, its moments shrink to subnormal numbers and
    stay there: 0.9 times the smallest of them rounds to itself. Some processors compute with those many times slower. This
    depends on nothing but the step, and works in every thread and on every processor; their modes that flush such numbers
    to 0 are of one thread each.
    """
    for state in optimizer["state"].values():
        for name in ("exp_avg", "exp_avg_sq"):
            state[name].masked_fill_(state[name].abs() < TINY, 0.0)


def _check_device(device: str) -> None:
    here = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device in here and not here[device]():
        raise ParameterError(f"device is {device!r}, which this machine does not have; use 'auto' or 'cpu'")


class _Rate:
    """Tokens a second over the last ten seconds or so."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._total = 0

    def add(self, count: int) -> None:
        self._total += count
        now = time.monotonic()
        if now - self._marks[-1][0] >= 0.5:
            self._marks.append((now, self._total))
            while len(self._marks) > 20:
                self._marks.popleft()

    def per_second(self) -> float:
        then, before = self._marks[0]
        return (self._total - before) / max(time.monotonic() - then, 1e-9)
