"""exp, log, tanh, sigmoid, softplus, sin and cos on vectors: our own, in plain arithmetic, the same for every width.

Argument reduction after Cody & Waite (Software Manual for the Elementary Functions, 1980). The polynomials are Taylor's, cut
where the next term is below a tenth of a unit in the last place on the reduced interval; those of exp, which every gate
computes, are economised after Lanczos (Applied Analysis, 1956, ch. 7). Errors against mpmath are in
tests/backends/test_vectormath.py: at most 4 units in the last place over the whole range, no NaN for a number, and
no number for NaN; results below the normal numbers are 0 where kernels flush them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from llvmlite import ir

from .emit import I16, I32, Function

_LN2_HIGH = {True: 0.693359375, False: 6.93147180369123816490e-01}
_LN2_LOW = {True: -2.12194440054690583e-04, False: 1.90821492927058770002e-10}
_CURRENT_ROUNDING = 4  # of an instruction that could be told another
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)


def polynomial(f: Function, x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's scheme; the constant term comes first."""
    result = f.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = f.fma(result, x, f.constant(c))
    return result


def _inverse_factorials(start: int, stop: int, step: int = 1) -> list[float]:
    return [float(Fraction(1, math.factorial(k))) for k in range(start, stop, step)]


def _round(f: Function, x: Any, scale: float) -> tuple[Any, Any]:
    """The nearest whole number to x scale, as a float and as an integer; it must stay below 2^22 (2^51 for float64)."""
    magic = f.constant(1.5 * 2.0 ** (23 if f.m.single else 52))
    shifted = f.fma(x, f.constant(scale), magic)
    whole = f.b.fsub(shifted, magic)
    bits = f.b.sub(f.b.bitcast(shifted, f.m.integers), f.b.bitcast(magic, f.m.integers))
    return whole, bits


def _power_of_two(f: Function, n: Any) -> Any:
    """2^n for n within the exponents of normal numbers."""
    mantissa, bias = (23, 127) if f.m.single else (52, 1023)
    return f.b.bitcast(f.b.shl(f.b.add(n, f.integer(bias)), f.integer(mantissa)), f.m.vector)


def _reduce(f: Function, x: Any, unit: float = 1.0, short: bool = False) -> tuple[Any, Any, Any]:
    """n, as a float and as an integer, and r unit with x = (n ln 2 + r) unit, |r| <= ln 2 / 2; unit is a power of two, or
    minus one.

    short: where one float32 of ln 2 will do, which by chance is within 2e-9 of it, if its products are not rounded."""
    whole, n = _round(f, x, 1.0 / (unit * math.log(2.0)))
    parts = [math.log(2.0)] if short and f.m.single and f.m.target.fma else [_LN2_HIGH[f.m.single], _LN2_LOW[f.m.single]]
    r = x
    for part in parts:
        r = f.fma(whole, f.constant(-unit * part), r)
    return whole, n, r


def _chebyshev(degree: int) -> list[int]:
    """The coefficients of Chebyshev's polynomial of the first kind. NumPy's would add 8 ms to a first compilation."""
    before, last = [1], [0, 1]
    for _ in range(degree - 1):
        before, last = last, [2 * a - b for a, b in zip([0, *last], [*before, 0, 0], strict=True)]
    return last if degree else before


@lru_cache
def _economised(first: int, degree: int, unit: float = 1.0) -> list[float]:
    """The coefficients, in r unit, of a polynomial for r^k / (k + first)!, summed over all k, where |r| <= ln 2 / 2: of
    Taylor's, the highest powers are replaced by lower ones one by one, each by Chebyshev's polynomial that is least there.
    """
    h = math.log(2.0) / 2
    c = [1 / math.factorial(k + first) for k in range(2 * degree + 4)]
    while len(c) > degree + 1:
        n, highest = len(c) - 1, c.pop()
        least = _chebyshev(n)
        for k in range(n):
            c[k] -= highest * h ** (n - k) * least[k] / least[n]
    return [v / unit**k for k, v in enumerate(c)]


def _exp_of_reduced(f: Function, r: Any, unit: float = 1.0) -> Any:
    return polynomial(f, r, _economised(0, 6 if f.m.single else 11, unit))


def _wide(f: Function) -> bool:
    """Whether vectors are of 16 float32 and have AVX-512's instructions."""
    return f.m.single and f.m.lanes == 16 and f.m.target.triple.startswith("x86_64")


def _exp_reduced(f: Function, x: Any) -> Any:
    """exp(x) for x within about the exponents of numbers; results beyond the normal numbers round as they should: by the
    processor's own scaling, or in two factors."""
    whole, n, r = _reduce(f, x)
    y = _exp_of_reduced(f, r)
    if _wide(f):
        v = f.m.vector
        scale = f.m.declare("llvm.x86.avx512.mask.scalef.ps.512", v, [v, v, v, I16, I32])
        return f.b.call(scale, [y, whole, f.constant(0.0), I16(-1), I32(_CURRENT_ROUNDING)])
    half = f.b.ashr(n, f.integer(1))
    y = f.b.fmul(y, _power_of_two(f, half))
    return f.b.fmul(y, _power_of_two(f, f.b.sub(n, half)))


def _least_exponent(f: Function) -> float:
    """exp rounds to 0 from there on."""
    return -104.5 if f.m.single else -746.0


def _at_least(f: Function, x: Any, low: float) -> Any:
    return f.b.select(f.b.fcmp_ordered("<", x, f.constant(low)), f.constant(low), x)


def _at_most(f: Function, x: Any, high: float) -> Any:
    return f.b.select(f.b.fcmp_ordered(">", x, f.constant(high)), f.constant(high), x)


def exp(f: Function, x: Any) -> Any:
    return _exp_reduced(f, _at_most(f, _at_least(f, x, _least_exponent(f)), 89.5 if f.m.single else 710.5))


def _exp_of_negative(f: Function, x: Any) -> Any:
    """exp(x) for x <= 0."""
    return _exp_reduced(f, _at_least(f, x, _least_exponent(f)))


def _quotient(f: Function, top: Any, bottom: Any) -> Any:
    """top / bottom for a bottom of at least 1. Division takes as long as sixteen products, so where the processor has an
    approximate reciprocal, that and Newton's step."""
    m = f.m
    if not _wide(f):
        return f.b.fdiv(top, bottom)
    approximate = m.declare("llvm.x86.avx512.rcp14.ps.512", m.vector, [m.vector, m.vector, I16])
    r = f.b.call(approximate, [bottom, f.constant(0.0), I16(-1)])
    r = f.fma(f.fma(f.b.fneg(bottom), r, f.constant(1.0)), r, r)
    return f.b.fmul(top, r)


def sigmoid(f: Function, x: Any) -> Any:
    """1 / (1 + exp(-x))"""
    low, high = (-88.0, 18.0) if f.m.single else (-709.0, 38.0)  # below the normal numbers, and where it rounds to 1
    one, unit = f.constant(1.0), -1.0
    _, n, r = _reduce(f, _at_most(f, _at_least(f, x, low), high), unit)
    e = f.b.fmul(_exp_of_reduced(f, r, unit), _power_of_two(f, n))
    return _quotient(f, one, f.b.fadd(e, one))


def tanh(f: Function, x: Any) -> Any:
    """(exp(2|x|) - 1) / (exp(2|x|) + 1), with the sign of x."""
    absolute = _at_most(f, f.unary("fabs", x), 9.1 if f.m.single else 19.2)  # it rounds to 1 from there on
    one, unit = f.constant(1.0), 0.5
    _, n, r = _reduce(f, absolute, unit, short=True)
    series = _economised(1, 5 if f.m.single else 10, unit)
    less_one = f.b.fmul(r, polynomial(f, r, [c / unit for c in series]))  # exp(r) - 1, without loss near zero
    scale = _power_of_two(f, n)
    e = f.fma(scale, less_one, f.b.fsub(scale, one))  # exp(2|x|) - 1
    return f.copysign(_quotient(f, e, f.b.fadd(e, f.constant(2.0))), x)


def _log1p_by_atanh(f: Function, top: Any, bottom: Any, terms: int) -> Any:
    """log(1 + top / (bottom - top) ...) = 2 atanh(s) with s = top / bottom, by its series in s^2."""
    s = f.b.fdiv(top, bottom)
    z = f.b.fmul(s, s)
    series = polynomial(f, z, [float(Fraction(2, 2 * k + 1)) for k in range(1, terms)])
    return f.fma(f.b.fmul(s, z), series, f.b.fmul(s, f.constant(2.0)))


def log(f: Function, x: Any) -> Any:
    single, b = f.m.single, f.b
    mantissa, bias = (23, 127) if single else (52, 1023)
    tiny = b.fcmp_ordered("<", x, f.constant(2.0 ** (1 - bias)))
    scaled = b.select(tiny, b.fmul(x, f.constant(2.0**mantissa)), x)
    bits = b.bitcast(scaled, f.m.integers)
    # an exponent such that the mantissa lies in [sqrt(1/2), sqrt(2))
    offset = b.sub(bits, f.integer(0x3F3504F3 if single else 0x3FE6A09E667F3BCD))
    n = b.ashr(offset, f.integer(mantissa))
    m = b.bitcast(b.sub(bits, b.shl(n, f.integer(mantissa))), f.m.vector)
    top = b.fsub(m, f.constant(1.0))
    whole = b.sitofp(n, f.m.vector)
    whole = b.fsub(whole, b.select(tiny, f.constant(float(mantissa)), f.constant(0.0)))
    part = _log1p_by_atanh(f, top, b.fadd(m, f.constant(1.0)), 5 if single else 11)
    low = f.fma(whole, f.constant(_LN2_LOW[single]), part)
    y = f.fma(whole, f.constant(_LN2_HIGH[single]), low)
    y = b.select(b.fcmp_ordered("==", x, f.constant(0.0)), f.constant(-math.inf), y)
    y = b.select(b.fcmp_ordered("==", x, f.constant(math.inf)), x, y)
    return b.select(b.fcmp_unordered("<", x, f.constant(0.0)), f.constant(math.nan), y)


def softplus(f: Function, x: Any) -> Any:
    e = _exp_of_negative(f, f.b.fneg(f.unary("fabs", x)))
    tail = _log1p_by_atanh(f, e, f.b.fadd(e, f.constant(2.0)), 8 if f.m.single else 17)
    return f.b.fadd(f.maximum(x, f.constant(0.0)), tail)


def _quadrant(f: Function, x: Any) -> tuple[Any, Any]:
    """The quadrant and the rest in [-pi/4, pi/4]; for |x| up to about 10^6 (float32) and 10^9 (float64)."""
    b = f.b
    if not f.m.single:
        whole, n = _round(f, x, 2.0 / math.pi)
        r = x
        for part in _HALF_PI:
            r = f.fma(whole, f.constant(-part), r)
        return n, r
    # float32 is reduced in float64: the same steps cost two vectors and lose nothing
    wide = ir.VectorType(ir.DoubleType(), f.m.lanes)
    long = ir.VectorType(ir.IntType(64), f.m.lanes)

    def constant(value: float) -> Any:
        return ir.Constant(wide, [value] * f.m.lanes)

    x = b.fpext(x, wide)
    magic = constant(1.5 * 2.0**52)
    shifted = b.fadd(b.fmul(x, constant(2.0 / math.pi)), magic)
    whole = b.fsub(shifted, magic)
    n = b.trunc(b.bitcast(shifted, long), f.m.integers)
    r = b.fsub(b.fsub(x, b.fmul(whole, constant(_HALF_PI[0]))), b.fmul(whole, constant(_HALF_PI[1])))
    return n, b.fptrunc(r, f.m.vector)


def _circular(f: Function, x: Any, quarter: int) -> Any:
    b = f.b
    n, r = _quadrant(f, x)
    n = b.add(n, f.integer(quarter))
    z = b.fmul(r, r)
    stop = 11 if f.m.single else 20
    signs = [(-1.0) ** k for k in range(stop)]
    sine = [c * s for c, s in zip(_inverse_factorials(3, stop, 2), signs[1:], strict=False)]
    cosine = [c * s for c, s in zip(_inverse_factorials(2, stop, 2), signs[1:], strict=False)]
    s = f.fma(b.fmul(r, z), polynomial(f, z, sine), r)
    c = f.fma(z, polynomial(f, z, cosine), f.constant(1.0))
    y = b.select(b.icmp_signed("==", b.and_(n, f.integer(1)), f.integer(0)), s, c)
    return b.select(b.icmp_signed("==", b.and_(n, f.integer(2)), f.integer(0)), y, b.fneg(y))


def sin(f: Function, x: Any) -> Any:
    return _circular(f, x, 0)


def cos(f: Function, x: Any) -> Any:
    return _circular(f, x, 1)


def _compare(sign: str) -> Callable[..., Any]:
    def emit(f: Function, a: Any, b: Any) -> Any:
        return f.b.select(f.b.fcmp_ordered(sign, a, b), f.constant(1.0), f.constant(0.0))

    return emit


def _with_nan(f: Function, a: Any, b: Any, value: Any) -> Any:
    """The value, or NaN where an argument is."""
    return f.b.select(f.b.fcmp_unordered("uno", a, b), f.b.fadd(a, b), value)


def _where(f: Function, mask: Any, a: Any, b: Any) -> Any:
    return f.b.select(f.b.fcmp_unordered("!=", mask, f.constant(0.0)), a, b)


# how each op of the table is written in machine terms; its meaning is the interpreter's, and tests compare the two
EMIT: dict[str, Callable[..., Any]] = {
    "add": lambda f, a, b: f.b.fadd(a, b),
    "sub": lambda f, a, b: f.b.fsub(a, b),
    "mul": lambda f, a, b: f.b.fmul(a, b),
    "div": lambda f, a, b: f.b.fdiv(a, b),
    "neg": lambda f, a: f.b.fneg(a),
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": lambda f, a: f.b.select(f.b.fcmp_ordered("<", a, f.constant(0.0)), f.constant(0.0), a),  # NaN stays NaN
    "softplus": softplus,
    "exp": exp,
    "log": log,
    "sqrt": lambda f, a: f.unary("sqrt", a),
    "sin": sin,
    "cos": cos,
    "abs": lambda f, a: f.unary("fabs", a),
    "min": lambda f, a, b: _with_nan(f, a, b, f.minimum(a, b)),
    "max": lambda f, a, b: _with_nan(f, a, b, f.maximum(a, b)),
    "where": _where,
    "lt": _compare("<"),
    "le": _compare("<="),
    "gt": _compare(">"),
    "ge": _compare(">="),
    "stop_gradient": lambda f, a: a,
    "balanced": lambda f, a: a,
    "broadcast": lambda f, a: a,
}
