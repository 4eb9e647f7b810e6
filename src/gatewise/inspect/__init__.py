"""See inside recurrent networks: gates, states, and gradients through time."""

from .tape import Tape, record
from .trace import Trace

__all__ = ["Tape", "Trace", "record"]
