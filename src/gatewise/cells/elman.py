"""The simple recurrent network."""

from ..ir.trace import cell, linear, named, parameter, relu, sigmoid, tanh

ELMAN = "Elman, Finding structure in time, Cognitive Science 14 (1990)"


@cell(paper=ELMAN)
def rnn(x, h):
    """Simple recurrent network with a hyperbolic tangent."""
    return named("a", tanh(linear("a", x, h)))


@cell(paper=ELMAN)
def rnn_relu(x, h):
    """Simple recurrent network with a rectifier."""
    return named("a", relu(linear("a", x, h)))


@cell(paper="Le, Jaitly & Hinton, A simple way to initialize recurrent networks of rectified linear units, arXiv 1504.00941")
def irnn(x, h):
    """Simple recurrent network with a rectifier whose recurrent matrix starts as the identity and whose bias starts at 0."""
    return named("a", relu(linear("ax", x, bias=0.0) + linear("a", h, bias=False, init="identity")))


FAST = "Kusupati et al., FastGRNN, NeurIPS (2018), arXiv 1901.02358"


@cell(paper=f"{FAST}")
def fast_rnn(x, h):
    """Simple recurrent network with a residual connection of two trained weights, both between 0 and 1."""
    alpha, beta = (sigmoid(parameter(name, start, size="1")) for name, start in (("alpha", -3.0), ("beta", 3.0)))
    return alpha * named("a", tanh(linear("a", x, h))) + beta * h


@cell(paper="Mikolov et al., Learning longer memory in recurrent neural networks, arXiv 1412.7753")
def scrn(x, h, s, alpha=0.95):
    """Structurally constrained network: a slow context of exponential averages beside fast hidden units.

    The paper's output is a softmax over both; here the layer's output is the hidden state, which reads the context.
    """
    s = (1.0 - alpha) * linear("s", x, bias=False) + alpha * s
    h = named("a", sigmoid(linear("a", x, s, h)))
    return h, s
