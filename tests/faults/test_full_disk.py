"""A disk that refuses for a while: what is durable is not refused, a feed goes on, and readiness finds out by itself.

The fault is a real one to the journal: a trigger in its own file, which makes SQLite refuse rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import httpx2

from tickwire.core.event import Kind
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream


@contextlib.contextmanager
def refusing(path, rows: str = "1"):
    """While inside, the file takes no rows of which this holds."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON records WHEN {rows} BEGIN SELECT RAISE(ABORT, 'no space left'); END"
        )
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER full")


async def until(clock: ManualClock, condition) -> None:
    """Let time pass, and the writer's thread have its turn, until the condition holds."""
    while not condition():
        await clock.advance(0.25)
        await asyncio.sleep(0.002)


async def test_ticks_that_are_durable_are_not_refused(tmp_path) -> None:
    """Where only the status after them cannot be kept, the answer is 201; the status follows when it can be."""
    clock = ManualClock()
    async with (
        run_server(journal=f"sqlite:{tmp_path}/j", clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        with refusing(tmp_path / "j", f"NEW.kind = {Kind.NAMED:d}"):
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
            assert (answer.status_code, server.runtime.journal.head) == (201, 1)
        await until(clock, lambda: server.runtime.journal.head > 2)  # the look, and the status
        async with open_stream(server.url, {"events": "status"}) as stream:
            (status,) = await stream.events(1, name="status")
            assert status.data["state"] == "running"


async def test_a_feed_goes_on_once_the_journal_does(tmp_path) -> None:
    """Its readers are told that prices are stale meanwhile; no tick is missing then, and none comes twice."""
    clock, path = ManualClock(), tmp_path / "j"
    recording = tmp_path / "r.csv"
    recording.write_text("symbol,ts,last\n" + "".join(f"A,{1_767_366_000 + i},{i}\n" for i in range(60)))
    settings = {"feed": f"replay:{recording}", "journal": f"sqlite:{path}", "clock": clock}
    async with run_server(**settings) as server, httpx2.AsyncClient(base_url=server.url) as client:
        runtime = server.runtime
        await until(clock, lambda: len(runtime.hub.board))
        async with open_stream(server.url, {"events": "status"}) as stream:
            assert (await stream.events(1, name="status"))[0].data["state"] == "running"
            with refusing(path):
                await until(clock, lambda: runtime.entrance.failed)
                await clock.advance(2)
                (stale,) = await stream.events(1, name="status")
                assert (stale.data["state"], "no space left" in stale.data["notice"]) == ("stale", True)
                assert (await client.get("/readyz")).status_code == 503
            await until(clock, lambda: runtime.entrance.failed is None)
            await clock.advance(1)
            assert (await stream.events(1, name="status"))[0].data["state"] == "running"
        await until(clock, lambda: runtime.status.state == "halted")
        assert runtime.status.problem is None
        answer = await client.get("/v1/candles/A?interval=1s")
        closes = [candle["close"] for candle in answer.json()]
        assert closes == [float(i) for i in range(60)]
        ticks = await runtime.journal.read(0, kind=Kind.TICKS)
        assert sum(record.count for record in ticks) == 60
        assert runtime.lost == 0


async def test_a_quiet_server_gets_ready_by_itself(tmp_path) -> None:
    """Behind a balancer nobody publishes to it while it is unready: it looks itself whether the fault has passed."""
    clock = ManualClock()
    async with (
        run_server(journal=f"sqlite:{tmp_path}/j", clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        with refusing(tmp_path / "j"):
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
            assert answer.status_code == 503
            await clock.advance(2)
            assert "no space left" in (await client.get("/readyz")).json()["detail"]
        await until(clock, lambda: server.runtime.entrance.failed is None)
        assert (await client.get("/readyz")).status_code == 200
        assert len(server.runtime.hub.board) == 0
