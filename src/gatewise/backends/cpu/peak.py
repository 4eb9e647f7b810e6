"""How fast this processor multiplies and adds, measured: the ceiling that a kernel's rate is held against."""

from __future__ import annotations

import ctypes
import threading
import time

from llvmlite import ir

from .compile import addresses, compile_object
from .emit import I64, POINTER, Module
from .target import Target, host

_CHAINS = {32: 24, 16: 12}  # independent sums: enough to hide an addition's latency, few enough to stay in registers


def _emit(target: Target, dtype: str) -> str:
    """peak(count, out): `count` rounds of one multiply-add on each of so many vectors, with nothing else in the loop."""
    m = Module(target, dtype)
    f = m.function("peak", [("count", I64), ("out", POINTER)], internal=False)
    sums = [f.slot(m.vector) for _ in range(_CHAINS[target.registers])]
    factor = f.splat(f.load_scalar(f.arg["out"]))
    for k, s in enumerate(sums):
        f.b.store(f.constant(float(k)), s)

    def once(i: ir.Value) -> None:
        for s in sums:
            f.b.store(f.fma(f.b.load(s, typ=m.vector), factor, factor), s)

    f.loop(f.arg["count"], once)
    for k, s in enumerate(sums):
        f.store(f.b.load(s, typ=m.vector), f.at(f.arg["out"], k * m.lanes * m.size))
    f.end()
    return str(m.module)


def peak_rate(threads: int, dtype: str = "float32", seconds: float = 0.2) -> float:
    """Multiplications and additions a second of all threads together: the best of five runs, in registers alone."""
    target = host()
    (peak,) = addresses(compile_object(_emit(target, dtype), target), target, ["peak"])
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(peak)
    lanes, chains = target.vector(dtype), _CHAINS[target.registers]
    size = lanes * chains * (4 if dtype == "float32" else 8)
    operations = 2 * lanes * chains

    def run(count: int) -> float:
        outs = [ctypes.create_string_buffer(size) for _ in range(threads)]
        workers = [threading.Thread(target=function, args=(count, ctypes.addressof(out))) for out in outs]
        start = time.perf_counter()
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        return count * operations * threads / (time.perf_counter() - start)

    count = 200_000
    count = max(count, int(run(count) * seconds / 5 / operations / threads))
    return max(run(count) for _ in range(5))
