"""Readers and publishers on bad connections do not disturb other clients, and the server frees their resources."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
import pytest

from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.hub.fanout.reader import Reader
from tickwire.server.routes import stream
from tickwire.server.transport import protocol
from tickwire.testing.marks import short_and_long
from tickwire.testing.proxy import FaultProxy
from tickwire.testing.reader_fleet import ReaderFleet
from tickwire.testing.senders import batches_of_any_size
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import WireStream, open_stream

SYMBOLS = [f"S{number}" for number in range(200)]
ALL = {"delivery": "all"}
# A small kernel buffer, so that a stalled reader soon fills it.
SEND_BUFFER_BYTES = 64 * 1024
TIMEOUT_S = 10.0
# The limit of bytes that the server buffers in user space for one reader: the bytes that waited before a burst of
# quotes, and the bytes of one flush of the burst.
MAX_BUFFERED_BYTES = 200_000

# Run these tests with one sender only, because they test StreamProtocol, which no sender affects. A server behind ASGI
# does not use StreamProtocol.
SOCKET_SINK_ONLY = pytest.mark.parametrize("market", ["transport"], indirect=True)


class TradePublisher:
    """Publishes trades and records them."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.hub = server.runtime.hub
        self.published: list[tuple[str, float]] = []

    async def trade(self, *symbols: str) -> None:
        """Publish one batch. Each tick has a new price."""
        batch = [(symbol, float(len(self.published) + place)) for place, symbol in enumerate(symbols)]
        ticks = pack_ticks([Tick(symbol=symbol, ts=1_000_000, last=last) for symbol, last in batch], now=0)
        await self.server.runtime.publish(ticks_entry(ticks))
        self.published += batch

    async def trade_until(self, condition: Callable[[], bool]) -> None:
        """Publish batches of all symbols until the condition holds. Let the event loop run between two batches."""
        while not condition():
            await self.trade(*SYMBOLS)
            await asyncio.sleep(0.001)

    @property
    def newest(self) -> dict[str, float]:
        """The last price of each symbol."""
        return dict(self.published)


@pytest.fixture(params=["uring", "native", "transport", "ASGI sink"])
async def market(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[TradePublisher]:
    """A server with one of the senders, or behind ASGI.

    After the test, no reader, file or task remains, and the log has no errors.
    """
    uses_asgi = request.param == "ASGI sink"
    sender = "transport" if uses_asgi else request.param
    settings = {"send_buffer_bytes": SEND_BUFFER_BYTES, "heartbeat": 0.2, "peer_timeout": 2, "sender": sender}
    with batches_of_any_size(sender):
        async with run_server(bypass_asgi=not uses_asgi, **settings) as server:
            before = (open_files(), len(asyncio.all_tasks()))
            yield TradePublisher(server)
            await wait_until(lambda: not server.runtime.hub.roster.channels)
            await wait_until(lambda: (open_files(), len(asyncio.all_tasks())) <= before)
            stats = server.runtime.hub.stats()
            assert (stats.readers, stats.channels) == (0, 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def find_reader(market: TradePublisher, client_id: str) -> Reader:
    (reader,) = market.hub.roster.find_readers(client_id)
    return reader


def buffered_bytes(reader: Reader) -> int:
    """Return the bytes that wait in user space for one reader."""
    sink = reader.sink
    return sink._transport.get_write_buffer_size() if sink.is_chunked else sink._pending_bytes


async def read_prices(source: WireStream, count: int) -> list[tuple[str, float]]:
    """Read the next `count` quotes as pairs of symbol and price."""
    return [(event.data["symbol"], event.data["last"]) for event in await source.next_events(count)]


async def read_welcome(source: WireStream) -> None:
    assert (await source.next_event()).name == "welcome"


@pytest.mark.parametrize(
    ("market", "coding"),
    [
        ("uring", "identity"),
        ("native", "identity"),
        ("transport", "identity"),
        ("uring", "gzip"),
        ("native", "zstd"),
        ("ASGI sink", "identity"),
    ],
    indirect=["market"],
)
async def test_a_stalled_reader_is_bounded_and_recovers(market: TradePublisher, coding: str) -> None:
    """Other readers get every event.

    When the stalled reader reads again, it gets the exact state, or every event once with delivery=all.
    """
    accept = {"Accept-Encoding": coding}
    async with (
        FaultProxy(market.server.url) as proxy,
        open_stream(market.server.url, ALL, headers=accept) as good,
        open_stream(proxy.url, {**ALL, "client_id": "all"}, headers=accept) as everything,
        open_stream(proxy.url, {"client_id": "latest"}, headers=accept) as latest,
    ):
        for each in (good, everything, latest):
            await read_welcome(each)
        reader = {name: find_reader(market, name) for name in ("all", "latest")}
        proxy.stall()
        await market.trade_until(lambda: all(each.sink.is_full for each in reader.values()))
        await market.trade(*SYMBOLS, *SYMBOLS)
        assert await read_prices(good, len(market.published)) == market.published
        size = {name: buffered_bytes(each) for name, each in reader.items()}
        print(f"{coding}: {len(market.published)} events published, bytes waiting for stalled readers {size}")
        assert max(size.values()) <= MAX_BUFFERED_BYTES
        proxy.resume()
        assert await read_prices(everything, len(market.published)) == market.published
        seen: dict[str, float] = {}
        count, newest = 0, market.newest
        while seen != newest:
            ((symbol, price),) = await read_prices(latest, 1)
            assert price >= seen.get(symbol, -1)
            seen[symbol] = price
            count += 1
        await wait_until(lambda: reader["latest"].is_live)
        assert reader["latest"].conflated_quotes == len(market.published) - count > 0
        assert (reader["all"].conflated_quotes, reader["all"].gaps) == (0, 0)


@pytest.mark.parametrize("reads_again", [True, False])
async def test_a_drain_waits_briefly_for_a_stalled_reader(
    market: TradePublisher, reads_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader with a full socket gets its `bye` if it reads again soon; otherwise the server disconnects it."""
    monkeypatch.setattr(stream, "DRAIN_TIMEOUT_S", TIMEOUT_S if reads_again else 0.1)
    async with FaultProxy(market.server.url) as proxy, open_stream(proxy.url, {"client_id": "stalled"}) as stalled:
        await read_welcome(stalled)
        reader = find_reader(market, "stalled")
        proxy.stall()
        await market.trade_until(lambda: reader.sink.is_full)
        market.server.app.drain()
        await wait_until(lambda: not market.hub.roster.channels)
        if reads_again:
            proxy.resume()
            (bye,) = await stalled.next_events(1, name="bye")
            assert bye.data["reason"] == "drain"
            assert await stalled.next_event() is None


async def test_a_reader_of_single_bytes_gets_every_event(market: TradePublisher) -> None:
    """Other readers do not wait for this reader."""
    async with (
        FaultProxy(market.server.url) as proxy,
        open_stream(market.server.url, ALL) as good,
        open_stream(proxy.url, ALL) as slow,
    ):
        proxy.max_chunk_bytes = 1
        for each in (good, slow):
            await read_welcome(each)
        await market.trade(*SYMBOLS[:20])
        assert await read_prices(good, 20) == market.published
        assert proxy.connections[0].forwarded_bytes < 5_000
        assert await read_prices(slow, 20) == market.published


@SOCKET_SINK_ONLY
async def test_a_reader_on_a_slow_connection_ends_with_the_exact_state(market: TradePublisher) -> None:
    """The connection has a delay and little bandwidth."""
    async with FaultProxy(market.server.url) as proxy, open_stream(proxy.url) as slow:
        await read_welcome(slow)
        proxy.bytes_per_s, proxy.latency_s, proxy.max_chunk_bytes = 400_000, 0.001, 1_000
        for _ in range(20):
            await market.trade(*SYMBOLS)
        seen: dict[str, float] = {}
        newest = market.newest
        while seen != newest:
            ((symbol, price),) = await read_prices(slow, 1)
            seen[symbol] = price
        print(f"{len(market.published)} events, {proxy.connections[0].forwarded_bytes} bytes over the slow connection")


@pytest.mark.parametrize("ending", ["reset", "reset in an event", "half close", "close"])
async def test_a_disconnected_reader_is_removed_and_resumes(market: TradePublisher, ending: str) -> None:
    """A reader that connects again resumes after its last id, and gets every event once."""
    async with FaultProxy(market.server.url) as proxy, open_stream(market.server.url, ALL) as good:
        await read_welcome(good)
        async with open_stream(proxy.url, {**ALL, "client_id": "leaving"}) as leaving:
            await read_welcome(leaving)
            await market.trade("A")
            (first,) = await leaving.next_events(1)
            seen, last = [("A", first.data["last"])], first.id
            if ending == "reset in an event":
                # This position is also in the middle of a chunk.
                proxy.reset_after_bytes = proxy.connections[0].forwarded_bytes + 2_500
            await market.trade(*SYMBOLS[:30])
            for event in await read_until_disconnected(leaving, 5):
                seen.append((event.data["symbol"], event.data["last"]))
                last = event.id
            if ending == "reset":
                proxy.connections[0].reset()
            elif ending == "half close":
                proxy.connections[0].send_eof_to_server()
        await market.trade_until(lambda: "leaving" not in market.hub.roster)
        proxy.reset_after_bytes = None
        async with open_stream(proxy.url, ALL, headers={"Last-Event-ID": last}) as again:
            seen += await read_prices(again, len(market.published) - len(seen))
        assert seen == market.published
        assert await read_prices(good, len(market.published)) == market.published


async def read_until_disconnected(source: WireStream, count: int) -> list:
    """Read up to `count` quotes; fewer if the connection breaks."""
    events = []
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        for _ in range(count):
            events += await source.next_events(1)
    return events


async def send_raw(market: TradePublisher, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and send `data`."""
    host = urlsplit(market.server.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    writer.write(data)
    return reader, writer


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Read until the connection is closed or reset."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            received += data
    return received


PARTIAL_BODY = b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[{"
STREAM_HEAD = b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n"


@SOCKET_SINK_ONLY
@pytest.mark.parametrize(
    "partial_request",
    [b"", b"GET /v1/quotes HTTP/1.1\r\nHost:", PARTIAL_BODY, STREAM_HEAD + b"Content-Length: 10000\r\n\r\n"],
    ids=["nothing", "a head", "a body", "a stream's body"],
)
async def test_an_unfinished_request_times_out(
    market: TradePublisher, partial_request: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads and bodies have a time limit, which a client cannot extend by sending single bytes."""
    # One timer serves all connections, so the limit must be short before the first connection.
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 1.0)
    monkeypatch.setattr(protocol, "BODY_TIMEOUT_S", 0.1)
    async with open_stream(market.server.url, ALL) as good:
        await read_welcome(good)
        reader, writer = await send_raw(market, partial_request)
        reading = asyncio.create_task(read_to_end(reader))
        while not reading.done():
            writer.write(b"x" if partial_request else b"")
            await asyncio.sleep(0.005)
        writer.transport.abort()
        await market.trade("A")
        assert await read_prices(good, 1) == market.published


@SOCKET_SINK_ONLY
@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/stream"])
async def test_an_endless_body_is_cut_off(market: TradePublisher, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers and closes the connection while the client still sends. Other clients do not wait."""
    monkeypatch.setattr(protocol, "BODY_TIMEOUT_S", 1.0)
    monkeypatch.setattr(protocol, "LINGER_TIMEOUT_S", 0.1)
    async with open_stream(market.server.url, ALL) as good:
        await read_welcome(good)
        reader, writer = await send_raw(
            market, f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        answer = asyncio.create_task(read_to_end(reader))
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
        assert (await answer).startswith(b"HTTP/1.1 413" if path == "/v1/quotes" else b"HTTP/1.1 405")
        await market.trade("A")
        assert await read_prices(good, 1) == market.published


@SOCKET_SINK_ONLY
@pytest.mark.parametrize("request_line", ["POST /v1/quotes", "GET /v1/stream", "GET /healthz"])
@pytest.mark.parametrize(
    ("begin", "more"),
    [(b"0\r\n", b"x-a: " + b"b" * 1_000 + b"\r\n"), (b"1;", b"a" * 1_000), (b"0;", b"a" * 1_000), (b"", b"0" * 1_000)],
    ids=["trailers", "extension", "last extension", "zeros"],
)
async def test_an_endless_chunk_overhead_is_cut_off(
    market: TradePublisher, request_line: str, begin: bytes, more: bytes
) -> None:
    """The server keeps trailers in memory, so it closes the connection after 64 KB. Other clients do not wait."""
    async with open_stream(market.server.url, ALL) as good:
        await read_welcome(good)
        head = f"{request_line} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        reader, writer = await send_raw(market, head + begin)
        answer, sent = asyncio.create_task(read_to_end(reader)), 0
        with contextlib.suppress(ConnectionError):
            while sent < 20_000_000:
                writer.write(more * 64)
                await writer.drain()
                sent += 64 * len(more)
        writer.transport.abort()
        await answer
        # The client sent more than 64 KB, because the buffers of the two sockets also accept bytes.
        assert sent < 20_000_000
        await market.trade("A")
        assert await read_prices(good, 1) == market.published


@SOCKET_SINK_ONLY
async def test_single_byte_chunks_and_trailers_are_accepted_but_trailers_are_no_headers(market: TradePublisher) -> None:
    body = b'[{"symbol":"A","last":1}]'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body + b" " * 100_000)
    head = b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    for status in (b"201", b"201"):
        reader, writer = await send_raw(market, head + chunks + b"0\r\nIdempotency-Key: same\r\n\r\n")
        assert (await read_to_end(reader)).startswith(b"HTTP/1.1 " + status)
        writer.close()


async def test_a_publisher_that_disconnects_in_a_body_publishes_nothing(market: TradePublisher) -> None:
    """The server logs no error."""
    for ending in ("reset", "half close"):
        reader, writer = await send_raw(market, PARTIAL_BODY)
        await wait_until(lambda: open_files() > 0)
        if ending == "reset":
            await asyncio.sleep(0.01)
            writer.transport.abort()
        else:
            writer.write_eof()
        await read_to_end(reader)
        writer.close()
    assert market.hub.head.sequence == 0


@SOCKET_SINK_ONLY
async def test_too_many_pipelined_requests_end_the_stream(
    market: TradePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """A few requests may wait behind a stream; thousands would fill the memory.

    The end of the connection ends the stream, and not only the newest request, so its last write does not fail.
    """
    reader, writer = await send_raw(market, STREAM_HEAD + b"\r\n" + b"GET /healthz HTTP/1.1\r\n\r\n" * 5)
    await reader.readuntil(b"welcome")
    writer.transport.abort()
    await market.trade_until(lambda: not len(market.hub.roster))
    reader, writer = await send_raw(market, STREAM_HEAD + b"\r\n" + b"GET /healthz HTTP/1.1\r\n\r\n" * 10_000)
    await read_to_end(reader)
    writer.close()
    await market.trade_until(lambda: not len(market.hub.roster))
    assert "Exception" not in caplog.text


@SOCKET_SINK_ONLY
async def test_garbage_behind_a_stream_request_ends_the_stream(market: TradePublisher) -> None:
    """The server sends no error response, because the response would appear between the events."""
    reader, writer = await send_raw(market, STREAM_HEAD + b"\r\n")
    await reader.readuntil(b"welcome")
    writer.write(b"\0\0\0\r\n\r\n")
    assert b"HTTP/1.1" not in await read_to_end(reader)
    writer.close()


def run_command(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def remote_network() -> Iterator[RemoteNetwork]:
    """A network namespace behind a pair of devices. Skips the test if the system cannot create one."""
    name = f"tw{os.getpid()}"
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("needs root and the program ip to create a network namespace")
    try:
        run_command("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot create a network namespace: {error.stderr.decode().strip()}")
    near_device, far_device = f"{name}a", f"{name}b"
    run_command("ip", "link", "add", near_device, "type", "veth", "peer", "name", far_device, "netns", name)
    run_command("ip", "addr", "add", f"{NEAR_ADDRESS}/30", "dev", near_device)
    run_command("ip", "link", "set", near_device, "up")
    run_command("ip", "-n", name, "addr", "add", "198.18.7.2/30", "dev", far_device)
    run_command("ip", "-n", name, "link", "set", far_device, "up")
    yield RemoteNetwork(name, far_device)
    run_command("ip", "netns", "del", name)


# The addresses are from the block for benchmarks (RFC 2544).
NEAR_ADDRESS = "198.18.7.1"


class RemoteNetwork(NamedTuple):
    """A network namespace, and its network device, which is connected to this host."""

    namespace: str
    device: str

    def socket(self) -> socket.socket:
        """Return a socket in the namespace. A thread enters it first, because a namespace belongs to a thread."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._open_in_namespace).result()

    def _open_in_namespace(self) -> socket.socket:
        with Path(f"/run/netns/{self.namespace}").open() as namespace:
            ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET)
        return socket.socket()

    def disconnect(self) -> None:
        """Drop all packets from now on, without closing connections."""
        run_command("ip", "-n", self.namespace, "link", "set", self.device, "down")


# From Linux's sched.h.
CLONE_NEWNET = 0x40000000


async def test_an_unreachable_reader_is_removed_after_the_peer_timeout(
    remote_network: RemoteNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    """The network of the reader is down, so no FIN ever arrives. Other readers are not affected."""
    async with run_server(host=NEAR_ADDRESS, peer_timeout=1, heartbeat=0.2) as server:
        market = TradePublisher(server)
        connection = remote_network.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (NEAR_ADDRESS, urlsplit(server.url).port))
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(STREAM_HEAD + b"\r\n")
        await reader.readuntil(b"welcome")
        async with open_stream(server.url, ALL) as good:
            await read_welcome(good)
            # The first event opens the descriptors of the sender.
            await market.trade("A")
            assert await read_prices(good, 1) == market.published
            remote_network.disconnect()
            disconnected_at, files = perf_counter(), open_files()
            while len(market.hub.roster) == 2:
                await market.trade("A")
                await asyncio.sleep(0.01)
            print(f"removed after {perf_counter() - disconnected_at:.1f} s; {open_files() - files} files")
            assert open_files() < files
            assert await read_prices(good, len(market.published) - 1) == market.published[1:]
        writer.transport.abort()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@contextlib.contextmanager
def stalled_readers(url: str, count: int) -> Iterator[None]:
    """Connect `count` sockets that request a stream and never read it."""
    host = urlsplit(url)
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            connection = opened.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host.hostname, host.port))
            connection.sendall(STREAM_HEAD + b"\r\n")
        yield


async def publish(url: str, fleet: ReaderFleet, batches: int) -> list[int]:
    """Publish batches one after another; return the sequences of all events."""
    sequences: list[int] = []
    async with httpx2.AsyncClient(base_url=url) as client:
        for batch in range(batches):
            ticks = [{"symbol": f"S{place}", "last": float(batch)} for place in range(10)]
            published_at = perf_counter()
            answer = (await client.post("/v1/quotes", json=ticks)).json()
            first, last = (int(answer[key].rpartition("-")[2]) for key in ("first_id", "last_id"))
            fleet.publish_times.update(dict.fromkeys(range(first, last + 1), published_at))
            sequences += range(first, last + 1)
    return sequences


def all_received(fleet: ReaderFleet, count: int) -> Callable[[], bool]:
    """Return a condition that holds when every reader has `count` events."""
    return lambda: all(len(reader.sequences) >= count for reader in fleet.readers)


def resident_kilobytes(pid: int) -> int:
    """Return the resident memory of a process in KB."""
    with Path(f"/proc/{pid}/status").open() as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS")))


@short_and_long("reading", 190, 950)
async def test_fifty_stalled_readers_do_not_affect_others(tmp_path: Path, reading: int) -> None:
    """The other readers get every event once, and memory grows little.

    The test prints latencies without checking them.
    """
    for stalled in (0, 50):
        async with (
            ServerProcess("--feed", "http", "--journal", "memory", cwd=tmp_path) as server,
            ReaderFleet(server.url, ALL) as fleet,
        ):
            with stalled_readers(server.url, stalled):
                await fleet.connect(reading)
                memory_before = resident_kilobytes(server.pid)
                sequences = await publish(server.url, fleet, 30)
                await wait_until(all_received(fleet, len(sequences)))
                memory_growth = resident_kilobytes(server.pid) - memory_before
                p50, p99 = fleet.latency_quantile(0.5) * 1e3, fleet.latency_quantile(0.99) * 1e3
                print(
                    f"{stalled} stalled beside {reading}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
                    f"server grew by {memory_growth} KB"
                )
                assert all([*reader.sequences] == sequences for reader in fleet.readers)
                assert memory_growth < 32_000
                async with httpx2.AsyncClient(base_url=server.url) as client:
                    stalls = sum(each["stalls"] > 0 for each in (await client.get("/v1/clients")).json())
                assert stalls >= stalled
