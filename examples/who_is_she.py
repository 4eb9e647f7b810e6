"""An assistant that remembers whom you speak of, and the gates with which it forgets.

    python examples/who_is_she.py [--say "this is emma . now julia is here . who is she ?"]

In a little language people come and go and are spoken of as "she" and "he". Who "she" is depends on the woman who was
named last, however long ago: a new name must take the place of the old one, and the name of a man must not. An LSTM reads
the words from left to right and says at every pronoun whom it means. It is trained on generated talks, and tested on others
and on longer ones.

An LSTM's cell state is c = f * c + i * g (Hochreiter & Schmidhuber 1997; the forget gate f: Gers, Schmidhuber & Cummins
2000). Some units carry the name of the woman. For these the script prints at each word of one talk
what f keeps of the old state, how far i is open, and how much comes in through it, |i * g|, averaged over the units: at a
woman's name f falls (forget) and i rises (update). While training a small penalty on outputs that change from step to step
(Merity, McCann & Socher 2017) asks for a memory that is still where nothing has to be remembered.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gatewise import SequenceTagger
from gatewise.figure import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WOMEN = ("anna", "maria", "julia", "emma")
MEN = ("peter", "paul", "david", "simon")
NAMES = ("{} came in", "now {} is here", "do you know {}", "this is {}", "then we met {}", "{} called me today")
SAID = (
    "{} sat down", "{} had a book", "yesterday {} was in town", "i think {} likes tea", "has {} eaten", "{} is happy",
    "the dog knows {}", "we saw {} in the garden", "who is {}",
)  # fmt: skip
SUBJECTS, OBJECTS = ("she", "he"), ("her", "him")
OTHER = ("it rains today", "the tea is cold", "the dog sleeps in the garden", "i read a book")
SAY = "anna came in . she sat down . peter came in . who is she ? now maria is here . who is she ?"
NOBODY, NOTHING = "nobody", "-"  # the answer to "who is she" before anyone is named; the label of all other words

Talk = tuple[list[str], list[str]]  # the words and a label for each


def talk(sentences: int, random: np.random.Generator) -> Talk:
    """So many sentences, and at each pronoun the name that it stands for."""
    words: list[str] = []
    labels: list[str] = []
    spoken_of = [NOBODY, NOBODY]
    for _ in range(sentences):
        kind, sex = random.random(), int(random.integers(2))
        if kind < 0.3:
            spoken_of[sex] = str(random.choice((WOMEN, MEN)[sex]))
            sentence, meant = str(random.choice(NAMES)).format(spoken_of[sex]), NOTHING
        elif kind < 0.85:
            pattern = str(random.choice(SAID))
            pronoun = (OBJECTS if pattern.startswith(("the dog", "we saw")) else SUBJECTS)[sex]
            sentence, meant = pattern.format(pronoun), spoken_of[sex]
        else:
            sentence, meant = str(random.choice(OTHER)), NOTHING
        for word in [*sentence.split(), "."]:
            words.append(word)
            labels.append(meant if word in SUBJECTS + OBJECTS else NOTHING)
    return words, labels


def right_at_pronouns(model: SequenceTagger, talks: list[Talk]) -> tuple[int, int]:
    """How many pronouns the model understands, and how many there are."""
    pairs = [
        (a, b)
        for (_, truth), said in zip(talks, model.predict([words for words, _ in talks]), strict=True)
        for a, b in zip(truth, said, strict=True)
        if a != NOTHING
    ]
    return sum(a == b for a, b in pairs), len(pairs)


def inside(model: SequenceTagger, words: list[str]) -> Mapping[str, np.ndarray]:
    """What the LSTM's gates and its cell state are at every word: arrays [T, units] named i, f, g, o, c and h."""
    return model.explain(words).values["layer0"]


def units_that_carry_her(model: SequenceTagger, talks: list[Talk], count: int) -> np.ndarray:
    """The units whose cell state tells best who "she" is: the largest share of variance between women and not within.

    Looked at are the ends of sentences in which no woman was named, so that it is memory and not hearing.
    """
    states, who = [], []
    for words, _ in talks:
        c, she, before = inside(model, words)["c"], NOBODY, NOBODY
        for t, word in enumerate(words):
            she = word if word in WOMEN else she
            if word == ".":
                if she == before != NOBODY:
                    states.append(c[t])
                    who.append(she)
                before = she
    c, her = np.stack(states), np.array(who)
    between = sum((her == woman).mean() * (c[her == woman].mean(0) - c.mean(0)) ** 2 for woman in np.unique(her))
    return np.argsort(-between / c.var(0))[:count]


def show(model: SequenceTagger, words: list[str], units: np.ndarray) -> None:
    """The gates of the units at every word of a talk, and what is said at pronouns."""
    gates, labels = inside(model, words), model.predict([words])[0]
    f, i, new = (a[:, units].mean(1) for a in (gates["f"], gates["i"], np.abs(gates["i"] * gates["g"])))
    print(f"\n{'word':10}{'kept (f)':>10}{'open (i)':>10}{'came in':>10}")
    for t, (word, label) in enumerate(zip(words, labels, strict=True)):
        note = f"= {label}" if label != NOTHING else "<- a new name" if word in WOMEN else ""
        print(f"{word:10}{f[t]:10.2f}{i[t]:10.2f}{new[t]:10.2f}  {'#' * round(10 * new[t]):10}{note}".rstrip())


def draw(figure: Figure, model: SequenceTagger, words: list[str], units: np.ndarray) -> None:
    """How much of her name the units keep at every word, and how much comes in."""
    gates = inside(model, words)
    kept, new = gates["f"][:, units].mean(1), np.abs(gates["i"] * gates["g"])[:, units].mean(1)
    above, below = figure.subplots(2, 1, sharex=True)
    for ax, values, what in ((above, kept, "kept of the cell state, f"), (below, new, "came in, |i g|")):
        colours = ["tab:red" if word in WOMEN else "tab:blue" if word in MEN else "lightgrey" for word in words]
        hatches = ["//" if word in WOMEN else "" for word in words]
        ax.bar(range(len(words)), values, color=colours, hatch=hatches, edgecolor="black", linewidth=0.3)
        ax.set_ylabel(what)
    below.set_xticks(range(len(words)), words, rotation=90)
    above.set_title(f"the {len(units)} units that carry who she is; women's names are hatched")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--say", default=SAY, help="a talk of these words, to look at the gates")
    parser.add_argument("--talks", type=int, default=5000, help="how many talks to train on")
    parser.add_argument("--hidden-size", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--units", type=int, default=6, help="how many units to look at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="write the model to this file")
    parser.add_argument("--plot", type=Path, help="draw the talk to this file")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    talks = [talk(int(random.integers(3, 9)), random) for _ in range(options.talks)]
    known = {tuple(words) for words, _ in talks}
    unseen = [t for t in (talk(int(random.integers(3, 9)), random) for _ in range(500)) if tuple(t[0]) not in known]
    longer = [talk(24, random) for _ in range(100)]

    model = SequenceTagger(
        hidden_size=options.hidden_size,
        embedding_size=16,
        bidirectional=False,
        spelling_size=None,
        min_count=1,
        class_weight={NOTHING: 0.02},
        epochs=options.epochs,
        patience=None,
        learning_rate=1e-2,
        temporal_penalty=1.0,
        seed=options.seed,
        verbose=False,
    ).fit([words for words, _ in talks], [labels for _, labels in talks])
    print(f"trained on {len(talks):,} talks in {model.training_['seconds']:.0f} s")
    for name, part in (("talks it has not seen", unseen), ("talks three to eight times as long", longer)):
        right, count = right_at_pronouns(model, part)
        print(f"{name}: {right:,} of {count:,} pronouns understood ({right / count:.4f})")

    units = units_that_carry_her(model, talks[:300], options.units)
    print(f"\nunits that carry who she is: {', '.join(map(str, units))}")
    rows: dict[str, list[list[float]]] = {"a woman's name": [], "a man's name": [], "any other word": []}
    for words, _ in unseen[:200]:
        gates = inside(model, words)
        new = np.abs(gates["i"] * gates["g"])
        for t, word in enumerate(words):
            kind = "a woman's name" if word in WOMEN else "a man's name" if word in MEN else "any other word"
            rows[kind].append([gates["f"][t, units].mean(), gates["i"][t, units].mean(), new[t, units].mean()])
    for kind, values in rows.items():
        f, i, new = np.mean(values, 0)
        print(f"  at {kind:16} keep (f) {f:.3f}   open (i) {i:.3f}   came in {new:.3f}")
    words = options.say.lower().replace("?", " .").split()
    show(model, words, units)
    if options.save is not None:
        model.save(options.save)
    if options.plot is not None:
        write_figure(options.plot, lambda figure: draw(figure, model, words, units), (10, 5))


if __name__ == "__main__":
    main()
