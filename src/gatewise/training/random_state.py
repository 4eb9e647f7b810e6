"""The random generators that training may draw from, as arrays and plain numbers that a checkpoint can hold."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def capture() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The state of torch's, NumPy's and Python's global generators: arrays, and numbers for a JSON header."""
    _, numpy_keys, numpy_position, has_gauss, numpy_gauss = np.random.get_state(legacy=True)
    version, python_keys, python_gauss = random.getstate()
    arrays = {
        "torch": torch.get_rng_state().numpy(),
        "numpy": np.asarray(numpy_keys),
        "python": np.array(python_keys, np.uint32),
    }
    if torch.cuda.is_available():
        arrays |= {f"cuda{i}": state.numpy() for i, state in enumerate(torch.cuda.get_rng_state_all())}
    numbers = {
        "numpy": [int(numpy_position), int(has_gauss), float(numpy_gauss)],
        "python": [version, python_gauss],
    }
    return arrays, numbers


def restore(arrays: dict[str, np.ndarray], numbers: dict[str, Any]) -> None:
    """Put back what `capture` gave."""
    torch.set_rng_state(torch.from_numpy(arrays["torch"].copy()))
    position, has_gauss, gauss = numbers["numpy"]
    np.random.set_state(("MT19937", arrays["numpy"], position, has_gauss, gauss))
    version, python_gauss = numbers["python"]
    random.setstate((version, tuple(arrays["python"].tolist()), python_gauss))
    if torch.cuda.is_available():
        states = [
            torch.from_numpy(arrays[f"cuda{i}"].copy()) for i in range(torch.cuda.device_count()) if f"cuda{i}" in arrays
        ]
        torch.cuda.set_rng_state_all(states)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators inside of the context, and leave them afterwards as they were before."""
    before = capture()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        restore(*before)
