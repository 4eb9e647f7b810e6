"""One page that shows a trace from all sides and needs nothing else: `Trace.to_html`. The page itself is `page.html`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.equations import unicode_equations
from ..errors import require
from ..figure import render_figure
from ..tensorfile import check_writable, write_atomically
from . import figures
from .colours import DIVERGING, SEQUENTIAL, Scale, on_top, scale_of
from .trace import Method, Trace, Values
from .view import View, character_class, look_at, sayable, tokens_at, visible, watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .attribution import Attribution

TEMPLATE = Path(__file__).with_name("page.html")
DIGITS = 3  # of a value behind the point
MOST_OUTPUTS = 50  # that are listed of one step
LIKELIEST = 3  # outputs that are listed of each of many steps
NUMBER = ' class="number"'


def write_page(
    trace: Trace,
    path: str | os.PathLike[str],
    method: Method | None = "integrated",
    of: str | None = None,
    step: int | None = None,
) -> None:
    """What `Trace.to_html` does."""
    require("matplotlib", "plot", "drawing a figure")
    check_writable(path)
    write_atomically(path, page(trace, method, of, step).encode())


def page(trace: Trace, method: Method | None = None, of: str | None = None, step: int | None = None) -> str:
    """The page as text; see `Trace.to_html`."""
    view = look_at(trace)
    scale = scale_of(view.line, view.gate)
    parts = {"said": ("What the model said", _outputs(trace))}
    if method is not None:
        found, gradients = trace.attribute(method, of, step), trace.gradients(of, step)
        norms = _gradient_norms(trace, found.of, gradients, trace.output(of, step)[0])
        parts["why"] = ("Which steps mattered", _contributions(trace, found) + norms)
    for layer in trace.layers:
        parts[layer] = (f"Figures of {layer}", _layer(trace, layer))
    cell = trace.cell
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Inside a network of {cell.name} cells"),
        facts=escape(_facts(trace)),
        contents="".join(
            f'<li><a href="#{name}">{escape(title)}</a></li>'
            for name, title in [("inside", "Token by token"), *((name, title) for name, (title, _) in parts.items())]
        ),
        layers=_choices(watched(trace), view.layer),
        values=_choices(trace.values[view.layer], view.name),
        last=view.values.shape[1] - 1,
        unit=view.unit,
        low=f"{scale.low:.3g}",
        high=f"{scale.high:.3g}",
        bar=f"linear-gradient(90deg, {', '.join(f'rgb{colour}' for colour in scale.anchors)})",
        shown=escape(view.title),
        kind="characters" if trace.unit == "character" else "words",
        text=_text(trace, view, scale),
        rows=_rows(trace, view),
        equations=escape(unicode_equations(cell)),
        paper=escape(f"The cell is from {cell.paper}." if cell.paper else ""),
        sections="".join(_section(name, title, inside) for name, (title, inside) in parts.items()),
        data=_json(trace),
    )


def _facts(trace: Trace) -> str:
    sizes = ", ".join(f"{layer}: {trace.value(trace.states[0], layer).shape[1]} units" for layer in trace.layers)
    count = len(trace.tokens)
    text = f"{count} {trace.unit}{'' if count == 1 else 's'}; {sizes}."
    if trace.surprise is not None:
        nats = trace.surprise.mean()
        text += f" The text took {nats:.3f} nats a {trace.unit}, {nats / np.log(2):.3f} bits."
    return text


def _section(name: str, title: str, inside: str) -> str:
    heading = f'<h2 id="{name}-heading">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-heading">\n{heading}\n{inside}</section>\n'


def _choices(names: Iterable[str], chosen: str) -> str:
    return "".join(f'<option value="{n}"{" selected" if n == chosen else ""}>{escape(n)}</option>' for n in names)


def _by_place(trace: Trace, values: np.ndarray) -> list[float | None]:
    """One value a token; None where a layer has no step."""
    found: list[float | None] = [None] * len(trace.tokens)
    for place, value in zip(trace.places(values), values, strict=True):
        found[place] = float(value)
    return found


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:.{DIGITS}f}"


def _text(trace: Trace, view: View, scale: Scale) -> str:
    """The tokens as the options of a list, coloured; the script of the page colours them anew for other units."""
    spans = []
    for k, (token, value) in enumerate(zip(trace.tokens, _by_place(trace, view.line), strict=True)):
        state = 'tabindex="0" aria-selected="true"' if k == 0 else 'tabindex="-1" aria-selected="false"'
        label = escape(f"step {k}, {visible(token)}: {_said(value)}")
        shown = " " if token == " " else escape(visible(token))
        spans.append(
            f'<span role="option" {state} aria-label="{label}" data-value="{_said(value)}" '
            f'style="{_style(value, scale)}">{shown}</span>' + ("\n" if token == "\n" else "")
        )
    return ("" if trace.unit == "character" else " ").join(spans)


def _style(value: float | None, scale: Scale) -> str:
    """The ground of a token, the colour of its letters, and where its bar begins and how tall it is."""
    if value is None:
        return "--ground: transparent; --letter: inherit; --foot: 0; --tall: 0"
    ground, (foot, top) = scale.colour(value), sorted((scale.share(0.0), scale.share(value)))
    return f"--ground: rgb{ground}; --letter: rgb{on_top(ground)}; --foot: {foot:.3f}; --tall: {top - foot:.3f}"


def _rows(trace: Trace, view: View) -> str:
    return "".join(
        f'<tr><th scope="row">{k}</th><th scope="row" class="token">{escape(visible(token))}</th>'
        f"<td{NUMBER}>{_said(value)}</td></tr>"
        for k, (token, value) in enumerate(zip(trace.tokens, _by_place(trace, view.line), strict=True))
    )


def _json(trace: Trace) -> str:
    """What the script of the page reads: every value, rounded. Nothing in it can end the element that it stands in."""
    gates = {*trace.gates, "attention"}
    layers = {
        layer: {
            name: {
                "gate": name in gates,
                "places": trace.places(values).tolist(),
                "units": np.round(values.T.astype(float), DIGITS).tolist(),
            }
            for name, values in named.items()
        }
        for layer, named in watched(trace).items()
    }
    data = {"tokens": [visible(t) for t in trace.tokens], "layers": layers, "gate": SEQUENTIAL, "state": DIVERGING}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], named: int) -> str:
    """A table in a region that scrolls; the first `named` columns name the row, the others are numbers."""
    top = "".join(f'<th scope="col"{"" if k < named else NUMBER}>{escape(name)}</th>' for k, name in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(f'<th scope="row" class="token">{escape(cell)}</th>' for cell in row[:named])
        + "".join(f"<td{NUMBER}>{escape(cell)}</td>" for cell in row[named:])
        + "</tr>"
        for row in rows
    )
    said = escape(caption)
    return (
        f'<div class="scroll" role="region" aria-label="{said}" tabindex="0">\n<table><caption>{said}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )


def _number(trace: Trace, value: float) -> str:
    return f"{value:.4f}" if trace.kind == "probability" else f"{value:.6g}"


def _outputs(trace: Trace) -> str:
    names = [sayable(name) for name in trace.names]
    if len(trace.outputs) == 1:
        row = trace.outputs[0]
        order = np.argsort(-row)[:MOST_OUTPUTS] if trace.kind == "probability" else range(min(len(row), MOST_OUTPUTS))
        rows = [(names[k], _number(trace, row[k])) for k in order]
        return _table(f"Outputs for the whole, {len(rows)} of {len(names)}", ("Output", trace.kind.capitalize()), rows, 1)
    if trace.kind == "number":
        shown = names[:MOST_OUTPUTS]
        rows = [
            (str(k), visible(token), *(_number(trace, v) for v in row[: len(shown)]))
            for k, (token, row) in enumerate(zip(trace.tokens, trace.outputs, strict=True))
        ]
        return _table("Outputs after every step", ("Step", trace.unit.capitalize(), *shown), rows, 2)
    surprise = () if trace.surprise is None else ("Surprise, nats",)
    count = min(LIKELIEST, len(names))
    rows = []
    for k, (token, row) in enumerate(zip(trace.tokens, trace.outputs, strict=True)):
        best = (f"{names[n]} {_number(trace, row[n])}" for n in np.argsort(-row)[:count])
        rows.append((str(k), visible(token), *(() if trace.surprise is None else (f"{trace.surprise[k]:.3f}",)), *best))
    places = ("Likeliest", *(f"{n}." for n in range(2, count + 1)))
    return _table("The likeliest outputs after every step", ("Step", trace.unit.capitalize(), *surprise, *places), rows, 2)


def _contributions(trace: Trace, found: Attribution) -> str:
    order = np.argsort(-np.abs(found.steps))[:3]
    most = ", ".join(f"“{visible(trace.tokens[k])}” at step {k} with {found.steps[k]:.3g}" for k in order)
    rows = [(str(k), visible(t), f"{v:.4g}") for k, (t, v) in enumerate(zip(trace.tokens, found.steps, strict=True))]
    doubt = f"<p><strong>Do not trust them:</strong> {escape(found.doubt)}.</p>\n" if found.doubt else ""
    head = ("Step", trace.unit.capitalize(), "Contribution")
    return (
        f"<p>{escape(str(found))}.</p>\n{doubt}"
        + _table(f"Contributions to {found.of}, by {found.method}", head, rows, 2)
        + _picture(
            lambda figure: figures.contributions(found, trace.tokens, figure.subplots()),
            (min(14.0, max(6.0, 1.5 + 0.3 * len(trace.tokens))), 3.6),
            f"Bars: contribution of every step to {found.of}. The largest: {most}.",
            "What each step contributed; hatched bars lowered the output.",
        )
    )


def _gradient_norms(trace: Trace, of: str, gradients: Values, step: int | None) -> str:
    output = trace.states[0]
    norms = {layer: _norms(values[output], layer, step) for layer, values in gradients.items()}
    falls = "; ".join(
        f"{layer} from {line[0]:.2g} at the step itself to {line[-1]:.2g}, {len(line) - 1} back"
        for layer, line in norms.items()
    )
    return _picture(
        lambda figure: figures.gradient_norms(norms, figure.subplots()),
        (8, 4),
        f"Lines on a log scale: norm of the gradient of {of} with respect to {output} by steps back: {falls}.",
        f"How much {of} hangs on the output of each layer so many steps before, in the layer's own direction. A line that "
        "falls steeply says that nothing further back is learned.",
    )


def _norms(gradient: np.ndarray, layer: str, step: int | None) -> np.ndarray:
    """Norms by steps back in the direction in which a layer reads; a convolution that skips steps begins at the end."""
    if layer.endswith("_reverse"):
        gradient = gradient[::-1]
        step = None if step is None else len(gradient) - 1 - step
    return figures.norms_back(gradient, -1 if step is None else step)


def _layer(trace: Trace, layer: str) -> str:
    """All figures of a layer."""
    values = trace.values[layer]
    tokens = tokens_at(trace, values[trace.states[0]])
    found = _heat_maps(trace, layer, tokens)
    gates = {name: values[name] for name in trace.gates}
    if gates:
        if trace.unit == "character":
            found += _means(gates, tokens, character_class, "class of characters")
        if trace.unit in ("character", "word", "token"):
            found += _means(gates, tokens, visible, trace.unit)
        found += _saturation(gates)
    for state, (gate, one_minus) in trace.cell.keepers.items():
        found += _memory(state, f"1 - {gate}" if one_minus else gate, 1 - values[gate] if one_minus else values[gate])
    return found + "".join(_trajectory(name, values[name], tokens) for name in trace.states if name in values)


def _heat_maps(trace: Trace, layer: str, tokens: Sequence[str]) -> str:
    named = {n: trace.values[layer][n] for n in (*trace.gates, *trace.states) if n in trace.values[layer]}

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (name, values) in zip(axes, named.items(), strict=True):
            figures.heat_map(values, tokens, name in trace.gates, name, ax)
            ax.label_outer()

    ranges = "; ".join(f"{n} from {v.min():.2f} to {v.max():.2f}, mean {v.mean():.2f}" for n, v in named.items())
    size = (12, 0.8 + 2.2 * len(named))
    return _picture(
        draw, size, f"Heat maps of {layer}, units by steps: {ranges}.", "Gates and states of every unit at every step."
    )


def _means(gates: dict[str, np.ndarray], tokens: Sequence[str], by: Callable[[str], str], what: str) -> str:
    groups = [by(token) for token in tokens]
    rows = min(20, len(set(groups)))

    def draw(figure: Figure) -> None:
        for ax, (name, values) in zip(figure.subplots(1, len(gates), squeeze=False)[0], gates.items(), strict=True):
            figures.mean_by(values, tokens, by, gate=True, label=name, ax=ax)

    ranges = "; ".join(f"{name}: {_extremes(values.mean(1), groups)}" for name, values in gates.items())
    caption = f"Mean of each gate by {what}, with the number of steps; whiskers are one standard deviation of the steps."
    return _picture(draw, (5.2 * len(gates), 0.9 + 0.26 * rows), f"Bars: mean of each gate by {what}. {ranges}.", caption)


def _extremes(line: np.ndarray, groups: Sequence[str]) -> str:
    means = {group: line[[g == group for g in groups]].mean() for group in dict.fromkeys(groups)}
    low, high = min(means, key=lambda g: means[g]), max(means, key=lambda g: means[g])
    return f"least {means[low]:.2f} at {low}, most {means[high]:.2f} at {high}"


def _saturation(gates: dict[str, np.ndarray]) -> str:
    shut, opened = figures.SHUT, figures.OPEN
    shares = "; ".join(
        f"{name} is below {shut} in {(v < shut).mean():.0%}, above {opened} in {(v > opened).mean():.0%}"
        for name, v in gates.items()
    )
    return _picture(
        lambda figure: figures.saturation(gates, figure.subplots()),
        (7, 3.6),
        f"Histograms of the gates over all steps and units: {shares}.",
        "How open the gates are. A gate that is always shut or always open learns no more: its gradient is next to nothing.",
    )


def _memory(state: str, gate: str, values: np.ndarray) -> str:
    steps = figures.time_constants(values)
    return _picture(
        lambda figure: figures.memory_horizon(values, f"{state}, kept by {gate}", figure.subplots()),
        (7, 3.6),
        f"Histogram: memory of the units of {state}, kept by {gate}: median {np.median(steps):.3g} steps, longest "
        f"{steps.max():.3g}.",
        f"After so many steps a product of {gate} is 1/e: that much of {state} is left.",
    )


def _trajectory(name: str, values: np.ndarray, tokens: Sequence[str]) -> str:
    places, shares = figures.principal_components(values.astype(float))
    (a, b), (c, d) = places[0], places[-1]
    return _picture(
        lambda figure: figures.trajectory(values, tokens, name, figure.subplots()),
        (7, 5.5),
        f"Path of {name} through its first two principal components, which have {shares[0]:.0%} and {shares[1]:.0%} of the "
        f"variance: from ({a:.2g}, {b:.2g}) at the first step to ({c:.2g}, {d:.2g}) at the last.",
        f"Where {name} goes: its first two principal components, step by step.",
    )


def _picture(draw: Callable[[Figure], Any], size: tuple[float, float], alt: str, caption: str) -> str:
    picture = base64.b64encode(render_figure(draw, size, "svg")).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/svg+xml;base64,{picture}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )
