"""Readers and publishers on bad connections: each costs itself, nobody else, and is forgotten in the end."""

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
from tickwire.core.tick import Tick, pack
from tickwire.hub.reader import Reader
from tickwire.server import protocol, stream
from tickwire.testing.crowd import Crowd
from tickwire.testing.proxy import HostileProxy
from tickwire.testing.server import RunningServer, ServerProcess, run_server
from tickwire.testing.wire import WireStream, open_stream

SYMBOLS = [f"S{number}" for number in range(200)]
ALL = {"delivery": "all"}
PATIENCE = 10.0  # seconds for what must happen
MOST_HELD = 200_000  # bytes in user space for one reader: one flush of a burst, and what was there before


FAST = pytest.mark.parametrize("market", ["fast sink"], indirect=True)  # with our own protocol class


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Market:
    """Publishes, and knows what was published."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.hub = server.runtime.hub
        self.sent: list[tuple[str, float]] = []

    async def trade(self, *symbols: str) -> None:
        """One batch, each tick with a price that was never before."""
        batch = [(symbol, float(len(self.sent) + place)) for place, symbol in enumerate(symbols)]
        ticks = pack([Tick(symbol=symbol, ts=1_000_000, last=last) for symbol, last in batch], now=0)
        await self.server.runtime.publish(ticks_entry(ticks))
        self.sent += batch

    async def trade_until(self, condition: Callable[[], bool]) -> None:
        """Batches of all symbols until the condition holds, with time for sockets between them."""
        while not condition():
            await self.trade(*SYMBOLS)
            await asyncio.sleep(0.001)

    @property
    def newest(self) -> dict[str, float]:
        """The last price of each symbol."""
        return dict(self.sent)


@pytest.fixture(params=["fast sink", "plain sink"])
async def market(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Market]:
    """A server; after the test nothing of its readers is left, and nobody else's log was filled."""
    async with run_server(fast=request.param == "fast sink", heartbeat=0.2, peer_timeout=2) as server:
        before = (open_files(), len(asyncio.all_tasks()))
        yield Market(server)
        await until(lambda: not server.runtime.hub.roster.channels)
        await until(lambda: (open_files(), len(asyncio.all_tasks())) <= before)
        stats = server.runtime.hub.stats()
        assert (stats.readers, stats.channels) == (0, 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def named(market: Market, client_id: str) -> Reader:
    (reader,) = market.hub.roster.named(client_id)
    return reader


def held(reader: Reader) -> int:
    """Bytes that wait in user space for one reader."""
    sink = reader.sink
    return sink._transport.get_write_buffer_size() if sink.framed else sink._size


async def lasts(source: WireStream, count: int) -> list[tuple[str, float]]:
    """The next quotes as pairs of symbol and price."""
    return [(event.data["symbol"], event.data["last"]) for event in await source.events(count)]


async def begin(source: WireStream) -> None:
    assert (await source.event()).name == "welcome"


@pytest.mark.parametrize(
    ("market", "coding"),
    [("fast sink", "identity"), ("fast sink", "gzip"), ("fast sink", "zstd"), ("plain sink", "identity")],
    indirect=["market"],
)
async def test_a_reader_that_stops_reading(market: Market, coding: str) -> None:
    """Others get everything; it is bounded, and has the exact state (or everything, once) after it reads on."""
    accept = {"Accept-Encoding": coding}
    async with (
        HostileProxy(market.server.url) as proxy,
        open_stream(market.server.url, ALL, headers=accept) as good,
        open_stream(proxy.url, {**ALL, "client_id": "all"}, headers=accept) as everything,
        open_stream(proxy.url, {"client_id": "latest"}, headers=accept) as latest,
    ):
        for each in (good, everything, latest):
            await begin(each)
        reader = {name: named(market, name) for name in ("all", "latest")}
        proxy.stall()
        await market.trade_until(lambda: all(each.sink.full for each in reader.values()))
        await market.trade(*SYMBOLS, *SYMBOLS)
        assert await lasts(good, len(market.sent)) == market.sent
        size = {name: held(each) for name, each in reader.items()}
        print(f"{coding}: {len(market.sent)} events published, bytes waiting for stalled readers {size}")
        assert max(size.values()) <= MOST_HELD
        proxy.go_on()
        assert await lasts(everything, len(market.sent)) == market.sent
        seen: dict[str, float] = {}
        count = 0
        while seen != market.newest:
            ((symbol, price),) = await lasts(latest, 1)
            assert price >= seen.get(symbol, -1)
            seen[symbol] = price
            count += 1
        await until(lambda: reader["latest"].live)
        assert reader["latest"].conflated == len(market.sent) - count > 0
        assert (reader["all"].conflated, reader["all"].gaps) == (0, 0)


@pytest.mark.parametrize("reads_on", [True, False])
async def test_the_last_words_for_a_reader_that_halts(
    market: Market, reads_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent away while its socket is full, it still gets its `bye` if it reads on soon; if not, nobody waits for it."""
    monkeypatch.setattr(stream, "LAST_SECONDS", PATIENCE if reads_on else 0.1)
    async with HostileProxy(market.server.url) as proxy, open_stream(proxy.url, {"client_id": "halts"}) as halting:
        await begin(halting)
        reader = named(market, "halts")
        proxy.stall()
        await market.trade_until(lambda: reader.sink.full)
        market.server.app.drain()
        await until(lambda: not market.hub.roster.channels)
        if reads_on:
            proxy.go_on()
            (bye,) = await halting.events(1, name="bye")
            assert bye.data["reason"] == "drain"
            assert await halting.event() is None


async def test_a_reader_of_a_byte_at_a_time(market: Market) -> None:
    """It gets whole events in order, only later; others do not wait."""
    async with (
        HostileProxy(market.server.url) as proxy,
        open_stream(market.server.url, ALL) as good,
        open_stream(proxy.url, ALL) as slow,
    ):
        proxy.piece = 1
        for each in (good, slow):
            await begin(each)
        await market.trade(*SYMBOLS[:20])
        assert await lasts(good, 20) == market.sent
        assert proxy.links[0].passed < 5_000
        assert await lasts(slow, 20) == market.sent


@FAST
async def test_a_slow_and_late_line(market: Market) -> None:
    """With a delay and little bandwidth, newest-only prices stay whole and end exact."""
    async with HostileProxy(market.server.url) as proxy, open_stream(proxy.url) as slow:
        await begin(slow)
        proxy.rate, proxy.delay, proxy.piece = 400_000, 0.001, 1_000
        for _ in range(20):
            await market.trade(*SYMBOLS)
        seen: dict[str, float] = {}
        while seen != market.newest:
            ((symbol, price),) = await lasts(slow, 1)
            seen[symbol] = price
        print(f"{len(market.sent)} events, {proxy.links[0].passed} bytes over the slow line")


@pytest.mark.parametrize("way", ["reset", "cut", "half close", "close"])
async def test_a_reader_that_goes(market: Market, way: str) -> None:
    """However it ends in the middle of its stream, it is forgotten, and goes on elsewhere from its last id."""
    async with HostileProxy(market.server.url) as proxy, open_stream(market.server.url, ALL) as good:
        await begin(good)
        async with open_stream(proxy.url, {**ALL, "client_id": "goes"}) as goes:
            await begin(goes)
            await market.trade("A")
            (first,) = await goes.events(1)
            seen, last = [("A", first.data["last"])], first.id
            if way == "cut":
                proxy.cut_after = proxy.links[0].passed + 2_500  # in the middle of a chunk, and of an event
            await market.trade(*SYMBOLS[:30])
            for event in await read_while_it_lasts(goes, 5):
                seen.append((event.data["symbol"], event.data["last"]))
                last = event.id
            if way == "reset":
                proxy.links[0].reset()
            elif way == "half close":
                proxy.links[0].half_close()
        await market.trade_until(lambda: "goes" not in market.hub.roster)
        proxy.cut_after = None
        async with open_stream(proxy.url, ALL, headers={"Last-Event-ID": last}) as again:
            seen += await lasts(again, len(market.sent) - len(seen))
        assert seen == market.sent
        assert await lasts(good, len(market.sent)) == market.sent


async def read_while_it_lasts(source: WireStream, count: int) -> list:
    """Up to `count` quotes, fewer if the connection breaks."""
    found = []
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        for _ in range(count):
            found += await source.events(1)
    return found


async def connect(market: Market, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which `data` was sent."""
    host = urlsplit(market.server.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    writer.write(data)
    return reader, writer


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, in whatever way."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            found += data
    return found


BODY_BEGUN = b"POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[{"
STREAM = b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n"


@FAST
@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /v1/quotes HTTP/1.1\r\nHost:", BODY_BEGUN, STREAM + b"Content-Length: 10000\r\n\r\n"],
    ids=["nothing", "a head", "a body", "a stream's body"],
)
async def test_a_request_that_does_not_come_to_its_end(
    market: Market, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads and bodies have a time; whoever is slower loses the connection, also with a byte now and then."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1)
    async with open_stream(market.server.url, ALL) as good:
        await begin(good)
        reader, writer = await connect(market, begun)
        ended = asyncio.create_task(rest_of(reader))
        while not ended.done():
            writer.write(b"x" if begun else b"")
            await asyncio.sleep(0.005)
        writer.transport.abort()
        await market.trade("A")
        assert await lasts(good, 1) == market.sent


@FAST
@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/stream"])
async def test_a_body_without_end(market: Market, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was answered, its connection ends although more is coming, and nobody waits for it."""
    monkeypatch.setattr(protocol, "BODY_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.1)
    async with open_stream(market.server.url, ALL) as good:
        await begin(good)
        reader, writer = await connect(
            market, f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        answer = asyncio.create_task(rest_of(reader))
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
        assert (await answer).startswith(b"HTTP/1.1 413" if path == "/v1/quotes" else b"HTTP/1.1 405")
        await market.trade("A")
        assert await lasts(good, 1) == market.sent


async def test_a_publisher_that_breaks_off(market: Market) -> None:
    """In the middle of a body: nothing is taken, and nothing is in the log but what concerns the server."""
    for way in ("reset", "half close"):
        reader, writer = await connect(market, BODY_BEGUN)
        await until(lambda: open_files() > 0)
        if way == "reset":
            await asyncio.sleep(0.01)
            writer.transport.abort()
        else:
            writer.write_eof()
        await rest_of(reader)
        writer.close()
    assert market.hub.head.sequence == 0


@FAST
async def test_requests_without_number_behind_a_stream(market: Market) -> None:
    """Some may wait for the stream's end; thousands in a packet end it instead of filling the memory."""
    reader, writer = await connect(market, STREAM + b"\r\n" + b"GET /healthz HTTP/1.1\r\n\r\n" * 5)
    await reader.readuntil(b"welcome")
    writer.transport.abort()
    await market.trade_until(lambda: not len(market.hub.roster))
    reader, writer = await connect(market, STREAM + b"\r\n" + b"GET /healthz HTTP/1.1\r\n\r\n" * 10_000)
    await rest_of(reader)
    writer.close()


@FAST
async def test_what_is_no_request_behind_a_stream(market: Market) -> None:
    """It ends the stream; an answer to it would stand in the middle of the events."""
    reader, writer = await connect(market, STREAM + b"\r\n")
    await reader.readuntil(b"welcome")
    writer.write(b"\0\0\0\r\n\r\n")
    assert b"HTTP/1.1" not in await rest_of(reader)
    writer.close()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def far() -> Iterator[Far]:
    """A network namespace behind a pair of devices; skips where that cannot be made."""
    name = f"tw{os.getpid()}"
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("needs root and the program ip, to make a network whose end vanishes")
    try:
        run("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    near, there = f"{name}a", f"{name}b"
    run("ip", "link", "add", near, "type", "veth", "peer", "name", there, "netns", name)
    run("ip", "addr", "add", f"{NEAR}/30", "dev", near)
    run("ip", "link", "set", near, "up")
    run("ip", "-n", name, "addr", "add", "198.18.7.2/30", "dev", there)
    run("ip", "-n", name, "link", "set", there, "up")
    yield Far(name, there)
    run("ip", "netns", "del", name)


NEAR = "198.18.7.1"  # of the block for tests between networks, RFC 2544


class Far(NamedTuple):
    """The other end of a network."""

    namespace: str
    device: str

    def socket(self) -> socket.socket:
        """A socket that lives there: the namespace is that of the thread that makes it."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._made_there).result()

    def _made_there(self) -> socket.socket:
        with Path(f"/run/netns/{self.namespace}").open() as namespace:
            ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET)
        return socket.socket()

    def vanish(self) -> None:
        """From now on nothing comes or goes, and nobody is told."""
        run("ip", "-n", self.namespace, "link", "set", self.device, "down")


CLONE_NEWNET = 0x40000000  # of Linux's sched.h


async def test_a_reader_that_disappears_without_a_word(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    """Its network is gone, so no FIN ever comes: after `--peer-timeout` it is forgotten; others notice nothing."""
    async with run_server(host=NEAR, peer_timeout=1, heartbeat=0.2) as server:
        market = Market(server)
        connection = far.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (NEAR, urlsplit(server.url).port))
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(STREAM + b"\r\n")
        await reader.readuntil(b"welcome")
        async with open_stream(server.url, ALL) as good:
            await begin(good)
            far.vanish()
            begin_at, files = perf_counter(), open_files()
            while len(market.hub.roster) == 2:
                await market.trade("A")
                await asyncio.sleep(0.01)
            print(f"forgotten after {perf_counter() - begin_at:.1f} s; {open_files() - files} files")
            assert open_files() == files - 1
            assert await lasts(good, len(market.sent)) == market.sent
        writer.transport.abort()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def crowd_of(url: str, readers: int, stalled: int) -> tuple[Crowd, list[socket.socket]]:
    """Good readers, and others that never read what they asked for."""
    host = urlsplit(url)
    idle = []
    for _ in range(stalled):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host.hostname, host.port))
        connection.sendall(STREAM + b"\r\n")
        idle.append(connection)
    crowd = Crowd(url, ALL)
    await crowd.come(readers)
    return crowd, idle


async def publish(url: str, crowd: Crowd, batches: int) -> list[int]:
    """Publish batches one after the other; the numbers of all events."""
    numbers: list[int] = []
    async with httpx2.AsyncClient(base_url=url) as client:
        for batch in range(batches):
            ticks = [{"symbol": f"S{place}", "last": float(batch)} for place in range(10)]
            begin_at = perf_counter()
            answer = (await client.post("/v1/quotes", json=ticks)).json()
            first, last = (int(answer[key].rpartition("-")[2]) for key in ("first_id", "last_id"))
            crowd.published.update(dict.fromkeys(range(first, last + 1), begin_at))
            numbers += range(first, last + 1)
    return numbers


def has(crowd: Crowd, count: int) -> Callable[[], bool]:
    """Whether every reader has so many events."""
    return lambda: all(len(reader.ids) >= count for reader in crowd.readers)


def resident(pid: int) -> int:
    """KB of a process in memory."""
    with Path(f"/proc/{pid}/status").open() as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS")))


@pytest.mark.slow
async def test_fifty_stalled_beside_many_good_ones(tmp_path: Path) -> None:
    """The good ones get every event once; the stalled ones cost little. The times are printed, not judged."""
    for stalled in (0, 50):
        async with ServerProcess("--feed", "http", "--journal", "memory", cwd=tmp_path) as server:
            crowd, idle = await crowd_of(server.url, 950, stalled)
            before = resident(server.pid)
            numbers = await publish(server.url, crowd, 30)
            await until(has(crowd, len(numbers)))
            grown = resident(server.pid) - before
            p50, p99 = crowd.late(0.5) * 1e3, crowd.late(0.99) * 1e3
            print(f"{stalled} stalled beside 950: p50 {p50:.1f} ms, p99 {p99:.1f} ms, server grew by {grown} KB")
            assert all([*reader.ids] == numbers for reader in crowd.readers)
            assert grown < 32_000
            async with httpx2.AsyncClient(base_url=server.url) as client:
                stalls = sum(each["stalls"] > 0 for each in (await client.get("/v1/clients")).json())
            assert stalls >= stalled
            crowd.leave()
            for each in idle:
                each.close()
