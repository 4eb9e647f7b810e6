"""Running the command line as a user does: in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture
def gatewise(tmp_path):
    """Run ``gatewise`` in a temporary folder; returns the finished process."""

    def run(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "gatewise", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, **options)

    return run
