"""Pictures to files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ..errors import ParameterError, require
from ..tensorfile import write_atomically


def check_figure(path: Path) -> None:
    """Raise unless a figure can be written to a file of this name."""
    require("matplotlib", "plot", "drawing a figure")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise ParameterError(f"{path}: a figure's name ends in one of .{', .'.join(kinds)}")


def write_figure(figure: Any, path: Path) -> None:
    """Write one of matplotlib's figures, atomically; the ending of the name says in which format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower())
    write_atomically(path, picture.getvalue())
