"""The example of a follower in another language, run as its first lines say."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import playwright
import pytest

from tickwire.clock import SystemClock
from tickwire.core.event import named_entry, ticks_entry
from tickwire.core.tick import Tick, pack
from tickwire.journal.open import JournalOptions, opened_journal

EXAMPLE = Path(__file__).parents[2] / "examples" / "follow.mjs"
OURS = Path(playwright.__file__).parent / "driver" / "node"  # a Node.js that came with what tests need anyway
NODE = shutil.which("node") or (str(OURS) if OURS.exists() else None)
TICKS = [
    Tick(symbol="AAPL", ts=1_767_366_000_000_000, last=187.25, bid=None, size=3.0),
    Tick(symbol="BRK.B", ts=1_767_366_000_000_001, last=-1.5, volume=1e15),
]


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
async def test_a_program_in_another_language_follows_the_stream(nats, name):
    """Each event with its id, from the oldest on and as they come; a number alone and many in one batch."""
    options = JournalOptions(candidate=False, codec="protobuf")
    async with opened_journal(f"{nats.url}/{name}", options, SystemClock()) as (journal, _):
        await journal.append(ticks_entry(pack(TICKS, now=0), source="http"))
        arguments = ("127.0.0.1", str(nats.port), name, "all")
        program = await asyncio.create_subprocess_exec(NODE, EXAMPLE, *arguments, stdout=asyncio.subprocess.PIPE)
        try:
            assert program.stdout is not None
            past = [json.loads(await program.stdout.readline()) for _ in TICKS]
            await journal.append(named_entry("note", {"said": "ä"}))
            await journal.append(ticks_entry(pack(TICKS * 300, now=0), source="http"))
            live = [json.loads(await program.stdout.readline()) for _ in range(601)]
        finally:
            program.kill()
            await program.wait()
    assert past == [
        {"id": f"{journal.epoch}-1", "symbol": "AAPL", "ts": TICKS[0].ts, "last": 187.25, "bid": None, "size": 3},
        {"id": f"{journal.epoch}-2", "symbol": "BRK.B", "ts": TICKS[1].ts, "last": -1.5, "volume": 1e15},
    ]
    assert [event["id"] for event in live] == [f"{journal.epoch}-{number}" for number in range(3, 604)]
    assert live[0]["data"] == {"said": "ä"}
