"""``gatewise train regress FILE... -o MODEL``."""

from __future__ import annotations

from ..tasks.regressor import SequenceRegressor
from .reading import train_command

command = train_command(SequenceRegressor, "a number for each sequence")
