"""The word "fame", a character at a time: the smallest recurrent network that has to remember.

    python examples/fame.py [--word fame] [--steps 200]

The alphabet is the letters of the word, each a one-hot vector. Elman's recurrent network (Finding structure in time, 1990;
the cell `rnn`, h = tanh(W x + U h + b)) reads a letter a step, and a softmax over the letters says what comes next. Given
"fam" it should say "e". Try --word banana: after "a" comes "n" twice and then the end, so one letter does not tell, and the
network must know how far it has come.
"""

from __future__ import annotations

import argparse

import torch

from gatewise.nn import RNN

END = "."  # what follows the last letter


class NextCharacter(torch.nn.Module):
    """Scores of the next character after every step."""

    def __init__(self, characters: int, hidden_size: int):
        super().__init__()
        self.recurrent = RNN(characters, hidden_size)
        self.head = torch.nn.Linear(hidden_size, characters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.recurrent(x)
        return self.head(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--word", default="fame")
    parser.add_argument("--hidden-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    letters = list(dict.fromkeys(options.word + END))
    numbers = torch.tensor([letters.index(letter) for letter in options.word + END])
    one_hot = torch.eye(len(letters))
    x, target = one_hot[numbers[:-1]], numbers[1:]  # [T, characters], [T]
    print("inputs:")
    for letter, row in zip(options.word, x, strict=True):
        print(f"  {letter}  {row.int().tolist()}")

    model = NextCharacter(len(letters), options.hidden_size)
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    for step in range(1, options.steps + 1):
        loss = torch.nn.functional.cross_entropy(model(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step == 1 or step % max(1, options.steps // 4) == 0:
            print(f"step {step:4d}  loss {loss.item():.4f}")

    with torch.no_grad():
        probabilities = model(x).softmax(-1)
    width = max(8, len(options.word) + 2)
    print(f"\nprobability of the next character (. is the end)\n{'after':{width}}" + "".join(f"{c:>8}" for c in letters))
    for k, row in enumerate(probabilities, 1):
        said = letters[int(row.argmax())]
        print(f"{options.word[:k]:{width}}" + "".join(f"{p:8.3f}" for p in row.tolist()) + f"   says {said}")


if __name__ == "__main__":
    main()
