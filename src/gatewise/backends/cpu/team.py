"""Threads: the same function on every thread's row of the argument table.

Where torch is loaded, its own OpenMP team is used, because a second pool would fight with its spinning workers; the team
is always asked for at torch's size, since another size would make libgomp tear it down. Elsewhere a small Python pool
serves: a foreign call releases the GIL.
"""

from __future__ import annotations

import ctypes
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np


def emit_teams(m, fields: int) -> None:
    """run_team(data) and pack_team(data), data being [tickets taken, tables, a table each]: every member of a team takes
    a ticket and does the work of that table, until none is left; so a team may be smaller than was asked for."""
    from .emit import I64, POINTER

    for name in ("run", "pack"):
        f = m.function(f"{name}_team", [("data", POINTER)], internal=False)
        data, tables = f.arg["data"], f.field(f.arg["data"], 1)
        work = next(g for g in m.module.functions if g.name == name)

        def turn(_, f=f, work=work, data=data, tables=tables) -> None:
            ticket = f.b.atomic_rmw("add", data, I64(1), "monotonic")
            f.when(
                f.b.icmp_signed("<", ticket, tables),
                lambda: f.call(work, f.at(data, 16, f.mul(ticket, fields * 8))),
            )

        f.loop(tables, turn)
        f.end()


def available() -> int:
    """The number of threads that kernels use: torch's where it is loaded, else GATEWISE_THREADS or the processors."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return torch.get_num_threads()
    if os.environ.get("GATEWISE_THREADS", "").isdigit():
        return max(1, int(os.environ["GATEWISE_THREADS"]))
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@cache
def _openmp():
    """GOMP_parallel of the OpenMP library that torch brought, or None."""
    if "torch" not in sys.modules:
        return None
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "libgomp" in line}
    except OSError:
        return None
    for path in sorted(paths, key=lambda p: "torch" not in p):
        try:
            parallel = ctypes.CDLL(path).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return parallel
    return None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, available() - 1), thread_name_prefix="gatewise")


def run(kernel, tables: np.ndarray) -> None:
    """Pack the weights and run a kernel on every row of tables [threads, fields], one thread a row."""
    threads = len(tables)
    address = tables.ctypes.data
    if threads == 1:
        kernel.pack(address)
        kernel.run(address)
        return
    openmp = _openmp() if "torch" in sys.modules else None
    team = available()
    if openmp is not None and threads <= team:
        data = np.empty(2 + tables.size, np.int64)
        data[2:] = tables.ravel()
        for function in (kernel.pack_team, kernel.run_team):
            data[0], data[1] = 0, threads
            openmp(function, data.ctypes.data, team, 0)
        return
    line = tables.strides[0]
    for function in (kernel.pack, kernel.run):
        waiting = [_pool().submit(function, address + line * k) for k in range(1, threads)]
        function(address)
        for task in waiting:
            task.result()
