"""A cluster under faults: no event is lost, repeated or reordered."""

from __future__ import annotations

import random
from pathlib import Path

from tickwire.testing.marks import short_and_long
from tickwire.testing.storm import ChaosRun


@short_and_long("seconds", 0, 120)
async def test_every_reader_receives_every_event_once_during_faults(tmp_path: Path, seconds: float) -> None:
    """The stream's leader, an edge and the leading feed are killed, and a NATS server is suspended, each at least once.

    The ids that a reader receives must increase, and each process must have one JetStream consumer afterwards. The long
    variant also suspends NATS servers for longer than an election, and cuts them off from the other servers.

    `deploy/cluster.py --storm` runs the same test for a longer time and with more readers.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    storm = ChaosRun(tmp_path, random.Random(seed), readers=40, rate=0.5, is_severe=seconds > 0)
    report = await storm.run(seconds)
    print(report)
    assert len(report.faults) >= 4
    assert not report.errors
