"""Long short-term memory and its variants."""

from ..ir.trace import cell, gate, layer_norm, linear, named, parameter, sigmoid, tanh

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
