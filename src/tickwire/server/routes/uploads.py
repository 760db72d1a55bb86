"""Uploads: streams of ticks of any length, which a client can resume after a failure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query, Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.event import UploadReceipt, upload_source
from tickwire.core.published_tick import MAX_CANCELS, PublishedTick
from tickwire.core.tick import Tick
from tickwire.errors import BatchRowError, InputError, JournalError
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.http_errors import RateLimited, ServerStopping, Unauthorized
from tickwire.server.middleware.audit import add_audit_details
from tickwire.server.middleware.rate_limiter import RateLimiter
from tickwire.server.problem import input_problem, journal_problem
from tickwire.server.publishing import publish_ticks, publisher_source
from tickwire.server.service import Service
from tickwire.server.tick_decoder import DirtyTickRejected, decode_tick_lines
from tickwire.server.transport.asgi import client_network
from tickwire.server.transport.body_lines import BodyLine, BodyLines
from tickwire.server.transport.body_room import UPLOAD_BYTES
from tickwire.sessions.rights import Rights

routes = create_router("quotes")
# The maximum number of ticks in one entry of the journal. With 96 bytes a tick, an entry fits into one message of a
# shared journal, so the journal never divides an entry.
_BATCH_TICKS = 1_000
_MAX_NAME_LENGTH = 64
_CANCEL_FIELD = b'"cancel"'
# The longest pause of an upload that exceeds its rate limit. After the pause, the upload checks whether the server
# stops and whether the token is still valid.
_MAX_RATE_SLEEP_S = 1.0
# Matches the beginning of an error about a tick of a batch, such as "tick 3: ". The answer contains the number of the
# line instead.
_TICK_PLACE = re.compile(r"^tick \d+[,:] ")

_Name = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9._~-]+$", max_length=_MAX_NAME_LENGTH, description="the name of the upload")
]
_Offset = Annotated[
    int, Query(ge=0, description="the number of ticks of the upload that come before the ticks in this body")
]


class UploadPosition(msgspec.Struct, frozen=True):
    """The state of an upload. The server stores at least the first `accepted` ticks."""

    accepted: int


_TICK_SCHEMA = msgspec.json.schema(PublishedTick)["$defs"]["PublishedTick"]
_RECEIPT = {"application/json": {"schema": msgspec.json.schema(UploadReceipt)["$defs"]["UploadReceipt"]}}
_PROBLEM: dict[str, Any] = {"application/problem+json": {}}
_OPENAPI: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": _TICK_SCHEMA}}},
    "responses": {
        "200": {"description": "an earlier request has already stored all ticks", "content": _RECEIPT},
        "201": {"description": "all ticks are durable", "content": _RECEIPT},
        "400": {"description": "a line is invalid; the ticks before it are stored", "content": _PROBLEM},
        "413": {"description": "a line is too long; the ticks before it are stored", "content": _PROBLEM},
        "503": {"description": "the server is shutting down, or the journal cannot store events", "content": _PROBLEM},
    },
}


@routes.get("/v1/uploads/{name}", response_class=Response)
async def read_upload(request: Request, name: _Name) -> Response:
    """Return the number of stored ticks of an upload. The server may have stored up to 1,000 more ticks."""
    service: Service = request.app.state.service
    rights = request_rights(request.scope)
    key = await service.runtime.journal.last_key(upload_source(publisher_source(rights), name))
    return Response(encode_json(UploadPosition(int(key or 0))), media_type="application/json")


@routes.post("/v1/uploads/{name}", response_class=Response, openapi_extra=_OPENAPI)
async def upload_ticks(request: Request, name: _Name, offset: _Offset = 0) -> Response:
    """Publish a stream of ticks of any length, one JSON object per line (NDJSON).

    The server stores the ticks while they arrive, in batches of up to 1,000. If a tick is invalid, the server stores
    all ticks before it. The problem then contains the number of the line, and the number of stored ticks (`accepted`).

    The upload has a name. If a client sends the ticks of an upload again, from the first tick or from the tick
    `offset`, the server skips the stored ticks.
    """
    service: Service = request.app.state.service
    rights = request_rights(request.scope)
    upload = _Upload(request, service, rights, name)
    with service.body_room.reserved(rights.bearer(client_network(request.scope)), UPLOAD_BYTES):
        try:
            await upload.begin(offset)
            async for lines in BodyLines(request.scope, request.receive, service.runtime.stopping).parts():
                await upload.add(lines)
            await upload.end()
        except InputError as error:
            return input_problem(error, accepted=upload.position)
        except JournalError as error:
            return journal_problem(error, rights, accepted=upload.position)
        finally:
            add_audit_details(request.scope, upload=name, ticks=upload.new_ticks, repeated=upload.repeated_ticks)
    receipt = UploadReceipt(upload.position, upload.repeated_ticks)
    return Response(encode_json(receipt), 201 if upload.new_ticks else 200, media_type="application/json")


class _Upload:
    """One request of an upload. The journal contains at least the first `position` ticks of the upload.

    The idempotency key of a batch is the number of ticks before the batch. If a request sends stored ticks again, for
    example because the response was lost, the journal recognizes the key, and returns the number of ticks in the stored
    batch. Therefore each attempt may divide the ticks into other batches. Two concurrent requests store no tick twice,
    even in different processes.
    """

    def __init__(self, request: Request, service: Service, rights: Rights, name: str) -> None:
        self.position = 0
        self.new_ticks = self.repeated_ticks = 0
        self._service = service
        self._rights = rights
        self._source = upload_source(publisher_source(rights), name)
        self._limiter: RateLimiter = request.app.state.request_limiter
        self._limiter_keys = (client_network(request.scope), rights.user_target)
        # How many of the next ticks in the body the request skips, because the journal already contains these ticks.
        self._ticks_to_skip = 0
        self._is_first_batch = True
        # The newest line that has arrived, if it is a cancel. It waits for the next line, which may contain the
        # corrected trade.
        self._waiting_lines: Sequence[BodyLine] = ()

    async def begin(self, offset: int) -> None:
        """Begin at the tick number `offset`. Raise InputError if the journal may lack ticks before `offset`."""
        newest_key = await self._service.runtime.journal.last_key(self._source)
        self.position = int(newest_key or 0)
        if offset > self.position:
            raise InputError(
                f"invalid offset {offset}: the journal contains only the first {self.position} ticks of the upload",
                field="offset",
                hint=f"send the ticks after the first {self.position}, with offset={self.position}",
            )
        self._ticks_to_skip = self.position - offset

    async def add(self, lines: Sequence[BodyLine]) -> None:
        """Publish the ticks of the next lines, except the ticks that the journal already contains.

        If the last line is a cancel, it waits for the next lines, or for `end`.
        """
        lines = [*self._waiting_lines, *lines]
        count = len(lines) - _is_cancel_line(lines[-1])
        self._waiting_lines = lines[count:]
        await self._add(lines[:count])

    async def end(self) -> None:
        """Publish the line that waits for a next line. No next line can arrive, because the body has ended."""
        lines, self._waiting_lines = self._waiting_lines, ()
        await self._add(lines)

    async def _add(self, lines: Sequence[BodyLine]) -> None:
        while lines:
            if self._ticks_to_skip:
                skipped = min(self._ticks_to_skip, len(lines))
                lines = lines[skipped:]
                self._ticks_to_skip -= skipped
                self.repeated_ticks += skipped
            else:
                count = min(_BATCH_TICKS, len(lines), _end_of_cancels(lines))
                # If the last line of the batch is a cancel, leave it to the next batch, because the next line may be
                # the corrected trade.
                count -= 1 < count < len(lines) and _is_cancel_line(lines[count - 1])
                lines = lines[await self._publish_batch(lines[:count]) :]

    async def _publish_batch(self, lines: Sequence[BodyLine]) -> int:
        """Publish ticks from the beginning of `lines`, and return their number. If the journal contains the ticks
        already, return 0.

        If a line is invalid, publish only lines before it. Raise InputError if the first line is invalid.
        """
        self._check_may_continue()
        await self._wait_for_rate()
        while True:
            try:
                return await self._publish(decode_tick_lines([line.text for line in lines]))
            except InputError as error:
                valid_count = (error.index or 0) if isinstance(error, BatchRowError) else len(lines) // 2
                # Pass fewer lines to each attempt than to the previous attempt, even if the error has an unexpected
                # index. So the loop ends.
                valid_count = min(valid_count, len(lines) - 1)
                if not valid_count:
                    if isinstance(error, DirtyTickRejected):
                        self._service.runtime.published_dirty_ticks.add(error.kind, 1)
                    raise _name_line(error, lines[0].number) from None
                lines = lines[:valid_count]

    async def _publish(self, ticks: Sequence[Tick]) -> int:
        span = await publish_ticks(self._service, self._rights, ticks, source=self._source, key=str(self.position))
        count = span.last - span.first + 1
        self.position += count
        if span.is_new:
            self.new_ticks += count
            return count
        self._ticks_to_skip = count
        return 0

    def _check_may_continue(self) -> None:
        """Raise ServerStopping if the server stops, and Unauthorized if the token has expired or was revoked."""
        rights, service = self._rights, self._service
        if service.runtime.stopping.is_set():
            raise ServerStopping("the server is stopping: send the remaining lines again")
        if rights.expires is not None and service.clock.now() / 1e9 >= rights.expires:
            raise Unauthorized("the token has expired")
        if service.live_hub.reader_admin.registry.revoked_tokens.is_revoked(rights):
            raise Unauthorized("the token was revoked")

    async def _wait_for_rate(self) -> None:
        """Count each batch except the first batch as a request.

        Wait while the client exceeds its rate limit of requests.
        """
        if self._is_first_batch or not self._limiter.is_enabled:
            self._is_first_batch = False
            return
        for key in self._limiter_keys:
            while True:
                try:
                    self._limiter.consume(key, self._service.clock.monotonic())
                    break
                except RateLimited as error:
                    await self._service.clock.sleep(min(error.retry_after_s, _MAX_RATE_SLEEP_S))
                    self._check_may_continue()


def _end_of_cancels(lines: Sequence[BodyLine]) -> int:
    """Count the lines from the beginning that together contain at most MAX_CANCELS cancels."""
    cancels = 0
    for index, line in enumerate(lines[:_BATCH_TICKS]):
        cancels += _CANCEL_FIELD in line.text
        if cancels > MAX_CANCELS:
            return index
    return len(lines)


def _is_cancel_line(line: BodyLine) -> bool:
    """Return whether a line is a cancel. Return False for an invalid line."""
    if _CANCEL_FIELD not in line.text:
        return False
    with contextlib.suppress(InputError):
        (tick,) = decode_tick_lines([line.text])
        return isinstance(tick, PublishedTick) and tick.is_cancel
    return False


def _name_line(error: InputError, line: int) -> InputError:
    """Return the error with the line number of the tick in the body.

    The line number replaces the index of the tick in the batch.
    """
    error.args = (f"line {line}: {_TICK_PLACE.sub('', str(error))}",)
    if isinstance(error, BatchRowError):
        error.index, error.line = None, line
    return error
