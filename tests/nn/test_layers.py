"""The layers against torch.nn: outputs, states, gradients, state_dict, shapes; and what they say to wrong input."""

import copy
import subprocess
import sys

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import gatewise.nn as gnn
from gatewise import cells
from gatewise.errors import GatewiseError
from gatewise.nn.standard import STANDARD, run_fused

CONFIGURATIONS = [
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"bias": False, "batch_first": True}),
    ("LSTM", {"proj_size": 5, "num_layers": 2, "bidirectional": True}),
    ("GRU", {}),
    ("GRU", {"num_layers": 3, "batch_first": True}),
    ("GRU", {"bidirectional": True, "bias": False}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("RNN", {"bidirectional": True}),
]


def pair(kind, options, dtype=torch.float64):
    torch.manual_seed(3)
    theirs = getattr(torch.nn, kind)(7, 12, dtype=dtype, **options)
    torch.manual_seed(3)
    ours = getattr(gnn, kind)(7, 12, dtype=dtype, **options)
    return ours, theirs


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # torch says it of its own layer
@pytest.mark.parametrize(("kind", "options"), CONFIGURATIONS, ids=str)
class TestAgainstTorch:
    def test_the_same_seed_gives_the_same_weights_and_names(self, kind, options):
        ours, theirs = pair(kind, options)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for name, value in theirs.state_dict().items():
            assert ours.state_dict()[name].shape == value.shape
            assert torch.equal(ours.state_dict()[name], value)

    def test_outputs_states_and_all_gradients(self, kind, options):
        ours, theirs = pair(kind, options)
        x = torch.randn(6, 4, 7, dtype=torch.float64)
        _, shaped = theirs(x)
        initial = [torch.randn_like(s) for s in as_tuple(shaped)]
        results = []
        for layer in (ours, theirs):
            inputs = [t.clone().requires_grad_() for t in (x, *initial)]
            hx = tuple(inputs[1:]) if len(inputs) > 2 else inputs[1]
            y, states = layer(inputs[0], hx)
            assert isinstance(states, tuple) == (kind == "LSTM")
            weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
            loss = (y * weights).sum() + sum((s**2).sum() for s in as_tuple(states))
            gradients = torch.autograd.grad(loss, [*inputs, *layer.parameters()])
            results.append((y, *as_tuple(states), *gradients))
        for a, b in zip(*results, strict=True):
            close(a, b)

    def test_packed_sequences(self, kind, options):
        ours, theirs = pair(kind, options)
        first = options.get("batch_first", False)
        x = torch.randn(4, 6, 7, dtype=torch.float64) if first else torch.randn(6, 4, 7, dtype=torch.float64)
        lengths = torch.tensor([3, 6, 1, 4])
        packed = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        (y, states), (y2, states2) = ours(packed), theirs(packed)
        assert isinstance(y, PackedSequence)
        close(y.data, y2.data)
        assert torch.equal(y.batch_sizes, y2.batch_sizes)
        for a, b in zip(as_tuple(states), as_tuple(states2), strict=True):
            close(a, b)
        padded, _ = ours(x, lengths=lengths)
        close(padded, pad_packed_sequence(y2, batch_first=first)[0])
        given = tuple(torch.randn_like(s) for s in as_tuple(states))
        hx = given if len(given) > 1 else given[0]
        close(ours(packed, hx)[0].data, theirs(packed, hx)[0].data)

    def test_one_sequence_without_a_batch(self, kind, options):
        ours, theirs = pair(kind, options)
        x = torch.randn(5, 7, dtype=torch.float64)
        (y, states), (y2, states2) = ours(x), theirs(x)
        close(y, y2)
        for a, b in zip(as_tuple(states), as_tuple(states2), strict=True):
            close(a, b)

    def test_weights_load_both_ways(self, kind, options):
        ours, theirs = pair(kind, options)
        for p in ours.parameters():
            torch.nn.init.normal_(p)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(3, 2, 7, dtype=torch.float64)
        close(ours(x)[0], theirs(x)[0])
        again = copy.deepcopy(ours)
        again.load_state_dict(theirs.state_dict())
        close(again(x)[0], theirs(x)[0])


def test_float32_is_as_exact_as_torch():
    ours, theirs = pair("LSTM", {"num_layers": 2}, torch.float32)
    x = torch.randn(30, 8, 7)
    exact = copy.deepcopy(theirs).double()(x.double())[0]
    assert (ours(x)[0] - exact).abs().max() <= 4 * (theirs(x)[0] - exact).abs().max() + 1e-7


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "gru_v1", "projected_lstm", "layer_norm_lstm", "t_lstm", "slstm"])
def test_gradcheck_and_gradgradcheck(name):
    """One cell of each kind; tests/backends compares every cell's gradients with differences."""
    extra = {"proj_size": 3} if "proj_size" in cells.get(name).dims else {}
    torch.manual_seed(0)
    layer = gnn.Recurrent(name, 3, 4, dtype=torch.float64, **extra)
    x = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    states = tuple(
        torch.randn(1, 2, layer.layer_sizes(0)[s.dim], dtype=torch.float64, requires_grad=True) for s in layer.cell.states
    )
    lengths = torch.tensor([2, 1])

    def run(x, *rest):
        y, finals = layer(x, rest[: len(states)], lengths=lengths)
        return (y, *finals)

    inputs = (x, *states, *layer.parameters())
    assert torch.autograd.gradcheck(run, inputs)
    if name in ("gru_v1", "lstm"):
        assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize(
    ("name", "options"), [("LSTM", {"proj_size": 3}), ("GRU", {}), ("GRU", {"bias": False}), ("RNN", {})], ids=str
)
def test_gradients_of_weights_in_torchs_form(name, options):
    """Also where weights are made of others, and gradients of gradients."""
    torch.manual_seed(0)
    layer = getattr(gnn, name)(3, 4, dtype=torch.float64, **options)
    x = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, {n: v * 1.5 for n, v in zip(names, values, strict=True)}, (x,))[0]

    assert torch.autograd.gradcheck(run, (x, *values))
    assert torch.autograd.gradgradcheck(run, (x, *values))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_compiles_as_one_graph(options):
    torch.manual_seed(0)
    layer = gnn.GRU(6, 8, **options)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 3, 6, requires_grad=True)
    results = []
    for run in (layer, compiled):
        y, h = run(x)
        results.append((y, h, *torch.autograd.grad(y.sum() + h.sum(), [x, *layer.parameters()])))
    for a, b in zip(*results, strict=True):
        close(a, b, 1e-6)


@pytest.mark.parametrize(
    "made", ["LSTM(8, 16)", "Recurrent('mut1', 8, 16, zoneout=0.1, weight_dropout=0.1, bidirectional=True)"]
)
def test_compiles_before_it_has_ever_run(made):
    """In a process of its own, where nothing is known of the cell yet."""
    script = (
        "import torch; from gatewise.nn import LSTM, Recurrent; "
        f"layer = torch.compile({made}, fullgraph=True, backend='aot_eager'); "
        "layer(torch.randn(5, 2, 8))[0].sum().backward(); layer.eval()(torch.randn(5, 2, 8)); print('compiled')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "compiled\n", done.stderr


def test_final_states_have_memory_of_their_own():
    for dtype in (torch.float32, torch.bfloat16):  # our kernels, and the interpreter
        layer = gnn.Recurrent("lstm", 3, 4, dtype=dtype)
        given = torch.ones(1, 2, 4, dtype=dtype), torch.ones(1, 2, 4, dtype=dtype)
        for states in (None, given):
            with torch.no_grad():
                _, (h, c) = layer(torch.zeros(0, 2, 3, dtype=dtype), states)
                before = c.clone()
                h += 1
            assert torch.equal(c, before) and torch.equal(given[0], torch.ones_like(given[0]))


def test_operators_pass_torchs_own_check():
    import gatewise.nn.operators as operators

    layer = gnn.Recurrent("lstm", 3, 4)
    key = operators.register(layer.cell)
    x = torch.randn(4, 2, 3, requires_grad=True)
    states = [torch.zeros(2, 4), torch.zeros(2, 4)]
    arguments = (x, states, list(layer.parameters()), [], None, key, False, True, [])
    torch.library.opcheck(torch.ops.gatewise.recurrent.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_backward_twice_with_retain_graph():
    layer = gnn.LSTM(4, 6)
    y, _ = layer(torch.randn(5, 3, 4))
    first = torch.autograd.grad(y.sum(), list(layer.parameters()), retain_graph=True)
    second = torch.autograd.grad(y.sum(), list(layer.parameters()))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_two_graphs_at_once_do_not_share_memory():
    layer = gnn.LSTM(4, 6)
    xs = [torch.randn(5, 3, 4) for _ in range(3)]
    expected = []
    for x in xs:
        expected.append(torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters())))
    losses = [layer(x)[0].square().sum() for x in xs]
    for loss, e in zip(losses, expected, strict=True):
        for a, b in zip(torch.autograd.grad(loss, list(layer.parameters())), e, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", sorted(STANDARD))
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # torch says it of its own layer
def test_torchs_fused_layers_agree_where_a_device_needs_them(name):
    """The path for devices without kernels of ours, run here on the CPU."""
    torch.manual_seed(0)
    extra = {"proj_size": 3} if name == "projected_lstm" else {}
    layer = gnn.Recurrent(name, 4, 6, dtype=torch.float64, **extra)
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    states = [torch.randn(3, layer.sizes[s.dim], dtype=torch.float64) for s in layer.cell.states]
    for lengths in (None, torch.tensor([5, 0, 3])):
        y, finals = layer(x, tuple(s[None] for s in states), lengths=lengths)
        y2, finals2 = run_fused(STANDARD[name], x, states, list(layer.parameters()), lengths, False)
        close(y2, y)
        for a, b in zip(finals, finals2, strict=True):
            close(b, a[0])


def test_half_precision_runs_in_the_interpreter():
    layer = gnn.Recurrent("peephole_lstm", 4, 6).to(torch.bfloat16)
    y, _ = layer(torch.randn(5, 3, 4, dtype=torch.bfloat16))
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert layer.weight_hh_l0.grad is not None


def test_autocast_keeps_the_recurrence_in_float32():
    layer = gnn.GRU(4, 6)
    x = torch.randn(5, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x.bfloat16())
    assert y.dtype == torch.float32
    close(y, layer(x.bfloat16().float())[0], 0)


def test_dropout_acts_between_layers_in_training_only():
    torch.manual_seed(0)
    layer = gnn.LSTM(4, 6, num_layers=2, dropout=0.5)
    x = torch.randn(5, 3, 4)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_forget_bias_starts_at_one():
    layer = gnn.Recurrent("lstm", 3, 4)
    assert layer.bias_l0[4:8].eq(1).all()


def with_parameter(layer, name, *shape):
    setattr(layer, name, torch.nn.Parameter(torch.zeros(shape)))
    return layer


def with_weight(layer, *shape):
    return with_parameter(layer, "weight_hh_l0", *shape)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: gnn.LSTM(8, 4)(torch.zeros(5, 2, 12)), "x has 12 features, this layer was built for 8"),
        (lambda: gnn.LSTM(8, 4)(torch.zeros(8)), r"x must be \[T, B, 8\] or \[T, 8\], got \[8\]"),
        (
            lambda: gnn.GRU(8, 4)(torch.zeros(5, 2, 8), torch.zeros(1, 3, 4)),
            r"state 'h' must be \[1, 2, 4\], got \[1, 3, 4\]",
        ),
        (lambda: gnn.LSTM(8, 4)(torch.zeros(5, 2, 8), torch.zeros(1, 2, 4)), "has the states h, c; 1 were given"),
        (lambda: gnn.LSTM(8, 4)(torch.zeros(5, 2, 8), lengths=[5, 6]), "between 0 and 5"),
        (lambda: gnn.LSTM(8, 4)(torch.zeros(5, 2, 8), lengths=[5]), r"lengths must be \[2\]"),
        (
            lambda: gnn.LSTM(8, 4)(torch.zeros(5, 2, 8, dtype=torch.float64)),
            r"or the layer: layer.to\('cpu', torch.float64\)",
        ),
        (
            lambda: gnn.GRU(8, 4)(torch.zeros(5, 2, 8), torch.zeros(1, 2, 4, dtype=torch.float64)),
            r"the initial state torch.float64 on cpu; convert it: state.to\('cpu', torch.float32\)",
        ),
        (lambda: gnn.LSTM(8, 4)(torch.zeros(5, 2, 8, dtype=torch.int64)), r"x is torch.int64; .* reads x.float\(\)"),
        (lambda: gnn.LSTM(8, 4).to("meta")(torch.zeros(5, 2, 8)), "on the CPU, the layer torch.float32 on meta"),
        (
            lambda: gnn.Recurrent("lstm", 8, 4, device="meta")(torch.zeros(5, 2, 8)),
            "on the CPU, the layer torch.float32 on meta",
        ),
        (
            lambda: with_weight(gnn.LSTM(8, 4), 16, 3)(torch.zeros(5, 2, 8)),
            r"weight_hh_l0 must be \[16, 4\] in this layer, got \[16, 3\]",
        ),
        (
            lambda: with_weight(gnn.GRU(8, 4), 13, 4)(torch.zeros(5, 2, 8)),
            r"weight_hh_l0 must be \[12, 4\] in this layer, got \[13, 4\]",
        ),
        (
            lambda: with_weight(gnn.Recurrent("rnn", 8, 4, num_layers=2), 3, 3)(torch.zeros(5, 2, 8)),
            r"weight_hh_l0 must be \[4, 4\] in this layer, got \[3, 3\]",
        ),
        (
            lambda: with_parameter(gnn.LSTM(8, 4), "bias_hh_l0", 1)(torch.zeros(5, 2, 8)),
            r"bias_hh_l0 must be \[16\] in this layer, got \[1\]",
        ),
        (lambda: gnn.LSTM(8, 0), "hidden_size must be a whole number above 0, got 0"),
        (lambda: gnn.LSTM(8, 4, proj_size=4), "proj_size must be 0 or smaller"),
        (lambda: gnn.LSTM(8, 4, dropout=2.0), "dropout is a probability"),
        (lambda: gnn.RNN(8, 4, nonlinearity="sigmoid"), "nonlinearity must be"),
        (lambda: gnn.Recurrent("lstn", 8, 4), "no built-in cell 'lstn'; there are: rnn"),
        (lambda: gnn.Recurrent("lstn", 8, 4), r"; did you mean 'lstm'\?$"),
        (lambda: gnn.Recurrent("attention", 8, 4), "gated_antisymmetric_rnn$"),
        (lambda: gnn.Recurrent("projected_lstm", 8, 4), "needs proj_size"),
        (lambda: gnn.Recurrent("lstm", 8, 4, proj_size=3), "has no size 'proj_size'"),
    ],
)
def test_wrong_input_gets_a_clear_line(call, match):
    with pytest.raises(GatewiseError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
