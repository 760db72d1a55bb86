"""Run examples/follow.mjs, which follows a journal without Tickwire, with the command in its first lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from pathlib import Path

import playwright
import pytest

from tickwire.clock import SystemClock
from tickwire.core.event import named_entry, ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.journal.options import JournalOptions
from tickwire.journal.registry import open_journal_and_cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "follow.mjs"
# Playwright, which the tests need anyway, includes a Node.js.
PLAYWRIGHT_NODE = Path(playwright.__file__).parent / "driver" / "node"


def find_node() -> str | None:
    """Return a Node.js that starts, or None. The Node.js of Playwright requires the package `libatomic1`."""
    for program in filter(None, (shutil.which("node"), str(PLAYWRIGHT_NODE))):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([program, "--version"], capture_output=True, check=True)
            return program
    return None


NODE = find_node()
TICKS = [
    Tick(symbol="AAPL", ts=1_767_366_000_000_000, last=187.25, bid=None, size=3.0),
    Tick(symbol="BRK.B", ts=1_767_366_000_000_001, last=-1.5, volume=1e15),
]


@pytest.mark.skipif(NODE is None, reason="no Node.js starts: install nodejs or libatomic1")
async def test_javascript_example_follows_past_and_live_events(nats, name):
    """The program prints the right id of each event, in batches of one event and in batches of many events."""
    options = JournalOptions(is_leader_candidate=False, codec="protobuf")
    async with open_journal_and_cluster(f"{nats.url}/{name}", options, SystemClock()) as (journal, _):
        await journal.append(ticks_entry(pack_ticks(TICKS, now=0), source="http"))
        arguments = ("127.0.0.1", str(nats.port), name, "all")
        program = await asyncio.create_subprocess_exec(NODE, EXAMPLE, *arguments, stdout=asyncio.subprocess.PIPE)
        try:
            assert program.stdout is not None
            past = [json.loads(await program.stdout.readline()) for _ in TICKS]
            await journal.append(named_entry("note", {"text": "ä"}))
            await journal.append(ticks_entry(pack_ticks(TICKS * 300, now=0), source="http"))
            live = [json.loads(await program.stdout.readline()) for _ in range(601)]
        finally:
            program.kill()
            await program.wait()
    assert past == [
        {"id": f"{journal.epoch}-1", "symbol": "AAPL", "ts": TICKS[0].ts, "last": 187.25, "bid": None, "size": 3},
        {"id": f"{journal.epoch}-2", "symbol": "BRK.B", "ts": TICKS[1].ts, "last": -1.5, "volume": 1e15},
    ]
    assert [event["id"] for event in live] == [f"{journal.epoch}-{number}" for number in range(3, 604)]
    assert live[0]["data"] == {"text": "ä"}
