"""What must hold whatever dies."""

from __future__ import annotations

import random

import pytest

from tickwire.testing.storm import Storm


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_every_reader_has_every_event_once_whatever_dies(tmp_path):
    """The stream's leader and an edge are killed while readers hop; deploy/cluster.py --storm has more, for longer."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    outcome = await Storm(tmp_path, random.Random(seed), readers=40, rate=0.5).run(seconds=9)
    print(outcome)
    assert not outcome.wrong
