"""Who does what: rows of the batch to groups of threads, and the units of a layer to the threads of a group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from .layout import SHARE_BYTES, Layout
from .memory import address

MOST_THREADS = 256
_ROW_BYTES = 1 << 11  # of weights that take as long to read as the elementwise part of a row
_THREAD_BYTES = 1 << 25  # of weights, read for row after row in about 0.2 ms: less work is done by one thread
_FIRST_READS = 8  # times that weights are read from the cache while they are packed, from memory
_SUM_READS = 8  # times that weights are read from the cache while threads' parts of their gradients are added up
_CACHE_BYTES = 1 << 21  # of weights that stay in the cache of one processor
_OWN_ROWS = 32  # with so many rows of its own, a thread multiplies for longer than it reads weights from wherever they are


def worth(layout: Layout, steps: int, batch: int, available: int) -> int:
    """How many of the available threads a call is worth: a short one is over before a second thread has begun, and where
    other programs use the processors it would wait for it a thousand times longer than it works."""
    weights = layout.packed_offsets[-1]
    work = steps * batch * (weights + _ROW_BYTES) + _FIRST_READS * weights
    return available if work >= _THREAD_BYTES else 1


def split(layout: Layout, steps: int, batch: int, threads: int) -> tuple[int, int]:
    """Into how many groups the rows are dealt, and how many threads share the units of each group.

    A group's threads meet some times a step and read what the others wrote: a step costs as much more as reading
    rows * (meetings + 1) * `SHARE_BYTES` of weights. It pays where there are more threads than rows (an LSTM of 64 units
    for a single row), and where all weights together do not stay in a processor's own cache, of `_CACHE_BYTES` at least,
    and a thread has fewer than `_OWN_ROWS` rows. In a few steps it pays sooner, as no gradient of a matrix is then a sum of
    several groups', and in a single one nearly always: a panel of weights is packed by the thread that reads it.
    """
    threads = max(1, min(threads, MOST_THREADS))
    members = _members(layout.step_bytes, layout.meetings_a_step, steps, batch, threads)
    return max(1, min(threads // members, batch)), members


def apart(division: tuple[int, int], batch: int, again: bool) -> tuple[int, int]:
    """The division for threads that are not sure to run at the same time, so that they cannot wait for one another. again:
    what forward kept lies by its groups, which stay."""
    groups, members = division
    return (groups if again else min(groups * members, batch)), 1


@lru_cache(maxsize=256)
def _members(weights: int, meetings: int, steps: int, batch: int, threads: int) -> int:
    """The most of so many threads, a divisor of them, for which sharing pays."""
    found = 1
    for members in range(2, threads + 1):
        rows = -(-batch * members // threads)
        if steps == 1:
            least = 2 * SHARE_BYTES
        elif batch < _OWN_ROWS * threads:
            least = min(_CACHE_BYTES, rows * (meetings + 1) * SHARE_BYTES) * steps // (steps + _SUM_READS)
        else:
            break
        if threads % members == 0 and weights >= least * members / 2:
            found = members
    return found


@dataclass(frozen=True)
class Rows:
    """Which rows of the batch each group of threads runs, and how many of them are within their length at each step."""

    index: tuple[np.ndarray, ...]  # [rows of the group], longest first
    counts: tuple[np.ndarray, ...]  # [steps], in the order in which the kernel takes the steps
    offsets: tuple[np.ndarray, ...]  # [steps], rows on the tape before each step
    totals: tuple[int, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(map(len, self.index))

    @cached_property
    def numbers(self) -> np.ndarray:
        """What kernels are told of each group, in the order of `layout.ROW_FIELDS`."""
        groups = zip(self.totals, self.index, self.counts, self.offsets, strict=True)
        return np.array([[total, *map(address, arrays)] for total, *arrays in groups], np.int64)


@lru_cache(maxsize=64)
def _full_rows(steps: int, batch: int, groups: int) -> Rows:
    bounds = [batch * k // groups for k in range(groups + 1)]
    index = tuple(np.arange(a, b, dtype=np.int64) for a, b in pairwise(bounds))
    counts = tuple(np.full(max(1, steps), len(i), np.int64) for i in index)
    return Rows(index, counts, *_offsets(counts, steps))


def _offsets(counts: tuple[np.ndarray, ...], steps: int):
    offsets = tuple(np.concatenate(([0], np.cumsum(c[:-1]))).astype(np.int64) for c in counts)
    return offsets, tuple(int(c[:steps].sum()) for c in counts)


def deal_rows(steps: int, batch: int, lengths: np.ndarray | None, reverse: bool, groups: int) -> Rows:
    """Rows to groups: in order when all are full, else longest first and dealt in turn, so that groups end together."""
    groups = max(1, min(groups, batch))
    if lengths is None:
        return _full_rows(steps, batch, groups)
    return _ragged_rows(steps, np.asarray(lengths, np.int64).tobytes(), reverse, groups)


@lru_cache(maxsize=64)  # backward, further layers and directions ask for the same again
def _ragged_rows(steps: int, bytes_of_lengths: bytes, reverse: bool, groups: int) -> Rows:
    lengths = np.frombuffer(bytes_of_lengths, np.int64)
    order = np.argsort(-lengths, kind="stable")
    times = np.arange(steps - 1, -1, -1) if reverse else np.arange(steps)
    index = tuple(np.array(order[k::groups], np.int64) for k in range(groups))
    counts = []
    for i in index:
        rising = np.sort(lengths[i])
        counts.append(
            (len(i) - np.searchsorted(rising, times, side="right")).astype(np.int64) if steps else np.zeros(1, np.int64)
        )
    return Rows(index, tuple(counts), *_offsets(tuple(counts), steps))
