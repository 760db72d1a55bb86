"""Answer stream requests on a connection of Tickwire's own server, without ASGI."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import Response

from tickwire.core.close_reasons import CloseReason
from tickwire.eager_task import EagerTasks
from tickwire.hub.fanout.reader import Reader
from tickwire.server.auth.rules import STREAM_PATH
from tickwire.server.middleware.guard import Exchange, Guard
from tickwire.server.middleware.request_check import find_rejection
from tickwire.server.routes import stream
from tickwire.server.routes.stream import AdmittedStream, StreamEndpoint, response_headers
from tickwire.server.stream_admission import Slot
from tickwire.server.transport.asgi import Scope
from tickwire.server.transport.stream_connection import StreamConnection
from tickwire.turn_queue import TurnQueue

log = logging.getLogger(__name__)

# The maximum number of requests whose checks begin in one turn of the event loop. If thousands of clients connect at
# the same time, these checks, together with the streams that `StepQueue` opens, take some 25 ms of each turn.
_REQUESTS_PER_TURN = 128


class DirectStreams:
    """Opens the streams of StreamConnection objects, with the same steps as StreamEndpoint."""

    def __init__(self, guard: Guard, endpoint: StreamEndpoint) -> None:
        self._guard = guard
        self._endpoint = endpoint
        self._tasks = EagerTasks()
        self._requests = TurnQueue(self._start_response, _REQUESTS_PER_TURN)

    def open(self, connection: StreamConnection, scope: Scope, body: bytes) -> None:
        """Start to answer one stream request. `body` is the body of a QUERY request."""
        self._requests.add((connection, scope, body))

    def _start_response(self, request: tuple[StreamConnection, Scope, bytes]) -> None:
        self._tasks.start(self._respond(*request))

    async def _respond(self, connection: StreamConnection, scope: Scope, body: bytes) -> None:
        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        exchange = Exchange(self._guard, scope, STREAM_PATH)
        try:
            # Assign only the log lines and spans of the checks to the request. The tasks that send the stream's events
            # start outside this block.
            with exchange.active():
                rejection = await find_rejection(self._guard, scope, exchange)
                outcome = rejection or await self._endpoint.admit(scope, receive)
            if isinstance(outcome, AdmittedStream):
                self._start(connection, exchange, outcome)
            else:
                _send(connection, exchange, outcome)
        except Exception:
            with exchange.active():
                log.exception("cannot answer a stream request")
            if connection.send_failure():
                # Log and count the response in the same way as every other response.
                exchange.start_response(500, ())

    def _start(self, connection: StreamConnection, exchange: Exchange, admitted: AdmittedStream) -> None:
        direct = _DirectStream(self._endpoint, connection, exchange, admitted.slot)
        try:
            direct.start(admitted)
        except BaseException:
            direct.cancel()
            raise
        finally:
            admitted.prepared.release_filter()


class _DirectStream:
    """One stream, from its response head to its last chunk."""

    __slots__ = ("_connection", "_endpoint", "_exchange", "_reader", "_slot")

    def __init__(self, endpoint: StreamEndpoint, connection: StreamConnection, exchange: Exchange, slot: Slot) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._exchange = exchange
        self._slot: Slot | None = slot
        self._reader: Reader | None = None

    def start(self, admitted: AdmittedStream) -> None:
        """Send the response head, the welcome event and the first events, in one write if all of them are in memory."""
        connection, prepared = self._connection, admitted.prepared
        headers = self._exchange.start_response(200, response_headers(prepared.coding), ends_span=False)
        self._exchange.release_request()
        # Start no response if the client has already disconnected.
        if connection.is_closing:
            self._finish(CloseReason.LOST)
            return
        sink = connection.start_stream(headers)
        self._reader = self._endpoint.open_reader(prepared, sink)
        if self._reader is None:
            self._end(CloseReason.LIMIT)
        else:
            self._endpoint.run_reader(prepared, self._reader, self._on_reader_end)
            connection.end_opening()
            self._exchange.end_span()

    def cancel(self) -> None:
        """Release the slot and the reader of a stream that could not start."""
        self._release_slot()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close(CloseReason.LOST)

    def _on_reader_end(self) -> None:
        reader, self._reader = self._reader, None
        self._end((reader and reader.close_reason) or CloseReason.LOST)

    def _end(self, reason: CloseReason) -> None:
        self._connection.end_stream(lambda: self._finish(reason), stream.DRAIN_TIMEOUT_S)

    def _finish(self, reason: CloseReason) -> None:
        self._release_slot()
        self._exchange.end_span()
        self._exchange.log_stream_end(reason)

    def _release_slot(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._endpoint.release(slot)


def _send(connection: StreamConnection, exchange: Exchange, response: Response) -> None:
    headers = exchange.start_response(response.status_code, response.raw_headers)
    connection.send_response(response.status_code, headers, bytes(response.body))
