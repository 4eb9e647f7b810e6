"""Pictures of what happens inside. Every function draws on matplotlib's axes `ax`, on a figure of its own if None is given,
and returns the axes; none opens a window or touches pyplot. `ax.figure.savefig("picture.png")` writes a picture.

    trace = model.explain("some text")
    heat_map(trace.value("f"), trace.tokens, gate=True)

What colours say, bars, lines of other dashes, or numbers say too. Tokens stand on an axis as `view.visible` writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError, require
from .colours import Colour, Scale, on_top, scale_of, scale_of_contributions
from .measures import OPEN, SHUT
from .view import columns, visible, wrapped

if TYPE_CHECKING:
    from .attribution import Attribution

LONGEST_MEMORY = 1e6  # steps; what keeps more keeps all that float32 can tell
FEWEST_COLUMNS = 30  # of a text: a short one is not blown up
MOST_LABELS = 60  # tokens on an axis
MOST_NUMBERS = 40  # contributions written above their bars
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = "osD^vP"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito's


def coloured_text(
    values: Any,
    tokens: Sequence[str],
    gate: bool = False,
    label: str = "",
    ax: Any = None,
    width: int = 64,
    gap: int = 0,
    scale: Scale | None = None,
) -> Any:
    """A unit over a text: every token on coloured ground, and under it a bar that says the same: from the line's foot for
    gates, up or down from the middle for what can be negative.

    Args:
        values: one a token, [steps].
        gate: whether they lie between 0 and 1.
        label: what they are, above the text.
        width: characters a line.
        gap: between tokens: 0 for characters, 1 for words.
        scale: the colours; None finds them by `gate`.
    """
    values = _numbers(values, 1, len(tokens))
    scale = scale or scale_of(values, gate)
    lines = wrapped(tokens, width, gap)
    ax = _axes(ax, (10, 0.9 + 0.42 * len(lines)))
    room = max(FEWEST_COLUMNS, *(sum(columns(visible(tokens[k])) + gap for k in line) for line in lines))
    size = _points_a_column(ax, room, len(lines))
    zero = scale.share(0.0)
    for row, line in enumerate(lines):
        left = 0
        for k in line:
            value, shown = float(values[k]), visible(tokens[k])
            wide, ground = columns(shown), scale.colour(value)
            ax.add_patch(_rectangle((left, row), wide, 0.66, ground))
            foot = sorted((zero, scale.share(value)))
            ax.add_patch(
                _rectangle((left + 0.1, row + 0.97 - 0.27 * foot[1]), wide - 0.2, 0.27 * (foot[1] - foot[0]), (60, 60, 60))
            )
            style = {"fontsize": size, "family": "monospace", "ha": "center", "va": "center", "parse_math": False}
            ax.text(left + wide / 2, row + 0.34, _drawable(shown, "monospace"), color=_rgb(on_top(ground)), **style)
            left += wide + gap
        if zero > 0:
            ax.plot([0, left], [row + 0.97 - 0.27 * zero] * 2, color="0.6", linewidth=0.5)
    ax.set(xlim=(0, room), ylim=(len(lines), 0), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    _title(ax, label)
    _colour_bar(ax, _mappable(scale))
    return ax


def heat_map(values: Any, tokens: Sequence[str], gate: bool = False, label: str = "", ax: Any = None) -> Any:
    """A gate or a state, a row a unit and a column a step, tokens on the axis.

    Args:
        values: [steps, units]. gate, label: as in `coloured_text`.
    """
    values = _numbers(values, 2, len(tokens))
    ax = _axes(ax, (10, 4))
    picture = ax.imshow(values.T, aspect="auto", interpolation="nearest", **_colours(scale_of(values, gate)))
    _tokens_on_axis(ax, tokens)
    ax.set_ylabel("unit")
    ax.yaxis.get_major_locator().set_params(integer=True)
    _title(ax, label)
    _colour_bar(ax, picture)
    return ax


def mean_by(
    values: Any,
    tokens: Sequence[str],
    by: Callable[[str], str] = visible,
    gate: bool = False,
    label: str = "",
    ax: Any = None,
    most: int = 20,
) -> Any:
    """The mean over steps and units for each token, or for each class of tokens, with how often it stands in the text; the
    whiskers are one standard deviation of the steps.

    Args:
        values: [steps, units], or [steps] of one unit.
        by: names the group of a token: `visible`, `view.character_class`, or any function.
        most: groups that are drawn, the most frequent ones.
    """
    values = np.asarray(values, float)
    values = _numbers(values.mean(1) if values.ndim == 2 else values, 1, len(tokens))
    groups = np.array([by(token) for token in tokens], object)
    names = [name for name, _ in Counter(groups).most_common(most)]
    parts = {name: values[groups == name] for name in names}
    names.sort(key=lambda name: parts[name].mean())
    means, spreads = [parts[n].mean() for n in names], [parts[n].std() for n in names]
    ax = _axes(ax, (7, 0.8 + 0.28 * len(names)))
    ax.barh(range(len(names)), means, xerr=spreads, color=PALETTE[0], ecolor="0.45", error_kw={"linewidth": 0.8})
    ax.set_yticks(range(len(names)), [_drawable(name) for name in names])
    _without_mathematics(ax.get_yticklabels())
    place = ax.get_yaxis_transform()
    for row, name in enumerate(names):
        ax.text(1.01, row, f"{means[row]:.2f}  n = {len(parts[name])}", transform=place, va="center", fontsize="small")
    if gate:
        ax.set_xlim(0, 1)
    ax.margins(y=0.02)
    ax.set_xlabel(f"mean {label}".rstrip())
    return ax


def trajectory(states: Any, tokens: Sequence[str], label: str = "", ax: Any = None) -> Any:
    """The way of a state through its first two principal components, coloured by step, with its beginning and end marked and
    tokens where there is room.

    Args:
        states: [steps, units].
    """
    states = _numbers(states, 2, len(tokens))
    places, shares = principal_components(states)
    ax = _axes(ax, (7, 6))
    from matplotlib.collections import LineCollection

    segments = LineCollection(list(np.stack([places[:-1], places[1:]], 1)), cmap="cividis", linewidth=0.8, alpha=0.6)
    segments.set_array(np.arange(len(places) - 1))
    ax.add_collection(segments)
    points = ax.scatter(*places.T, c=np.arange(len(places)), cmap="cividis", s=14, zorder=2)
    for at, marker, name in ((0, "s", "first step"), (-1, "*", "last step")):
        ax.scatter(*places[at], marker=marker, s=110, facecolor="none", edgecolor="black", zorder=3, label=name)
    ax.margins(0.08)
    _annotate(ax, places, tokens)
    for axis, share, name in ((ax.xaxis, shares[0], "first"), (ax.yaxis, shares[1], "second")):
        axis.set_label_text(f"{name} component, {share:.0%} of the variance")
    _title(ax, label)
    ax.legend(fontsize="small")
    _colour_bar(ax, points, "step")
    return ax


def principal_components(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where states [steps, units] lie in their first two principal components, [steps, 2], and the share of the variance in
    each, [2]. By singular value decomposition of the centred states."""
    centred = states - states.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    left, sizes = np.pad(left, ((0, 0), (0, 1))), np.pad(sizes, (0, 1))  # one unit or one step has one component
    return left[:, :2] * sizes[:2], sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)


def norms_back(gradients: Any, step: int = -1) -> np.ndarray:
    """The norm of a loss's gradient, by how many steps back from a step: [steps], the step itself first.

    Args:
        gradients: of a tape, [steps, batch, units], of sequences of the same length, or of one sequence, [steps, units].
            With several the norms' mean is taken.
        step: where the loss is; the last one if not given.
    """
    norms = np.linalg.norm(np.asarray(gradients, float), axis=-1)
    norms = norms.mean(1) if norms.ndim == 2 else norms
    return norms[: len(norms) + step + 1 if step < 0 else step + 1][::-1]


def gradient_norms(norms: Mapping[str, Any], ax: Any = None) -> Any:
    """Gradient norms against steps back, on a log scale, a line for each layer or network. A norm of 0 is not drawn.

    Args:
        norms: by label, as `norms_back` gives them.
    """
    ax = _axes(ax, (8, 4.5))
    for k, (label, line) in enumerate(norms.items()):
        line = np.asarray(line, float)
        style = {"linestyle": DASHES[k % len(DASHES)], "marker": MARKERS[k % len(MARKERS)], "markersize": 4}
        every = max(1, len(line) // 15)
        ax.plot(np.where(line > 0, line, np.nan), color=PALETTE[k % len(PALETTE)], markevery=every, label=label, **style)
    ax.set(yscale="log", xlabel="steps back", ylabel="norm of the gradient")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    return ax


def saturation(gates: Mapping[str, Any], ax: Any = None) -> Any:
    """How often gates have which value, over all steps and units; the legend has the share of values below 0.1 (shut) and
    above 0.9 (open).

    Args:
        gates: by name, arrays of any shape.
    """
    ax = _axes(ax, (7, 4))
    for k, (name, values) in enumerate(gates.items()):
        values = np.asarray(values, float).ravel()
        label = f"{name}: {(values < SHUT).mean():.0%} shut, {(values > OPEN).mean():.0%} open"
        colour, style = (
            PALETTE[k % len(PALETTE)],
            {"histtype": "step", "linewidth": 1.5, "linestyle": DASHES[k % len(DASHES)]},
        )
        weights = np.full(len(values), 1 / max(1, len(values)))
        ax.hist(values, bins=40, range=(0, 1), weights=weights, color=colour, label=label, **style)
    for edge in (SHUT, OPEN):
        ax.axvline(edge, color="0.5", linewidth=0.8, linestyle=":")
    ax.set(xlim=(0, 1), xlabel="value", ylabel="share of steps and units")
    ax.legend(fontsize="small")
    return ax


def time_constants(forget: Any) -> np.ndarray:
    """How many steps each unit remembers, [units]: -1 / mean log f. After so many steps a product of the gates is 1/e.

    Args:
        forget: the gate that keeps the state, [steps, units].

    At most a million: a gate of exactly 1 would remember for ever.
    """
    logs = np.log(np.maximum(np.asarray(forget, float), np.finfo(float).tiny)).mean(0)
    return 1 / np.maximum(-logs, 1 / LONGEST_MEMORY)


def memory_horizon(forget: Any, label: str = "", ax: Any = None) -> Any:
    """How many units remember for how many steps, -1 / mean log f, on a log axis; a line at the median.

    Args:
        forget: the gate that keeps the state, [steps, units].
    """
    steps = time_constants(forget)
    ax = _axes(ax, (7, 4))
    low, high = np.log10(steps.min()), np.log10(steps.max())
    ax.hist(steps, bins=np.logspace(low - 0.05, high + 0.05, 30), color=PALETTE[0], edgecolor="white", linewidth=0.5)
    middle = float(np.median(steps))
    ax.axvline(middle, color="black", linestyle="--", label=f"median {middle:.3g} steps, longest {steps.max():.3g}")
    ax.set(xscale="log", xlabel="memory in steps, -1 / mean log of the gate", ylabel="units")
    _title(ax, label)
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize="small")
    return ax


def contributions(found: Attribution, tokens: Sequence[str], ax: Any = None) -> Any:
    """What each step contributed to an output, as bars; hatched ones lowered it. Numbers stand on them where there is room.

    Args:
        found: what `Trace.attribute` gave. tokens: those of the trace.
    """
    values = _numbers(found.steps, 1, len(tokens))
    ax = _axes(ax, (max(5.0, min(14.0, 1.5 + 0.35 * len(tokens))), 3.6))
    scale = scale_of_contributions(values)
    colours = [_rgb(scale.anchors[-1 if v >= 0 else 0]) for v in values]
    bars = ax.bar(range(len(values)), values, color=colours, edgecolor="white", linewidth=0)
    for bar, value in zip(bars, values, strict=True):
        bar.set_hatch("" if value >= 0 else "////")
    if len(values) <= MOST_NUMBERS:
        ax.bar_label(bars, [f"{v:.2g}" for v in values], fontsize="x-small", padding=2)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.margins(x=0.01, y=0.15)
    _tokens_on_axis(ax, tokens)
    ax.set_ylabel("contribution")
    _title(ax, f"{found.of}: {found.output:.3g}, without any input {found.baseline:.3g} ({found.method})")
    return ax


def _axes(ax: Any, size: tuple[float, float]) -> Any:
    require("matplotlib", "plot", "drawing a figure")
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _numbers(values: Any, axes: int, steps: int) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != axes or len(values) != steps or not steps:
        wanted = "[steps]" if axes == 1 else "[steps, units]"
        raise ParameterError(
            f"values have shape {values.shape}; {wanted} was expected, with as many steps as the {steps} tokens"
        )
    return values


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _rectangle(corner: tuple[float, float], width: float, height: float, colour: Colour) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, facecolor=_rgb(colour), linewidth=0)


def _colours(scale: Scale) -> dict[str, Any]:
    """matplotlib's map and norm for a scale."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("gatewise", [_rgb(c) for c in scale.anchors])
    return {"cmap": colours, "norm": Normalize(scale.low, scale.high)}


def _mappable(scale: Scale) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(**_colours(scale))


def _title(ax: Any, label: str) -> None:
    ax.set_title(label, loc="left", fontsize="medium", parse_math=False)


def _colour_bar(ax: Any, mappable: Any, label: str = "") -> None:
    ax.figure.colorbar(mappable, ax=ax, label=label, pad=0.01, fraction=0.04)


def _points_a_column(ax: Any, width: int, lines: int) -> float:
    """A font size with which characters fill the columns of an axes."""
    box = ax.get_window_extent()
    points = 72 / ax.figure.dpi
    return min(1.45 * box.width * points / width, 0.55 * box.height * points / lines, 14)


def _drawable(text: str, family: str | None = None) -> str:
    """The text with a square for every character that the font lacks."""
    from matplotlib import font_manager

    has = font_manager.get_font(font_manager.findfont(font_manager.FontProperties(family=family))).get_char_index
    return "".join(c if has(ord(c)) else "□" for c in text)


def _without_mathematics(labels: Sequence[Any]) -> None:
    """A dollar sign in a token is a dollar sign."""
    for label in labels:
        label.set_parse_math(False)


def _tokens_on_axis(ax: Any, tokens: Sequence[str]) -> None:
    """Tokens below the steps, every so many where there are more than fit."""
    every = -(-len(tokens) // MOST_LABELS)
    shown = [_drawable(visible(token)) for token in tokens[::every]]
    long = max(map(columns, shown)) > 2
    ax.set_xticks(range(0, len(tokens), every), shown, rotation=90 if long else 0, fontsize="small")
    _without_mathematics(ax.get_xticklabels())
    ax.set_xlabel("step" if every == 1 else f"step; one token in {every} is named")


def _annotate(ax: Any, places: np.ndarray, tokens: Sequence[str]) -> None:
    """Tokens beside the places, those left out that would lie over an earlier one."""
    spans = np.maximum(np.ptp(places, 0), np.finfo(float).tiny)
    taken: list[np.ndarray] = []
    for place, token in zip(places, tokens, strict=True):
        at = place / spans
        room = np.array([0.02 + 0.012 * columns(visible(token)), 0.03])
        if any((np.abs(at - other) < room).all() for other in taken):
            continue
        taken.append(at)
        style = {"xytext": (4, 3), "textcoords": "offset points", "fontsize": "small", "parse_math": False}
        ax.annotate(_drawable(visible(token)), place, **style)
