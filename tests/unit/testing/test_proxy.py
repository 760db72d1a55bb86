"""The fault proxy causes each fault, and the tests measure the effect at the client's socket.

Times have only lower bounds, because a busy machine adds delays of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from tickwire.testing.proxy import FaultProxy
from tickwire.testing.waiting import wait_until

# If the proxy forwards a byte in spite of a fault, the byte arrives well within this time.
SILENCE_S = 0.2


class Peer:
    """A server that sends what a test writes, and records what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.has_lost_client = False
        self._writer: asyncio.StreamWriter | None = None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.received += data
        self.has_lost_client = True

    async def send(self, data: bytes) -> None:
        await wait_until(lambda: self._writer is not None)
        assert self._writer is not None
        self._writer.write(data)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class Network:
    """A client that is connected to a peer through a fault proxy."""

    def __init__(
        self, peer: Peer, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer, self.proxy = peer, proxy
        self.reader, self.writer = reader, writer

    async def is_silent(self) -> bool:
        """Return whether the client receives nothing, not even the end of the connection."""
        try:
            async with asyncio.timeout(SILENCE_S):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    peer = Peer()
    server = await asyncio.start_server(peer.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    seed = random.randrange(2**32)
    print(f"seed of the proxy: {seed}")
    async with FaultProxy(f"http://127.0.0.1:{port}", seed=seed) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        await peer.send(b"hello")
        assert await reader.readexactly(5) == b"hello"
        yield Network(peer, proxy, reader, writer)
        writer.transport.abort()
    peer.close()
    server.close()


async def test_bytes_pass_unchanged_without_a_fault(network: Network) -> None:
    data = random.randbytes(200_000)
    await network.peer.send(data)
    assert await network.reader.readexactly(len(data)) == data
    network.writer.write(data)
    await wait_until(lambda: network.peer.received == data)
    network.writer.write_eof()
    await wait_until(lambda: network.peer.has_lost_client)


async def test_latency_delays_bytes_but_does_not_reduce_the_data_rate(network: Network) -> None:
    """All chunks that arrive together have the same latency, so the last one is not later than the first one."""
    network.proxy.latency_s, network.proxy.max_chunk_bytes = 0.2, 1
    started_at = monotonic()
    await network.peer.send(b"0123456789")
    assert await network.reader.readexactly(10) == b"0123456789"
    assert 0.2 <= monotonic() - started_at < 10 * 0.2


async def test_jitter_varies_the_latency_and_keeps_the_order(network: Network) -> None:
    network.proxy.jitter_s = 0.02
    delays = []
    for number in range(20):
        started_at = monotonic()
        await network.peer.send(bytes([number]))
        assert await network.reader.readexactly(1) == bytes([number])
        delays.append(monotonic() - started_at)
    assert max(delays) - min(delays) > 0.005


async def test_jitter_repeats_with_the_seed() -> None:
    waits = []
    for _ in range(2):
        proxy = FaultProxy("http://127.0.0.1:9", seed=7)
        waits.append([proxy._rng.uniform(0, 1) for _ in range(5)])
    assert waits[0] == waits[1]


async def test_throttle_limits_the_data_rate(network: Network) -> None:
    network.proxy.bytes_per_s = 100_000
    started_at = monotonic()
    await network.peer.send(bytes(30_000))
    await network.reader.readexactly(30_000)
    assert monotonic() - started_at >= 0.3


async def test_slow_drip_sends_single_bytes(network: Network) -> None:
    network.proxy.max_chunk_bytes, network.proxy.chunk_interval_s = 1, 0.02
    started_at = monotonic()
    await network.peer.send(b"0123456789")
    assert [await network.reader.read(100) for _ in range(3)] == [b"0", b"1", b"2"]
    assert await network.reader.readexactly(7) == b"3456789"
    assert monotonic() - started_at >= 10 * 0.02


async def test_stall_holds_bytes_back_until_the_proxy_resumes(network: Network) -> None:
    network.proxy.stall()
    # The proxy may have begun a read before it stalled.
    await network.peer.send(b"a" * 10_000)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SILENCE_S):
            await network.reader.readexactly(4_096)
    assert await network.is_silent()
    network.proxy.resume()
    assert (await network.reader.read(1)) == b"a"


async def test_cut_ends_a_connection_in_order(network: Network) -> None:
    network.proxy.cut()
    assert await network.reader.read() == b""
    await wait_until(lambda: network.peer.has_lost_client)


async def test_reset_breaks_a_connection(network: Network) -> None:
    network.proxy.reset()
    with pytest.raises(ConnectionResetError):
        await network.reader.read()
    await wait_until(lambda: network.peer.has_lost_client)


@pytest.mark.parametrize("ending", ["cut", "reset"])
async def test_connection_ends_after_a_number_of_bytes(network: Network, ending: str) -> None:
    """The limit includes the bytes that the client has received before."""
    setattr(network.proxy, f"{ending}_after_bytes", 5 + 7)
    await network.peer.send(b"0123456789")
    received = b""
    with contextlib.suppress(ConnectionResetError) if ending == "reset" else contextlib.nullcontext():
        while data := await network.reader.read(1):
            received += data
    # A reset may overtake the bytes in the client's buffer.
    assert received == b"0123456" if ending == "cut" else b"0123456".startswith(received)
    await wait_until(lambda: network.peer.has_lost_client)


async def test_half_open_connection_is_silent_for_the_client(network: Network) -> None:
    """The server learns that the connection has ended, and the client can still send bytes without an error."""
    network.proxy.abandon_clients()
    await wait_until(lambda: network.peer.has_lost_client)
    for _ in range(3):
        network.writer.write(b"lost")
        await network.writer.drain()
        assert await network.is_silent()
    assert network.peer.received == b""


async def test_black_hole_discards_bytes_and_the_end_of_a_connection(network: Network) -> None:
    network.proxy.is_black_hole = True
    network.writer.write(b"lost")
    await network.peer.send(b"lost")
    assert await network.is_silent()
    new_reader, new_writer = await asyncio.open_connection("127.0.0.1", int(network.proxy.url.rpartition(":")[2]))
    new_writer.write(b"lost")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE_S):
            await new_reader.read(1)
    new_writer.transport.abort()
    network.writer.write_eof()
    assert await network.is_silent()
    assert (network.peer.received, network.peer.has_lost_client) == (b"", False)


async def test_black_hole_lets_later_bytes_pass(network: Network) -> None:
    network.proxy.is_black_hole = True
    await network.peer.send(b"lost")
    assert await network.is_silent()
    network.proxy.is_black_hole = False
    await network.peer.send(b"again")
    assert await network.reader.readexactly(5) == b"again"


async def test_garbage_arrives_between_the_bytes_of_the_server(network: Network) -> None:
    await network.proxy.insert_garbage(100)
    await network.peer.send(b"after")
    received = await network.reader.readexactly(105)
    assert received.endswith(b"after")
    assert len(set(received[:100])) > 10


async def test_client_is_disconnected_while_the_server_is_down() -> None:
    async with FaultProxy("http://127.0.0.1:9") as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.transport.abort()


async def test_server_learns_that_a_client_has_reset_its_connection(network: Network) -> None:
    linger_reset = struct.pack("ii", 1, 0)
    network.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_reset)
    network.writer.transport.abort()
    await wait_until(lambda: network.peer.has_lost_client)
    await wait_until(lambda: not network.proxy.connections)
