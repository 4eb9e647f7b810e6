"""The gated recurrent unit. Its versions differ in where the reset gate acts and are named as the papers' versions are."""

from ..ir.trace import cell, gate, linear, named, relu, sigmoid, tanh

CHO = "Cho et al., Learning phrase representations using RNN encoder-decoder, arXiv 1406.1078"


@cell(paper=f"{CHO}, version 3; the reset after the product, as cuDNN, torch.nn and Keras (reset_after) have it")
def gru(x, h):
    """Gated recurrent unit, the reset gate after the recurrent product; z keeps the old state."""
    r = gate("r", sigmoid, x, h)
    z = gate("z", sigmoid, x, h)
    n = named("n", tanh(linear("n", x) + r * linear("hn", h)))
    return (1.0 - z) * n + z * h


@cell(paper=f"{CHO}, version 1, equations 5 to 8")
def gru_v1(x, h):
    """Gated recurrent unit, the reset gate before the recurrent product; z keeps the old state."""
    r = gate("r", sigmoid, x, h)
    z = gate("z", sigmoid, x, h)
    n = gate("n", tanh, x, r * h)
    return z * h + (1.0 - z) * n


JOZEFOWICZ = "Jozefowicz, Zaremba & Sutskever, An empirical exploration of recurrent network architectures, ICML (2015)"


@cell(paper=f"{JOZEFOWICZ}, MUT1")
def mut1(x, h):
    """The first of three cells found by mutation of the GRU. x is projected where the paper adds it to hidden units."""
    z = gate("z", sigmoid, x)
    r = gate("r", sigmoid, x, h)
    n = named("n", tanh(linear("n", r * h) + tanh(linear("nx", x))))
    return n * z + h * (1.0 - z)


@cell(paper=f"{JOZEFOWICZ}, MUT2")
def mut2(x, h):
    """The second of three cells found by mutation of the GRU."""
    z = gate("z", sigmoid, x, h)
    r = gate("r", sigmoid, x, h)
    n = gate("n", tanh, x, r * h)
    return n * z + h * (1.0 - z)


@cell(paper=f"{JOZEFOWICZ}, MUT3")
def mut3(x, h):
    """The third of three cells found by mutation of the GRU: the update gate sees a squashed state."""
    z = gate("z", sigmoid, x, tanh(h))
    r = gate("r", sigmoid, x, h)
    n = gate("n", tanh, x, r * h)
    return n * z + h * (1.0 - z)


@cell(paper="Zhou et al., Minimal gated unit for recurrent neural networks, arXiv 1603.09420")
def mgu(x, h):
    """Minimal gated unit: one gate both resets and updates."""
    f = gate("f", sigmoid, x, h)
    n = gate("n", tanh, x, f * h)
    return (1.0 - f) * h + f * n


@cell(paper="Ravanelli et al., Light gated recurrent units for speech recognition, arXiv 1803.10225")
def li_gru(x, h):
    """Light GRU: no reset gate, a rectified candidate. The paper also normalises the input's products:
    `Recurrent("li_gru", ..., batch_norm=True)`."""
    z = gate("z", sigmoid, x, h)
    n = gate("n", relu, x, h)
    return z * h + (1.0 - z) * n
