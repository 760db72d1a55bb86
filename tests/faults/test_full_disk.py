"""A disk is full for a while: durable ticks are accepted, feeds continue, and the server recovers by itself.

A trigger in the journal's file makes SQLite reject rows, so the journal receives real errors from SQLite.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import httpx2

from tickwire.core.event import RecordKind
from tickwire.runtime.status import JOURNAL_FAULT
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.wire import open_stream


@contextlib.contextmanager
def reject_rows(path, condition: str = "1"):
    """Make the journal file reject the rows that satisfy a condition, until the context ends."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON records WHEN {condition} "
            "BEGIN SELECT RAISE(ABORT, 'no space left'); END"
        )
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER full")


async def wait_until(clock: ManualClock, condition) -> None:
    """Advance the clock, and let the writer thread run, until the condition holds."""
    while not condition():
        await clock.advance(0.25)
        await asyncio.sleep(0.002)


async def test_publish_succeeds_if_only_the_status_after_it_fails(tmp_path) -> None:
    """The server appends the failed status when the journal accepts events again."""
    clock = ManualClock()
    async with (
        run_server(journal=f"sqlite:{tmp_path}/j", clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        with reject_rows(tmp_path / "j", f"NEW.kind = {RecordKind.NAMED_EVENT:d}"):
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
            assert (answer.status_code, server.runtime.journal.head) == (201, 1)
        # The probe and the status follow the tick.
        await wait_until(clock, lambda: server.runtime.journal.head > 2)
        async with open_stream(server.url, {"events": "status"}) as stream:
            (status,) = await stream.next_events(1, name="status")
            assert status.data["state"] == "running"


async def test_feed_continues_without_loss_once_the_journal_accepts_events(tmp_path) -> None:
    """While the journal rejects events, readers receive a stale status."""
    clock, path = ManualClock(), tmp_path / "j"
    recording = tmp_path / "r.csv"
    recording.write_text("symbol,ts,last\n" + "".join(f"A,{1_767_366_000 + i},{i}\n" for i in range(60)))
    settings = {"feed": f"replay:{recording}", "journal": f"sqlite:{path}", "clock": clock}
    async with run_server(**settings) as server, httpx2.AsyncClient(base_url=server.url) as client:
        runtime = server.runtime
        await wait_until(clock, lambda: len(runtime.hub.board))
        async with open_stream(server.url, {"events": "status"}) as stream:
            assert (await stream.next_events(1, name="status"))[0].data["state"] == "running"
            with reject_rows(path):
                await wait_until(clock, lambda: runtime.appender.append_error)
                await clock.advance(2)
                (stale,) = await stream.next_events(1, name="status")
                assert (stale.data["state"], stale.data["notice"]) == ("stale", JOURNAL_FAULT)
                assert (await client.get("/readyz")).status_code == 503
            await wait_until(clock, lambda: runtime.appender.append_error is None)
            await clock.advance(1)
            assert (await stream.next_events(1, name="status"))[0].data["state"] == "running"
        await wait_until(clock, lambda: runtime.status.state == "halted")
        assert runtime.status.problem is None
        answer = await client.get("/v1/candles/A?interval=1s")
        closes = [candle["close"] for candle in answer.json()]
        assert closes == [float(i) for i in range(60)]
        ticks = await runtime.journal.read(0, kind=RecordKind.TICKS)
        assert sum(record.event_count for record in ticks) == 60
        assert runtime.feed_runner.lost_ticks == 0


async def test_server_without_requests_becomes_ready_again(tmp_path) -> None:
    """A load balancer sends nothing to a server that is not ready, so the server probes the journal itself."""
    clock = ManualClock()
    async with (
        run_server(journal=f"sqlite:{tmp_path}/j", clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        with reject_rows(tmp_path / "j"):
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
            assert answer.status_code == 503
            await clock.advance(2)
            assert "no space left" in (await client.get("/readyz")).json()["detail"]
        await wait_until(clock, lambda: server.runtime.appender.append_error is None)
        assert (await client.get("/readyz")).status_code == 200
        assert len(server.runtime.hub.board) == 0


async def test_metrics_report_an_unready_server_and_failed_appends(tmp_path) -> None:
    """A monitor that reads only the metrics can raise an alarm."""
    clock = ManualClock()
    async with (
        run_server(journal=f"sqlite:{tmp_path}/j", clock=clock) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def read_metrics() -> tuple[str, str]:
            lines = dict(line.rsplit(" ", 1) for line in (await client.get("/metrics")).text.splitlines())
            return lines["tickwire_ready"], lines["tickwire_journal_failed_appends_total"]

        assert await read_metrics() == ("1", "0")
        with reject_rows(tmp_path / "j"):
            assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])).status_code == 503
            is_ready, failed_appends = await read_metrics()
            assert (is_ready, int(failed_appends) >= 1) == ("0", True)
        await wait_until(clock, lambda: server.runtime.appender.append_error is None)
        assert (await read_metrics())[0] == "1"
