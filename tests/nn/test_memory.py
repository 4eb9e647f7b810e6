"""What training keeps in memory, and checkpoints over time."""

import gc

import pytest
import torch

from gatewise import GatewiseError
from gatewise.backends.cpu.memory import POOL
from gatewise.nn import Recurrent


def in_use() -> int:
    gc.collect()
    return POOL.leased


def kept_after_forward(layer, x):
    before = in_use()
    y, _ = layer(x)
    kept = in_use() - before
    y.sum().backward()
    return kept


@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru_v1", "qrnn"])
def test_checkpoints_change_no_value_and_no_gradient(name, bidirectional, ragged):
    torch.manual_seed(0)
    options = {"num_layers": 2, "bidirectional": bidirectional, "dtype": torch.float64, "zoneout": 0.2}
    plain, saving = Recurrent(name, 4, 6, **options), Recurrent(name, 4, 6, checkpoint_steps=5, **options)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(17, 3, 4, dtype=torch.float64)
    lengths = torch.tensor([17, 4, 11]) if ragged else None
    results = []
    for layer in (plain, saving):
        torch.manual_seed(1)
        learned = x.clone().requires_grad_()
        y, finals = layer(learned, lengths=lengths)
        (y.square().sum() + sum(f.sum() for f in finals)).backward()
        results.append([y, *finals, learned.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_checkpoints_keep_little():
    x = torch.randn(400, 8, 16)
    all_kept = kept_after_forward(Recurrent("lstm", 16, 64), x)
    few_kept = kept_after_forward(Recurrent("lstm", 16, 64, checkpoint_steps=20), x)
    gates, states = 4 * 400 * 8 * 64 * 4, 2 * 400 * 8 * 64 * 4
    assert gates + states < all_kept < 1.2 * (gates + states)  # the gates, the states and the output, which is one of them
    assert few_kept < 0.1 * all_kept


def test_memory_is_given_back():
    layer, x = Recurrent("lstm", 16, 64), torch.randn(50, 8, 16)
    kept_after_forward(layer, x)
    layer.zero_grad()
    before = in_use()
    for _ in range(3):
        kept_after_forward(layer, x)
        layer.zero_grad()
    assert in_use() == before


def test_a_wrong_number_is_refused():
    with pytest.raises(GatewiseError, match="checkpoint_steps must be a whole number above 0, got 0"):
        Recurrent("lstm", 2, 3, checkpoint_steps=0)
