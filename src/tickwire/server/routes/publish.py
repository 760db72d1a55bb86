"""POST /v1/quotes: publish ticks.

The endpoint is a raw ASGI callable, because FastAPI would double the time of a request.
"""

from __future__ import annotations

from typing import NamedTuple

from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.event import PublishReceipt
from tickwire.errors import InputError, JournalError
from tickwire.server.auth.access import request_rights
from tickwire.server.http_errors import TooLarge
from tickwire.server.middleware.audit import add_audit_details
from tickwire.server.problem import input_problem, journal_problem
from tickwire.server.publishing import publish_ticks, publisher_source
from tickwire.server.service import Service
from tickwire.server.tick_decoder import DirtyTickRejected, decode_ticks
from tickwire.server.transport.asgi import Receive, Scope, Send, first_header_value
from tickwire.server.transport.body import receive_body
from tickwire.server.transport.protocol import CONNECTION_EXTENSION, StreamProtocol

PUBLISH_PATH = "/v1/quotes"
MAX_KEY_LENGTH = 128
# The maximum number of ticks in one batch. The server applies a batch of this size in about 10 ms, and runs no other
# task during this time.
MAX_TICKS = 10_000
# If a batch has at most this number of ticks, the server may handle the next request of the connection before it
# answers the batch. A shared journal may divide the entry of a larger batch. The ticks of the next request could then
# come between the parts.
_MAX_OVERLAPPING_TICKS = 1_000


class Receipt(NamedTuple):
    """The response to a successful publish request. It has the attributes of a Response of Starlette."""

    status_code: int
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes


class PublishEndpoint:
    """The ASGI callable for POST /v1/quotes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one publish request."""
        response = await self.respond(scope, receive)
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body})

    async def respond(self, scope: Scope, receive: Receive) -> Receipt | Response:
        """Publish the ticks of a request. Return the response."""
        try:
            receipt = await self._publish(scope, receive)
        except InputError as error:
            return input_problem(error)
        except JournalError as error:
            return journal_problem(error, request_rights(scope))
        body = encode_json(receipt)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        return Receipt(200 if receipt.repeated else 201, headers, body)

    async def _publish(self, scope: Scope, receive: Receive) -> PublishReceipt:
        service, rights = self._service, request_rights(scope)
        key = idempotency_key(scope)
        body = await receive_body(scope, receive, service.limits.max_body_bytes, service.body_room)
        try:
            ticks = decode_ticks(body)
            if len(ticks) > MAX_TICKS:
                raise TooLarge(f"the batch has {len(ticks)} ticks: send at most {MAX_TICKS}, or use POST /v1/uploads")
            sequences = await publish_ticks(
                service,
                rights,
                ticks,
                source=publisher_source(rights),
                key=key,
                on_checked=lambda: _let_next_overlap(scope, len(ticks)),
            )
        except DirtyTickRejected as error:
            service.runtime.published_dirty_ticks.add(error.kind, 1)
            raise
        epoch = service.live_hub.head.epoch
        first, last, is_repeated = sequences.first, sequences.last, not sequences.is_new
        add_audit_details(scope, ticks=len(ticks), first=first, last=last, repeated=is_repeated)
        return PublishReceipt(len(ticks), f"{epoch}-{first}", f"{epoch}-{last}", repeated=is_repeated)


def _let_next_overlap(scope: Scope, count: int) -> None:
    """Start the next pipelined publish request before this request has been answered.

    The order stays correct, because this request appends its ticks before the next request runs. The ticks of several
    waiting batches are then sent to readers in one flush, instead of one flush for each batch. `count` is the number of
    ticks in this batch.
    """
    connection = scope.get("extensions", {}).get(CONNECTION_EXTENSION)
    if isinstance(connection, StreamProtocol) and count <= _MAX_OVERLAPPING_TICKS:
        connection.let_next_overlap(scope)


def idempotency_key(scope: Scope) -> str | None:
    """Return the idempotency key of a request, or None. Raise InputError if the key is too long."""
    key = first_header_value(scope, b"idempotency-key") or None
    if key is not None and len(key) > MAX_KEY_LENGTH:
        raise InputError(
            f"the idempotency-key has {len(key)} characters: at most {MAX_KEY_LENGTH} are allowed",
            field="idempotency-key",
        )
    return key
