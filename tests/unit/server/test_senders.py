"""The choice of a sender, and the order in which a batch sender and transports write."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tickwire.errors import InputError
from tickwire.server.transport.senders import batch_sender, opening
from tickwire.server.transport.senders.batch_sender import BatchSender
from tickwire.server.transport.senders.native_call import NativeCall
from tickwire.server.transport.senders.opening import open_sender
from tickwire.server.transport.senders.send_call import (
    UNKNOWN,
    Addresses,
    Begins,
    Counts,
    Descriptors,
    Lengths,
    Pieces,
    Results,
    SendCallUnavailable,
    bytes_addresses,
)
from tickwire.server.transport.sinks import SocketSink
from tickwire.sse.frame import encode_chunk
from tickwire.testing.waiting import wait_until


class Listener:
    """Records the notifications of a sink."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_full(self) -> None:
        self.calls.append("full")

    def on_drained(self) -> None:
        self.calls.append("drained")

    def on_disconnected(self) -> None:
        self.calls.append("disconnected")

    def on_write_error(self) -> None:
        self.calls.append("write error")


class PartialCall:
    """A send call whose sockets accept only the first `accepted` bytes. It sends with the socket module."""

    name = "partial"
    is_open = True

    def __init__(self) -> None:
        self.accepted: int | None = None
        self.sent_fds: list[list[int]] = []
        self.error: Exception | None = None

    def send(self, fds: Descriptors, addresses: Addresses, lengths: Lengths) -> Results:
        if self.error is not None:
            raise self.error
        self.sent_fds.append(fds.tolist())
        results = []
        for fd, address, length in zip(fds.tolist(), addresses.tolist(), lengths.tolist(), strict=True):
            if self.accepted == UNKNOWN:
                results.append(UNKNOWN)
            else:
                results.append(os.write(fd, ctypes.string_at(address, length)[: self.accepted]))
        return np.array(results, np.int32)

    def send_pieces(self, fds: Descriptors, pieces: Pieces, begins: Begins, counts: Counts) -> Results:
        bodies = [
            b"".join([ctypes.string_at(*piece) for piece in pieces[begin : begin + count].tolist()])
            for begin, count in zip(begins.tolist(), counts.tolist(), strict=True)
        ]
        return self.send(fds, bytes_addresses(bodies), np.array([*map(len, bodies)], np.uint32))

    def close(self) -> None:
        self.is_open = False


class Connection:
    """A sink with a real transport, and the socket of its client."""

    def __init__(self, transport: asyncio.Transport, client: socket.socket) -> None:
        self.transport = transport
        self.sink = SocketSink(transport)
        self.sink.listener = self.listener = Listener()
        self._client = client

    def receive(self) -> bytes:
        try:
            return self._client.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


class _Protocol(asyncio.Protocol):
    connection: Connection | None = None

    def pause_writing(self) -> None:
        assert self.connection is not None
        self.connection.sink.pause_writing()

    def resume_writing(self) -> None:
        assert self.connection is not None
        self.connection.sink.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.connection is not None
        self.connection.sink.connection_lost()


@pytest.fixture
async def connections(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Connection]]:
    monkeypatch.setattr(batch_sender, "MIN_SINKS", 1)
    opened = []
    clients = []
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(3):
            client = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
            transport, protocol = await loop.connect_accepted_socket(_Protocol, accepted)
            connection = protocol.connection = Connection(transport, client)
            opened.append(connection)
            clients.append(client)
    yield opened
    for connection in opened:
        connection.transport.abort()
    await asyncio.sleep(0)
    for client in clients:
        client.close()


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_the_transport_writes_what_the_socket_does_not_accept(connections: list[Connection]) -> None:
    call = PartialCall()
    sender = BatchSender(call)
    group = sender.create_group([each.sink for each in connections])
    call.accepted = 3
    group.queue(b"abcdef")
    assert connections[0].receive() == b""
    sender.submit()
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"abcdef"] * 3
    call.accepted = None
    group.queue(b"ghi")
    sender.submit()
    assert [each.receive() for each in connections] == [b"ghi"] * 3
    assert len(call.sent_fds) == 2
    sender.close()


async def test_writes_of_sinks_keep_the_order(connections: list[Connection]) -> None:
    """Bytes that wait in a transport precede later bytes of the sender, and queued bytes precede later writes."""
    call = PartialCall()
    sender = BatchSender(call)
    first = connections[0]
    group = sender.create_group([each.sink for each in connections])
    group.queue(b"1")
    group.queue(b"2")
    first.sink.write(b"3")
    # An asyncio transport writes at once while the socket accepts data. This write fills the socket.
    waiting = b"4" * 10_000_000
    first.sink.write(waiting)
    group.queue(b"5")
    sender.submit()
    received = bytearray()
    while len(received) < len(waiting) + 4:
        received += first.receive()
        await asyncio.sleep(0)
    assert bytes(received) == b"123" + waiting + b"5"
    assert [each.receive() for each in connections[1:]] == [b"125"] * 2
    # After the transport has written all its bytes, the sender writes to the socket again.
    group.queue(b"6")
    sender.submit()
    assert len(call.sent_fds[-1]) == 3
    assert first.listener.calls == ["full", "drained"]
    sender.close()


async def test_a_released_sink_is_never_written_to_by_its_old_number(connections: list[Connection]) -> None:
    """Another sink reuses the slot and the descriptor number.

    A group with the released sink then writes through its transport.
    """
    call = PartialCall()
    sender = BatchSender(call)
    first, second, third = connections
    old_group = sender.create_group([first.sink, second.sink])
    old_group.queue(b"both")
    sender.release(first.sink)
    assert (first.receive(), second.receive()) == (b"both", b"both")
    new_group = sender.create_group([third.sink])
    new_group.queue(b"third")
    old_group.queue(b"old")
    sender.submit()
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"old", b"old", b"third"]
    # The first sink is registered again, with another slot.
    again = sender.create_group([first.sink])
    again.queue(b"again")
    sender.submit()
    old_group.queue(b"old")
    sender.submit()
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"againold", b"old", b""]
    sender.close()


async def test_descriptors_are_released(connections: list[Connection]) -> None:
    """The sender closes descriptors when connections are lost, when descriptors become scarce, and when it closes."""
    sender = BatchSender(PartialCall())
    before = open_files()
    group = sender.create_group([each.sink for each in connections])
    assert open_files() == before + 3
    sender.limit_descriptors(2)
    assert open_files() == before + 2
    group.queue(b"a")
    sender.submit()
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"a"] * 3
    sender.create_group([each.sink for each in connections])
    assert open_files() == before + 2
    connections[0].transport.abort()
    await wait_until(lambda: open_files() == before)
    assert connections[0].listener.calls == ["disconnected"]
    sender.close()
    sender.close()
    assert open_files() == before - 1
    group.queue(b"b")
    sender.submit()
    await asyncio.sleep(0)
    assert [each.receive() for each in connections[1:]] == [b"b"] * 2


def numbers(*groups: int) -> NDArray[np.int32]:
    return np.array(groups, np.int32)


async def test_a_table_sends_each_group_its_frames(connections: list[Connection]) -> None:
    """Numbers without a group are ignored, and bytes that a socket does not accept go through the transport."""
    call = PartialCall()
    sender = BatchSender(call)
    table = sender.create_table(is_chunked=True)
    first, second, third = connections
    table.set_group(4, sender.create_group([first.sink, second.sink]), 2)
    table.set_group(1, sender.create_group([third.sink]), 1)
    frames, routes = [b"a" * 20, b"b"], [numbers(4, 9), numbers(1, 4)]
    chunks = {4: b"15\r\n" + b"a" * 20 + b"b\r\n", 1: b"1\r\nb\r\n"}
    for call.accepted in (None, 3, 0):
        sent = table.queue(frames, routes)
        assert (sent.deliveries, sent.size_bytes) == (5, 2 * len(chunks[4]) + len(chunks[1]))
        assert {*sent.group_numbers.tolist()} == {1, 4}
        await asyncio.sleep(0)
        assert [each.receive() for each in connections] == [chunks[4], chunks[4], chunks[1]]
    call.accepted = None
    table.remove_group(4)
    assert table.queue(frames, [numbers(4), numbers(9)]).deliveries == 0
    assert table.queue(frames, [numbers(), numbers()]).deliveries == 0
    sender.close()
    table.queue(frames, routes)
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"", b"", chunks[1]]


async def test_a_table_keeps_the_order_of_the_bytes_of_a_sink(connections: list[Connection]) -> None:
    """Queued bytes precede the frames, and a released sink receives its frames through its transport."""
    call = PartialCall()
    sender = BatchSender(call)
    first, second, third = connections
    group = sender.create_group([first.sink, second.sink])
    table = sender.create_table(is_chunked=True)
    table.set_group(0, group, 2)
    group.queue(b"queued")
    table.queue([b"x"], [numbers(0)])
    first.sink.write(b"written")
    table.queue([b"y"], [numbers(0)])
    sender.release(second.sink)
    sender.create_group([third.sink])
    table.queue([b"z"], [numbers(0)])
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [
        b"queued1\r\nx\r\nwritten1\r\ny\r\n1\r\nz\r\n", b"queued1\r\nx\r\n1\r\ny\r\n1\r\nz\r\n", b""
    ]  # fmt: skip
    sender.close()


async def test_the_transport_writes_a_chunk_that_has_more_pieces_than_the_system_accepts(
    connections: list[Connection],
) -> None:
    try:
        sender = BatchSender(NativeCall())
    except SendCallUnavailable as error:
        pytest.skip(str(error))
    table = sender.create_table(is_chunked=True)
    for number, connection in enumerate(connections):
        table.set_group(number, sender.create_group([connection.sink]), 1)
    routes = [numbers(0, 1, 2)] + [numbers(1)] * (os.sysconf("SC_IOV_MAX") - 1)
    sent = table.queue([b"x"] * len(routes), routes)
    assert sent.deliveries == len(routes) + 2
    await asyncio.sleep(0)
    body = b"x" * len(routes)
    assert [each.receive() for each in connections] == [b"1\r\nx\r\n", encode_chunk(body), b"1\r\nx\r\n"]
    sender.close()


async def test_a_table_joins_frames_for_sinks_without_direct_writes(connections: list[Connection]) -> None:
    sender = BatchSender(PartialCall())
    sender.limit_descriptors(2)
    table = sender.create_table(is_chunked=True)
    for number, connection in enumerate(connections):
        table.set_group(number, sender.create_group([connection.sink]), 1)
    sent = table.queue([b"abc", b"d"], [numbers(0, 1, 2), numbers(2)])
    assert (sent.deliveries, sent.size_bytes, sorted(sent.group_numbers.tolist())) == (4, 25, [0, 1, 2])
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"3\r\nabc\r\n"] * 2 + [b"4\r\nabcd\r\n"]
    sender.close()


@pytest.mark.parametrize("in_table", [False, True])
@pytest.mark.parametrize("fault", ["unknown result", "exception"])
async def test_readers_are_disconnected_if_it_is_unknown_what_they_received(
    connections: list[Connection], fault: str, in_table: bool, caplog: pytest.LogCaptureFixture
) -> None:
    call = PartialCall()
    sender = BatchSender(call)
    group = sender.create_group([each.sink for each in connections])
    call.accepted = UNKNOWN
    call.error = ValueError("a bug") if fault == "exception" else None
    if in_table:
        table = sender.create_table(is_chunked=True)
        table.set_group(0, group, 3)
        table.queue([b"a"], [numbers(0)])
    else:
        group.queue(b"a")
    sender.submit()
    assert all(each.transport.is_closing() for each in connections)
    assert all(each.listener.calls == ["write error"] for each in connections)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == (
        ["cannot send to 3 readers, so the server disconnects them"] if fault == "exception" else []
    )
    sender.close()


async def test_a_call_that_failed_is_not_used_again(
    connections: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    call = PartialCall()
    sender = BatchSender(call)
    group = sender.create_group([each.sink for each in connections])
    call.accepted, call.is_open = 0, False
    for body in (b"a", b"b"):
        group.queue(body)
        sender.submit()
    await asyncio.sleep(0)
    assert [each.receive() for each in connections] == [b"ab"] * 3
    assert (sender.name, len(call.sent_fds)) == ("transport", 1)
    assert "the sender partial failed: the server now uses the sender 'transport'" in caplog.text
    sender.close()


async def test_tls_and_unix_sockets_use_their_transports(tmp_path: Path) -> None:
    """Bytes that the sender writes directly to the descriptor below TLS would not be encrypted."""
    sender = BatchSender(PartialCall())
    near, far = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, near)
    sink = SocketSink(transport)
    before = open_files()
    group = sender.create_group([sink])
    group.queue(b"a")
    assert (open_files(), sink.handle, far.recv(9)) == (before, 0, b"a")

    class TlsTransport(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return {"socket": connection, "sslcontext": ssl.create_default_context()}.get(name, default)

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            pass

        def write(self, data: bytes) -> None:
            pass

        def is_closing(self) -> bool:
            return False

    with socket.socket() as connection:
        assert SocketSink(TlsTransport()).register(sender, 1) is None
    transport.abort()
    await asyncio.sleep(0)
    far.close()
    sender.close()


async def test_a_sink_whose_writes_are_held_back_is_not_written_to_directly(connections: list[Connection]) -> None:
    held = list[bytes]()
    sender, first = BatchSender(PartialCall()), connections[0]
    write = first.sink.write
    first.sink.write = held.append
    group = sender.create_group([first.sink])
    group.queue(b"held")
    sender.submit()
    assert (held, first.sink.handle, first.receive()) == ([b"held"], 0, b"")
    first.sink.write = write
    assert sender.create_group([first.sink])
    assert first.sink.handle
    sender.close()


async def test_auto_opens_the_first_sender_that_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> PartialCall:
        raise SendCallUnavailable("io_uring is forbidden here")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(opening, "SEND_CALLS", {"uring": fail, "native": PartialCall})
    assert open_sender("auto").name == "partial"
    assert "the sender uring does not work: io_uring is forbidden here" in caplog.text
    with pytest.raises(InputError, match="--sender uring does not work: io_uring is forbidden here; --sender auto"):
        open_sender("uring")
    monkeypatch.setattr(opening, "SEND_CALLS", {"uring": fail, "native": fail})
    assert open_sender("auto").name == "transport"
    assert open_sender("transport").name == "transport"


async def test_a_call_that_sends_other_bytes_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    call = PartialCall()
    call.accepted = 2
    monkeypatch.setattr(opening, "SEND_CALLS", {"uring": lambda: call})
    assert open_sender("auto").name == "transport"
    assert not call.is_open
