"""`tickwire serve --workers` on SQLite under faults: no event is lost, repeated or reordered."""

from __future__ import annotations

import random

from tickwire.testing.marks import short_and_long
from tickwire.testing.owner_storm import OwnerStorm


@short_and_long("seconds", 0, 120)
async def test_every_reader_receives_every_event_once_while_processes_are_killed(tmp_path, seconds):
    """The test kills the owner of the journal, an edge, the standby, and two of these at once, each at least once.

    The test also removes the socket of the owner. At the end, the journal contains each accepted tick once.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    storm = OwnerStorm(tmp_path, random.Random(seed), readers=20, publishers=3)
    report = await storm.run(seconds)
    print(report)
    assert len(report.faults) >= 5
    assert not report.errors
