"""Threads: the same function on every thread's row of the argument table.

Where torch is loaded, its own OpenMP team is used, because a second pool would fight with its spinning workers; the team
is always asked for at torch's size, since another size would make libgomp tear it down. Elsewhere a small Python pool
serves: a foreign call releases the GIL.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache

import numpy as np

from .memory import address

YIELD = "gatewise_yield"  # the name by which kernels call `yield_address`
HEADER = 3  # numbers before the tables: tickets taken for packing, for running, and how many tables there are
_SPINS = 1 << 12  # of some 10 to 50 nanoseconds; then the processor is offered to whoever else waits for it


def emit_barrier(m, fields: dict[str, int]):
    """barrier(args): returns when all members of a group of threads have called it as often.

    Each has a line of memory with the number of its calls, which it alone writes: one transfer between processors."""
    from .emit import I32, I64, POINTER, VOID

    f = m.function("barrier", [("args", POINTER)])
    b, args = f.b, f.arg["args"]
    member, members = f.field(args, fields["member"]), f.field(args, fields["members"])

    def pause() -> None:
        triple = m.target.triple
        if triple.startswith("x86_64"):
            b.call(m.declare("llvm.x86.sse2.pause", VOID, []), [])
        elif triple.startswith(("aarch64", "arm64")):
            b.call(m.declare("llvm.aarch64.hint", VOID, [I32]), [I32(1)])

    def meet() -> None:
        lines, calls = f.pointer_field(args, fields["barrier"]), f.at(args, fields["calls"] * 8)
        now, spins = b.add(b.load(calls, typ=I64, align=8), I64(1)), f.slot(I64)
        b.store(now, calls, align=8)
        f.store_release(now, f.at(lines, f.mul(member, 64)))

        def wait(k) -> None:
            b.store(I64(0), spins)

            def here():
                return b.icmp_signed(">=", b.load_atomic(f.at(lines, f.mul(k, 64)), "acquire", 8, typ=I64), now)

            def spin() -> None:
                pause()
                spun = b.add(b.load(spins, typ=I64), I64(1))
                b.store(spun, spins)
                full = b.icmp_signed("==", b.and_(spun, I64(_SPINS - 1)), I64(0))
                f.when(full, lambda: b.call(m.declare(YIELD, I32, []), []))

            f.until(here, spin)

        f.loop(members, wait)

    f.when(b.icmp_signed(">", members, I64(1)), meet)
    return f.end()


def emit_teams(m, fields: int) -> None:
    """pack_team(data) and run_team(data), data being a header (`HEADER`) and the tables: every member of a team takes a
    ticket and does the work of that table, until none is left; so a team may be smaller than was asked for."""
    from .emit import I64, POINTER

    for number, name in enumerate(("pack", "run")):
        f = m.function(f"{name}_team", [("data", POINTER)], internal=False)
        data, tables = f.arg["data"], f.field(f.arg["data"], HEADER - 1)
        work = next(g for g in m.module.functions if g.name == name)

        def turn(_, f=f, work=work, data=data, tables=tables, number=number) -> None:
            ticket = f.b.atomic_rmw("add", f.at(data, 8 * number), I64(1), "monotonic")
            f.when(
                f.b.icmp_signed("<", ticket, tables),
                lambda: f.call(work, f.at(data, 8 * HEADER, f.mul(ticket, fields * 8))),
            )

        f.loop(tables, turn)
        f.end()


def yield_address() -> int:
    """The address of the system's function that lets another thread have the processor."""
    library = ctypes.windll.kernel32 if os.name == "nt" else ctypes.CDLL(None)
    function = library.SwitchToThread if os.name == "nt" else library.sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


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
def _openmp() -> ctypes.CDLL | None:
    """The OpenMP library that torch brought."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "libgomp" in line}
    except OSError:
        return None
    for path in sorted(paths, key=lambda p: "torch" not in p):
        try:
            library = ctypes.CDLL(path)
            parallel = library.GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return library
    return None


def _team() -> ctypes.CDLL | None:
    return _openmp() if "torch" in sys.modules else None


def meets(threads: int) -> bool:
    """Whether so many threads are sure to run at the same time, so that they may wait for one another."""
    if threads > available():
        return False
    library = _team()
    if library is None:
        return threads <= _workers() + 1
    limited = library.omp_get_thread_limit() < 2**31 - 1  # OMP_THREAD_LIMIT: it may give fewer threads than asked for
    return not (limited or library.omp_in_parallel() or library.omp_get_dynamic())


@cache
def _workers() -> int:
    """How many threads the pool has beside the caller's."""
    return max(1, available() - 1)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_workers(), thread_name_prefix="gatewise")


_meeting = threading.Lock()


def run(kernel, data: np.ndarray, threads: int, meeting: bool = False, packed: bool = True) -> None:
    """Pack the weights and run a kernel, one thread a table. data: a header (`HEADER`) and a table for each thread.

    meeting: the threads wait for one another; `meets` has said that they can. packed: the kernel wants packed weights."""
    start = address(data)
    first = start + 8 * HEADER
    if threads == 1:
        if packed:
            kernel.pack(first)
        kernel.run(first)
        return
    library, team = _team(), available()
    if library is not None and threads <= team:
        if packed:
            library.GOMP_parallel(kernel.pack_team, start, team, 0)
        library.GOMP_parallel(kernel.run_team, start, team, 0)
        return
    line = 8 * (data.size - HEADER) // threads
    with _meeting if meeting else nullcontext():  # two calls that each got some of the pool would wait for ever
        for function in (kernel.pack, kernel.run) if packed else (kernel.run,):
            waiting = [_pool().submit(function, first + line * k) for k in range(1, threads)]
            function(first)
            for task in waiting:
                task.result()
