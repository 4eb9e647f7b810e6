"""exp, log, tanh, sigmoid, softplus, sin and cos on vectors, over the whole range of their type."""

import ctypes

import numpy as np
import pytest

from gatewise.backends.cpu.compile import compile_object
from gatewise.backends.cpu.emit import I64, POINTER, Module
from gatewise.backends.cpu.target import binding, host
from gatewise.backends.cpu.vectormath import EMIT

_alive = []


def vectorised(name, dtype, lanes=None):
    """The emitted function over an array whose size is a multiple of the vector."""
    target = host(lanes)
    m = Module(target, dtype)
    f = m.function("run", [("source", POINTER), ("to", POINTER), ("count", I64)], internal=False)

    def body(i):
        offset = f.mul(i, m.size)
        f.store(EMIT[name](f, f.load(f.at(f.arg["source"], offset))), f.at(f.arg["to"], offset))

    restore = (lambda: None) if name == "log" else f.flush_subnormals()  # as in kernels; its arguments would be 0 too
    f.loop(f.arg["count"], body, step=m.lanes)
    restore()
    f.end()
    llvm = binding()
    found = llvm.Target.from_triple(target.triple)
    machine = found.create_target_machine(cpu=target.cpu, features=target.features, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(compile_object(str(m.module), target)))
    engine.finalize_object()
    _alive.append(engine)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(engine.get_function_address("run"))

    def call(x):
        y = np.empty_like(x)
        function(x.ctypes.data, y.ctypes.data, len(x))
        return y

    return call


def reference(name, x):
    """In long double: 64 bits of mantissa, enough to judge float64 to a tenth of a unit."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            return 1 / (1 + np.exp(-x))
        if name == "softplus":
            return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
        return getattr(np, name)(x)


def every_kind_of_float32(count=1 << 20):
    """Bit patterns spread evenly over all finite float32, and the edges."""
    bits = np.linspace(0, 0x7F7FFFFF, count // 2 - 16, dtype=np.float64).astype(np.uint32)
    rng = np.random.default_rng(0)
    bits = np.minimum(bits + rng.integers(0, 1000, len(bits), dtype=np.uint32), 0x7F7FFFFF)
    edges = np.array(
        [
            0,
            1,
            2,
            0x007FFFFF,
            0x00800000,
            0x3F800000,
            0x7F7FFFFF,
            0x42B17218,
            0x42CFF1B5,
            0x41100000,
            0x3EB17218,
            0x3F317218,
            0x38D1B717,
            0x33800000,
            0x34000000,
            0x42AEAC50,
        ],
        np.uint32,
    )
    positive = np.concatenate([bits, edges]).view(np.float32)
    return np.concatenate([positive, -positive])


def units_in_the_last_place(got, exact, dtype):
    """What cannot be told from zero while subnormal numbers are zeros is no error."""
    info = np.finfo(dtype)
    exact = np.where((np.abs(exact) < 4 * info.smallest_normal) & (got == 0), 0, exact)
    size = np.maximum(np.abs(exact), info.smallest_normal)
    unit = np.exp2(np.floor(np.log2(size)) - info.nmant)
    return np.abs(got.astype(np.longdouble) - exact) / unit


def test_sigmoid_far_to_the_left_at_every_float():
    """Where the error of ln 2 would count most."""
    bits = np.arange(np.float32(17).view(np.uint32), np.float32(87).view(np.uint32), dtype=np.uint32)
    x = -bits[: len(bits) // 16 * 16].view(np.float32)
    assert units_in_the_last_place(vectorised("sigmoid", "float32")(x), reference("sigmoid", x), np.float32).max() <= 4


FUNCTIONS = ["exp", "tanh", "sigmoid", "softplus", "log"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_is_within_four_units_over_the_whole_range(name):
    x = every_kind_of_float32()
    if name == "log":
        x = np.abs(x[x != 0])
        x = x[: len(x) // 16 * 16].copy()
    y = vectorised(name, "float32")(x)
    assert not np.isnan(y).any()
    exact = reference(name, x)
    with np.errstate(over="ignore"):
        overflows = np.abs(exact) > np.finfo(np.float32).max
    assert np.isinf(y[overflows]).all()
    error = units_in_the_last_place(y[~overflows], exact[~overflows], np.float32)
    assert error.max() <= 4, (float(error.max()), x[~overflows][error.argmax()])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_within_three_units(name):
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [
            rng.uniform(-750, 720, 200_000),
            rng.uniform(-30, 30, 200_000),
            rng.uniform(-1, 1, 200_000),
            np.exp(rng.uniform(-700, 0, 100_000)) * rng.choice([-1, 1], 100_000),
            np.array([0.0, -0.0] * 8),
        ]
    )
    if name == "log":
        x = np.abs(np.concatenate([x, np.exp(rng.uniform(-700, 700, 100_000))]))
        x = x[x > 0]
    x = x[: len(x) // 16 * 16].copy()
    y = vectorised(name, "float64")(x)
    assert not np.isnan(y).any()
    exact = reference(name, x)
    fits = np.abs(exact) <= np.finfo(np.float64).max
    error = units_in_the_last_place(y[fits], exact[fits], np.float64)
    assert error.max() <= 3, (float(error.max()), x[fits][error.argmax()])


@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize(("dtype", "reach"), [("float32", 1e5), ("float64", 1e5)])
def test_circular_functions(name, dtype, reach):
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-reach, reach, 100_000), rng.uniform(-4, 4, 100_000)])
    x = x[: len(x) // 16 * 16].astype(dtype)
    y = vectorised(name, dtype)(x)
    error = np.abs(y - reference(name, x))
    assert error.max() <= 2 * np.finfo(dtype).eps


@pytest.mark.parametrize("lanes", [4, 8])
def test_narrow_vectors_compute_the_same_functions(lanes):
    x = np.linspace(-20, 20, 4096, dtype=np.float32)
    for name in ("tanh", "sigmoid"):
        error = units_in_the_last_place(vectorised(name, "float32", lanes)(x), reference(name, x), np.float32)
        assert error.max() <= 4


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "softplus"])
def test_no_not_a_number_becomes_a_number(name, lanes):
    """Whatever its bits are: R's NA has some of its own."""
    bits = np.array([0x7FC00000, 0x7FC00001, 0xFFFFFFFF, 0x7FC00080, 0x7FA00000, 0xFFC12345] + [0x7FC00100] * 10, np.uint32)
    assert np.isnan(vectorised(name, "float32", lanes)(bits.view(np.float32))).all()
    wide = np.array([0x7FF00000000007A2, 0x7FF8000000000400, 0x7FF8000000000000, 0xFFFFFFFFFFFFFFFF] * 4, np.uint64)
    assert np.isnan(vectorised(name, "float64", lanes)(wide.view(np.float64))).all()


def test_ends_of_the_range():
    x = np.array([np.nan, np.inf, -np.inf, 0.0] * 4, np.float32)
    np.testing.assert_array_equal(vectorised("sigmoid", "float32")(x)[1:4], [1, 0, 0.5])
    np.testing.assert_array_equal(vectorised("tanh", "float32")(x)[1:4], [1, -1, 0])
    np.testing.assert_array_equal(vectorised("log", "float32")(x)[1], np.inf)
    assert np.isnan(vectorised("log", "float32")(np.full(16, -1.0, np.float32))).all()
    assert (vectorised("log", "float32")(np.zeros(16, np.float32)) == -np.inf).all()
