"""Long short-term memory and its variants."""

from ..ir.trace import (
    cell,
    exp,
    gate,
    layer_norm,
    linear,
    maximum,
    named,
    parameter,
    relu,
    sigmoid,
    softmax,
    sum_units,
    tanh,
    where,
)

HOCHREITER = "Hochreiter & Schmidhuber, Long short-term memory, Neural Computation 9 (1997)"
GERS = "Gers, Schmidhuber & Cummins, Learning to forget, Neural Computation 12 (2000)"


@cell(paper=f"{HOCHREITER}; {GERS}")
def lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory with a forget gate."""
    i = gate("i", sigmoid, x, h)
    f = gate("f", sigmoid, x, h, bias=forget_bias)
    g = gate("g", tanh, x, h)
    o = gate("o", sigmoid, x, h)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell(paper=HOCHREITER)
def original_lstm(x, h, c):
    """Long short-term memory as first published: no forget gate, so the cell state only accumulates."""
    i = gate("i", sigmoid, x, h)
    g = gate("g", tanh, x, h)
    o = gate("o", sigmoid, x, h)
    c = c + i * g
    h = o * tanh(c)
    return h, c


@cell(paper="Gers, Schraudolph & Schmidhuber, Learning precise timing with LSTM recurrent networks, JMLR 3 (2002)")
def peephole_lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory whose gates see the cell state; the output gate sees the new one."""
    i = named("i", sigmoid(linear("i", x, h) + parameter("peephole_i") * c))
    f = named("f", sigmoid(linear("f", x, h, bias=forget_bias) + parameter("peephole_f") * c))
    g = gate("g", tanh, x, h)
    c = f * c + i * g
    o = named("o", sigmoid(linear("o", x, h) + parameter("peephole_o") * c))
    h = o * tanh(c)
    return h, c


@cell(paper="Greff et al., LSTM: a search space odyssey, arXiv 1503.04069, variant CIFG")
def coupled_lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory whose input gate is what the forget gate leaves: i = 1 - f."""
    f = gate("f", sigmoid, x, h, bias=forget_bias)
    g = gate("g", tanh, x, h)
    o = gate("o", sigmoid, x, h)
    c = f * c + (1.0 - f) * g
    h = o * tanh(c)
    return h, c


@cell(
    paper="Sak, Senior & Beaufays, Long short-term memory recurrent neural network architectures, Interspeech (2014)",
    widths={"h": "proj_size"},
)
def projected_lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory whose output is a learned projection to proj_size units; c keeps hidden_size."""
    i = gate("i", sigmoid, x, h)
    f = gate("f", sigmoid, x, h, bias=forget_bias)
    g = gate("g", tanh, x, h)
    o = gate("o", sigmoid, x, h)
    c = f * c + i * g
    h = linear("r", o * tanh(c), size="proj_size", bias=False)
    return h, c


@cell(paper="Ba, Kiros & Hinton, Layer normalization, arXiv 1607.06450, equations 20 to 22")
def layer_norm_lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory with layer normalisation of the input's product, the state's product and the cell state.

    As in the paper, each product is normalised over the units of all four gates. The paper's two offsets and its bias
    only ever appear as their sum; here they are that sum.
    """
    gates = {"i": sigmoid, "f": sigmoid, "g": tanh, "o": sigmoid}
    from_x = layer_norm("norm_x", *(linear(name, x, bias=False) for name in gates), offset=False)
    from_h = layer_norm("norm_h", *(linear(f"{name}h", h, bias=False) for name in gates), offset=False)
    i, f, g, o = (
        named(name, activation(a + b + parameter(f"bias_{name}", forget_bias if name == "f" else 0.0)))
        for (name, activation), a, b in zip(gates.items(), from_x, from_h, strict=True)
    )
    c = f * c + i * g
    h = o * tanh(layer_norm("norm_c", c))
    return h, c


GREFF = "Greff et al., LSTM: a search space odyssey, arXiv 1503.04069"


def _odyssey(x, h, c, i=None, f=None, o=None, g_function=tanh, c_function=tanh, forget_bias=1.0):
    """The peephole LSTM with one part taken away: a gate that is given stands in for its equation."""
    if f is None:
        f = named("f", sigmoid(linear("f", x, h, bias=forget_bias) + parameter("peephole_f") * c))
    if i is None:
        i = named("i", sigmoid(linear("i", x, h) + parameter("peephole_i") * c))
    elif i == "coupled":
        i = 1.0 - f
    g = named("g", g_function(linear("g", x, h)))
    c = f * c + i * g
    if o is None:
        o = named("o", sigmoid(linear("o", x, h) + parameter("peephole_o") * c))
    return o * c_function(c), c


def _itself(value):
    return value


@cell(paper=f"{GREFF}, variant NIG")
def nig_lstm(x, h, c, forget_bias=1.0):
    """Peephole LSTM without an input gate."""
    return _odyssey(x, h, c, i=1.0, forget_bias=forget_bias)


@cell(paper=f"{GREFF}, variant NFG")
def nfg_lstm(x, h, c):
    """Peephole LSTM without a forget gate."""
    return _odyssey(x, h, c, f=1.0)


@cell(paper=f"{GREFF}, variant NOG")
def nog_lstm(x, h, c, forget_bias=1.0):
    """Peephole LSTM without an output gate."""
    return _odyssey(x, h, c, o=1.0, forget_bias=forget_bias)


@cell(paper=f"{GREFF}, variant NIAF")
def niaf_lstm(x, h, c, forget_bias=1.0):
    """Peephole LSTM without an activation of the block input."""
    return _odyssey(x, h, c, g_function=_itself, forget_bias=forget_bias)


@cell(paper=f"{GREFF}, variant NOAF")
def noaf_lstm(x, h, c, forget_bias=1.0):
    """Peephole LSTM without an activation of the cell state."""
    return _odyssey(x, h, c, c_function=_itself, forget_bias=forget_bias)


@cell(paper=f"{GREFF}, variant CIFG")
def cifg_lstm(x, h, c, forget_bias=1.0):
    """Peephole LSTM whose input gate is what the forget gate leaves."""
    return _odyssey(x, h, c, i="coupled", forget_bias=forget_bias)


@cell(paper=f"{GREFF}, variant FGR")
def fgr_lstm(x, h, c, i, f, o, forget_bias=1.0):
    """Peephole LSTM whose three gates also see the three gates of the step before, through nine matrices."""
    olds = (i, f, o)
    f = named("f", sigmoid(linear("f", x, h, *olds, bias=forget_bias) + parameter("peephole_f") * c))
    i = named("i", sigmoid(linear("i", x, h, *olds) + parameter("peephole_i") * c))
    g = gate("g", tanh, x, h)
    c = f * c + i * g
    o = named("o", sigmoid(linear("o", x, h, *olds) + parameter("peephole_o") * c))
    return o * tanh(c), c, i, f, o


@cell(paper="Krause et al., Multiplicative LSTM for sequence modelling, arXiv 1609.07959")
def multiplicative_lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory whose gates read, in place of h, a product of the input's and the state's projections."""
    m = named("m", linear("mx", x, bias=False) * linear("m", h))
    i = gate("i", sigmoid, x, m)
    f = gate("f", sigmoid, x, m, bias=forget_bias)
    g = gate("g", tanh, x, m)
    o = gate("o", sigmoid, x, m)
    c = f * c + i * g
    return o * tanh(c), c


@cell(paper="Kim, El-Khamy & Lee, Residual LSTM, arXiv 1701.03360")
def residual_lstm(x, h, c, forget_bias=1.0):
    """Peephole LSTM whose output gate also passes a projection of the input around the cell."""
    i = named("i", sigmoid(linear("i", x, h) + parameter("peephole_i") * c))
    f = named("f", sigmoid(linear("f", x, h, bias=forget_bias) + parameter("peephole_f") * c))
    c = f * c + i * gate("g", tanh, x, h)
    o = named("o", sigmoid(linear("o", x, h) + parameter("peephole_o") * c))
    return o * (linear("projection", tanh(c), bias=False) + linear("residual", x, bias=False)), c


@cell(paper="Landi et al., Working memory connections for LSTM, arXiv 2109.00020")
def working_memory_lstm(x, h, c, forget_bias=1.0):
    """Long short-term memory whose gates see the cell state through a bounded, trained projection."""
    i = named("i", sigmoid(linear("i", x, h) + tanh(linear("memory_i", c))))
    f = named("f", sigmoid(linear("f", x, h, bias=forget_bias) + tanh(linear("memory_f", c))))
    c = f * c + i * gate("g", tanh, x, h)
    o = named("o", sigmoid(linear("o", x, h) + tanh(linear("memory_o", c))))
    return o * tanh(c), c


@cell(paper="Zoph & Le, Neural architecture search with reinforcement learning, arXiv 1611.01578, base 8")
def nas(x, h, c):
    """The recurrent cell that architecture search found for Penn Treebank."""
    a = [linear(f"a{k}", x, h) for k in range(8)]
    first = tanh(sigmoid(a[0]) * relu(a[1]))
    second = tanh(sigmoid(a[2]) + relu(a[3]))
    third = tanh(tanh(a[4]) * sigmoid(a[5]))
    fourth = sigmoid(tanh(a[6]) + sigmoid(a[7]))
    c = tanh(first + c) * second
    return tanh(c * tanh(third + fourth)), c


@cell(paper="Melis, Kocisky & Blunsom, Mogrifier LSTM, arXiv 1909.01792")
def mogrifier_lstm(x, h, c, rounds=5, forget_bias=1.0):
    """Long short-term memory before which x and h gate each other in turn, `rounds` times."""
    state = h
    for k in range(1, rounds + 1):
        if k % 2:
            x = 2.0 * sigmoid(linear(f"q{k}", state, size="input_size")) * x
        else:
            state = 2.0 * sigmoid(linear(f"r{k}", x)) * state
    i = gate("i", sigmoid, x, state)
    f = gate("f", sigmoid, x, state, bias=forget_bias)
    g = gate("g", tanh, x, state)
    o = gate("o", sigmoid, x, state)
    c = f * c + i * g
    return o * tanh(c), c


@cell(paper="Beck et al., xLSTM, arXiv 2405.04517")
def slstm(x, h, c, n, m, heads=1, forget_bias=1.0):
    """Long short-term memory with exponential input and forget gates, a normaliser n and a stabiliser m.

    The stabiliser keeps every exponent at or below zero, so that no pre-activation overflows. With several heads the
    recurrent matrices are block-diagonal: units hear of their own head only.
    """

    def map_of(name, **bias):
        if heads == 1:
            return linear(name, x, h, **bias)
        return linear(name, x, **bias) + linear(name + "h", h, bias=False, constraint=f"block_diagonal({heads})")

    z, o = named("z", tanh(map_of("z"))), named("o", sigmoid(map_of("o")))
    i, f = map_of("i"), map_of("f", bias=forget_bias)
    shifted = f + m
    m = maximum(shifted, i)
    i, f = named("i", exp(i - m)), named("f", exp(shifted - m))
    c = f * c + i * z
    n = f * n + i
    return o * (c / where(n > 0.0, n, 1.0)), c, n, m


@cell(paper="Hoedt et al., MC-LSTM: mass-conserving LSTM, arXiv 2101.05186")
def mass_conserving_lstm(x, h, c, mass_inputs=None):
    """Long short-term memory that loses nothing: c holds mass, h is what flows out.

    The inputs, all at least 0, are the mass that enters; a softmax shares it out among the cells, a column-stochastic
    matrix moves what is stored, and what the output gate lets go leaves the cells. The gates read the inputs and how the
    mass is spread, not how much there is. With mass_inputs=k only the first k inputs are mass, and the gates read the
    others, of any sign, instead.
    """
    mass, read = x, x
    if mass_inputs is not None:
        mass = parameter("is_mass", size="input_size", constraint=f"leading({mass_inputs})") * x
        read = x - mass
    stored = sum_units(abs(c))
    spread = c / where(stored > 0.0, stored, 1.0)
    i = named("i", softmax(linear("i", read, spread)))
    o = gate("o", sigmoid, read, spread)
    total = linear("r", c, bias=False, constraint="column_stochastic") + i * sum_units(mass)
    return o * total, (1.0 - o) * total
