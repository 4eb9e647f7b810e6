"""Why a tanh network forgets and an LSTM does not, and why gradients explode: the pictures of docs/inside.md.

    python examples/inside/gradients.py [--into docs/inside]

The first picture has the norm of the gradient of the last output with respect to the output so many steps before, in
networks that nobody has trained, over 10, 100 and 1,000 steps. In a tanh network every step back multiplies it by the same
matrix and the slopes of tanh (Bengio, Simard & Frasconi 1994); in an LSTM the cell state multiplies it by the forget gate
alone, so the bias of that gate is a knob (Gers, Schmidhuber & Cummins 2000; chrono initialisation: Tallec & Ollivier 2018).

The second picture has a tanh network whose matrix stretches, on the adding problem of Hochreiter & Schmidhuber (1997): the
norm of the gradient at every step of training, without clipping and with it (Pascanu, Mikolov & Bengio 2013).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gatewise import cells
from gatewise.figure import write_figure
from gatewise.inspect import figures
from gatewise.inspect.dynamics import reach
from gatewise.inspect.measures import decay, horizon
from gatewise.nn import Recurrent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS, INPUTS, ROWS = 64, 8, 16
LENGTHS = (10, 100, 1000)
STRETCH = 1.5  # of the recurrent matrix, in every direction


def networks(steps: int) -> dict[str, Recurrent]:
    """Untrained networks by what they are called, in float64, so that small gradients can be seen."""
    sizes = {"input_size": INPUTS, "hidden_size": UNITS, "dtype": torch.float64}
    made = {
        "tanh network": Recurrent("rnn", **sizes),
        "LSTM, forget bias 0": Recurrent(cells.get("lstm", forget_bias=0.0), **sizes),
        "LSTM, forget bias 2": Recurrent(cells.get("lstm", forget_bias=2.0), **sizes),
    }
    if steps > 2:
        chrono = {"bias.f": f"chrono({steps})"}
        made[f"LSTM, chrono({steps})"] = Recurrent("lstm", initialisers=chrono, **sizes)
    return made


def gradients(lengths: tuple[int, ...]) -> dict[int, dict[str, list[float]]]:
    """By the number of steps and by network, norms by how many steps back."""
    found: dict[int, dict[str, list[float]]] = {}
    for steps in lengths:
        torch.manual_seed(0)
        x = torch.randn(steps, ROWS, INPUTS, dtype=torch.float64)
        found[steps] = {
            name: reach(layer, lambda layer=layer, x=x: layer(x))["layer0"] for name, layer in networks(steps).items()
        }
    return found


def draw_gradients(figure: Figure, found: dict[int, dict[str, list[float]]]) -> None:
    axes = figure.subplots(1, len(found))
    for ax, (steps, norms) in zip(axes, found.items(), strict=True):
        figures.gradient_norms({name: [n if n > 1e-80 else 0.0 for n in found] for name, found in norms.items()}, ax=ax)
        ax.set_title(f"{steps:,} steps")


def adding(steps: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences [T, B, 2] of numbers and two marks, and the sums [B] of the marked numbers."""
    x = torch.rand(steps, rows, 2)
    x[..., 1] = 0.0
    half = steps // 2
    for first, last in ((0, half), (half, steps)):
        x[torch.randint(first, last, (rows,)), torch.arange(rows), 1] = 1.0
    return x, (x[..., 0] * x[..., 1]).sum(0)


def train(clip: float | None, count: int, steps: int = 40) -> tuple[list[float], list[float]]:
    """Gradient norms and losses of a tanh network whose recurrent matrix stretches, trained by plain gradient descent, until
    a number is not finite."""
    torch.manual_seed(1)
    layer, head = Recurrent("rnn", 2, UNITS), torch.nn.Linear(UNITS, 1)
    with torch.no_grad():
        torch.nn.init.orthogonal_(layer.weight_hh_l0, STRETCH)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.05)
    norms, losses = [], []
    for _ in range(count):
        x, y = adding(steps, 32)
        loss = (head(layer(x)[0][-1])[:, 0] - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, clip if clip is not None else float("inf"))))
        losses.append(loss.item())
        if not math.isfinite(norms[-1] + losses[-1]):
            break
        optimizer.step()
    return norms, losses


def draw_clipping(figure: Figure, runs: dict[str, tuple[list[float], list[float]]]) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    for (name, (norms, losses)), style in zip(runs.items(), ("-", "--"), strict=True):
        above.plot(norms, style, label=name, linewidth=1)
        below.plot(losses, style, label=name, linewidth=1)
    for ax, what in ((above, "norm of the gradient"), (below, "loss")):
        ax.set_yscale("log")
        ax.set_ylabel(what)
        ax.grid(alpha=0.3)
    above.legend()
    below.set_xlabel("step of training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="folder for the pictures vanishing.svg and clipping.svg")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--training-steps", type=int, default=400)
    options = parser.parse_args()
    found = gradients(tuple(options.lengths))
    for steps, norms in found.items():
        print(f"{steps:,} steps")
        for name, values in norms.items():
            reached, tenth = horizon(values), decay(values)
            far = "all steps" if reached is None else f"{reached} steps"
            fall = "it does not fall" if tenth is None or tenth < 0 else f"tenfold less every {tenth:.3g} steps"
            print(f"  {name:22} reaches {far:10} first step: {values[-1]:.1e}; {fall}")
    clips = {"as it comes": None, "clipped to norm 1": 1.0}
    runs = {name: train(clip, options.training_steps) for name, clip in clips.items()}
    print(f"a matrix that stretches by {STRETCH:g}, plain gradient descent")
    for name, (norms, losses) in runs.items():
        late = losses[-len(losses) // 4 :]
        lost = not math.isfinite(norms[-1] + losses[-1])
        end = (
            f"at step {len(losses)} numbers are no longer finite" if lost else f"loss at the end {sum(late) / len(late):.3g}"
        )
        print(f"  {name:18} largest gradient {max(filter(math.isfinite, norms)):.3g}; {end}")
    if options.into is not None:
        write_figure(options.into / "vanishing.svg", lambda figure: draw_gradients(figure, found), (12, 4))
        write_figure(options.into / "clipping.svg", lambda figure: draw_clipping(figure, runs), (9, 5))


if __name__ == "__main__":
    main()
