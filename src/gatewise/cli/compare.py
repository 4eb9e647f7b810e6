"""``gatewise compare TASK``: several cells under the same budget."""

from __future__ import annotations

from .application import LazyGroup

command = LazyGroup(
    "compare",
    modules={"language": "gatewise.cli.compare_language"},
    help="Train several cells under the same budget of parameters and time.",
)
