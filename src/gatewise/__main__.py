"""``python -m gatewise`` is the ``gatewise`` command."""

from .cli import main

main()
