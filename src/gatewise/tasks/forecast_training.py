"""Training on windows of series: what the loop needs to know about forecasts. Imports torch; `forecaster` does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.sequences import pad
from ..runtime.architecture import Architecture
from ..runtime.distributions import DISTRIBUTIONS, QUANTILES
from .network import Network, Standardise, TrainingMode

FEWEST_STEPS = 50  # of an epoch: windows are drawn at random, so short series may be gone through often

Batch = tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Windows:
    """One series as the network sees it.

    Attributes:
        inputs: float32 [n, F].
        last: the last value at each step, scaled, float32 [n, D].
        ahead: what follows each step, scaled, float32 [n, h, D]; NaN where it is missing or past the end.
        scale: [D], by which values were divided.
        train: rows that are trained on; the others only measure the loss.
    """

    inputs: np.ndarray
    last: np.ndarray
    ahead: np.ndarray
    scale: np.ndarray
    train: int


def _location(log_density: Callable[[Tensor, dict[str, Tensor]], Tensor]) -> Callable[..., Tensor]:
    def loss(raw: Tensor, last: Tensor, y: Tensor, scale: Tensor, parameters: Callable[..., dict[str, Tensor]]) -> Tensor:
        return -log_density(y, parameters(raw, last, torch))

    return loss


def _log_normal(y: Tensor, p: dict[str, Tensor]) -> Tensor:
    return torch.distributions.Normal(p["loc"], p["scale"], validate_args=False).log_prob(y)


def _log_student(y: Tensor, p: dict[str, Tensor]) -> Tensor:
    return torch.distributions.StudentT(p["df"], p["loc"], p["scale"], validate_args=False).log_prob(y)


def _counted(raw: Tensor, last: Tensor, y: Tensor, scale: Tensor, parameters: Callable[..., dict[str, Tensor]]) -> Tensor:
    p = parameters(raw, last, torch)
    count, mean, n = y * scale, p["mean"] * scale, 1 / p["alpha"]
    at_zero = n * (torch.log(n) - torch.log(n + mean))
    choose = torch.lgamma(count + n) - torch.lgamma(n) - torch.lgamma(count + 1)
    return -(choose + at_zero + count * (torch.log(mean) - torch.log(n + mean)))


def _pinball(raw: Tensor, last: Tensor, y: Tensor, scale: Tensor, parameters: Callable[..., dict[str, Tensor]]) -> Tensor:
    error = y[..., None] - parameters(raw, last, torch)["values"]
    levels = torch.tensor(QUANTILES, device=y.device)
    return torch.maximum(levels * error, (levels - 1) * error).sum(-1)


# The loss of each value y [..., D], in nats where the family has a density.
LOSSES: dict[str, Callable[..., Tensor]] = {
    "gaussian": _location(_log_normal),
    "student_t": _location(_log_student),
    "negative_binomial": _counted,
    "quantile": _pinball,
}


class ForecastTask:
    """Predict what follows every step of a window; implements `gatewise.training.loop.Task`.

    Args:
        series: all series.
        context: steps of a window; shorter where a series is.
        distribution: a name in `LOSSES`.
    """

    unit = "steps"

    def __init__(
        self,
        series: Sequence[Windows],
        context: int,
        architecture: Architecture,
        distribution: str,
        *,
        batch_size: int,
        seed: int,
        mode: TrainingMode | None = None,
    ) -> None:
        self.series, self.architecture, self.distribution = series, architecture, distribution
        self.batch_size, self.seed, self.mode = batch_size, seed, mode
        # The last step that is an origin is followed by one at least that is trained on.
        self.sizes = [min(context, s.train - 1) for s in series]
        self.starts = np.array([s.train - 1 - size + 1 for s, size in zip(series, self.sizes, strict=True)])
        self.steps_per_epoch = max(FEWEST_STEPS, round(sum(s.train for s in series) / (context * batch_size)))
        self.validation = [s for s in series if s.train < len(s.inputs)]
        self.context = context

    def build_network(self) -> Network:
        network = Network(self.architecture, self.mode)
        assert isinstance(network.encoder, Standardise)
        seen = np.concatenate([s.inputs[: s.train] for s in self.series]).astype(np.float64)
        spread = seen.std(0)
        network.encoder.mean.copy_(torch.from_numpy(seen.mean(0)))
        network.encoder.scale.copy_(torch.from_numpy(np.where(spread > 1e-6, spread, 1.0)))
        head = network.head.weight  # begin with what the last value says
        assert isinstance(head, nn.Parameter)
        with torch.no_grad():
            head.mul_(0.1)
        return network

    def batch(self, epoch: int, index: int, device: torch.device) -> Batch:
        random = np.random.default_rng([self.seed, epoch, index])
        chosen = random.choice(len(self.series), self.batch_size, p=self.starts / self.starts.sum())
        windows = []
        for k in chosen:
            s, start = self.series[k], int(random.integers(self.starts[k]))
            windows.append(_cut(s, start, start + self.sizes[k], 0, s.train))
        return _tensors(windows, device)

    def loss(self, network: nn.Module, batch: Batch, carried: Any) -> tuple[Tensor, int, None]:
        inputs, lengths, last, ahead, counts, scale = batch
        scores, _, penalty = network(inputs, None, lengths)
        distribution = DISTRIBUTIONS[self.distribution]
        raw = scores.view(*ahead.shape, distribution.size)
        each = LOSSES[self.distribution](raw, last[:, :, None], ahead, scale[:, None], distribution.parameters)
        loss = torch.where(counts, each, 0.0).sum() / counts.sum().clamp(min=1)
        return loss if penalty is None else loss + penalty, int(counts.any(-1).any(-1).sum()), None

    def validation_loss(self, network: nn.Module, device: torch.device) -> float | None:
        total, number = 0.0, 0
        for s in self.validation:
            window = _cut(s, max(0, s.train - self.context), len(s.inputs), s.train, len(s.inputs))
            batch = _tensors([window], device)
            count = int(batch[4].sum())
            if count:
                total += self.loss(network, batch, None)[0].item() * count
                number += count
        return total / number if number else None


def _cut(s: Windows, start: int, end: int, first: int, after: int) -> tuple[np.ndarray, ...]:
    """Steps start to end; of what follows them only rows from `first` on and before `after` count."""
    ahead = s.ahead[start:end]
    row = np.arange(start, end)[:, None] + 1 + np.arange(ahead.shape[1])
    counts = ((row >= first) & (row < after))[:, :, None] & np.isfinite(ahead)
    return s.inputs[start:end], s.last[start:end], np.where(counts, ahead, 0).astype(np.float32), counts, s.scale


def _tensors(windows: list[tuple[np.ndarray, ...]], device: torch.device) -> Batch:
    inputs, lengths = pad([w[0] for w in windows])
    arrays = [
        inputs,
        *(pad([w[k] for w in windows])[0] for k in (1, 2, 3)),
        np.stack([w[4] for w in windows]).astype(np.float32),
    ]
    x, last, ahead, counts, scale = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)
    return x, None if lengths is None else torch.from_numpy(lengths), last, ahead, counts, scale
