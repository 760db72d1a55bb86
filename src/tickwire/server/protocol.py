"""uvicorn's HTTP protocol with a way to the socket, and its server with a way to end streams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwire.server.asgi import Scope
from tickwire.server.sink import FastSink

EXTENSION = "tickwire.connection"
"""The key in `scope["extensions"]` under which a request finds its StreamProtocol."""


HEAD_BYTES = 64 * 1024
"""How long the head of a request may be: a query of a thousand symbols, and what browsers add."""

HEAD_SECONDS = 10.0
"""How long the head of a request may take: who holds connections open with a byte now and then gets no further."""

BODY_SECONDS = 60.0
"""How long the body of a request may take: 8 MB at 1 Mbit/s."""

LINGER_SECONDS = 2.0
"""How long a body is still taken in that was answered before its end: closed at once, the answer could be lost."""

MOST_PIPELINED = 128
"""Requests that may wait behind another on one connection: each takes some KB, and a busy publisher has dozens."""


class _Unheard:
    """Stands for uvicorn's event that wakes `receive`, which nobody calls on a stream: 0.9 KB less for each reader."""

    def set(self) -> None:
        """Nobody is waiting."""


_UNHEARD = _Unheard()


class StreamProtocol(HttpToolsProtocol):
    """Lets a request take over its connection's outgoing side, and tells the sink what happens to the connection."""

    # Beside uvicorn's own dictionary, which would grow by 0.4 KB.
    __slots__ = ("_head_bytes", "_impatience", "_in_head", "sink")

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.sink: FastSink | None = None
        self._impatience: asyncio.TimerHandle | None = None  # while the rest of a request is awaited
        self._in_head = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody is there: the head of a request should follow."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes came; while they are those of a head there is a limit."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._stop_waiting()
            self.send_400_response(f"the head of a request may have {HEAD_BYTES} bytes")

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._in_head = False
        self._expect(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is out; what may still come of the request's body is of no use."""
        super().on_response_complete()
        if self._impatience is not None and not self._in_head and self.cycle.response_complete:
            self._expect(LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; in the middle of a stream there is no place for an answer."""
        if self.sink is not None and self.sink.listener is not None:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._expect(HEAD_SECONDS)

    def _expect(self, seconds: float) -> None:
        self._stop_waiting()
        self._impatience = self.loop.call_later(seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def on_message_begin(self) -> None:
        """A request begins: show it the way to this connection."""
        super().on_message_begin()
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError(f"{MOST_PIPELINED} requests are waiting already")  # ends the parsing: a bad request
        if not self._in_head:
            self._expect_head()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # ASGI says mappings; ours is an object

    def take_over(self, scope: Scope) -> FastSink:
        """A sink that writes to this connection from now on. The response head must have been sent.

        The response is ASGI's again once the sink has no listener.
        """
        if self.cycle.scope is scope:  # else the next request is here already, and waits behind this one
            self.cycle.message_event = _UNHEARD  # type: ignore[assignment]  # set() is all that is called now
        self.sink = FastSink(self.transport)
        self.sink.full = self.flow.write_paused
        return self.sink

    def pause_writing(self) -> None:
        """The transport has buffered enough."""
        super().pause_writing()
        if self.sink is not None:
            self.sink.pause()

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        super().resume_writing()
        if self.sink is not None:
            self.sink.resume()

    def eof_received(self) -> None:
        """The client will send nothing more; like every HTTP server we take that for its leaving."""
        if self.sink is not None:
            self.sink.lose()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._in_head = False
        self._stop_waiting()
        if self.sink is not None:
            self.sink.lose()
        super().connection_lost(exc)


class StreamServer(uvicorn.Server):
    """uvicorn's server for endless responses.

    uvicorn runs the lifespan's shutdown only after every connection has closed, so somebody has to end the streams
    before that: `before_shutdown` is called first. Signals are whoever's runs this; stop it with `should_exit`.
    """

    def __init__(self, config: uvicorn.Config, *, before_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_shutdown = before_shutdown

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then the server."""
        for server in self.servers:
            server.close()  # nobody new comes in while the others are sent away
        self._before_shutdown()
        await super().shutdown(sockets)
