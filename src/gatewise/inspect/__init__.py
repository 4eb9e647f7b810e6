"""See inside recurrent networks: gates, states, and gradients through time."""

from .tape import Tape, record

__all__ = ["Tape", "record"]
