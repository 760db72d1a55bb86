"""uvicorn's HTTP protocol, extended by limits, and by streams that write to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tickwire.server.transport.asgi import Scope
from tickwire.server.transport.connection_table import ConnectionTable
from tickwire.server.transport.direct_request import NULL_EVENT, DirectRequest, PublishAnswerer, RequestInProgress
from tickwire.server.transport.overlapping_cycle import OverlappingCycle
from tickwire.server.transport.response_head import encode_response_head
from tickwire.server.transport.sinks import SocketSink
from tickwire.server.transport.whole_request import PublishParser, WholeRequest

CONNECTION_EXTENSION = "tickwire.connection"
"""The key of the connection's StreamProtocol in `scope["extensions"]`."""

MAX_HEAD_BYTES = 64 * 1024
"""The maximum length of a request head. The limit is large enough for a query of a thousand symbols and the headers of
a browser."""

HEAD_TIMEOUT_S = 10.0
"""The maximum time for a request head. A client that sends its bytes slowly cannot keep a connection open for
longer."""

BODY_TIMEOUT_S = 60.0
"""The maximum time for a request body. About 8 MB arrive in this time at 1 Mbit/s. See also `start_body_time`."""

LINGER_TIMEOUT_S = 2.0
"""How long the server continues to read an incomplete request body after it has sent the response.

If the server closed the connection at once, the client could lose the response.
"""

MAX_BODY_OVERHEAD_BYTES = 64 * 1024
"""The maximum number of bytes in a chunked body in addition to the data and its largest possible framing.

Such bytes are chunk extensions and trailers (RFC 9112, section 7.1), which no client of the API needs.
"""
# The largest possible framing: a chunk with a single byte of data has six bytes (its size, two line breaks and the
# data).
_MAX_BYTES_PER_DATA_BYTE = 6

MAX_PIPELINED_REQUESTS = 128
"""The maximum number of pipelined requests that wait on one connection.

A waiting request occupies a few KB. A busy publisher has dozens of waiting requests.
"""


class StreamProtocol(HttpToolsProtocol):
    """A connection of a client. A stream can write to the connection directly instead of through ASGI.

    The protocol notifies the sink (the object that writes the bytes of the stream) when the write buffer becomes full,
    when the buffer has space again, and when the connection is lost.
    """

    server_state: ConnectionTable
    # Store these attributes in slots instead of uvicorn's instance dictionary, which saves 0.4 KB for each connection.
    __slots__ = (
        "_body_overhead",
        "_head_bytes",
        "_is_reading_body",
        "_is_reading_head",
        "_may_overlap",
        "_newest_cycle",
        "_publish_parser",
        "_running_cycle",
        "_stream_in_progress",
        "_timeout_handle",
        "sink",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sink: SocketSink | None = None
        self._publish_parser = PublishParser()
        # The timer that closes the connection. It runs while the server waits for the rest of a request.
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._is_reading_head = False
        self._head_bytes = 0
        self._is_reading_body = False
        # The request that the server is answering. In contrast, `cycle` is the newest request that has arrived, and may
        # be waiting.
        self._running_cycle: RequestResponseCycle | None = None
        # The stream in progress, which delays the answers to the next requests. None if no stream is in progress.
        self._stream_in_progress: RequestInProgress | None = None
        # The newest request that has started, and whether the next request may start before the server has answered it.
        self._newest_cycle: RequestResponseCycle | None = None
        self._may_overlap = False
        # The overhead of the body in bytes. It grows with each received byte, and each data byte reduces it by
        # _MAX_BYTES_PER_DATA_BYTE.
        self._body_overhead = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.server_state.add_waiting(self)
        self._start_head_timeout()

    def data_received(self, data: bytes) -> None:
        """Parse the received bytes. Answer 400 if the head of the request, or the overhead of its body, is too long.

        If the bytes are exactly one publish request, and no other request is in progress, answer it without ASGI.
        """
        if self._is_between_requests():
            answerer = self.server_state.find_publish_answerer()
            request = None if answerer is None else self._publish_parser.parse(data)
            if answerer is not None and request is not None:
                self._answer_directly(answerer, request)
                return
        if self._is_reading_head:
            self._head_bytes += len(data)
        elif self._is_reading_body:
            self._body_overhead += len(data)
        super().data_received(data)
        if self._is_reading_body and self._body_overhead > MAX_BODY_OVERHEAD_BYTES:
            self._cancel_timeout()
            self.send_400_response(f"the body has more than {MAX_BODY_OVERHEAD_BYTES} bytes of extensions and trailers")
        if self._is_reading_head and self._head_bytes > MAX_HEAD_BYTES:
            self._cancel_timeout()
            self.send_400_response(f"the request head is longer than {MAX_HEAD_BYTES} bytes")
        # uvicorn has removed the time limit of the next request, but these bytes may have started no request.
        if self.cycle is not None and self._is_between_requests() and not self.transport.is_closing():
            self.server_state.idle_deadlines.add(self, self.timeout_keep_alive)

    def _is_between_requests(self) -> bool:
        """Return True if no request is in progress, so that the next byte begins a new request."""
        # For the first request of a connection, `_is_reading_head` is True before the first byte arrives. For every
        # later request, `_is_reading_head` becomes True when the first byte arrives.
        has_head_begun = self._is_reading_head and (self._head_bytes > 0 or self.cycle is not None)
        is_parsing = self._is_reading_body or has_head_begun
        return not is_parsing and (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _answer_directly(self, answerer: PublishAnswerer, parsed: WholeRequest) -> None:
        scope = parsed.create_scope("/v1/quotes", self.client, self.server)
        scope["extensions"] = {CONNECTION_EXTENSION: self}
        keep_alive = parsed.keep_alive and not self.server_state.is_draining
        request = DirectRequest(self, scope, parsed.body, keep_alive=keep_alive)
        self._unset_keepalive_if_required()
        self._wait_behind(request)
        self._running_cycle = self._newest_cycle = request  # type: ignore[assignment]  # has the attributes of a cycle
        self._may_overlap = False
        task = self.loop.create_task(answerer.answer(request))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def send_direct_response(
        self, request: RequestInProgress, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Send the response to a direct request in one write, and continue with the next request."""
        if self.flow.write_paused and not request.disconnected:
            await self.flow.drain()
        if request.disconnected or request.response_complete:
            return
        headers = (*self.server_state.default_headers, *headers)
        self.transport.write(encode_response_head(status, headers, keep_alive=request.keep_alive) + body)
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_headers_complete(self) -> None:
        """Start the request. If the server is stopping, the answer contains the header `Connection: close`."""
        self._is_reading_head = False
        self._is_reading_body, self._body_overhead = True, 0
        self._start_timeout(BODY_TIMEOUT_S)
        super().on_headers_complete()
        # The parser calls the same methods for trailers (fields after the body) as for headers. Keep them out of the
        # request's headers, which the server has already checked (RFC 9110, section 6.5.1).
        self.headers = []
        if self.server_state.is_draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_overhead -= _MAX_BYTES_PER_DATA_BYTE * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_reading_body = False
        self._cancel_timeout()
        if not self.cycle.response_complete:
            self.server_state.remove_waiting(self)
        super().on_message_complete()
        self._start_overlapping()

    def on_response_complete(self) -> None:
        """Finish the response, and start the next pipelined request.

        If no request waits, limit the time until the next request. If the request body is incomplete, limit the time in
        which the rest must arrive. uvicorn would create a timer for each response.
        """
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self.server_state.idle_deadlines.add(self, self.timeout_keep_alive)
            if self.cycle.response_complete:
                self.server_state.add_waiting(self)
        if self._is_reading_body and self.cycle.response_complete:
            self._start_timeout(LINGER_TIMEOUT_S)

    def _unset_keepalive_if_required(self) -> None:
        """Remove the time limit of the next request. uvicorn calls this method when a request arrives."""
        self.server_state.idle_deadlines.remove(self)

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to a malformed request, and close the connection.

        During a stream, or if an earlier request has not been answered, abort the connection instead. Otherwise, the
        client would treat the 400 as the answer to the earlier request (RFC 9112, section 9.3.2).
        """
        is_streaming = self._stream_in_progress is not None or (
            self.sink is not None and self.sink.listener is not None
        )
        if is_streaming or not self._can_answer_malformed_request():
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def _can_answer_malformed_request(self) -> bool:
        """Return whether the server must answer the malformed request next."""
        newest = self.cycle
        if newest is None or newest.response_complete:
            return True
        # If the body of the newest request has not ended, the malformed bytes belong to this request.
        return newest.more_body and newest is self._running_cycle and not newest.response_started

    def let_next_overlap(self, scope: Scope) -> None:
        """Start the next pipelined request before the request `scope` is answered, if both have the same target.

        The next request starts in a later turn of the event loop. The server sends its answer only after the answer to
        `scope`.
        """
        if self._newest_cycle is not None and self._newest_cycle.scope is scope:
            self._may_overlap = True
            self._start_overlapping()

    def _start_overlapping(self) -> None:
        newest = self._newest_cycle
        if not self._may_overlap or newest is None or not newest.keep_alive:
            return
        # Take the oldest waiting request, which is the last element.
        waiting = [entry for entry in self.pipeline if not isinstance(entry[0], OverlappingCycle)]
        if not waiting:
            return
        cycle, app = waiting[-1]
        is_same_target = all(cycle.scope[key] == newest.scope[key] for key in ("method", "path"))
        if is_same_target and not cycle.more_body:
            OverlappingCycle.convert(cycle, self.loop)
            self._newest_cycle, self._may_overlap = cycle, False
            super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request. An OverlappingCycle has already started, so only let its response begin."""
        self._running_cycle = cycle
        if isinstance(cycle, OverlappingCycle):
            cycle.end_wait()
            return
        self._newest_cycle, self._may_overlap = cycle, False
        super()._start_asgi_task(cycle, app)

    def limit_head_time(self, timeout_s: float) -> None:
        """Limit the remaining time for the request head to `timeout_s`. A part of the time has already passed."""
        if self._is_reading_head:
            self._start_timeout(timeout_s)

    def wait_behind_stream(self) -> None:
        """Parse requests that arrive during the stream of a StreamConnection. Answer them after the stream."""
        self._stream_in_progress = RequestInProgress()
        self._wait_behind(self._stream_in_progress)

    def _wait_behind(self, request: RequestInProgress) -> None:
        """Parse requests that arrive before the answer to `request`. Answer them after this answer."""
        self._cancel_timeout()
        self._is_reading_head = False
        self.server_state.remove_waiting(self)
        self.cycle = request  # type: ignore[assignment]  # has the attributes that the protocol reads

    def continue_after_stream(self) -> None:
        """Answer the requests that arrived during the stream, or wait for the next request."""
        if self._stream_in_progress is not None:
            self._stream_in_progress.response_complete = True
            self._stream_in_progress = None
        self.on_response_complete()

    def _start_head_timeout(self) -> None:
        self._is_reading_head, self._head_bytes = True, 0
        self._start_timeout(HEAD_TIMEOUT_S)

    def _start_timeout(self, timeout_s: float) -> None:
        self._cancel_timeout()
        self._timeout_handle = self.loop.call_later(timeout_s, self.transport.abort)

    def _cancel_timeout(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
            self._timeout_handle = None

    def on_message_begin(self) -> None:
        """Start a request. Store this connection in the ASGI scope, so that a stream can find the connection."""
        super().on_message_begin()
        # Raise an exception to end the parsing. uvicorn then answers 400.
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            raise ValueError(f"the client sent more than {MAX_PIPELINED_REQUESTS} pipelined requests")
        if not self._is_reading_head:
            self._start_head_timeout()
        self.scope["extensions"] = {CONNECTION_EXTENSION: self}  # type: ignore[dict-item]  # ASGI says mappings; ours is an object

    def start_body_time(self, scope: Scope) -> None:
        """Start the time limit of a request body of unlimited length, because the endpoint waits for the next part.

        Also record that the connection has only now begun to wait for its client (see `ConnectionTable`).
        """
        if self._is_reading_body_of(scope):
            self._start_timeout(BODY_TIMEOUT_S)
            self.server_state.remove_waiting(self)
            self.server_state.add_waiting(self)

    def stop_body_time(self, scope: Scope) -> None:
        """Stop the time limit of a request body, because the client waits while the endpoint handles a part."""
        if self._is_reading_body_of(scope):
            self._cancel_timeout()
            self.server_state.remove_waiting(self)

    def _is_reading_body_of(self, scope: Scope) -> bool:
        # Check the scope too: when the body has ended, the time limit may belong to a pipelined request that is
        # arriving.
        return self._is_reading_body and self.cycle is not None and self.cycle.scope is scope

    def attach_sink(self, scope: Scope) -> SocketSink:
        """Return a sink: an object that writes the bytes of a stream to this connection.

        The caller must send the response head first. When the stream has ended, the caller must set the sink's
        `listener` to None. After that, the caller can complete the response through ASGI.
        """
        # Compare the request with the current cycle, because the current cycle may already belong to a pipelined
        # request.
        if self.cycle.scope is scope:
            self.cycle.message_event = NULL_EVENT  # type: ignore[assignment]  # uvicorn calls only set()
        self.sink = SocketSink(self.transport)
        self.sink.is_full = self.flow.write_paused
        return self.sink

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.sink is not None:
            self.sink.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.sink is not None:
            self.sink.resume_writing()

    def eof_received(self) -> None:
        """Treat a half-closed connection as closed, as HTTP servers commonly do."""
        if self.sink is not None:
            self.sink.connection_lost()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_reading_head = False
        self._cancel_timeout()
        self.server_state.remove_waiting(self)
        if self.sink is not None:
            self.sink.connection_lost()
        # Mark the running request as disconnected, because uvicorn marks only the newest request. Without this mark,
        # the attempt to end the response to an earlier request would fail.
        running = self._running_cycle
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
        # Cancel the timer, because uvicorn cancels it only if the connection was lost without an error.
        self._unset_keepalive_if_required()
        self._release_requests()

    def _release_requests(self) -> None:
        """Delete the references to all requests.

        Because each request refers to its connection, these references would form a cycle, and occupy memory until the
        next full garbage collection, which is rare. Without them, Python frees the connection at once. A request that
        is still in progress keeps its own references until it ends.
        """
        for cycle, _ in self.pipeline:
            if isinstance(cycle, OverlappingCycle):
                # The connection is lost, so the server can no longer send the response to this request.
                cycle.disconnected = True
                cycle.end_wait()
        self.pipeline.clear()
        self._newest_cycle = self._running_cycle = None
        self.cycle = self.scope = None  # type: ignore[assignment]  # uvicorn initializes both with None, too

    def close_after_request(self) -> None:
        """Close the connection when the request in progress has been answered.

        A client whose stream has ended then reconnects with a new connection, which can reach another process.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def close(self) -> None:
        """Close the connection after all written bytes have been sent."""
        self.transport.close()
