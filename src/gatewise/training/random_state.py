"""The random generators that training may draw from, as arrays and plain numbers that a checkpoint can hold."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

FUNCTIONS = (
    *("sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "erf", "erfc", "erfinv", "lgamma", "sigmoid", "rsqrt"),
)


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


@cache
def settle_functions() -> None:
    """Call torch's elementwise functions once on one number, before several threads do.

    The vector library under torch chooses its code at a function's first call; where two threads make that call at once,
    one of them may run a less exact function over its share, and a run is not repeatable (pytorch#188792).
    """
    for dtype in (torch.float32, torch.float64):
        one = torch.ones(1, dtype=dtype)
        for function in FUNCTIONS:
            getattr(torch, function)(one)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators inside of the context, and leave them afterwards as they were before."""
    settle_functions()
    before = capture()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        restore(*before)
