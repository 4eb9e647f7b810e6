"""The torch network: how it starts, what it shares, what it drops."""

import pytest
import torch

from gatewise import LanguageModel, cells
from gatewise.runtime.architecture import Architecture, Encoder, Head, Stack
from gatewise.tasks.network import INPUT_BOUND, Network, TrainingMode

ENCODERS = {"one-hot": Encoder("one_hot", 50, 50), "embedding": Encoder("embedding", 50, 20)}


def build(encoder: Encoder, layers: int = 1, tied: bool = False, dropout: float = 0.0, cell: str = "lstm") -> Network:
    torch.manual_seed(0)
    hidden_size = encoder.size if tied else 64
    return Network(Architecture(encoder, Stack(cells.get(cell), hidden_size, layers), Head(50, tied)), TrainingMode(dropout))


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
    scores, _, _ = network(torch.zeros(3, 2, dtype=torch.int64))
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
    whole, _, _ = network(tokens)
    first, states, _ = network(tokens[:2])
    assert isinstance(states, tuple)
    second, _, _ = network(tokens[2:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole)


def test_a_model_trained_with_every_regulariser_runs_without_torch_as_in_torch(corpus):
    """Masks are drawn in training only; zoneout's mean is part of the model, in the file and in NumPy."""
    model = LanguageModel(
        cell="lstm",
        hidden_size=16,
        num_layers=2,
        dropout=0.2,
        input_dropout=0.1,
        variational_dropout=True,
        weight_dropout=0.3,
        zoneout=0.25,
        activation_penalty=1.0,
        temporal_penalty=0.5,
        max_steps=12,
        bptt=20,
        batch_size=8,
        verbose=False,
    ).fit(corpus)
    network = Network(model.architecture_).eval()
    network.load_state_dict({n: torch.from_numpy(a) for n, a in model.weights_.items()}, strict=False)
    tokens = model.vocabulary_.encode(corpus[:40]).astype("int64")
    whole, first = model.log_likelihood([corpus[:40], corpus[:1]])
    start = model.vocabulary_.start
    states = network(torch.tensor([[start]]))[1]
    scores, _, penalty = network(torch.tensor(tokens[:-1])[:, None], states)
    assert penalty is None
    expected = torch.log_softmax(scores[:, 0].double(), 1)[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])].sum()
    assert whole - first == pytest.approx(expected.item(), rel=1e-5)
    assert model.architecture_.stack.running_cell != model.architecture_.stack.cell
    again = type(model.architecture_).from_json(model.architecture_.to_json())
    assert again == model.architecture_


def test_penalties_are_part_of_the_training_loss_only():
    torch.manual_seed(0)
    network = Network(
        Architecture(ENCODERS["one-hot"], Stack(cells.get("lstm"), 64, 1), Head(50, False)),
        TrainingMode(activation_penalty=2.0, temporal_penalty=3.0),
    )
    tokens = torch.arange(12).reshape(6, 2)
    y, _ = network.recurrent(network.encoder(tokens))
    expected = 2 * y.square().mean() + 3 * (y[1:] - y[:-1]).square().mean()
    torch.testing.assert_close(network(tokens)[2], expected)
    assert network.eval()(tokens)[2] is None
