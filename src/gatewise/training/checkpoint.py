"""All that training needs to go on as if it had never stopped, in one file.

Tensors lie in the file under ``network.*``, ``best.*``, ``optimizer.*``, ``carried.*`` and ``random.*``; the header has
the position, the history and the job, which is what the task needs to build itself again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import tensorfile
from ..errors import FileError

KIND = "checkpoint"
VERSION = 1

RandomState = tuple[dict[str, np.ndarray], dict[str, Any]]


@dataclass
class Position:
    """Where training stands; plain numbers that go to JSON and back without loss.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the data done.
        batch: the next batch of this pass.
        seconds: wall-clock time spent.
        loss_sum, loss_count: training loss in nats, summed over the tokens since the last record, and their number.
        best_loss: the lowest validation loss, in nats a token.
        waited: validations since then.
        stopped: why training ended, or None.
        history: one record a validation.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_loss: float | None = None
    waited: int = 0
    stopped: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Snapshot:
    """The whole state of a training run between two steps."""

    position: Position
    network: Mapping[str, Tensor]
    best: Mapping[str, Tensor] | None
    optimizer: Mapping[str, Any]
    carried: Sequence[Tensor] | None
    random: RandomState


def save(path: Path, job: Mapping[str, Any], snapshot: Snapshot) -> None:
    """Write a checkpoint atomically: whenever the process is killed, the file is the old one or the new one."""
    tensors = {f"network.{name}": tensor for name, tensor in snapshot.network.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (snapshot.best or {}).items()}
    tensors |= {f"carried.{i}": tensor for i, tensor in enumerate(snapshot.carried or ())}
    for index, state in snapshot.optimizer["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    arrays, dtypes = {}, {}
    for name, tensor in tensors.items():
        arrays[name], dtypes[name] = _to_array(tensor)
    random_arrays, random_numbers = snapshot.random
    arrays |= {f"random.{name}": array for name, array in random_arrays.items()}
    header = {"job": dict(job), "position": vars(snapshot.position), "dtypes": dtypes, "random": random_numbers}
    tensorfile.write(path, KIND, VERSION, header, arrays)


def load(path: Path) -> tuple[dict[str, Any], Snapshot]:
    """The job and the snapshot of a checkpoint.

    Raises:
        FileError: the file is missing, truncated, not a checkpoint, or of a newer version.
    """
    header, arrays = tensorfile.read(path, KIND, VERSION)
    try:
        groups: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = array
        dtypes = header["dtypes"]

        def tensors(group: str) -> dict[str, Tensor]:
            return {name: _to_tensor(a, dtypes[f"{group}.{name}"]) for name, a in groups.get(group, {}).items()}

        carried = tensors("carried")
        optimizer: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors("optimizer").items():
            index, _, part = name.partition(".")
            optimizer.setdefault(int(index), {})[part] = tensor
        return header["job"], Snapshot(
            position=Position(**header["position"]),
            network=tensors("network"),
            best=tensors("best") or None,
            optimizer={"state": optimizer},
            carried=[carried[str(i)] for i in range(len(carried))] or None,
            random=(groups["random"], header["random"]),
        )
    except (KeyError, TypeError) as error:
        raise FileError(f"{path} is a damaged checkpoint: {type(error).__name__} at {error}") from error


def _to_array(tensor: Tensor) -> tuple[np.ndarray, str]:
    """The tensor's bits as an array, and the name of its dtype. NumPy lacks bfloat16, so that travels as integers."""
    tensor = tensor.detach().cpu().contiguous()
    name = str(tensor.dtype).removeprefix("torch.")
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy(), name


def _to_tensor(array: np.ndarray, dtype: str) -> Tensor:
    tensor = torch.from_numpy(array.copy())
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor
