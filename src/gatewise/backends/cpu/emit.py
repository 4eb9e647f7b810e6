"""A small layer over llvmlite's builder: functions with loops, vectors of one width, masks, addresses in bytes.

Loop counters and accumulators are stack slots at the entry; LLVM's SROA turns them into registers, so nothing here keeps
phi nodes. Tails are constant masks, because the sizes of a layer are constants of its kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .target import Target

I1, I16, I32, I64 = (ir.IntType(n) for n in (1, 16, 32, 64))
POINTER = ir.PointerType()
VOID = ir.VoidType()
_LINE = 64  # bytes of a cache's line
_X86_FLUSH = 0x8040  # MXCSR: flush to zero, denormals are zero
_ARM_FLUSH = 1 << 24  # FPCR: flush to zero


class Module:
    """One LLVM module for one target and one floating-point type."""

    def __init__(self, target: Target, dtype: str):
        self.target = target
        self.dtype = dtype
        self.single = dtype == "float32"
        self.size = 4 if self.single else 8
        self.lanes = target.vector(dtype)
        self.scalar = ir.FloatType() if self.single else ir.DoubleType()
        self.integer = I32 if self.single else I64
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.integers = ir.VectorType(self.integer, self.lanes)
        self.mask = ir.VectorType(I1, self.lanes)
        self.lane_numbers = ir.VectorType(I32, self.lanes)
        self.undefined = ir.Constant(self.vector, ir.Undefined)
        self.suffix = f"v{self.lanes}{'f32' if self.single else 'f64'}"
        self.module = ir.Module("gatewise")
        self.module.triple = target.triple
        self._declared: dict[str, ir.Function] = {}
        self._constants: dict[tuple, ir.Constant] = {}

    def constant(self, typ: ir.Type, value: float | list[int]) -> ir.Constant:
        """A number, or a vector of it or of a list, made once: writing lanes out takes longer than an instruction."""
        key = (id(typ), str(value))  # as text, since 0.0 == -0.0
        if key not in self._constants:
            lanes = [value] * self.lanes if isinstance(typ, ir.VectorType) and not isinstance(value, list) else value
            self._constants[key] = ir.Constant(typ, lanes)
        return self._constants[key]

    def declare(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        if name not in self._declared:
            self._declared[name] = ir.Function(self.module, ir.FunctionType(result, arguments), name)
        return self._declared[name]

    def function(self, name: str, arguments: list[tuple[str, ir.Type]], internal: bool = True) -> Function:
        return Function(self, name, arguments, internal)


class Function:
    """One function while it is written. Arguments are attributes of `arg`."""

    def __init__(self, module: Module, name: str, arguments: list[tuple[str, ir.Type]], internal: bool):
        self.m = module
        self.f = ir.Function(module.module, ir.FunctionType(VOID, [t for _, t in arguments]), name)
        self.f.attributes.add("nounwind")
        if internal:
            self.f.linkage = "internal"
            self.f.attributes.add("noinline")
        self.arg: dict[str, Any] = {}
        for (n, _), value in zip(arguments, self.f.args, strict=True):
            value.name = n
            self.arg[n] = value
        self.entry = self.f.append_basic_block("entry")
        self.body = self.f.append_basic_block("body")
        self.b = ir.IRBuilder(self.body)

    def end(self) -> ir.Function:
        self.b.ret_void()
        ir.IRBuilder(self.entry).branch(self.body)
        return self.f

    # numbers and addresses -------------------------------------------------------------------------------------

    def i(self, value: Any) -> Any:
        return self.m.constant(I64, value) if isinstance(value, int) else value

    def add(self, *values: Any) -> Any:
        constant = sum(v for v in values if isinstance(v, int))
        result = None
        for v in values:
            if not isinstance(v, int):
                result = v if result is None else self.b.add(result, v)
        if result is None:
            return constant
        return self.b.add(result, self.i(constant)) if constant else result

    def mul(self, *values: Any) -> Any:
        constant, result = 1, None
        for v in values:
            if isinstance(v, int):
                constant *= v
            else:
                result = v if result is None else self.b.mul(result, v)
        if result is None or constant == 0:
            return constant
        return self.b.mul(result, self.i(constant)) if constant != 1 else result

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """pointer + offsets, in bytes."""
        offset = self.add(*offsets)
        if isinstance(offset, int) and offset == 0:
            return pointer
        return self.b.gep(pointer, [self.i(offset)], source_etype=ir.IntType(8))

    def field(self, pointer: Any, index: int) -> Any:
        """The 64-bit number at a position of a table."""
        return self.b.load(self.at(pointer, index * 8), typ=I64, align=8)

    def pointer_field(self, pointer: Any, index: Any) -> Any:
        return self.b.load(self.at(pointer, self.mul(index, 8)), typ=POINTER, align=8)

    def slot(self, typ: ir.Type, count: int | None = None, align: int | None = None) -> Any:
        """A stack slot, made at the entry of the function."""
        builder = ir.IRBuilder(self.entry)
        place = builder.alloca(typ if count is None else ir.ArrayType(typ, count))
        place.type = POINTER
        if align:
            setattr(place, "align", align)  # noqa: B010  (llvmlite declares it as None)
        return place

    def flush_subnormals(self) -> Callable[[], Any]:
        """Have numbers too small for full precision become zero from here on, as they make arithmetic many times slower
        (gradients that vanish end there). Returns what puts the processor's state back."""
        m, b, triple = self.m, self.b, self.m.target.triple
        if triple.startswith("x86_64"):
            before, now = self.slot(I32), self.slot(I32)
            store = m.declare("llvm.x86.sse.stmxcsr", VOID, [POINTER])
            load = m.declare("llvm.x86.sse.ldmxcsr", VOID, [POINTER])
            b.call(store, [before])
            b.store(b.or_(b.load(before, typ=I32), I32(_X86_FLUSH)), now)
            b.call(load, [now])
            return lambda: b.call(load, [before])
        if triple.startswith(("aarch64", "arm64")):
            before = b.call(m.declare("llvm.aarch64.get.fpcr", I64, []), [])
            load = m.declare("llvm.aarch64.set.fpcr", VOID, [I64])
            b.call(load, [b.or_(before, I64(_ARM_FLUSH))])
            return lambda: b.call(load, [before])
        return lambda: None

    def prefetch(self, pointer: Any, size: int, cache: int, write: bool = False) -> None:
        """Ask for so many bytes of memory that will be needed soon, to be brought into the first or second cache."""
        ask = self.m.declare("llvm.prefetch.p0", VOID, [POINTER, I32, I32, I32])
        for k in range(0, size, _LINE):
            self.b.call(ask, [self.at(pointer, k), I32(int(write)), I32(4 - cache), I32(1)])

    def what_was(self, begin: Any, out: Any, line: Any, units: int) -> tuple[Any, Any]:
        """Where the sums lie that new ones are added to, of so many vectors a line, and how far the lines are apart: at
        `out`, or where `begin` is not 0 one line of zeros for all."""
        zeros, beginning = self.slot(self.m.vector, units), self.b.icmp_signed("!=", begin, I64(0))
        for j in range(units):
            self.store(self.constant(0.0), self.at(zeros, j * self.m.lanes * self.m.size))
        return self.b.select(beginning, zeros, out), self.b.select(beginning, I64(0), line)

    # control ---------------------------------------------------------------------------------------------------

    def loop(self, stop: Any, body: Callable[[Any], Any], start: Any = 0, step: Any = 1) -> None:
        """for i in range(start, stop, step)"""
        b = self.b
        counter = self.slot(I64)
        b.store(self.i(start), counter)
        inside, after = self.f.append_basic_block("loop"), self.f.append_basic_block("after")
        b.cbranch(b.icmp_signed("<", self.i(start), self.i(stop)), inside, after)
        b.position_at_end(inside)
        i = b.load(counter, typ=I64)
        body(i)
        following = b.add(i, self.i(step))
        b.store(following, counter)
        b.cbranch(b.icmp_signed("<", following, self.i(stop)), inside, after)
        b.position_at_end(after)

    def unrolled(self, stop: Any, body: Callable[[Any], Any], times: int, start: Any = 0, even: bool = False) -> None:
        """The same loop with its body written `times` times; even: the count is known to be a multiple of that."""

        def several(i: Any) -> None:
            for k in range(times):
                body(self.add(i, k))

        if times == 1:
            self.loop(stop, body, start)
            return
        whole = stop
        if not even:
            count = self.b.sub(self.i(stop), self.i(start))
            whole = self.add(start, self.mul(self.b.sdiv(count, I64(times)), times))
        self.loop(whole, several, start, times)
        if not even:
            self.loop(stop, body, whole)

    def when(self, condition: Any, then: Callable[[], None]) -> None:
        b = self.b
        inside, after = self.f.append_basic_block("then"), self.f.append_basic_block("after")
        b.cbranch(condition, inside, after)
        b.position_at_end(inside)
        then()
        b.branch(after)
        b.position_at_end(after)

    def store_release(self, value: Any, pointer: Any) -> None:
        """A 64-bit number that other threads read, and with it all that was written before."""
        self.b._insert(ir.instructions.StoreAtomicInstr(self.b.block, value, pointer, "release", 8))

    def until(self, condition: Callable[[], Any], body: Callable[[], None]) -> None:
        """Run the body again and again until the condition holds before it."""
        b = self.b
        test, inside, after = (self.f.append_basic_block(n) for n in ("test", "wait", "after"))
        b.branch(test)
        b.position_at_end(test)
        b.cbranch(condition(), after, inside)
        b.position_at_end(inside)
        body()
        b.branch(test)
        b.position_at_end(after)

    def call(self, function: ir.Function, *arguments: Any) -> Any:
        return self.b.call(function, [self.i(a) for a in arguments])

    # vectors ---------------------------------------------------------------------------------------------------

    def constant(self, value: float) -> Any:
        return self.m.constant(self.m.vector, float(value))

    def integer(self, value: int) -> Any:
        return self.m.constant(self.m.integers, value)

    def tail(self, count: int) -> Any:
        """The mask of the first `count` lanes; None where that is all of them."""
        if count >= self.m.lanes:
            return None
        return self.m.constant(self.m.mask, [1] * count + [0] * (self.m.lanes - count))

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """A vector; masked lanes are zero and their memory is not touched."""
        m = self.m
        if mask is None:
            return self.b.load(pointer, typ=m.vector, align=m.size)
        f = m.declare(f"llvm.masked.load.{m.suffix}.p0", m.vector, [POINTER, I32, m.mask, m.vector])
        return self.b.call(f, [pointer, I32(m.size), mask, self.constant(0.0)])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        m = self.m
        if mask is None:
            self.b.store(value, pointer, align=m.size)
            return
        f = m.declare(f"llvm.masked.store.{m.suffix}.p0", VOID, [m.vector, POINTER, I32, m.mask])
        self.b.call(f, [value, pointer, I32(m.size), mask])

    def load_scalar(self, pointer: Any) -> Any:
        return self.b.load(pointer, typ=self.m.scalar, align=self.m.size)

    def splat(self, value: Any) -> Any:
        m = self.m
        v = self.b.insert_element(m.undefined, value, m.constant(I32, 0))
        return self.b.shuffle_vector(v, m.undefined, m.constant(m.lane_numbers, 0))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, in one rounding where the processor can."""
        m = self.m
        name = "fma" if m.target.fma else "fmuladd"
        return self.b.call(m.declare(f"llvm.{name}.{m.suffix}", m.vector, [m.vector] * 3), [a, b, c])

    def unary(self, intrinsic: str, a: Any) -> Any:
        m = self.m
        return self.b.call(m.declare(f"llvm.{intrinsic}.{m.suffix}", m.vector, [m.vector]), [a])

    def copysign(self, magnitude: Any, sign: Any) -> Any:
        m = self.m
        f = m.declare(f"llvm.copysign.{m.suffix}", m.vector, [m.vector] * 2)
        return self.b.call(f, [magnitude, sign])

    def minimum(self, a: Any, b: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered("<", a, b), a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", a, b), a, b)

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        return self.b.shuffle_vector(a, b, self.m.constant(self.m.lane_numbers, lanes))

    def across(self, v: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """All lanes combined by halves, in every lane."""
        n = self.m.lanes
        half = n // 2
        while half:
            v = combine(v, self.shuffle(v, v, [i ^ half for i in range(n)]))
            half //= 2
        return v

    def zero_tail(self, v: Any, mask: Any, fill: float = 0.0) -> Any:
        return v if mask is None else self.b.select(mask, v, self.constant(fill))


def transpose(f: Function, rows: list[Any]) -> list[Any]:
    """A square of vectors, transposed by halves: log2(lanes) rounds of shuffles."""
    n = f.m.lanes
    whole, wide = rows[0].type, ir.VectorType(ir.IntType(16 * f.m.size), n // 2)
    rows = [f.b.bitcast(row, wide) for row in rows]  # rounds that move pairs: half the lanes compile in half the time
    half = n // 2
    while half > 1:
        _exchange(f, rows, half, 2)
        half //= 2
    rows = [f.b.bitcast(row, whole) for row in rows]
    _exchange(f, rows, 1, 1)
    return rows


def _exchange(f: Function, rows: list[Any], half: int, width: int) -> None:
    """One round, on vectors whose lanes are `width` numbers wide."""
    n = len(rows) // width
    move = half // width
    typ = ir.VectorType(I32, n)
    upper = ir.Constant(typ, [j if not j & move else (j ^ move) + n for j in range(n)])
    lower = ir.Constant(typ, [j ^ move if not j & move else j + n for j in range(n)])
    for i in range(len(rows)):
        if not i & half:
            a, b = rows[i], rows[i + half]
            rows[i], rows[i + half] = f.b.shuffle_vector(a, b, upper), f.b.shuffle_vector(a, b, lower)
