"""The gated recurrent unit. Its versions differ in where the reset gate acts and are named as the papers' versions are."""

from ..ir.trace import cell, gate, linear, named, sigmoid, tanh

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
