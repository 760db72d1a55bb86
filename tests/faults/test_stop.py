"""A graceful stop under load: every reader gets a bye, no event or request is lost, and the process ends in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import httpx2
import pytest

from tickwire.runtime.hub_timers import MIN_RESTART_DELAY_MS
from tickwire.testing.marks import short_and_long
from tickwire.testing.reader_fleet import ReaderFleet
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

# The time limit that the server sets for its own stop.
MAX_STOP_S = 10.0
EVENTS_PER_BATCH = 20
# The number of batches before the stop. With many readers, the test process cannot read this many batches fast enough,
# so some readers are behind.
MIN_BATCHES = 25
ALL = {"delivery": "all", "snapshot": "false"}


class FailoverPublisher:
    """Publishes one batch after the other.

    If a server does not acknowledge a batch, sends the batch to the next server.
    """

    def __init__(self) -> None:
        self.batch = 0
        self.first = 0
        self.last = 0

    async def run(self, url: str, batches: int | None = None) -> None:
        """Publish `batches` batches. If `batches` is None, publish until the server accepts no more batches."""
        async with httpx2.AsyncClient(base_url=url) as client:
            until = None if batches is None else self.batch + batches
            while self.batch != until:
                try:
                    await self._publish_batch(client)
                except httpx2.TransportError:
                    return

    async def _publish_batch(self, client: httpx2.AsyncClient) -> None:
        ticks = [{"symbol": f"S{place}", "last": float(self.batch)} for place in range(EVENTS_PER_BATCH)]
        answer = await client.post("/v1/quotes", json=ticks, headers={"Idempotency-Key": f"b{self.batch}"})
        assert answer.is_success, answer.text
        first, last = (int(answer.json()[key].rpartition("-")[2]) for key in ("first_id", "last_id"))
        self.first, self.last, self.batch = self.first or first, last, self.batch + 1


@short_and_long("readers", 500, 2_000)
async def test_stop_under_load_dismisses_every_reader_and_loses_no_event(tmp_path: Path, readers: int) -> None:
    """Each reader gets a `bye` with its own time to reconnect, and resumes at the next server without loss."""
    options = ("--feed", "http", "--data", str(tmp_path))
    publisher = FailoverPublisher()
    async with (
        ServerProcess(*options, cwd=tmp_path) as server,
        ReaderFleet(server.url, ALL) as fleet,
        asyncio.TaskGroup() as tasks,
    ):
        await fleet.connect(readers)
        publishing = tasks.create_task(publisher.run(server.url))
        while publisher.batch < MIN_BATCHES or any(not reader.sequences for reader in fleet.readers):
            await asyncio.sleep(0.01)
        started_at = perf_counter()
        assert await server.stop() == 0
        elapsed_s = perf_counter() - started_at
        await asyncio.gather(publishing, fleet.wait_until_ended())
    delays = [reader.reconnect_in_ms for reader in fleet.readers if reader.reconnect_in_ms is not None]
    print(f"{readers} readers: ended in {elapsed_s:.1f} s; {len(delays)} byes: {min(delays)} to {max(delays)} ms")
    assert elapsed_s < MAX_STOP_S
    assert len(delays) == readers
    # No client reconnects before the server has restarted, because the connection would be refused.
    assert min(delays) >= MIN_RESTART_DELAY_MS
    assert len(set(delays)) > readers // 10
    async with (
        ServerProcess(*options, cwd=tmp_path) as server,
        ReaderFleet(server.url, ALL) as again,
        ReaderFleet(server.url, {**ALL, "since": "earliest"}) as truth,
    ):
        await again.connect(readers, lambda number: fleet.readers[number].last_event_id)
        await publisher.run(server.url, batches=3)
        while any(reader.sequences[-1:].tolist() != [publisher.last] for reader in again.readers):
            await asyncio.sleep(0.01)
        await truth.connect(1)
        everything = truth.readers[0].sequences
        while len(everything) < EVENTS_PER_BATCH * publisher.batch:
            await asyncio.sleep(0.01)
    for before, after in zip(fleet.readers, again.readers, strict=True):
        assert before.sequences + after.sequences == everything[-len(before.sequences + after.sequences) :]
        assert before.sequences[0] == everything[0]
    print(f"{len(everything)} events, each once, over the restart")
    log = (tmp_path / "server.log").read_text()
    assert "ERROR" not in log, log
    assert "Traceback" not in log, log


HTTP_ONLY = ("--feed", "http", "--journal", "memory")


async def publish_until_told_to_close(url: str, statuses: list[int]) -> None:
    """Publish on one connection until an answer has `Connection: close`. Append the status of each answer."""
    address, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    body = b'[{"symbol":"A","last":1}]'
    head = ""
    with contextlib.closing(writer):
        while "\r\nconnection: close\r\n" not in head:
            writer.write(
                b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            statuses.append(int(head.split(" ")[1]))
            (length,) = (
                int(line.partition(": ")[2]) for line in head.split("\r\n") if line.startswith("content-length")
            )
            await reader.readexactly(length)


async def test_a_stop_answers_every_request_on_open_connections(tmp_path: Path) -> None:
    """Each publisher is told to close its connection. No connection closes before its request is answered."""
    statuses: list[list[int]] = [[] for _ in range(20)]
    async with ServerProcess(*HTTP_ONLY, cwd=tmp_path) as server, asyncio.TaskGroup() as publishers:
        for each in statuses:
            publishers.create_task(publish_until_told_to_close(server.url, each))
        await wait_until(lambda: all(statuses))
        assert await server.stop() == 0
    assert {status for each in statuses for status in each} == {201}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains_the_streams(tmp_path: Path, number: signal.Signals) -> None:
    async with ServerProcess(*HTTP_ONLY, cwd=tmp_path) as server, open_stream(server.url) as stream:
        await stream.next_events(1, name="welcome")
        assert await server.stop(number) == 0
        (bye,) = await stream.next_events(1, name="bye")
        assert bye.data["reason"] == "drain"


@pytest.fixture
def _hangups_ignored() -> Iterator[None]:
    """Start child processes that ignore SIGHUP, as `nohup` does."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.usefixtures("_hangups_ignored")
async def test_a_server_that_nohup_has_started_ignores_hangups(tmp_path: Path) -> None:
    async with ServerProcess(*HTTP_ONLY, cwd=tmp_path) as server:
        os.kill(server.pid, signal.SIGHUP)
        async with open_stream(server.url) as stream:
            await stream.next_events(1, name="welcome")
        assert await server.stop() == 0


async def test_a_server_serves_on_during_the_drain_delay(tmp_path: Path) -> None:
    """After SIGTERM, the server is not ready, but accepts streams and events until a second signal ends the delay."""
    async with (
        ServerProcess(*HTTP_ONLY, "--drain-delay", "300", cwd=tmp_path) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):

        async def is_unready() -> bool:
            return (await client.get("/readyz")).status_code == 503

        os.kill(server.pid, signal.SIGTERM)
        await wait_until(is_unready)
        assert (await client.get("/healthz")).status_code == 200
        async with open_stream(server.url) as stream:
            await stream.next_events(1, name="welcome")
            assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])).status_code == 201
            await stream.next_events(1)
            assert await server.stop() == 0
            assert (await stream.next_events(1, name="bye"))[0].data["reason"] == "drain"


async def test_the_listener_closes_after_the_drain_delay(tmp_path: Path) -> None:
    async with ServerProcess(*HTTP_ONLY, "--drain-delay", "0.3", cwd=tmp_path) as server:
        started_at = perf_counter()
        assert await server.stop() == 0
        assert perf_counter() - started_at > 0.3


async def test_sigusr1_takes_a_server_out_of_load_balancing(tmp_path: Path) -> None:
    async with ServerProcess(*HTTP_ONLY, cwd=tmp_path) as server, httpx2.AsyncClient(base_url=server.url) as client:

        async def is_unready() -> bool:
            return (await client.get("/readyz")).status_code == 503

        os.kill(server.pid, signal.SIGUSR1)
        await wait_until(is_unready)
        async with open_stream(server.url) as stream:
            await stream.next_events(1, name="welcome")
        assert await server.stop() == 0
