"""The torch network: how it starts, what it shares, what it drops."""

import pytest
import torch

from gatewise import cells
from gatewise.runtime.architecture import Architecture, Encoder, Head, Stack
from gatewise.tasks.network import INPUT_BOUND, Network

ENCODERS = {"one-hot": Encoder("one_hot", 50, 50), "embedding": Encoder("embedding", 50, 20)}


def build(encoder: Encoder, layers: int = 1, tied: bool = False, dropout: float = 0.0, cell: str = "lstm") -> Network:
    torch.manual_seed(0)
    hidden_size = encoder.size if tied else 64
    return Network(Architecture(encoder, Stack(cells.get(cell), hidden_size, layers), Head(50, tied)), dropout)


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_at_the_start_a_token_moves_the_gates(encoder):
    network = build(encoder)
    gates = network.encoder(torch.arange(50)) @ network.recurrent.get_parameter("weight_ih_l0").T
    # uniform within the bound has a standard deviation of bound / sqrt(3)
    assert gates.std().item() == pytest.approx(INPUT_BOUND / 3**0.5, rel=0.1)


def test_only_the_first_layer_is_widened():
    recurrent = build(ENCODERS["one-hot"], layers=2).recurrent
    bound = 64**-0.5
    assert recurrent.get_parameter("weight_ih_l0").abs().max() > 10 * bound
    for name in ("weight_ih_l1", "weight_hh_l0", "weight_hh_l1"):
        assert recurrent.get_parameter(name).abs().max() <= bound


def test_a_tied_head_trains_the_embedding_from_both_sides():
    network = build(Encoder("embedding", 50, 64), tied=True)
    assert "head.weight" not in network.state_dict()
    scores, _ = network(torch.zeros(3, 2, dtype=torch.int64))
    scores[..., 7].sum().backward()  # token 7 is no input here, so only the head can reach its row
    gradient = network.encoder.weight.grad
    assert gradient[7].abs().sum() > 0
    assert gradient[0].abs().sum() > 0
    assert gradient[8].abs().sum() == 0


def test_dropout_acts_in_training_only():
    network = build(ENCODERS["one-hot"], layers=2, dropout=0.5)
    tokens = torch.arange(12).reshape(6, 2)
    assert not torch.equal(network(tokens)[0], network(tokens)[0])
    network.eval()
    assert torch.equal(network(tokens)[0], network(tokens)[0])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_states_are_a_tuple_for_every_cell_and_can_be_carried(cell):
    network = build(ENCODERS["one-hot"], cell=cell).eval()
    tokens = torch.arange(12).reshape(6, 2)
    whole, _ = network(tokens)
    first, states = network(tokens[:2])
    assert isinstance(states, tuple)
    second, _ = network(tokens[2:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole)
