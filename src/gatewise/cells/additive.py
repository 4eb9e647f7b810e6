"""Cells with fewer gates or simpler updates than the LSTM and the GRU."""

from ..ir.trace import cell, gate, linear, maximum, minimum, named, parameter, relu, sigmoid, softplus, tanh


@cell(paper="van der Westhuizen & Lasenby, The unreasonable effectiveness of the forget gate, arXiv 1804.04849")
def janet(x, h, beta=1.0):
    """Just another network: an LSTM with a forget gate only, whose candidate enters a little more than it forgets."""
    q = linear("f", x, h, bias=1.0)
    f = named("f", sigmoid(q))
    return f * h + (1.0 - sigmoid(q - beta)) * gate("g", tanh, x, h)


COLLINS = "Collins, Sohl-Dickstein & Sussillo, Capacity and trainability in recurrent neural networks, arXiv 1611.09913"


@cell(paper=f"{COLLINS}")
def ugrnn(x, h):
    """Update gate network: one gate between the old state and the candidate."""
    g = gate("g", sigmoid, x, h)
    return g * h + (1.0 - g) * gate("n", tanh, x, h)


@cell(paper=f"{COLLINS}")
def intersection_rnn(x, y, h):
    """A recurrent and a depth path with a coupled gate each. The output y is not carried on, and is made of a projection
    of x, where the paper wants as many inputs as units."""
    gy, gh = gate("gy", sigmoid, x, h), gate("gh", sigmoid, x, h)
    y = gy * linear("passed", x, bias=False) + (1.0 - gy) * gate("depth", relu, x, h)
    h = gh * h + (1.0 - gh) * gate("n", tanh, x, h)
    return y, h


@cell(paper="Lee, Levy & Zettlemoyer, Recurrent additive networks, arXiv 1705.07393")
def ran(x, h, c):
    """Recurrent additive network: the cell state is a weighted sum of projected inputs."""
    i = gate("i", sigmoid, x, h)
    f = gate("f", sigmoid, x, h)
    c = i * linear("g", x, bias=False) + f * c
    return tanh(c), c


@cell(paper="Laurent & von Brecht, A recurrent neural network without chaos, arXiv 1612.06212")
def cfn(x, h):
    """Chaos-free network: without input its state relaxes to zero."""
    theta = gate("theta", sigmoid, x, h, bias=1.0)
    eta = gate("eta", sigmoid, x, h, bias=-1.0)
    return theta * tanh(h) + eta * tanh(linear("n", x, bias=False))


@cell(paper="Chen, MinimalRNN, arXiv 1711.06788")
def minimal_rnn(x, h):
    """The input is embedded once; a gate moves the state towards the embedding."""
    z = gate("z", tanh, x)
    u = gate("u", sigmoid, h, z)
    return u * h + (1.0 - u) * z


ZHANG = "Zhang et al., Simplifying neural machine translation with addition-subtraction twin-gated recurrent networks"


@cell(paper=f"{ZHANG}, arXiv 1810.12546")
def atr(x, h):
    """Addition-subtraction twin gates: both gates from one projection of the input and one of the state."""
    p, q = linear("p", x), linear("q", h, bias=False)
    return named("i", sigmoid(p + q)) * p + named("f", sigmoid(p - q)) * h


@cell(paper="Turkoglu et al., Gating revisited: deep multi-layer RNNs that can be trained, arXiv 1911.11033")
def star(x, h):
    """Stackable recurrent cell: one gate, made so that gradients keep their size across layers."""
    z = gate("z", tanh, x)
    k = gate("k", sigmoid, x, h)
    return tanh((1.0 - k) * h + k * z)


@cell(paper="Ye et al., Light recurrent unit, Electronics 13 (2024) 3204")
def light_ru(x, h):
    """Light recurrent unit: the candidate reads the input alone."""
    n = gate("n", tanh, x)
    f = gate("f", sigmoid, x, h)
    return (1.0 - f) * h + f * n


GAO = "Gao & Glowacka, Deep gate recurrent neural network, arXiv 1604.02910"


def _hard_sigmoid(value, slope):
    return minimum(maximum(slope * value + 0.5, 0.0), 1.0)


@cell(paper=f"{GAO}")
def sgu(x, h, slope=0.2):
    """Simple gated unit: the input gates the state before it is projected. slope is the hard sigmoid's."""
    g = named("g", tanh(linear("g", linear("x", x, bias=False) * h)))
    z = named("z", _hard_sigmoid(linear("z", x, h), slope))
    return (1.0 - z) * h + z * softplus(g * h)


@cell(paper=f"{GAO}")
def dsgu(x, h, slope=0.2):
    """Deep simple gated unit: the simple one with one more projection."""
    g = named("g", tanh(linear("g", linear("x", x, bias=False) * h)))
    z = named("z", _hard_sigmoid(linear("z", x, h), slope))
    return (1.0 - z) * h + z * sigmoid(linear("out", g * h, bias=False))


@cell(paper="Kusupati et al., FastGRNN, NeurIPS (2018), arXiv 1901.02358")
def fast_grnn(x, h, rank=0):
    """Gated network whose gate and candidate share both matrices; with a rank, each is a product of two narrow ones."""
    shared = linear("a", x, h, bias=False, constraint=f"low_rank({rank})" if rank else "")
    z = named("z", sigmoid(shared + parameter("bias_z", 1.0)))
    n = named("n", tanh(shared + parameter("bias_n", 1.0)))
    zeta, nu = (sigmoid(parameter(name, start, size="1")) for name, start in (("zeta", 1.0), ("nu", -4.0)))
    return (zeta * (1.0 - z) + nu) * n + z * h


VECOVEN = "Vecoven, Ernst & Drion, A bio-inspired bistable recurrent cell allows for long-lasting memory, arXiv 2006.05252"


@cell(paper=f"{VECOVEN}")
def brc(x, h):
    """Bistable recurrent cell: each unit feeds back on itself only, with a strength up to 2, and can latch."""
    a = named("a", 1.0 + tanh(linear("a", x) + parameter("own_a", "uniform") * h))
    c = named("c", sigmoid(linear("c", x) + parameter("own_c", "uniform") * h))
    return c * h + (1.0 - c) * tanh(linear("n", x) + a * h)


@cell(paper=f"{VECOVEN}")
def nbrc(x, h):
    """Recurrently neuromodulated bistable cell: the feedback's strength depends on the other units."""
    a = named("a", 1.0 + tanh(linear("a", x, h)))
    c = named("c", sigmoid(linear("c", x, h)))
    return c * h + (1.0 - c) * tanh(linear("n", x) + a * h)


@cell(paper="doi 10.1049/gtd2.12056, by the equations that the torchrecurrent package gives for SGRN")
def sgrn(x, h):
    """Simple gated recurrent network: one gate and a candidate from the same projection of the input."""
    projected = linear("n", x)
    f = named("f", sigmoid(projected + linear("f", h, bias=False)))
    return tanh((1.0 - f) * projected + f * h)


MIRU = "doi 10.1016/j.neucom.2026.132847, by the equations that the torchrecurrent package gives for MiRU"


@cell(paper=f"{MIRU}, variant 1")
def miru1(x, h, update=0.5):
    """GRU whose update gate is a constant: the share of the state that stays."""
    r = gate("r", sigmoid, x, h)
    return update * h + (1.0 - update) * named("n", tanh(linear("n", x) + linear("n_r", r * h, bias=False)))


@cell(paper=f"{MIRU}, variant 2")
def miru2(x, h, update=0.5, reset=0.5):
    """GRU whose two gates are constants."""
    return update * h + (1.0 - update) * named("n", tanh(linear("n", x, reset * h)))
