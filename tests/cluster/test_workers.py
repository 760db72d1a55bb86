"""`tickwire serve --workers N`: one port, several processes, and their supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tickwire.clock import SystemClock
from tickwire.core.event import RecordKind
from tickwire.core.tick import ticks_from_bytes
from tickwire.journal.base import Retention
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.journal import NatsJournal
from tickwire.server.reader_handover import RETURN_NOW_MS
from tickwire.testing.ports import find_consecutive_free_ports, find_free_port
from tickwire.testing.reader_fleet import ReaderFleet
from tickwire.testing.server import ServerProcess
from tickwire.testing.tokens import bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

READERS = 16


@pytest.fixture(params=["nats", "sqlite"])
def journal_options(request, name):
    """The options for each kind of journal that the workers of one machine can share."""
    return ("--journal", f"{request.getfixturevalue('nats').url}/{name}") if request.param == "nats" else ()


async def readers_per_worker(base):
    """Return the number of readers of each worker, from its own port."""
    async with httpx2.AsyncClient() as client:
        return [(await client.get(f"http://127.0.0.1:{port}/readyz")).json()["readers"] for port in (base, base + 1)]


async def read_to_end(stream):
    """Read until the stream ends, and return its last event."""
    last = None
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
        while (event := await stream.next_event()) is not None:
            last = event
    return last


async def wait_until_replaced(server, before):
    """Wait until the processes in `before` have ended and equally many new processes run."""
    while len(now := child_pids(server)) < len(before) or now & before:
        await asyncio.sleep(0.02)


def child_pids(server):
    listed = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return {int(child) for child in listed.split()}


def environment_variable(pid, name):
    """Return a variable in the environment of a process; b"" if it is not set."""
    pairs = (pair.partition(b"=") for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return next((value for key, _, value in pairs if key == name.encode()), b"")


def process_role(pid):
    return environment_variable(pid, "TICKWIRE_ROLE").decode()


async def find_edges(server):
    """Return the process ids of the two edges. A child process has a role as soon as it runs a new program."""

    def edges():
        return {pid for pid in child_pids(server) if process_role(pid) == "edge"}

    await wait_until(lambda: len(edges()) >= 2)
    return edges()


async def test_workers_share_a_port_and_are_restarted_and_replaced(journal_options, tmp_path):
    """Readers spread over the workers. A killed worker is restarted. SIGHUP replaces and SIGTERM drains all workers."""
    base = find_consecutive_free_ports(4)
    options = ("--workers", "2", "--metrics-port", str(base), *journal_options, "--rate", "5")
    server = ServerProcess(*options, cwd=tmp_path)
    async with server, contextlib.AsyncExitStack() as opened:
        streams = [await opened.enter_async_context(open_stream(server.url)) for _ in range(READERS)]
        seen = (await streams[0].next_events(50))[-1]
        spread = await readers_per_worker(base)
        assert sum(spread) == READERS
        # With this number of readers, all readers reach the same worker only once in 30,000 runs.
        assert min(spread) > 0
        victim = min(await find_edges(server))
        os.kill(victim, signal.SIGKILL)
        await wait_until_replaced(server, {victim})
        await wait_until(lambda: len(child_pids(server)) >= 3)
        async with open_stream(server.url, {"delivery": "all"}, headers={"Last-Event-ID": seen.id}) as resumed:
            assert (await resumed.next_event()).data["resume"]["complete"]
            edges = await find_edges(server)
            os.kill(server.pid, signal.SIGHUP)
            last = await read_to_end(resumed)
            assert last.data["reason"] == "drain"
            await wait_until_replaced(server, edges)
        async with open_stream(server.url) as after:
            assert (await after.next_events(1))[0].sequence > seen.sequence
            assert await server.stop() == 0
            assert (await read_to_end(after)).name == "bye"


async def test_a_stop_during_a_restart_ends_the_streams_of_the_old_processes_too(tmp_path):
    """SIGTERM while SIGHUP replaces an edge: the supervisor drains both processes, and each reader receives `bye`."""
    server = ServerProcess("--workers", "2", "--rate", "5", cwd=tmp_path)
    async with server, contextlib.AsyncExitStack() as opened:
        streams = [await opened.enter_async_context(open_stream(server.url)) for _ in range(READERS)]
        await wait_until(lambda: len(child_pids(server)) == 4)
        before = child_pids(server)
        os.kill(server.pid, signal.SIGHUP)
        await wait_until(lambda: child_pids(server) - before)
        assert await server.stop() == 0
        last_events = [await read_to_end(stream) for stream in streams]
        assert {last.name for last in last_events} == {"bye"}


class ReturningReader:
    """A reader that reconnects with its last event id after each `bye`, until `stop` is called."""

    def __init__(self, url):
        self.delays = []
        self._past_sequences = []
        self._is_stopped = False
        self._fleet = ReaderFleet(url, {"delivery": "all", "since": "earliest"})

    async def run(self):
        last_event_id = ""
        async with self._fleet:
            while not self._is_stopped:
                await self._fleet.connect(1, lambda _: last_event_id)  # noqa: B023  # called before the next turn
                (reader,) = self._fleet.readers
                await reader.ended
                self._past_sequences += self._fleet.readers.pop().sequences
                last_event_id = f"{reader.epoch}-{self._past_sequences[-1]}" if self._past_sequences else ""
                if not self._is_stopped:
                    self.delays.append(reader.reconnect_in_ms)
                    await asyncio.sleep(reader.reconnect_in_ms / 1000)

    def stop(self):
        self._is_stopped = True
        self._fleet.disconnect()

    @property
    def sequences(self):
        return [*self._past_sequences, *(number for reader in self._fleet.readers for number in reader.sequences)]


async def publish_until_stopped(url, last_ids, stopped):
    """Publish one tick after the other on one connection. Every request must succeed."""
    async with httpx2.AsyncClient(base_url=url) as client:
        while not stopped.is_set():
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
            assert answer.status_code == 201, answer.text
            last_ids.append(int(answer.json()["last_id"].rpartition("-")[2]))
            # Without pauses, the publishers and their readers would slow down the start of the new processes.
            await asyncio.sleep(0.01)


async def test_rolling_restart_loses_no_event_and_no_request(journal_options, tmp_path):
    """Each `bye` event asks for a reconnect at once, because the other worker accepts the reader.

    Publishers receive no error.
    """
    options = ("--workers", "2", "--feed", "http", *journal_options)
    last_ids, stopped = [], asyncio.Event()
    async with ServerProcess(*options, cwd=tmp_path) as server, asyncio.TaskGroup() as tasks:
        readers = [ReturningReader(server.url) for _ in range(READERS)]
        for reader in readers:
            tasks.create_task(reader.run())
        publishing = [tasks.create_task(publish_until_stopped(server.url, last_ids, stopped)) for _ in range(4)]
        await wait_until(lambda: all(reader.sequences for reader in readers))
        edges = await find_edges(server)
        os.kill(server.pid, signal.SIGHUP)
        await wait_until_replaced(server, edges)
        stopped.set()
        await asyncio.gather(*publishing)
        await wait_until(lambda: all(reader.sequences[-1] == max(last_ids) for reader in readers))
        for reader in readers:
            reader.stop()
    for reader in readers:
        assert reader.sequences == readers[0].sequences == sorted({*reader.sequences})
        assert {*reader.delays} == {RETURN_NOW_MS}


async def test_role_feed_runs_one_process(tmp_path):
    with pytest.raises(RuntimeError, match="--role feed runs one process: remove --workers") as caught:
        await ServerProcess("--workers", "2", "--role", "feed", cwd=tmp_path).start()
    assert "Traceback" not in str(caught.value)


async def test_workers_follow_a_journal_in_memory(tmp_path):
    """Each worker sends the events that another worker has published."""
    base = find_consecutive_free_ports(3)
    options = ("--workers", "2", "--feed", "http", "--journal", "memory", "--metrics-port", str(base))
    async with ServerProcess(*options, cwd=tmp_path) as server, contextlib.AsyncExitStack() as opened:
        urls = [f"http://127.0.0.1:{base + number}" for number in range(2)]
        streams = [await opened.enter_async_context(open_stream(url, {"delivery": "all"})) for url in urls]
        async with httpx2.AsyncClient(base_url=urls[0]) as client:
            answer = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        assert [(await stream.next_events(1))[0].id for stream in streams] == [answer.json()["last_id"]] * 2
        assert await server.stop() == 0


@pytest.mark.parametrize("options", [("--workers", "2"), ("--role", "edge", "--metrics-port", "9")])
async def test_every_role_needs_tokens_beyond_loopback(tmp_path, options):
    """The metrics port requires tokens too."""
    with pytest.raises(RuntimeError, match=r"without --auth, anyone who can connect to '0\.0\.0\.0'"):
        await ServerProcess(*options, "--journal", "nats://127.0.0.1", "--host", "0.0.0.0", cwd=tmp_path).start()


async def test_workers_share_keys_and_tickets(nats, name, tmp_path):
    """Each worker accepts a ticket of another worker, but only once.

    No command line, log or banner contains a secret.
    """
    private = ed25519.Ed25519PrivateKey.generate()
    key_format = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pem").write_bytes(private.public_key().public_bytes(serialization.Encoding.PEM, key_format))
    base = find_consecutive_free_ports(3)
    options = ("--workers", "2", "--metrics-port", str(base), "--auth", "key", "--auth-key-file", "key.pem")
    server = ServerProcess(*options, "--host", "0.0.0.0", "--journal", f"{nats.url}/{name}", cwd=tmp_path)
    async with server, httpx2.AsyncClient() as client:
        workers = [f"http://127.0.0.1:{base + number}" for number in range(2)]
        headers = bearer_header(sign_token("metrics", key=private, algorithm="EdDSA"))
        for url in workers:
            assert (await client.get(f"{url}/metrics")).status_code == 401
            assert (await client.get(f"{url}/metrics", headers=headers)).status_code == 200
        response = await client.post(f"{workers[0]}/v1/tickets", headers=headers)
        for url, status in ((workers[1], 200), (workers[0], 401)):
            async with open_stream(url, {"ticket": response.json()["ticket"]}) as stream:
                assert stream.status == status
        pids = child_pids(server)
        secrets = {environment_variable(pid, "TICKWIRE_TICKET_SECRET") for pid in pids}
        public = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in {*pids, server.pid})
        public += (tmp_path / "server.log").read_bytes() + "".join(server.banner_lines).encode()
        (secret,) = secrets
        assert len(secret) > 32
        assert secret not in public
        assert await server.stop() == 0


@pytest.mark.long
async def test_a_suspended_owner_of_the_journal_is_replaced(tmp_path):
    """The supervisor kills the owner, whose lock blocks all writers. Readers stay connected, and no tick is lost."""
    server = ServerProcess("--workers", "2", "--feed", "http", cwd=tmp_path)
    async with server, httpx2.AsyncClient(base_url=server.url) as client:

        async def publish(price):
            return (await client.post("/v1/quotes", json=[{"symbol": "A", "last": price}])).status_code

        async with open_stream(server.url, {"delivery": "all"}) as reader:
            await wait_until(lambda: len(child_pids(server)) == 4)
            assert await publish(1) == 201
            (lock,) = tmp_path.glob("**/*.journal-lock")
            owner = int(lock.read_text())
            os.kill(owner, signal.SIGSTOP)
            assert await publish(2) == 503
            await wait_until_replaced(server, {owner})
            price = 3
            while await publish(price) != 201:
                price += 1
            while (event := await reader.next_event()).name != "quote" or event.data["last"] != price:
                assert event.name != "gap"
        assert await server.stop() == 0
    assert "has sent no heartbeat for 10 s: killing it" in (tmp_path / "server.log").read_text()


async def test_paused_leader_appends_nothing_after_its_successor(nats, name, tmp_path):
    """A paused leader continues after another process has taken over.

    The old leader gives up the feed, and no tick is repeated.
    """
    options = ("--feed", "simulator", "--rate", "20", "--role", "feed", "--journal", f"{nats.url}/{name}")
    first, second = ServerProcess(*options, cwd=tmp_path), ServerProcess(*options, cwd=tmp_path)
    journal = None
    try:
        await first.start()
        await wait_for_leader(first)
        await second.start()
        journal = await NatsJournal.open(parse_nats_address(nats.url, name), Retention(), SystemClock())
        os.kill(first.pid, signal.SIGSTOP)
        await wait_for_leader(second)
        takeover = journal.head
        os.kill(first.pid, signal.SIGCONT)
        while await is_leader(first):
            await asyncio.sleep(0.05)
        await wait_until(lambda: journal.head >= takeover + 500)
        times = [
            int(ts) for record in await journal.read(0, limit=1_000_000) if record.kind is RecordKind.TICKS
            for ts in ticks_from_bytes(record.data)["ts"]
        ]  # fmt: skip
        # The market time of a single market never goes back.
        assert times == sorted(times)
        assert await is_leader(second)
    finally:
        for process in (first, second):
            await process.kill()
        if journal is not None:
            await journal.close()


async def is_leader(server):
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"{server.url}/readyz")).json()["leads"]


async def wait_for_leader(server):
    await wait_until(lambda: is_leader(server))


async def test_workers_end_after_a_killed_supervisor(journal_options, tmp_path):
    """A killed supervisor sends no signal. Its edges and feeds notice that it has ended, and drain."""
    options = ("--workers", "2", *journal_options)
    async with ServerProcess(*options, cwd=tmp_path) as server, open_stream(server.url) as stream:
        await stream.next_events(1)
        workers = child_pids(server)
        assert sorted(map(process_role, workers)) == ["edge", "edge", *["feed"] * (1 if journal_options else 2)]
        await server.kill()
        assert (await read_to_end(stream)).data["reason"] == "drain"
    await wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


async def test_worker_that_waits_for_nats_ends_with_its_parent(tmp_path):
    environment = {**os.environ, "TICKWIRE_PARENT": "1"}
    options = ("--role", "edge", "--journal", f"nats://127.0.0.1:{find_free_port()}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickwire", "serve", *options),
        env=environment,
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    await process.communicate()
    # A process that ignores the signal would end with exit code 1. If the signal arrives before the process has
    # installed its handler, the signal itself ends the process.
    assert process.returncode in (0, -signal.SIGTERM)


async def test_all_workers_serve_on_during_the_drain_delay(tmp_path):
    """After SIGTERM, the workers answer requests, but are not ready. A second SIGTERM ends the delay."""
    base = find_consecutive_free_ports(4)
    options = ("--workers", "2", "--metrics-port", str(base), "--drain-delay", "300", "--feed", "http")
    async with ServerProcess(*options, cwd=tmp_path) as server, httpx2.AsyncClient() as client:

        async def are_unready():
            answers = [await client.get(f"http://127.0.0.1:{port}/readyz") for port in (base, base + 1)]
            return all("stopping" in answer.text for answer in answers)

        os.kill(server.pid, signal.SIGTERM)
        await wait_until(are_unready)
        async with open_stream(server.url) as stream:
            await stream.next_events(1, name="welcome")
            assert await server.stop() == 0
            assert (await read_to_end(stream)).name == "bye"
