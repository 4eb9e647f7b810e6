"""The ways in which this processor multiplies bfloat16."""

import pytest

from gatewise.backends.cpu import runner, target


@pytest.fixture(params=[target.TILES, target.PAIRS])
def way(request, bfloat16_here, monkeypatch):
    """Where the processor has AMX both are tested, tiles and dot products."""
    if request.param == target.TILES != bfloat16_here:
        pytest.skip("this processor has no AMX, so there are no tiles to multiply with; its dot products are tested")
    monkeypatch.setattr(runner, "bfloat16_products", lambda lanes=None: request.param)
    return request.param
