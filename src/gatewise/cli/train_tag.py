"""``gatewise train tag FILE... -o MODEL``."""

from __future__ import annotations

from ..tasks.tagger import SequenceTagger
from .reading import train_command

command = train_command(SequenceTagger, "a label for every step")
