"""The embedding with a faster gradient, against torch's own."""

import pytest
import torch

from gatewise.nn import Embedding


def both(tokens, **options):
    ours, theirs = Embedding(50, 6, **options), torch.nn.Embedding(50, 6, **options)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, theirs):
        y = layer(tokens)
        (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
        found.append((y, layer.weight.grad.to_dense()))
    return found


@pytest.mark.parametrize("shape", [(7, 3), (200,), (), (0, 4), (2, 3, 5)])
def test_it_is_torchs_to_the_bit(shape):
    (y, gradient), (expected, expected_gradient) = both(
        torch.randint(0, 50, shape, generator=torch.Generator().manual_seed(1))
    )
    assert torch.equal(y, expected) and y.shape == (*shape, 6)
    assert torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize("options", [{"padding_idx": 3}, {"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}])
def test_what_is_asked_for_beyond_that_is_torchs(options):
    (y, gradient), (expected, expected_gradient) = both(torch.arange(12).reshape(3, 4) % 5, **options)
    assert torch.equal(y, expected) and torch.equal(gradient, expected_gradient)


def test_a_token_that_is_not_there():
    with pytest.raises(IndexError):
        Embedding(5, 2)(torch.tensor([5]))


def test_inside_torch_compile_and_of_other_types():
    layer, tokens = Embedding(9, 4, dtype=torch.float64), torch.tensor([[1, 2], [8, 1]], dtype=torch.int32)
    assert torch.equal(layer(tokens), torch.nn.functional.embedding(tokens, layer.weight))
    assert torch.equal(torch.compile(layer, backend="aot_eager")(tokens), layer(tokens))
