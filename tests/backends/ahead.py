"""Compiles the kernels of test_cells_crossed.py from its end, into the same cache, while the suite goes through it from its
beginning: most of the suite's time is one thread that compiles, and there is a second processor."""

import test_cells_crossed as suite

from gatewise import cells
from gatewise.backends.cpu.target import bfloat16_products
from gatewise.errors import GatewiseError


def runs():
    """The tests that compile, in the order of the file, each with its arguments."""
    names = cells.names()
    yield from ((suite.test_kernels_agree_with_the_interpreter, (n, d)) for n in names for d in ("float64", "float32"))
    yield from ((suite.test_kernels_hand_out_every_value_and_its_gradient, (n,)) for n in names)
    try:
        way = bfloat16_products()
    except GatewiseError:
        way = ""
    if way:
        yield from ((suite.test_kernels_round_the_operands_of_products_as_the_interpreter_does, (n, way)) for n in names)
    yield from ((suite.test_every_vector_width_computes_the_same, (n, w)) for n in names for w in suite.widths())


if __name__ == "__main__":
    for test, arguments in reversed(list(runs())):
        test(*arguments)
