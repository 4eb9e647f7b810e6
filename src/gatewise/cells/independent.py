"""Cells with no matrix over a state: nothing but elementwise work is left in the loop over time."""

from ..ir.trace import cell, gate, linear, named, parameter, relu, sigmoid, tanh, where, window

BALDUZZI = "Balduzzi & Ghifary, Strongly-typed recurrent neural networks, arXiv 1602.02218"


@cell(paper="Li et al., Independently recurrent neural network, arXiv 1803.04831")
def ind_rnn(x, h, steps=0, gamma=2.0):
    """Independently recurrent network: every unit reads the input and its own past.

    With steps, the length T of the sequences, no recurrent weight exceeds gamma^(1/T): over T steps nothing grows by
    more than gamma.
    """
    bound = f"bounded({gamma ** (1.0 / steps):.9f})" if steps else ""
    return named("a", relu(linear("a", x) + parameter("own", "uniform", constraint=bound) * h))


@cell(paper="Lei et al., Simple recurrent units for highly parallelizable recurrence, arXiv 1709.02755")
def sru(x, h, c, alpha=1.7320508075688772):
    """Simple recurrent unit with a highway around it; x is projected where it meets hidden units."""
    f = named("f", sigmoid(linear("f", x) + parameter("own_f", "uniform") * c))
    r = named("r", sigmoid(linear("r", x) + parameter("own_r", "uniform") * c))
    c = f * c + (1.0 - f) * linear("u", x, bias=False)
    return r * c + (1.0 - r) * alpha * linear("highway", x, bias=False), c


@cell(paper=f"{BALDUZZI}")
def t_rnn(x, h):
    """Strongly typed simple network: a learned running average of projected inputs."""
    f = gate("f", sigmoid, x)
    return f * h + (1.0 - f) * linear("z", x)


@cell(paper=f"{BALDUZZI}", widths={"past": "input_size"})
def t_gru(x, h, past):
    """Strongly typed GRU: gates and candidate read the input and the input before it."""
    z, f, o = linear("z", x, past), gate("f", sigmoid, x, past), gate("o", tanh, x, past)
    return f * h + z * o, x


@cell(paper=f"{BALDUZZI}", widths={"past": "input_size"})
def t_lstm(x, h, c, past):
    """Strongly typed LSTM: gates and candidate read the input and the input before it."""
    z, f, o = linear("z", x, past), gate("f", sigmoid, x, past), gate("o", tanh, x, past)
    c = f * c + (1.0 - f) * z
    return c * o, c, x


@cell(paper="Bradbury et al., Quasi-recurrent neural networks, arXiv 1611.01576, with fo-pooling")
def qrnn(x, h, c, width=2):
    """Quasi-recurrent network: gates and candidate are a causal convolution over the last `width` inputs."""
    inputs = window("x", x, width)
    z, f, o = gate("z", tanh, *inputs), gate("f", sigmoid, *inputs), gate("o", sigmoid, *inputs)
    c = f * c + (1.0 - f) * z
    return o * c, c


FENG = "Feng et al., Were RNNs all we needed?, arXiv 2410.01201"


def _positive(value):
    """The paper's g: above zero whatever its argument, so that a scan may work in logarithms."""
    return where(value >= 0.0, value + 0.5, sigmoid(value))


@cell(paper=f"{FENG}")
def min_gru(x, h):
    """Minimal GRU: gate and candidate read the input alone."""
    z = gate("z", sigmoid, x)
    return (1.0 - z) * h + z * named("n", _positive(linear("n", x)))


@cell(paper=f"{FENG}")
def min_lstm(x, h):
    """Minimal LSTM: two gates that read the input alone and are scaled to add up to one."""
    f, i = gate("f", sigmoid, x), gate("i", sigmoid, x)
    return (f * h + i * named("n", _positive(linear("n", x)))) / (f + i)
