"""What measures mean: findings, each with its evidence, its meaning and its remedy. Computed, never guessed.

A rule is a function from `Measures` to findings; `RULES` has them all. A weight says how much a finding matters, from 0 to
10: about 3 is worth a look, from 6 on the network cannot do what it should.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from .measures import NEARLY_ALWAYS, OPEN, SHUT, LayerMeasures, Measures, decay, horizon

SHORT = 4  # a gradient that reaches less than this part of the window is short
GROWTH = 100.0  # times a gradient may grow on its way back
CHAOS = 0.02  # nats a step by which near states may part
MANY_SHUT, MANY_OPEN = 0.25, 0.5  # shares of the units
MANY_STILL = 0.1
OFTEN, MUCH = 0.5, 2.0  # share of the steps that are clipped, and times that their norm is too large
SPIKE = 10.0  # times the median norm
DRIFT = 1.5  # times a state may grow over the second half of a long sequence
FEWEST_STEPS = 32  # for what is said of long sequences
FILLS = 3.0  # of its time constants, after which a state has come to its size
PADDED, PADDED_EFFECT = 0.2, 0.01
CUT = 0.1  # of a gradient that a window's edge may cut off
WORTH = 0.02  # nats a step


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    Attributes:
        kind: a name for it, the same for every network.
        weight: how much it matters, 0 to 10.
        where: the layer, gate or step.
        title: in a few words. evidence: the numbers. meaning: what follows from it. remedy: what to try.
    """

    kind: str
    weight: float
    where: str
    title: str
    evidence: str
    meaning: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.title} ({self.where})\n  {self.evidence}\n  {self.meaning}\n  Try: {self.remedy}"


def find(measures: Measures) -> list[Finding]:
    """All findings of a network, the weightiest first."""
    found = [finding for rule in RULES for finding in rule(measures)]
    return sorted(found, key=lambda f: (-f.weight, f.kind, f.where))


def vanishing(m: Measures) -> Iterator[Finding]:
    """Gradients that do not reach back as far as training lets them."""
    needed = min(m.steps, m.window or m.steps)
    for name, layer in m.layers.items():
        reached = horizon(layer.reach)
        if needed < FEWEST_STEPS or reached is None or reached >= needed / SHORT:
            continue
        tenth = decay(layer.reach) or reached / 2
        weight = min(9.0, 3 + math.log2(needed / SHORT / max(reached, 1)))
        yield Finding(
            "vanishing gradient",
            min(3.0, weight) if m.pooled else weight,
            name,
            f"gradients reach {reached} of {needed} steps",
            f"The gradient of the last output falls tenfold every {tenth:.2g} steps; {reached} steps back it is below a "
            f"hundredth{_jacobian(layer)}.",
            f"What belongs together further than {reached} steps apart is not learned; what one step says is: the loss "
            "reads all of them."
            if m.pooled
            else f"Nothing further than {reached} steps back is learned.",
            "a forget bias of 2 or more, or chrono initialisation (initialisers={'bias.f': 'chrono(STEPS)'}); or zoneout"
            if layer.gates
            else "an LSTM or a GRU; or keep the matrix near a rotation: the cells irnn, antisymmetric_rnn",
        )


def exploding(m: Measures) -> Iterator[Finding]:
    """Gradients that grow on their way back."""
    for name, layer in m.layers.items():
        if not layer.reach:
            continue
        peak = max(range(len(layer.reach)), key=lambda k: layer.reach[k])
        if layer.reach[peak] < GROWTH:
            continue
        began = min(range(peak + 1), key=lambda k: layer.reach[k])
        rate = (peak - began) / math.log10(layer.reach[peak] / layer.reach[began])
        yield Finding(
            "exploding gradient",
            min(10.0, 5 + math.log10(layer.reach[peak] / GROWTH)),
            name,
            f"gradients grow {layer.reach[peak]:.2g} times",
            f"From {began} steps back on, the gradient of the last output grows tenfold every {rate:.2g} steps, up to "
            f"{layer.reach[peak]:.2g} times{_jacobian(layer)}.",
            "A few steps of training outweigh all others; without clipping the weights are thrown far off.",
            "clip_norm=1 if there is none; smaller recurrent weights at the start (orthogonal ones); a lower learning rate",
        )


def _jacobian(layer: LayerMeasures) -> str:
    facts = []
    if layer.radius:
        gate, radius = max(layer.radius.items(), key=lambda pair: pair[1])
        facts.append(f"spectral radius of U {radius:.3g}{f' (gate {gate})' if len(layer.radius) > 1 else ''}")
    if layer.singular:
        facts.append(f"largest singular value of a step's Jacobian {layer.singular[0]:.2g}, median {layer.singular[1]:.2g}")
    return f"; {', '.join(facts)}" if facts else ""


def chaotic(m: Measures) -> Iterator[Finding]:
    """States that part from near ones."""
    for name, layer in m.layers.items():
        if layer.lyapunov and layer.lyapunov[0] > CHAOS:
            yield Finding(
                "chaos",
                min(8.0, 4 + 20 * layer.lyapunov[0]),
                name,
                "near states part",
                f"The largest Lyapunov exponent is {layer.lyapunov[0]:.3f} nats a step: a difference grows e-fold every "
                f"{1 / layer.lyapunov[0]:.3g} steps{_jacobian(layer)}.",
                "What the network remembers of the distant past is drowned by small differences.",
                "smaller recurrent weights, weight_decay, or a cell that cannot be chaotic (antisymmetric_rnn, cornn, lem)",
            )


def spiking(m: Measures) -> Iterator[Finding]:
    """Single training steps with a gradient far above the others'."""
    if not m.spikes:
        return
    step, norm = max(m.spikes, key=lambda spike: spike[1])
    usual = median(m.norms) if m.norms else math.nan
    where, evidence = f"step {step}", ""
    grown = {n: layer.gradients for n, layer in m.layers.items() if len(layer.gradients) > 2 and max(layer.gradients) > 0}
    if grown:
        name = max(grown, key=lambda n: max(grown[n]) / max(min(grown[n]), 1e-30))
        norms = grown[name]
        peak = max(range(len(norms)), key=lambda k: norms[k])
        began = min(range(peak, len(norms)), key=lambda k: norms[k])
        where = f"{where}, {name}"
        evidence = (
            f"; going back, the gradient in {name} begins to grow {(began + 1) / len(norms):.0%} into the sequence and is "
            f"{norms[peak] / max(norms[began], 1e-30):.2g} times as large at {peak / len(norms):.0%}"
        )
    count = f"{len(m.spikes)} training {'step' if len(m.spikes) == 1 else 'steps'}"
    yield Finding(
        "exploding step",
        min(9.0, 4 + math.log10(max(norm / usual, 1))) if usual > 0 else 9.0,
        where,
        f"{count} with a gradient above {SPIKE:g} times the usual",
        f"The norm was {norm:.3g}, usually it is {usual:.3g}{evidence}.",
        "One such step can undo what hundreds have learned.",
        "clip_norm near the usual norm; look at the data of that step; a lower learning rate",
    )


def clipping(m: Measures) -> Iterator[Finding]:
    """Clipping that has become the rule."""
    if m.clipped is not None and m.clip_norm is not None and m.clipped > OFTEN and median(m.norms) > MUCH * m.clip_norm:
        yield Finding(
            "clipping",
            3 + 2 * m.clipped,
            "training",
            f"{m.clipped:.0%} of the gradients are clipped",
            f"Their norm is above clip_norm={m.clip_norm:g}; the median is {median(m.norms):.3g}.",
            "The length of nearly every step is set by the clipping and not by the gradient.",
            f"clip_norm={_nice(2 * median(m.norms)):g}",
        )


def _nice(value: float) -> float:
    """Rounded to one digit."""
    return float(f"{value:.1g}")


def gates(m: Measures) -> Iterator[Finding]:
    """Units whose gates do not move."""
    for name, layer in m.layers.items():
        for gate, g in layer.gates.items():
            for share, bound, many, word, meaning in (
                (
                    g.shut,
                    SHUT,
                    MANY_SHUT,
                    "shut",
                    "What it should let through never passes, and no gradient opens it again.",
                ),
                (g.open, OPEN, MANY_OPEN, "open", "It decides nothing, and its gradient is too small to change that."),
            ):
                if share > many and word != g.keeps:  # to keep is what a memory is for
                    yield Finding(
                        "saturated gate",
                        3 + 5 * share,
                        f"{name}, {gate}",
                        f"gate {gate} of {share:.0%} of the units is always {word}",
                        f"It is {'below' if word == 'shut' else 'above'} {bound:g} at {NEARLY_ALWAYS:.0%} of the steps; its "
                        f"mean over all units is {g.mean:.2f}.",
                        meaning,
                        "inputs of size 1 (standardised), smaller weights, a bias nearer 0, a lower learning rate",
                    )


def still(m: Measures) -> Iterator[Finding]:
    """Units that never change."""
    for name, layer in m.layers.items():
        if layer.still > MANY_STILL:
            yield Finding(
                "still units",
                3 + 4 * layer.still,
                name,
                f"{layer.still:.0%} of the units never change",
                f"{round(layer.still * layer.units)} of {layer.units} outputs stay the same at all steps of all sequences.",
                "They take time and memory and carry nothing; of a rectifier they are dead: no gradient reaches them.",
                "fewer units; a lower learning rate; with rectifiers an identity start (irnn) or tanh",
            )


def drifting(m: Measures) -> Iterator[Finding]:
    """States that grow as long as the sequence does."""
    for name, layer in m.layers.items():
        for state, parts in layer.states.items():
            half = parts[len(parts) // 2 :]
            kept = max((g.mean if g.keeps == "open" else 1 - g.mean for g in layer.gates.values() if g.keeps), default=1.0)
            if kept < 1 and m.steps < FILLS / (1 - kept):
                continue  # it is still filling
            if m.steps < FEWEST_STEPS or len(half) < 3 or parts[0] <= 0:
                continue
            rising = all(b > a for a, b in pairwise(half))
            if rising and half[-1] > DRIFT * half[0]:
                yield Finding(
                    "state drift",
                    min(8.0, 4 + math.log2(half[-1] / half[0])),
                    f"{name}, {state}",
                    f"state {state} grows without end",
                    f"Over {m.steps} steps its size goes from {parts[0]:.3g} to {half[-1]:.3g}, and by "
                    f"{half[-1] / half[0] - 1:.0%} in the second half.",
                    "On longer sequences the network is where it has never been in training, and gates saturate there.",
                    "a forget gate with a bias that lets it forget; longer windows in training; activation_penalty",
                )


def padded(m: Measures) -> Iterator[Finding]:
    """Filling that is read as if it were data."""
    p = m.padding
    if p is not None and p.share > PADDED and p.effect > PADDED_EFFECT:
        yield Finding(
            "padding read as data",
            min(8.0, 4 + 4 * p.effect),
            "input",
            f"{p.share:.0%} of the sequences end with steps that are all {p.value}",
            f"They are {p.steps:.0%} of the steps there, and without them the output changes by up to {p.effect:.2g}.",
            "If that is filling, it is read as if it were data, and a row's answer depends on the length of the longest.",
            "if it is filling, sequences of their own lengths (a list of arrays, or lengths=), which are never filled here",
        )


def cut_off(m: Measures) -> Iterator[Finding]:
    """Windows that are shorter than what gradients reach."""
    if m.window is None or m.memory is None:
        return
    for name, layer in m.layers.items():
        if len(layer.reach) > m.window and layer.reach[m.window] > CUT:
            left = layer.reach[m.window]
            yield Finding(
                "truncated gradient",
                3 + 3 * min(1.0, left),
                name,
                f"windows of {m.window} steps cut gradients off",
                f"{m.window} steps back, where a training window ends, the gradient still has {left:.0%} of its size.",
                "What lies before a window is remembered, but how to remember it is not learned.",
                f"bptt={2 * m.window} or more; checkpoint_steps where memory is short",
            )


def memory_lost(m: Measures) -> Iterator[Finding]:
    """A carried state that is worth less than none."""
    if m.memory is not None and m.memory.carried > m.memory.fresh + WORTH:
        yield Finding(
            "lost memory",
            min(8.0, 5 + 10 * (m.memory.carried - m.memory.fresh)),
            "windows",
            "the state of the window before does harm",
            f"With it the loss is {m.memory.carried:.3f} nats a step, with a state of zeros {m.memory.fresh:.3f}.",
            "The network was not trained on states that are carried on, or its states drift away in long texts.",
            "carry the states in training, on streams longer than a window; or begin at zero here too",
        )


RULES: tuple[Callable[[Measures], Iterator[Finding]], ...] = (
    vanishing, exploding, chaotic, spiking, clipping, gates, still, drifting, padded, cut_off, memory_lost,
)  # fmt: skip
