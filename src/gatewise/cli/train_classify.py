"""``gatewise train classify FILE... -o MODEL``."""

from __future__ import annotations

from ..tasks.classifier import SequenceClassifier
from .reading import train_command

command = train_command(SequenceClassifier, "a label for each sequence")
