"""Cells derived from differential equations: a step of length dt or epsilon of a system that neither dies nor explodes."""

from ..ir.trace import cell, gate, linear, named, parameter, sigmoid, tanh


@cell(paper="Rusch & Mishra, Coupled oscillatory recurrent neural network, arXiv 2010.00951")
def cornn(x, h, z, dt=0.1, gamma=1.0, epsilon=1.0):
    """Coupled oscillators: h is where a unit is and z how fast it moves."""
    z = z + dt * (named("a", tanh(linear("a", x, h, z))) - gamma * h - epsilon * z)
    return h + dt * z, z


@cell(paper="Rusch & Mishra, UnICORNN, arXiv 2103.05487")
def unicornn(x, h, z, dt=0.1, alpha=1.0):
    """Undamped independent oscillators, each with its own trained time scale."""
    step = dt * sigmoid(parameter("time_scale", "uniform"))
    z = z - step * (named("a", tanh(linear("a", x) + parameter("own", "uniform") * h)) + alpha * h)
    return h + step * z, z


@cell(paper="Rusch et al., Long expressive memory for sequence modeling, arXiv 2110.04744")
def lem(x, h, z, dt=1.0):
    """Long expressive memory: two states with a trained time step each, the output reading the new inner state."""
    d1 = named("d1", dt * sigmoid(linear("d1", x, h)))
    d2 = named("d2", dt * sigmoid(linear("d2", x, h)))
    z = (1.0 - d1) * z + d1 * gate("z_in", tanh, x, h)
    h = (1.0 - d2) * h + d2 * tanh(linear("h_in", x, z))
    return h, z


@cell(paper="Zilly et al., Recurrent highway networks, arXiv 1607.03474, coupled gates")
def rhn(x, h, depth=3):
    """Recurrent highway network: `depth` micro-steps of highway layers within each step; the input enters the first."""
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, got {depth!r}")
    state = h
    for k in range(depth):
        sources = (x, state) if k == 0 else (state,)
        t = gate(f"t{k}", sigmoid, *sources, bias=-2.0)
        state = gate(f"h{k}", tanh, *sources) * t + state * (1.0 - t)
    return state


CHANG = "Chang et al., AntisymmetricRNN: a dynamical system view on recurrent neural networks, arXiv 1902.09689"


def _antisymmetric(h, gamma):
    """(W - W^T - gamma I) h: eigenvalues with the real part -gamma, so that states neither explode nor, at 0, vanish."""
    return linear("u", h, bias=False, init="normal(0.05)", constraint="antisymmetric") - gamma * h


@cell(paper=f"{CHANG}")
def antisymmetric_rnn(x, h, epsilon=0.1, gamma=0.1):
    """Forward Euler steps of length epsilon of a stable differential equation; gamma is its diffusion."""
    return h + epsilon * named("a", tanh(linear("a", x) + _antisymmetric(h, gamma)))


@cell(paper=f"{CHANG}")
def gated_antisymmetric_rnn(x, h, epsilon=0.1, gamma=0.1):
    """Antisymmetric network with an input gate, which shares the recurrent matrix."""
    u = _antisymmetric(h, gamma)
    z = named("z", sigmoid(linear("z", x) + u))
    return h + epsilon * z * named("a", tanh(linear("a", x) + u))
