"""The simple recurrent network."""

from ..ir.trace import cell, linear, named, relu, tanh

ELMAN = "Elman, Finding structure in time, Cognitive Science 14 (1990)"


@cell(paper=ELMAN)
def rnn(x, h):
    """Simple recurrent network with a hyperbolic tangent."""
    return named("a", tanh(linear("a", x, h)))


@cell(paper=ELMAN)
def rnn_relu(x, h):
    """Simple recurrent network with a rectifier."""
    return named("a", relu(linear("a", x, h)))
