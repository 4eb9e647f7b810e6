"""How far back a recurrent network can remember: the plain network, the LSTM and the GRU on two problems of growing length.

    python examples/long_memory.py [--problems adding,copying] [--lengths 10,40,100] [--steps 800]

Adding (Hochreiter & Schmidhuber 1997, experiment 4): two of T random numbers are marked; say their sum after the last step.
Copying (Arjovsky, Shah & Bengio 2016, after Hochreiter & Schmidhuber): three symbols, then T blanks, then a mark; say the
three symbols.

Why the plain network fails: the gradient that reaches a step is the product of one matrix for every step between, and each
factor of h = tanh(W x + U h + b) is diag(1 - h²) U, usually smaller than 1. So the product vanishes with length (Hochreiter
1991; Bengio, Simard & Frasconi 1994). The cell state of an LSTM is multiplied by its forget gate, which training can hold
near 1; the GRU's update gate does the same for h (Cho et al. 2014). But training has to find that out, with a gradient that
at first vanishes too: a forget gate that starts at sigmoid(1) = 0.73 keeps 0.73^100 of it over 100 steps. The last column is
an LSTM whose forget gate starts nearly open and whose input gate nearly closed, for memories of up to T steps (chrono
initialisation, Tallec & Ollivier 2018, eq. 16). The table below the first measures it: how much the
sum depends on the first step as against the last.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from gatewise.nn import Recurrent

CELLS = ("rnn", "gru", "lstm", "chrono")  # the last: an LSTM whose gates start nearly closed
SYMBOLS, COPIED = 4, 3  # how many different symbols there are, how many are to be copied
BATCH = 64

Problem = Callable[[int, int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


def adding(length: int, batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs [T, B, 2], numbers and marks, and the sums [B] of the two marked numbers."""
    numbers, marks, rows = torch.rand(length, batch, generator=generator), torch.zeros(length, batch), torch.arange(batch)
    half = length // 2
    marks[torch.randint(half, (batch,), generator=generator), rows] = 1
    marks[torch.randint(half, length, (batch,), generator=generator), rows] = 1
    return torch.stack((numbers, marks), -1), (numbers * marks).sum(0)


def copying(length: int, batch: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One-hot inputs [3 + T + 3, B, symbols + 2] and the symbols [3, B] to say in the last three steps."""
    symbols = torch.randint(SYMBOLS, (COPIED, batch), generator=generator)
    blank, mark = SYMBOLS, SYMBOLS + 1
    tokens = torch.full((COPIED + length + COPIED, batch), blank)
    tokens[:COPIED], tokens[COPIED + length] = symbols, mark
    return torch.nn.functional.one_hot(tokens, SYMBOLS + 2).float(), symbols


class Memory(torch.nn.Module):
    """A recurrent layer and a linear map of its outputs."""

    def __init__(self, cell: str, input_size: int, hidden_size: int, outputs: int, length: int):
        super().__init__()
        start = {"bias.f": f"chrono({length})", "bias.i": f"minus_chrono({length})"} if cell == "chrono" else {}
        self.recurrent = Recurrent("lstm" if cell == "chrono" else cell, input_size, hidden_size, initialisers=start)
        self.head = torch.nn.Linear(hidden_size, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(x)[0])


def adding_loss(model: Memory, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(model(x)[-1, :, 0], target)


def copying_loss(model: Memory, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(x)[-COPIED:].flatten(0, 1), target.flatten())


PROBLEMS: dict[str, tuple[Problem, Callable[..., torch.Tensor], int, str]] = {
    "adding": (adding, adding_loss, 1, "mean squared error on new sequences; always saying 1 gives 0.1667"),
    "copying": (copying, copying_loss, SYMBOLS, "share of the symbols said right; guessing gives 0.25"),
}


def train(model: Memory, problem: Problem, loss_of: Callable[..., torch.Tensor], length: int, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        loss = loss_of(model, *problem(length, BATCH, generator))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()


def reach(model: Memory, problem: Problem, length: int) -> float:
    """The gradient of the last output by the first input, over that by the last input (norms, a batch's mean)."""
    x, _ = problem(length, BATCH, torch.Generator().manual_seed(1))
    x.requires_grad_()
    gradient = torch.autograd.grad(model(x)[-1].sum(), x)[0].norm(dim=-1).mean(1)
    return float(gradient[0] / gradient[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default="adding,copying")
    parser.add_argument("--lengths", default="10,40,100")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--hidden-size", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lengths = [int(length) for length in options.lengths.split(",")]
    test = torch.Generator().manual_seed(options.seed + 1000)
    for name in options.problems.split(","):
        problem, loss_of, outputs, meaning = PROBLEMS[name]
        print(f"{name}: {meaning}\n{'T':>10}" + "".join(f"{cell:>10}" for cell in CELLS))
        reached: dict[int, list[float]] = {}
        for length in lengths:
            x, target = problem(length, 512, test)
            row, reached[length] = f"{length:10d}", []
            for cell in CELLS:
                torch.manual_seed(options.seed)
                model = Memory(cell, x.shape[2], options.hidden_size, outputs, length)
                train(model, problem, loss_of, length, options.steps, options.seed)
                with torch.no_grad():
                    error = loss_of(model, x, target).item()
                    right = (model(x)[-COPIED:].argmax(-1) == target).float().mean().item()
                row += f"{error if name == 'adding' else right:10.4f}"
                reached[length].append(reach(model, problem, length))
            print(row, flush=True)
        if name == "adding":
            print("gradient of the last output at the first step, as a share of that at the last step:")
            for length in lengths:
                print(f"{length:10d}" + "".join(f"{share:10.1e}" for share in reached[length]))
        print()


if __name__ == "__main__":
    main()
