"""Batch normalisation of input products, against Li-GRU written out with torch's own (arXiv 1803.10225, equations 9, 10)."""

import pytest
import torch
from torch.nn import functional as F

from gatewise import GatewiseError
from gatewise.nn import Recurrent

H = 6


def written_out(layer, x, lengths, training):
    """A loop over time of batch-normalised products; its running statistics are those of torch."""
    p = {n.removesuffix("_l0"): v for n, v in layer.named_parameters() if not n.startswith("norm")}
    norm = layer.norm_l0
    real = torch.arange(len(x))[:, None] < lengths
    products = x @ p["weight_ih"].T
    running = [torch.zeros(2 * H, dtype=x.dtype), torch.ones(2 * H, dtype=x.dtype)]
    if not training:
        running = [(norm.mean @ p["weight_ih"].T).detach(), norm.variance]
    a = torch.zeros_like(products)
    a[real] = F.batch_norm(products[real], *running, norm.gain, None, training)
    a = a + p["bias"]
    h, ys = torch.zeros(x.shape[1], H, dtype=x.dtype), []
    for t in range(len(x)):
        z, n = (a[t] + h @ p["weight_hh"].T).split(H, 1)
        z = torch.sigmoid(z)
        new = z * h + (1 - z) * torch.relu(n)
        h = torch.where(real[t][:, None], new, h)
        ys.append(torch.where(real[t][:, None], new, 0.0))
    return torch.stack(ys), running


@pytest.fixture
def layer():
    torch.manual_seed(0)
    made = Recurrent("li_gru", 4, H, batch_norm=True, dtype=torch.float64)
    with torch.no_grad():
        made.norm_l0.gain.uniform_(0.5, 2.0)
    return made


def test_li_gru_with_batch_normalisation(layer):
    x = 3.0 + 2.0 * torch.randn(7, 5, 4, dtype=torch.float64)
    x.requires_grad_()
    lengths = torch.tensor([7, 1, 5, 0, 3])
    y, _ = layer(x, lengths=lengths)
    expected, running = written_out(layer, x, lengths, True)
    torch.testing.assert_close(y, expected)
    dy = torch.randn_like(y)
    leaves = [x, *layer.parameters()]
    for got, want in zip(torch.autograd.grad(y, leaves, dy), torch.autograd.grad(expected, leaves, dy), strict=True):
        torch.testing.assert_close(got, want)
    torch.testing.assert_close(layer.norm_l0.mean @ layer.weight_ih_l0.T, running[0])
    # torch's average begins at 1 as ours does
    torch.testing.assert_close(layer.norm_l0.variance, running[1])


def test_evaluation_uses_the_moving_averages(layer):
    lengths = torch.tensor([7, 2, 5])
    for _ in range(3):
        layer(torch.randn(7, 3, 4, dtype=torch.float64) * 2 + 1, lengths=lengths)
    layer.eval()
    before = {n: v.clone() for n, v in layer.state_dict().items()}
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x, lengths=lengths)[0], written_out(layer, x, lengths, False)[0])
    assert all(torch.equal(v, before[n]) for n, v in layer.state_dict().items())
    one = layer(x[:1, :1])[0]  # a single step is no batch, and may be run
    assert torch.isfinite(one).all()


@pytest.mark.parametrize("name", ["lstm", "gru_v1", "rhn", "layer_norm_lstm", "slstm", "fast_grnn"])
def test_padding_is_inert_and_scale_and_shift_of_x_do_not_matter(name):
    torch.manual_seed(1)
    layer = Recurrent(name, 4, 8, num_layers=2, bidirectional=True, batch_norm=True, dtype=torch.float64)
    x, lengths = torch.randn(6, 5, 4, dtype=torch.float64), torch.tensor([6, 2, 4, 6, 1])
    x = 1000 * x  # so that epsilon does not matter
    y = layer(x, lengths=lengths)[0]
    torch.testing.assert_close(layer(5 * x + 700, lengths=lengths)[0], y, rtol=1e-4, atol=1e-5)
    padded = x.clone()
    padded[torch.arange(6)[:, None] >= lengths] = torch.nan
    torch.testing.assert_close(layer(padded, lengths=lengths)[0], y, rtol=0, atol=0)


def test_what_it_refuses(layer):
    with pytest.raises(GatewiseError, match="at least 2 steps"):
        layer(torch.randn(1, 1, 4, dtype=torch.float64))
    for name in ("qrnn", "mass_conserving_lstm"):
        with pytest.raises(GatewiseError, match="otherwise than through its matrices"):
            Recurrent(name, 4, 8, batch_norm=True)
