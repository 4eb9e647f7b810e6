"""The loss in slices of rows against torch's two functions."""

import pytest
import torch
from torch.nn import functional as F

from gatewise.nn import linear_cross_entropy as module
from gatewise.nn.linear_cross_entropy import linear_cross_entropy


@pytest.fixture
def inputs():
    """x, weight, bias, targets; one class is never asked for and some scores are large."""
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((53, 7), (11, 7), (11,)))
    x[3] *= 300
    return [t.requires_grad_() for t in (x, weight, bias)], torch.randint(0, 10, (53,))


def in_slices(monkeypatch, rows):
    monkeypatch.setattr(module, "SLICED", 1)
    monkeypatch.setattr(module, "FEWEST_ROWS", rows)


def plain(x, weight, bias, targets):
    return F.cross_entropy(F.linear(x, weight, bias), targets)


@pytest.mark.parametrize("rows", [1, 10, 53, 100])  # the last slice is full, short, the only one, larger than all
def test_loss_and_gradients_are_torchs(inputs, rows, monkeypatch):
    tensors, targets = inputs
    expected = plain(*tensors, targets)
    gradients = torch.autograd.grad(3 * expected, tensors)
    in_slices(monkeypatch, rows)
    loss = linear_cross_entropy(*tensors, targets)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    for got, wanted in zip(torch.autograd.grad(3 * loss, tensors), gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("learns", [(True, False, False), (False, True, False), (False, False, True), (False, False, False)])
def test_only_what_learns_gets_a_gradient(inputs, learns, monkeypatch):
    tensors, targets = inputs
    for tensor, learn in zip(tensors, learns, strict=True):
        tensor.requires_grad_(learn)
    wanted = [t for t in tensors if t.requires_grad]
    expected = torch.autograd.grad(plain(*tensors, targets), wanted) if wanted else []
    in_slices(monkeypatch, 20)
    loss = linear_cross_entropy(*tensors, targets)
    assert loss.requires_grad == any(learns)
    for got, right in zip(torch.autograd.grad(loss, wanted) if wanted else [], expected, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-11, atol=1e-13)


def test_scores_of_all_rows_are_never_in_memory(inputs, monkeypatch):
    tensors, targets = inputs
    in_slices(monkeypatch, 20)
    sizes = []
    addmm = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *args, out: sizes.append(out.numel()) or addmm(*args, out=out))
    linear_cross_entropy(*tensors, targets)
    assert sizes == [220, 220, 143]


def test_without_gradients_none_are_computed(inputs, monkeypatch):
    """As in validation, where all parameters learn but nothing is differentiated."""
    tensors, targets = inputs
    in_slices(monkeypatch, 20)
    monkeypatch.setattr(torch, "mm", None)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(*tensors, targets), plain(*tensors, targets), rtol=1e-13, atol=0)


def test_few_classes_and_autocast_are_left_to_torch(inputs, monkeypatch):
    tensors, targets = inputs
    assert linear_cross_entropy(*tensors, targets).grad_fn.name() == "NllLossBackward0"
    in_slices(monkeypatch, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear_cross_entropy(*(t.float() for t in tensors), targets).grad_fn.name() == "NllLossBackward0"
