"""Timing of layers: candidates interleaved in rounds, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import math
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cells
from .ir.cell import HIDDEN, INPUT

if TYPE_CHECKING:
    import torch

FAMILY = {"gru": "GRU", "gru_v1": "GRU", "rnn": "RNN", "rnn_relu": "RNN", "irnn": "RNN"}  # in torch.nn; else LSTM


def layers(
    name: str, inputs: int, hidden: int, *, compute_dtype: str = "float32", **options: Any
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Our layer of a built-in cell and the torch.nn layer of its family, of the same sizes; compute_dtype is of ours."""
    import torch

    from . import nn

    cell = cells.get(name)
    sizes = cells.typical_sizes(cell, inputs, hidden)
    extra: dict[str, Any] = {d: n for d, n in sizes.items() if d not in (INPUT, HIDDEN)}
    ours = nn.Recurrent(cell, inputs, hidden, compute_dtype=compute_dtype, **options, **extra)
    return ours, getattr(torch.nn, FAMILY.get(name, "LSTM"))(inputs, hidden, **options, **extra)


def rounds(
    candidates: Mapping[str, Callable[[], None]],
    count: int,
    seconds: float,
    gap: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds a call of each candidate in each of `count` rounds, in which each runs for about `seconds` in turn.

    gap: seconds of sleep before every call, which are not counted. clock: `time.thread_time` counts the processor's time of
    this thread alone, beside other work."""
    calls = {}
    for name, call in candidates.items():
        for _ in range(3):
            call()
        start = clock()
        call()
        calls[name] = max(1, int(seconds / max(1e-6, clock() - start)))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(count):
        for name, call in candidates.items():
            spent, start = 0.0, clock()
            for _ in range(calls[name]):
                if gap:
                    spent += clock() - start
                    time.sleep(gap)
                    start = clock()
                call()
            times[name].append((spent + clock() - start) / calls[name])
    return times


def ratio(times: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """The median of the rounds' ratios, theirs over ours: above 1 we are faster."""
    return statistics.median(b / a for a, b in zip(times[ours], times[theirs], strict=True))


def _training_step(layer: torch.nn.Module, run: Callable[[Any], Any], x: torch.Tensor, dy: Any) -> Callable[[], None]:
    """Forward by run(x) and backward, with all gradients."""

    def step() -> None:
        run(x).backward(dy)
        layer.zero_grad()
        x.grad = None

    return step


def _inference(run: Callable[[Any], Any], x: torch.Tensor) -> Callable[[], None]:
    """Forward alone."""
    import torch

    def step() -> None:
        with torch.no_grad():
            run(x)

    return step


def both_sides(
    ours: torch.nn.Module, theirs: torch.nn.Module, x: torch.Tensor, lengths: torch.Tensor | None = None
) -> dict[str, Callable[[], None]]:
    """The candidates "ours", "theirs", "ours_inference" and "theirs_inference" for `rounds`, on x [T, B, I].

    lengths [B]: theirs then packs x, as torch.nn wants it."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence

    def run_ours(x: torch.Tensor) -> torch.Tensor:
        return ours(x)[0] if lengths is None else ours(x, lengths=lengths)[0]

    def run_theirs(x: torch.Tensor) -> torch.Tensor:
        return theirs(x)[0] if lengths is None else theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))[0].data

    learned = x.clone().requires_grad_()
    found: dict[str, Callable[[], None]] = {}
    for name, layer, run in (("ours", ours, run_ours), ("theirs", theirs, run_theirs)):
        with torch.no_grad():
            dy = torch.randn_like(run(x))
        found[name] = _training_step(layer, run, learned, dy)
        found[f"{name}_inference"] = _inference(run, x)
    return found


def multiply_adds(name: str, inputs: int, hidden: int, steps: int, batch: int) -> float:
    """Multiplications and additions of a built-in cell's products in a training step: forward, and twice that backward."""
    cell = cells.get(name)
    sizes = cells.typical_sizes(cell, inputs, hidden)
    return 6.0 * steps * batch * sum(math.prod(p.shape(sizes)) for p in cell.parameters if p.in_dim)


def compare(
    name: str,
    shape: tuple[int, ...],
    count: int,
    seconds: float,
    *,
    inference: bool = True,
    theirs: torch.nn.Module | None = None,
    lengths: torch.Tensor | None = None,
    gap: float = 0.0,
    dtype: torch.dtype | None = None,
    compute_dtype: str = "float32",
    clock: Callable[[], float] = time.perf_counter,
    **options: Any,
) -> dict[str, Any]:
    """Our layer of a built-in cell beside a peer, in `count` rounds of about `seconds` each, interleaved.

    Args:
        shape: T, B, I and H.
        theirs: the peer; by default torch.nn's layer of the cell's family.
        lengths: [B]. gap, clock: as in `rounds`. compute_dtype: of our layer. options: of both layers.

    Returns:
        Medians "train ms", "its train ms", "infer ms", "its infer ms"; "ratio" and "infer ratio", medians of the rounds'
        ratios; "GF/s" of our cell's own products of one layer and direction within the lengths, in training; "peer".
    """
    import torch

    steps, batch, inputs, hidden = shape
    ours, standard = layers(name, inputs, hidden, compute_dtype=compute_dtype, dtype=dtype, **options)
    theirs = standard if theirs is None else theirs
    sides = both_sides(ours, theirs, torch.randn(steps, batch, inputs, dtype=dtype), lengths)
    chosen = sides if inference else {side: sides[side] for side in ("ours", "theirs")}
    times = rounds(chosen, count, seconds, gap, clock)
    median = {side: statistics.median(found) for side, found in times.items()}
    share = 1.0 if lengths is None else float(lengths.double().mean()) / steps
    found: dict[str, Any] = {
        "train ms": median["ours"] * 1e3,
        "GF/s": share * multiply_adds(name, inputs, hidden, steps, batch) / median["ours"] / 1e9,
        "peer": type(theirs).__name__,
        "its train ms": median["theirs"] * 1e3,
        "ratio": ratio(times, "ours", "theirs"),
    }
    if inference:
        found["infer ms"] = median["ours_inference"] * 1e3
        found["its infer ms"] = median["theirs_inference"] * 1e3
        found["infer ratio"] = ratio(times, "ours_inference", "theirs_inference")
    return found


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
