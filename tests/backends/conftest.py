"""A second process that compiles ahead; and the ways in which this processor multiplies bfloat16."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatewise.backends.cpu import runner, target

MANY = 200  # tests of the crossed cells, for which a second process is worth it


@pytest.fixture(scope="session", autouse=True)
def compiled_from_the_other_end(request):
    """Most of the suite's time is one thread that compiles; a second process compiles the kernels of test_cells_crossed.py
    from its end into the same cache. Without it the suite takes longer and is the same."""
    script = Path(__file__).with_name("test_cells_crossed.py")
    crossed = [item for item in request.session.items if item.path == script]
    if len(crossed) < MANY or (os.cpu_count() or 1) < 2:
        yield
        return
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    with subprocess.Popen([sys.executable, str(script)], **quiet) as process:
        yield
        process.terminate()


@pytest.fixture(params=[target.TILES, target.PAIRS])
def way(request, bfloat16_here, monkeypatch):
    """Where the processor has AMX both are tested, tiles and dot products."""
    if request.param == target.TILES != bfloat16_here:
        pytest.skip("this processor has no AMX, so there are no tiles to multiply with; its dot products are tested")
    monkeypatch.setattr(runner, "bfloat16_products", lambda lanes=None: request.param)
    return request.param
