"""The rehearsal of a rolling upgrade: every reader receives every event exactly once."""

from __future__ import annotations

import shutil

import pytest
from deploy.rehearse_upgrade import newest_tag, rehearse

from tickwire.journal.nats.find_server import find_nats_server

READERS = 50


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_no_reader_loses_an_event_in_a_rolling_upgrade() -> None:
    """Without a tag, the old version is the current commit. `rehearse` checks the events of each reader."""
    missing = [program for program in ("git", "haproxy") if shutil.which(program) is None]
    if missing or find_nats_server() is None:
        pytest.skip(f"not installed: {' '.join(missing) or 'nats-server'}")
    report = await rehearse(newest_tag() or "HEAD", READERS)
    assert [each.process for each in report.replacements] == ["edge1", "edge2", "feed2", "feed1"]
    assert report.reconnects > 0
