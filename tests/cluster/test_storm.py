"""What must hold whatever dies."""

from __future__ import annotations

import random

import pytest

from tickwire.testing.storm import Storm


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_every_reader_has_every_event_once_whatever_dies(tmp_path):
    """The stream's leader, an edge and a feed are killed and a server cut off, while readers hop about.

    `deploy/cluster.py --storm` has more of it, for longer.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    outcome = await Storm(tmp_path, random.Random(seed), readers=40, rate=0.5).run(seconds=0)
    print(outcome)
    assert len(outcome.blows) == 4
    assert not outcome.wrong
