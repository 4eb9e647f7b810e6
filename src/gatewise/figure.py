"""Figures written to files, without a window. matplotlib is imported only when one is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ParameterError, require
from .tensorfile import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_figure(path: Path) -> None:
    """Raise unless a figure can be written to a file of this name."""
    require("matplotlib", "plot", "drawing a figure")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise ParameterError(f"{path}: a figure's name ends in one of .{', .'.join(kinds)}")


def write_figure(path: Path, draw: Callable[[Figure], None], size: tuple[float, float] = (10, 4)) -> None:
    """Write what `draw` draws on an empty figure of so many inches; the file's ending says the format."""
    check_figure(path)
    write_atomically(path, render_figure(draw, size, path.suffix[1:].lower()))


def render_figure(draw: Callable[[Figure], None], size: tuple[float, float], kind: str) -> bytes:
    """The file of kind "png", "svg", ... of a figure; the same drawing gives the same bytes of SVG."""
    require("matplotlib", "plot", "drawing a figure")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    picture = io.BytesIO()
    with rc_context({"svg.hashsalt": "gatewise"}):
        figure.savefig(picture, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return picture.getvalue()
