"""GET /v1/stream: a subscription becomes an endless response.

A raw ASGI callable, dispatched before the framework: a framework's response costs more per event than the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from random import randrange
from typing import NamedTuple

from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.core.ids import parse_id
from tickwire.errors import InputError, JournalError, ScreensFull
from tickwire.hub.control import Change, Hold, control_entry
from tickwire.hub.hub import Hub
from tickwire.hub.outlet import Outlets
from tickwire.hub.reader import LATER_MS, Reader, Who, bye
from tickwire.hub.rights import Rights
from tickwire.hub.start import since_time
from tickwire.server.access import permitted, rights_of
from tickwire.server.admission import Admission
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.problem import input_problem, journal_problem
from tickwire.server.protocol import EXTENSION, StreamProtocol
from tickwire.server.refusal import Full, HttpProblem
from tickwire.server.request import SUBSCRIPTION_PARAMETERS, StreamRequest, parse_query
from tickwire.server.service import Service
from tickwire.server.sink import FastSink, PlainSink
from tickwire.sse.coding import IDENTITY, Coding, chosen
from tickwire.sse.frame import frame

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx and others: pass events on as they come
    (b"vary", b"accept-encoding"),
]
LAST_SECONDS = 3.0
"""How long a stream that ends waits for its reader to take the `bye` and what is before it; well within the server's
own time to stop."""
_RETRY_MS = (1_000, 2_000)  # a client's wait after a lost connection: each has another, so a crash brings no stampede


class _Kept(NamedTuple):
    """A subscription that was put down before, and is named by the request."""

    id: str
    parameters: Mapping[str, str]


class _Asked:
    """A request on its way to a reader: kept small, because it lives as long as the stream."""

    __slots__ = ("coding", "hub", "kept", "request", "who")

    def __init__(self, hub: Hub, request: StreamRequest, who: Who, coding: Coding, kept: _Kept | None) -> None:
        self.hub = hub
        self.request = request
        self.who = who
        self.coding = coding
        self.kept = kept  # a subscription that was put down before


class StreamEndpoint:
    """The ASGI callable behind /v1/stream."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._admission = Admission(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one stream request."""
        rights = rights_of(scope)
        refusal = self._admission.enter(scope, rights)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        finally:
            self._admission.leave(scope, rights)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = await self._asked(scope)
        if isinstance(asked, Response):
            await asked(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _headers(asked.coding)})
        if scope["method"] != "HEAD":
            connection = _connection(scope)
            if connection is not None:
                await self._serve_fast(asked, connection, scope)
            else:
                await self._serve_plain(asked, receive, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _asked(self, scope: Scope) -> _Asked | Response:
        """The request, checked; or what to answer instead of a stream."""
        try:
            asked = await self._checked(
                scope["query_string"].decode("latin-1"), dict(scope["headers"]), rights_of(scope)
            )
            if scope["method"] != "HEAD":
                await self._settle(asked)
            return asked
        except InputError as error:
            self._service.refused["input"] += 1
            return input_problem(error)
        except JournalError as error:
            self._service.refused["journal"] += 1
            return journal_problem(error)

    async def _checked(self, query: str, headers: dict[bytes, bytes], rights: Rights) -> _Asked:
        service, given, hub = self._service, parse_query(query), await self._service.hubs.of(rights)
        kept = self._kept(given.pop("subscription", None), given)
        if kept is not None:
            given = {**kept.parameters, **given}
        asked_id = headers.get(b"last-event-id", b"").decode("latin-1")
        await self._reach(hub, asked_id or given.get("last_event_id") or given.get("since", ""))
        history = hub.history()
        request = StreamRequest(given, asked_id, history, service.limits.symbols)
        permitted(rights, request.subscription)
        if request.moment is not None:
            await self._find(hub, request, given["since"])
        who = Who(request.client_id, request.own_id, rights, service.clock.now() // 1000)
        if not hub.admits(request.subscription, request.start, who):
            raise Full(
                "the server has all the filters of this kind that it takes; simpler ones still go", field="filter"
            )
        accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
        return _Asked(hub, request, who, chosen(accepted) if service.compress else IDENTITY, kept)

    async def _reach(self, hub: Hub, text: str) -> None:
        """An id that another server has sent may take a moment to come here."""
        with contextlib.suppress(InputError):  # `since` may be no id; what is wrong is said later
            asked = parse_id(text)
            if asked.epoch == hub.head.epoch:
                await self._service.reach(hub, asked.sequence)

    def _kept(self, id: str | None, given: dict[str, str]) -> _Kept | None:  # noqa: A002  # the word for it
        """What was put down under `id`, of which the request itself says nothing."""
        if id is None:
            return None
        parameters = self._service.hub.control.ledger.kept.parameters(id)
        if parameters is None:
            raise _Unknown(
                f"no subscription {id[:40]!r} is kept here",
                field="subscription",
                hint="it was not used for a minute: POST /v1/subscriptions anew",
            )
        for name in given:
            if name in SUBSCRIPTION_PARAMETERS:
                raise InputError(f"{name} is a part of the subscription that is named", field=name)
        return _Kept(id, parameters)

    async def _find(self, hub: Hub, request: StreamRequest, text: str) -> None:
        assert request.moment is not None  # noqa: S101  # checked by the only caller
        sequence = await self._service.find(request.moment)
        request.start = since_time(hub.history(), text, min(sequence, hub.head.sequence))

    async def _settle(self, asked: _Asked) -> None:
        """What was changed under a reader's id before is over if it starts anew, and held if it comes back late.

        One at a time: others of the same id find it done.
        """
        if self._unsettled(asked) is not None:
            async with self._service.turn(asked.who.user or asked.who.client_id):
                control = self._unsettled(asked)
                if isinstance(control, Hold):
                    with contextlib.suppress(JournalError):  # nothing is let go of meanwhile
                        await self._service.publish(control_entry(control))
                elif control is not None:
                    await self._service.publish(control_entry(control))

    def _unsettled(self, asked: _Asked) -> Change | Hold | None:
        """What the journal has yet to say of such a reader's change."""
        who, wanted, hub = asked.who, asked.request.subscription, self._service.hub
        changes = hub.control.ledger.changes
        now, at = changes.newest(who.client_id, who.user, wanted)
        if asked.request.start.resume is None:
            if now == wanted:
                return None
            return Change(who.client_id, wanted.describe(), wanted.describe(), who.user)
        old = at and hub.history().old(changes.heard(who.client_id, who.user, wanted))
        return Hold([who.client_id]) if old else None  # else it might be let go of just now

    async def _serve_fast(self, asked: _Asked, connection: StreamProtocol, scope: Scope) -> None:
        if connection.transport.is_closing():  # the client did not wait for the answer
            return
        sink = connection.take_over(scope)
        await self._serve(asked, sink)
        if sink.full:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(connection.flow.drain(), LAST_SECONDS)
        if sink.full:  # it does not read: nobody should wait until it does
            connection.transport.abort()

    async def _serve_plain(self, asked: _Asked, receive: Receive, send: Send) -> None:
        sink = PlainSink(send)
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(sink.pump())
            watch = tasks.create_task(_until_disconnect(receive, sink))
            try:
                reason = await self._serve(asked, sink)
            finally:
                watch.cancel()
            sink.finish()
            if reason != "lost":
                await asyncio.wait([pump], timeout=LAST_SECONDS)
            pump.cancel()

    async def _serve(self, asked: _Asked, sink: FastSink | PlainSink) -> str:
        hub, request = asked.hub, asked.request
        try:
            reader = hub.open(request.subscription, request.start, asked.who, sink, coding=asked.coding)
        except ScreensFull:  # others came first, since it was looked at
            sink.write(Outlets().of(asked.coding, framed=sink.framed).begin(bye("limit", LATER_MS)))
            return "limit"
        if asked.kept is not None:
            hub.control.ledger.kept.use(*asked.kept)
        sink.listener = reader
        request.subscription = reader.asked  # an equal one: a copy for each reader would be 0.5 KB
        try:
            reader.begin(self._welcome(asked, reader))
            return await hub.run(reader, request.start.gap)
        finally:
            hub.close(reader)
            sink.listener = None
            if asked.kept is not None:
                hub.control.ledger.kept.release(asked.kept.id)

    def _welcome(self, asked: _Asked, reader: Reader) -> bytes:
        service, hub = self._service, asked.hub
        data = {
            "client_id": reader.who.client_id,
            "head": str(hub.head),
            "mode": service.mode,
            "heartbeat": service.heartbeat,
            "delay": reader.who.rights.delay,
            "subscription": {
                **hub.roster.channels[reader].subscription.describe(),
                "snapshot": reader.snapshot,
            },
            "resume": asked.request.start.resume,
        }
        return frame(encode(data), event="welcome", retry=randrange(*_RETRY_MS))  # noqa: S311  # spreads load


class _Unknown(HttpProblem):
    """Something named in the request is not here (any more)."""

    status = 404


def _headers(coding: Coding) -> list[tuple[bytes, bytes]]:
    return HEADERS if coding is IDENTITY else [*HEADERS, (b"content-encoding", coding.name.encode())]


def _connection(scope: Scope) -> StreamProtocol | None:
    """The connection to write to directly, if there is one that speaks chunks."""
    connection = scope.get("extensions", {}).get(EXTENSION)
    return connection if isinstance(connection, StreamProtocol) and scope["http_version"] == "1.1" else None


async def _until_disconnect(receive: Receive, sink: PlainSink) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if sink.listener is not None:
        sink.listener.lost()
