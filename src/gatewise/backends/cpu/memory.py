"""Memory that is used again: fresh pages cost more than the arithmetic that fills them."""

from __future__ import annotations

import ctypes
import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

ALIGNMENT = 64
PAGE = 1 << 12  # sizes are multiples of it
SMALL = 1 << 15  # bytes up to which the system's own memory is as fast
LIMIT = 1 << 30  # bytes that wait for their next use, at the most

Array = Any  # of NumPy's, or a tensor of torch's, dense; kernels are told where it begins


def address(array: Array) -> int:
    """Where an array of NumPy's or a tensor of torch's begins in memory."""
    pointer = getattr(array, "data_ptr", None)
    if pointer is not None:
        return pointer()
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # a third of the time of the way below
    except (TypeError, ValueError):  # it cannot be written to, or is empty
        return array.__array_interface__["data"][0]


def aligned(size: int) -> int:
    """The size, and what is missing to the next multiple of a line of the cache."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Block:
    """A piece of memory and where it begins."""

    __slots__ = ("address", "array")

    def __init__(self, size: int):
        raw = np.empty(size + ALIGNMENT, np.uint8)
        start = -address(raw) % ALIGNMENT
        self.array, self.address = raw[start : start + size], address(raw) + start


class Pool:
    """Blocks of memory by size. An array from `empty` gives its block back when its last view is gone."""

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self.waiting = 0
        self.leased = 0  # bytes that are in use
        self.free: OrderedDict[int, list[Block]] = OrderedDict()
        self.lock = threading.RLock()  # a block may come back from a finaliser inside any of these functions

    def take(self, size: int) -> Block:
        """At least so many bytes; `give` them back."""
        size = -(-size // PAGE) * PAGE
        with self.lock:
            self.leased += size
            blocks = self.free.get(size)
            if blocks:
                self.free.move_to_end(size)
                self.waiting -= size
                return blocks.pop()
        return Block(size)

    def give(self, block: Block) -> None:
        size = block.array.size
        with self.lock:
            self.leased -= size
            self.free.setdefault(size, []).append(block)
            self.free.move_to_end(size)
            self.waiting += size
            while self.waiting > self.limit:
                size, blocks = next(iter(self.free.items()))
                if blocks:
                    blocks.pop()
                    self.waiting -= size
                if not blocks:
                    del self.free[size]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype | type | str) -> np.ndarray:
        """An array of unknown content."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size <= SMALL:
            return np.empty(shape, dtype)
        return np.asarray(_Lease(self, self.take(size), shape, dtype))

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype | type | str) -> np.ndarray:
        array = self.empty(shape, dtype)
        array.fill(0)
        return array


class _Lease:
    """Owns a block while an array looks at it."""

    def __init__(self, pool: Pool, block: Block, shape: tuple[int, ...], dtype: np.dtype):
        self.pool, self.block = pool, block
        self.__array_interface__ = {
            "shape": tuple(map(int, shape)),
            "typestr": dtype.str,
            "data": (block.address, False),
            "version": 3,
        }

    def __del__(self):
        self.pool.give(self.block)


POOL = Pool()
