"""A model as a table of its trained arrays."""

from __future__ import annotations

import math

from ..runtime.architecture import Architecture

HEADINGS = ("layer", "array", "shape", "parameters")


def table_of_layers(architecture: Architecture) -> str:
    """One row an array, and the total; columns are aligned with spaces."""
    encoder, stack, head = architecture.encoder, architecture.stack, architecture.head
    rows: list[tuple[str, ...]] = [HEADINGS]
    if encoder.kind == "one_hot":
        rows.append(("encoder", "one-hot", f"{encoder.tokens}", "0"))
    total = 0
    for name, shape in architecture.shapes().items():
        part, _, array = name.partition(".")
        layer = part
        if part == "recurrent":
            array, _, number = array.rpartition("_l")
            layer = f"{stack.cell.name} {int(number) + 1}"
        count = math.prod(shape)
        total += count
        rows.append((layer, array, " x ".join(map(str, shape)), f"{count:,}"))
    if head.tied:
        rows.append(("head", "weight", "= encoder weight", "0"))
    rows.append(("total", "", "", f"{total:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])])
        for row in rows
    ]
    rule = "-" * (sum(widths) + 6)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
