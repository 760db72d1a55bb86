"""GET /v1/stream: send the events of a subscription in an endless response.

StreamEndpoint answers over ASGI. `direct_stream.py` answers on the connections of Tickwire's own server, without ASGI.
Both use the same steps: `admit`, `open_reader`, `run_reader`, `release`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import random
from typing import NamedTuple

from starlette.responses import Response

from tickwire.core.close_reasons import CloseReason
from tickwire.core.codec import encode_json
from tickwire.core.event_kinds import StreamEvent
from tickwire.errors import ScreenLimitReached
from tickwire.hub.catchup.resume import ResumeResult
from tickwire.hub.fanout.encoder import EncoderRegistry
from tickwire.hub.fanout.reader import RECONNECT_DELAY_MS, Reader, bye_frame
from tickwire.server.auth.access import request_rights
from tickwire.server.service import Service
from tickwire.server.stream_admission import Slot, StreamAdmission
from tickwire.server.stream_preparation import PreparedStream, StreamPreparation
from tickwire.server.transport.asgi import Receive, Scope, Send
from tickwire.server.transport.protocol import CONNECTION_EXTENSION, StreamProtocol
from tickwire.server.transport.sinks import AsgiSink, SocketSink
from tickwire.sse.compression import IDENTITY, ContentCoding
from tickwire.sse.frame import encode_frame

RESPONSE_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # This header makes nginx and other proxies forward each event at once instead of collecting events in a buffer.
    (b"x-accel-buffering", b"no"),
    (b"vary", b"accept-encoding"),
]
DRAIN_TIMEOUT_S = 3.0
"""The maximum time that an ending stream waits for its reader to receive the `bye` and all earlier events.

This time is much shorter than the server's shutdown timeout.
"""
# The range of the random reconnect delays that the server sends to clients, so that the clients do not all reconnect at
# the same time after a crash.
_MIN_RETRY_MS, _RETRY_SPREAD_MS = 1_000, 1_000


class AdmittedStream(NamedTuple):
    """A stream request that may open its stream, and the slot that it occupies."""

    prepared: PreparedStream
    slot: Slot


class StreamEndpoint:
    """The ASGI callable for /v1/stream."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._admission = StreamAdmission(service)
        self._preparation = StreamPreparation(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one stream request."""
        admitted = await self.admit(scope, receive)
        if isinstance(admitted, Response):
            await admitted(scope, receive, send)
            return
        try:
            await self._send_stream(admitted.prepared, scope, receive, send)
        finally:
            admitted.prepared.release_filter()
            self.release(admitted.slot)

    async def admit(self, scope: Scope, receive: Receive) -> AdmittedStream | Response:
        """Check a request and reserve its slot. Return the error response if the server rejects the request.

        The caller must release the slot after the stream has ended.
        """
        slot = self._admission.acquire(scope, request_rights(scope))
        if isinstance(slot, Response):
            return slot
        try:
            body = await self._preparation.read_body(scope, receive) if scope["method"] == "QUERY" else b""
            if isinstance(body, Response):
                self.release(slot)
                return body
            await self._service.live_hub.steps.enter()
            prepared = await self._preparation.prepare(scope, body)
        except BaseException:
            self.release(slot)
            raise
        if isinstance(prepared, Response):
            self.release(slot)
            return prepared
        return AdmittedStream(prepared, slot)

    def release(self, slot: Slot) -> None:
        """Release the slot of a stream that has ended."""
        self._admission.release(slot)

    def open_reader(self, prepared: PreparedStream, sink: SocketSink | AsgiSink) -> Reader | None:
        """Open a reader that writes to `sink`. If the server has no room for the filter, write a `bye` and return None.

        `admit` has reserved room for the filter, but another request may have changed the subscription since then.
        """
        hub, request = prepared.hub, prepared.request
        try:
            reader = hub.open_reader(
                request.subscription, request.start, prepared.identity, sink, coding=prepared.coding
            )
        except ScreenLimitReached:
            sink.write(
                EncoderRegistry()
                .encoder_for(prepared.coding, is_chunked=sink.is_chunked)
                .encode_opening(bye_frame(CloseReason.LIMIT, RECONNECT_DELAY_MS))
            )
            return None
        finally:
            prepared.release_filter()
        sink.listener = reader
        resume = request.start.resume
        if resume is not None:
            self._service.resumes[_resume_outcome(resume)] += 1
        return reader

    def run_reader(self, prepared: PreparedStream, reader: Reader, on_end: Callable[[], None]) -> None:
        """Write the welcome event and the events of the subscription. Call `on_end` when the stream has ended."""
        hub, stored = prepared.hub, prepared.stored_subscription
        try:
            reader.write_opening(self._render_welcome(prepared, reader))
        except BaseException:
            hub.close_reader(reader)
            raise
        if stored is not None:
            stored_subscriptions = hub.reader_admin.registry.stored_subscriptions
            stored_subscriptions.acquire(*stored)
            id, call_on_end = stored.id, on_end  # noqa: A001  # named as in the API

            def on_end() -> None:
                stored_subscriptions.release(id)
                call_on_end()

        hub.run_reader(reader, on_end, prepared.request.start.gap)

    async def _send_stream(self, prepared: PreparedStream, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": response_headers(prepared.coding)})
        if scope["method"] != "HEAD":
            connection = _direct_connection(scope)
            if connection is not None:
                reason = await self._serve_over_socket(prepared, connection, scope)
            else:
                reason = await self._serve_over_asgi(prepared, receive, send)
            # Store the reason, because `ResponseSender` writes it to the request log.
            scope["state"]["close_reason"] = reason
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _serve_over_socket(
        self, prepared: PreparedStream, connection: StreamProtocol, scope: Scope
    ) -> CloseReason:
        # Start no response if the client has already disconnected.
        if connection.transport.is_closing():
            return CloseReason.LOST
        sink = connection.attach_sink(scope)
        reason = await self._run_reader(prepared, sink)
        if sink.is_full:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(connection.flow.drain(), DRAIN_TIMEOUT_S)
        # The client does not read, so abort the connection. Otherwise, the client could keep the request from ending.
        if sink.is_full:
            connection.transport.abort()
        return reason

    async def _serve_over_asgi(self, prepared: PreparedStream, receive: Receive, send: Send) -> CloseReason:
        sink = AsgiSink(send)
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(sink.pump())
            watch = tasks.create_task(_wait_for_disconnect(receive, sink))
            try:
                reason = await self._run_reader(prepared, sink)
            finally:
                watch.cancel()
            sink.finish()
            if reason is not CloseReason.LOST:
                await asyncio.wait([pump], timeout=DRAIN_TIMEOUT_S)
            pump.cancel()
        return reason

    async def _run_reader(self, prepared: PreparedStream, sink: SocketSink | AsgiSink) -> CloseReason:
        """Send events to the reader until its stream ends. Return the close reason."""
        reader = self.open_reader(prepared, sink)
        if reader is None:
            return CloseReason.LIMIT
        ended = asyncio.Event()
        try:
            self.run_reader(prepared, reader, ended.set)
            await ended.wait()
        finally:
            # Close the reader also if the request was cancelled.
            reader.close(CloseReason.LOST)
            sink.listener = None
        return reader.close_reason or CloseReason.LOST

    def _render_welcome(self, prepared: PreparedStream, reader: Reader) -> bytes:
        service, hub = self._service, prepared.hub
        data = {
            "client_id": reader.identity.client_id,
            "head": str(hub.head),
            "mode": service.mode,
            "heartbeat": service.heartbeat_s,
            "delay": reader.identity.rights.delay,
            "subscription": hub.roster.channels[reader].describe_for_welcome(needs_snapshot=reader.needs_snapshot),
            "resume": prepared.request.start.resume,
        }
        retry_ms = _MIN_RETRY_MS + int(random() * _RETRY_SPREAD_MS)  # noqa: S311  # spreads load
        return encode_frame(encode_json(data), event=StreamEvent.WELCOME, retry=retry_ms)


def response_headers(coding: ContentCoding) -> list[tuple[bytes, bytes]]:
    """Return the headers of an accepted stream, without the headers that every response has."""
    return RESPONSE_HEADERS if coding is IDENTITY else [*RESPONSE_HEADERS, (b"content-encoding", coding.name.encode())]


def _resume_outcome(resume: ResumeResult) -> str:
    if resume.complete:
        return "complete"
    return "expired" if resume.reason == "expired" else "gap"


def _direct_connection(scope: Scope) -> StreamProtocol | None:
    """Return the connection of a request if the server can write the stream directly to the connection's socket.

    Return None if the response is not chunked, or if the application runs in an ASGI server that is not Tickwire's own.
    In these cases, the stream uses the ASGI `send`.
    """
    connection = scope.get("extensions", {}).get(CONNECTION_EXTENSION)
    return connection if isinstance(connection, StreamProtocol) and scope["http_version"] == "1.1" else None


async def _wait_for_disconnect(receive: Receive, sink: AsgiSink) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if sink.listener is not None:
        sink.listener.on_disconnected()
