"""A model as a table of its trained arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..runtime.architecture import Architecture

HEADINGS = ("layer", "array", "shape", "parameters")


def table_of_layers(architecture: Architecture) -> str:
    """One row an array, and the total; columns are aligned with spaces."""
    encoder, stack, head = architecture.encoder, architecture.stack, architecture.head
    rows: list[tuple[str, ...]] = [HEADINGS]
    if encoder.kind == "one_hot":
        rows.append(("encoder", "one-hot", f"{encoder.tokens}", "0"))
    if encoder.kind == "features":
        rows.append(("encoder", "features", f"{encoder.size}", "0"))
    total = 0
    for name, shape in architecture.shapes().items():
        layer, _, array = name.rpartition(".")
        if layer.endswith("recurrent"):
            array, _, number = array.rpartition("_l")
            number, _, reverse = number.partition("_")
            layer = f"{layer.removesuffix('recurrent').replace('.', ' ')}{stack.cell.name} {int(number) + 1}"
            layer += f" {reverse}" if reverse else ""
        count = 0 if name in ("encoder.mean", "encoder.scale") else math.prod(shape)  # of the data, not trained
        total += count
        rows.append((layer, array, " x ".join(map(str, shape)), f"{count:,}"))
    if head.tied:
        rows.append(("head", "weight", "= encoder weight", "0"))
    rows.append(("total", "", "", f"{total:,}"))
    lines = aligned(rows, left=3).split("\n")
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows of text in columns, the first `left` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cut = [t.ljust(w) if k < left else t.rjust(w) for k, (t, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cut).rstrip())
    return "\n".join(lines)
