"""The protocol of connections whose first request opens a stream.

It answers this request without ASGI, without a task, and with little memory.

Most connections of a market data server open a stream and never send another request. StreamConnection answers such a
request itself. StreamConnection passes every other request to StreamProtocol, which answers through ASGI.

::

    WAITING ──> OPENING ──> STREAMING ──> ENDING
       │           │            │           │
       │           └────────────┴───────────┤
       └────────────────────────────────────┴──> HANDED_OVER

- WAITING: the first request has not arrived. If the first received bytes are exactly one complete stream request, the
  next state is OPENING. Otherwise StreamProtocol parses these bytes.
- OPENING: the server checks the request.
- STREAMING: the response has started, and a sink writes events.
- ENDING: the stream has ended, and its last bytes wait until the client reads.
- HANDED_OVER: StreamProtocol waits for the next request on the connection, or the connection closes.

From every state, a lost connection leads to CLOSED.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import uvicorn

from tickwire.server.transport import protocol
from tickwire.server.transport.asgi import Scope
from tickwire.server.transport.connection_table import ConnectionTable
from tickwire.server.transport.protocol import StreamProtocol
from tickwire.server.transport.response_head import FAILURE_BODY, FAILURE_HEADERS, encode_response_head
from tickwire.server.transport.sinks import HIGH_WATER_BYTES, SocketSink
from tickwire.server.transport.whole_request import WholeRequest, parse_stream_request

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a response in chunked coding (RFC 9112, section 7.1)."""


class ClientState(enum.Enum):
    """The state of a StreamConnection. The module's docstring describes the states."""

    WAITING = "waiting"
    OPENING = "opening"
    STREAMING = "streaming"
    ENDING = "ending"
    HANDED_OVER = "handed over"
    CLOSED = "closed"

    # Use the faster hash of `object` for each change of a state, because the hash of Enum is written in Python.
    __hash__ = object.__hash__


_WAITING, _OPENING, _STREAMING = ClientState.WAITING, ClientState.OPENING, ClientState.STREAMING
_ENDING, _HANDED_OVER, _CLOSED = ClientState.ENDING, ClientState.HANDED_OVER, ClientState.CLOSED

CONNECTION_TRANSITIONS: Mapping[ClientState, frozenset[ClientState]] = {
    _WAITING: frozenset({_OPENING, _HANDED_OVER, _CLOSED}),
    _OPENING: frozenset({_STREAMING, _HANDED_OVER, _CLOSED}),
    _STREAMING: frozenset({_ENDING, _HANDED_OVER, _CLOSED}),
    _ENDING: frozenset({_HANDED_OVER, _CLOSED}),
    _HANDED_OVER: frozenset({_CLOSED}),
    _CLOSED: frozenset(),
}
"""The states that may follow each state."""


class ImpossibleConnectionTransition(RuntimeError):
    """The server tried to move a connection to a state that cannot follow its current state. This is a bug."""


class _Opening:
    """The first bytes of a stream, which the server writes together."""

    __slots__ = ("parts", "size", "write")

    def __init__(self, head: bytes, write: Callable[[bytes], None]) -> None:
        self.parts = [head]
        self.size = len(head)
        # The function that writes to the connection.
        self.write = write


class StreamConnection(asyncio.Protocol):
    """The protocol of a new connection. uvicorn creates one for each connection."""

    __slots__ = (
        "_app_state",
        "_config",
        "_drain_timer",
        "_keep_alive",
        "_on_finished",
        "_opening",
        "_sink",
        "_state",
        "_successor",
        "_table",
        "_transport",
    )

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ConnectionTable,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._table = server_state
        self._app_state = app_state
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # connection_made sets it
        self._state = _WAITING
        self._keep_alive = True
        self._sink: SocketSink | None = None
        self._opening: _Opening | None = None
        # The protocol that parses the bytes after the stream request, or None if no such bytes have arrived.
        self._successor: StreamProtocol | None = None
        self._on_finished: Callable[[], None] | None = None
        self._drain_timer: asyncio.TimerHandle | None = None

    @property
    def is_closing(self) -> bool:
        """Whether the client has closed the connection, or the server is about to close it."""
        return self._state is _CLOSED or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a connection has a Transport
        table = self._table
        table.connections.add(self)  # type: ignore[arg-type]  # uvicorn's type lists its own protocols
        table.add_waiting(self)
        table.head_deadlines.add(self, protocol.HEAD_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        if self._state is not _WAITING:
            self._parse_behind_stream(data)
            return
        opener = self._table.find_stream_opener()
        head = None if opener is None else parse_stream_request(data)
        if opener is None or head is None:
            self._hand_over_first_request(data)
            return
        table = self._table
        table.head_deadlines.remove(self)
        table.remove_waiting(self)
        self._enter(_OPENING)
        self._keep_alive = head.keep_alive and not table.is_draining
        opener.open(self, self._create_scope(head), head.body)

    def send_response(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer the request with a complete response."""
        if self.is_closing:
            return
        self._transport.write(self._encode_head(status, headers, is_chunked=False) + body)
        self._finish()

    def send_failure(self) -> bool:
        """Answer 500, as uvicorn does, and return True. During a stream, close the connection, and return False."""
        if self._state is _OPENING and not self.is_closing:
            self._keep_alive = False
            self.send_response(500, FAILURE_HEADERS, FAILURE_BODY)
            return True
        self._transport.abort()
        return False

    def start_stream(self, headers: Iterable[tuple[bytes, bytes]]) -> SocketSink:
        """Start the response, and return the sink for its body. `end_opening` sends the first bytes in one write."""
        self._enter(_STREAMING)
        sink = self._sink = SocketSink(self._transport)
        head = self._encode_head(200, headers, is_chunked=True)
        self._opening = _Opening(head, sink.write)
        sink.write = self._write_opening
        return sink

    def end_opening(self) -> None:
        """Send all bytes since `start_stream` in one write. From now on, send the bytes of each write at once."""
        opening, self._opening = self._opening, None
        if opening is not None and self._sink is not None:
            self._sink.write = opening.write
            opening.write(b"".join(opening.parts))

    def end_stream(self, on_finished: Callable[[], None], drain_timeout_s: float) -> None:
        """End the response, and call `on_finished`.

        If the client does not read the last bytes within `drain_timeout_s`, abort the connection. Otherwise, the client
        could keep the request open without a limit.
        """
        self.end_opening()
        sink = self._sink
        if sink is not None:
            sink.listener = None
        self._on_finished = on_finished
        if self.is_closing or sink is None:
            self._report_finished()
        elif sink.is_full:
            self._enter(_ENDING)
            self._drain_timer = asyncio.get_running_loop().call_later(drain_timeout_s, self._transport.abort)
        else:
            self._finish_stream()

    def pause_writing(self) -> None:
        if self._sink is not None:
            self._sink.pause_writing()

    def resume_writing(self) -> None:
        if self._sink is not None:
            self._sink.resume_writing()
        if self._state is _ENDING:
            self._finish_stream()

    def eof_received(self) -> None:
        """Treat a half-closed connection as closed, as HTTP servers commonly do."""
        if self._sink is not None:
            self._sink.connection_lost()

    def connection_lost(self, exc: Exception | None) -> None:
        table = self._table
        table.connections.discard(self)
        table.head_deadlines.remove(self)
        table.remove_waiting(self)
        self._enter(_CLOSED)
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.connection_lost(exc)
        if self._sink is not None:
            self._sink.connection_lost()
        if self._on_finished is not None:
            self._report_finished()

    def shutdown(self) -> None:
        """Close an idle connection at once, and any other connection after the request in progress."""
        if self._state is _WAITING:
            self._transport.close()
        else:
            self._keep_alive = False

    def close_after_request(self) -> None:
        """Close the connection when the stream has ended."""
        if self._state is not _WAITING:
            self._keep_alive = False

    def close(self) -> None:
        """Close the connection after all written bytes have been sent."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _enter(self, state: ClientState) -> None:
        if state not in CONNECTION_TRANSITIONS[self._state]:
            raise ImpossibleConnectionTransition(f"{self._state.name} cannot change to {state.name}")
        self._state = state

    def _create_scope(self, head: WholeRequest) -> Scope:
        client, server = _address(self._transport, "peername"), _address(self._transport, "sockname")
        return head.create_scope("/v1/stream", client, server)

    def _encode_head(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, is_chunked: bool) -> bytes:
        headers = (*self._table.default_headers, *headers)
        return encode_response_head(status, headers, keep_alive=self._keep_alive, is_chunked=is_chunked)

    def _write_opening(self, body: bytes) -> None:
        opening = self._opening
        assert opening is not None  # noqa: S101  # end_opening replaces this method
        opening.parts.append(body)
        opening.size += len(body)
        # If the first bytes of the stream are many, write them early. The server then notices whether the client reads,
        # before more bytes occupy memory.
        if opening.size > HIGH_WATER_BYTES:
            self.end_opening()

    def _finish_stream(self) -> None:
        self._transport.write(LAST_CHUNK)
        self._report_finished()
        self._finish()

    def _report_finished(self) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        on_finished, self._on_finished = self._on_finished, None
        self._sink = None
        if on_finished is not None:
            on_finished()

    def _finish(self) -> None:
        """After the response, wait for the next request, or close the connection."""
        self._table.total_requests += 1
        if not self._keep_alive:
            self._enter(_HANDED_OVER)
            self._transport.close()
            return
        successor = self._successor or self._create_successor()
        self._hand_over(successor)
        successor.continue_after_stream()

    def _hand_over_first_request(self, data: bytes) -> None:
        head_timeout_s = self._table.head_deadlines.remove(self)
        self._table.remove_waiting(self)
        successor = StreamProtocol(self._config, self._table, self._app_state)
        self._hand_over(successor)
        successor.connection_made(self._transport)
        successor.limit_head_time(head_timeout_s)
        successor.data_received(data)

    def _hand_over(self, successor: StreamProtocol) -> None:
        self._enter(_HANDED_OVER)
        self._successor = None
        self._table.connections.discard(self)
        self._table.connections.add(successor)
        self._transport.set_protocol(successor)

    def _parse_behind_stream(self, data: bytes) -> None:
        """Pass the bytes after the stream request to a StreamProtocol.

        The StreamProtocol parses the requests in these bytes, and answers them when the stream has ended.
        """
        if self.is_closing:
            return
        if self._successor is None:
            self._successor = self._create_successor()
        self._successor.data_received(data)

    def _create_successor(self) -> StreamProtocol:
        successor = StreamProtocol(self._config, self._table, self._app_state)
        successor.connection_made(self._transport)
        successor.wait_behind_stream()
        # Remove the new protocol from the table. The table already contains this StreamConnection, and must count the
        # connection only once.
        self._table.connections.discard(successor)
        return successor


def _address(transport: asyncio.Transport, name: str) -> tuple[str, int] | None:
    """Return the address of one end of the connection. Return None for a Unix socket, or if the client has closed the
    connection."""
    try:
        address = transport.get_extra_info(name)
    except OSError:
        return None
    return (address[0], address[1]) if isinstance(address, tuple) else None
