"""The pool: who looks at its memory keeps it."""

import gc

import numpy as np
import pytest

from gatewise.backends.cpu.memory import ALIGNMENT, SMALL, Pool, address


@pytest.mark.parametrize(
    "look",
    [
        lambda a: a,
        lambda a: a[1:],
        lambda a: a.reshape(-1)[5:],
        lambda a: a.view(np.uint8)[-8:],
        lambda a: np.ndarray((3,), np.float32, a, 8),
        lambda a: pytest.importorskip("torch").from_numpy(a)[2:],
    ],
    ids=["array", "slice", "reshaped", "other dtype", "within", "tensor"],
)
def test_a_block_comes_back_after_its_last_view(look):
    pool = Pool()
    view = look(pool.empty((2, SMALL), np.float32))
    gc.collect()
    assert pool.leased == 8 * SMALL
    assert pool.waiting == 0
    del view
    gc.collect()
    assert pool.leased == 0
    again = pool.empty((2 * SMALL,), np.float32)
    assert type(again) is np.ndarray
    assert address(again) % ALIGNMENT == 0
    assert pool.waiting == 0  # the same block


def test_no_more_waits_than_the_limit():
    pool = Pool(limit=20 * SMALL)
    for size in (5, 6, 7, 8):
        pool.empty((size * SMALL,), np.uint8)
    assert 0 < pool.waiting <= 20 * SMALL
