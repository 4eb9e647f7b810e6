"""See inside recurrent networks: gates, states, and gradients through time.

`record` puts a tape on any torch module with our layers, `diagnose` examines one; `model.explain(input)` gives a `Trace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import require
from .tape import Tape, record
from .trace import Trace

if TYPE_CHECKING:
    from .diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "Tape", "Trace", "diagnose", "record"]


def __getattr__(name: str) -> Any:
    if name not in ("Diagnosis", "diagnose"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("torch", "train", f"gatewise.inspect.{name}")
    from . import diagnosis

    return getattr(diagnosis, name)
