"""Every row of the op table: its derivative against differences, and the two namespaces against each other."""

import numpy as np
import pytest
import torch

from gatewise.ir.graph import Builder, Graph
from gatewise.ir.namespaces import NUMPY, namespace_of
from gatewise.ir.ops import ELEMENTWISE, OPS, REDUCTION

SAMPLED = [op for op in OPS.values() if op.domain and op.shape in (ELEMENTWISE, REDUCTION)]
DIFFERENTIABLE = [
    op for op in SAMPLED if op.derivative and op.name not in ("lt", "le", "gt", "ge", "stop_gradient", "balanced")
]


def samples(op, count=(7, 5), seed=0):
    """Random arguments of the op's domain, away from the kinks of choices."""
    rng = np.random.default_rng(seed)
    args = [rng.uniform(low, high, count) for low, high in op.domain]
    if op.name in ("min", "max"):
        args[1] = np.where(np.abs(args[0] - args[1]) < 0.05, args[1] + 0.2, args[1])
    if op.name in ("relu", "abs"):
        args[0] = np.where(np.abs(args[0]) < 0.05, 0.3, args[0])
    return args


def symbolic_gradients(op, args, g):
    """The op's own rule, run by the interpreter's meanings."""
    b = Builder()
    leaves = [b.leaf("state", "hidden_size", f"a{k}") for k in range(len(args))]
    y = b.apply(op.name, *leaves)
    seed = b.leaf("cotangent", y.dim, "g")
    results = op.derivative(y, *leaves, seed)
    values = {leaf.index: a for leaf, a in zip(leaves, args, strict=True)} | {seed.index: g}
    graph = Graph(tuple(b.nodes), ())
    from gatewise.backends.interpret import evaluate

    wanted = {r.index for r in results if r is not None}
    found = evaluate(graph, values, wanted, {}, {"hidden_size": args[0].shape[-1]}, NUMPY)
    return [None if r is None else np.broadcast_to(found[r.index], args[0].shape) for r in results]


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_derivative_agrees_with_differences(op):
    args = samples(op)
    y = op.meaning(NUMPY, *args)
    g = np.random.default_rng(1).standard_normal(y.shape)
    step = 1e-6
    for k, gradient in enumerate(symbolic_gradients(op, args, g)):
        if op.name == "where" and k == 0:
            assert gradient is None
            continue
        up, down = list(args), list(args)
        direction = np.random.default_rng(2).standard_normal(args[k].shape)
        up[k], down[k] = args[k] + step * direction, args[k] - step * direction
        numeric = ((op.meaning(NUMPY, *up) - op.meaning(NUMPY, *down)) / (2 * step) * g).sum()
        assert (gradient * direction).sum() == pytest.approx(numeric, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)
def test_torch_means_the_same_as_numpy(op):
    args = samples(op)
    tensors = [torch.tensor(a) for a in args]
    expected = op.meaning(NUMPY, *args)
    got = op.meaning(namespace_of(tensors[0]), *tensors)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-13, atol=1e-14)


def test_every_op_that_computes_says_what_tests_may_sample():
    missing = [op.name for op in OPS.values() if op.shape in (ELEMENTWISE, REDUCTION) and not op.domain]
    assert missing == []


def test_constants_fold_to_what_the_meaning_gives():
    b = Builder()
    assert b.apply("tanh", b.const(0.5)).constant == np.tanh(0.5)
    x = b.leaf("state", "hidden_size", "h")
    assert (x + 0.0).index == x.index
    assert (1.0 * x).index == x.index
    assert b.apply("neg", -x).index == x.index
    assert (x * 2.0).index == b.apply("mul", x, 2.0).index  # hash-consed
