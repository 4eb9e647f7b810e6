"""A recurrent cell of your own on the adding problem (Hochreiter & Schmidhuber 1997, experiment 4).

    python examples/own_cell.py [--steps 300] [--length 50] [-o model.safetensors]

Every sequence has two rows: random numbers, and marks at two places. The target is the sum of the two marked numbers.
The cell below is ten lines; it is compiled, trained, saved with its equations in the file, and loaded back from the file
alone, as another machine without this source would.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from gatewise import Cell, cell, gate, sigmoid, tanh, tensorfile
from gatewise.checks import check_cell
from gatewise.nn import Recurrent


@cell
def keeper(x, h):
    """A slow memory: what is kept and what is taken in are gated apart, and both gates see the input and the state."""
    keep = gate("keep", sigmoid, x, h, bias=4.0)
    take = gate("take", sigmoid, x, h, bias=-2.0)
    return keep * h + take * gate("new", tanh, x, h)


def adding_problem(batch: int, length: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs [T, B, 2] and the sums of the marked numbers [B]."""
    numbers = torch.rand(length, batch, generator=generator)
    marks = torch.zeros(length, batch)
    half = length // 2
    rows = torch.arange(batch)
    marks[torch.randint(half, (batch,), generator=generator), rows] = 1
    marks[torch.randint(half, length, (batch,), generator=generator), rows] = 1
    return torch.stack((numbers, marks), -1), (numbers * marks).sum(0)


class Adder(torch.nn.Module):
    """The cell and a linear map of its last state."""

    def __init__(self, record: Cell, hidden_size: int = 64):
        super().__init__()
        self.recurrent = Recurrent(record, 2, hidden_size)
        self.head = torch.nn.Linear(hidden_size, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.recurrent(x)
        return self.head(y[-1])[:, 0]


def train(model: Adder, steps: int, length: int, generator: torch.Generator) -> float:
    """The error on sequences that were never seen, after training."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(1, steps + 1):
        x, target = adding_problem(64, length, generator)
        loss = torch.nn.functional.mse_loss(model(x), target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % max(1, steps // 6) == 0:
            print(f"step {step:5d}  mean squared error {loss.item():.4f}", flush=True)
    with torch.no_grad():
        x, target = adding_problem(512, length, generator)
        return float(torch.nn.functional.mse_loss(model(x), target))


def save(model: Adder, path: Path) -> None:
    """Weights, and the cell's equations as JSON, in one file."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    tensorfile.write(path, "adder", 1, {"cell": model.recurrent.cell.to_json()}, weights)


def load(path: Path) -> Adder:
    """The model, from the file alone."""
    header, weights = tensorfile.read(path, "adder", 1)
    model = Adder(Cell.from_json(header["cell"]), weights["head.weight"].shape[1])
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("-o", "--output", type=Path, default=Path("adder.safetensors"))
    options = parser.parse_args()
    record = keeper()
    check_cell(record)
    print("gradients agree with differences, kernels with the interpreter")
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = Adder(record)
    error = train(model, options.steps, options.length, generator)
    print(f"error on new sequences {error:.4f}; always answering 1 would give 0.1667")
    save(model, options.output)
    again = load(options.output)
    x, _ = adding_problem(4, options.length, generator)
    with torch.no_grad():
        same = torch.equal(model(x), again(x))
    print(f"saved in {options.output}, loaded without this source: same answers: {same}")


if __name__ == "__main__":
    main()
