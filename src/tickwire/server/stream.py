"""GET /v1/stream: a subscription becomes an endless response.

A raw ASGI callable, dispatched before the framework: a framework's response costs more per event than the kernel.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import parse_qsl

from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.core.ids import parse_id
from tickwire.errors import InputError, JournalError
from tickwire.hub.reader import Reader
from tickwire.hub.start import Start, after, fresh, parse_time, since, since_time
from tickwire.hub.subscription import (
    DELIVERIES,
    Subscription,
    parse_events,
    parse_fields,
    parse_interval,
    parse_symbols,
)
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.problem import input_problem, problem
from tickwire.server.protocol import EXTENSION, StreamProtocol
from tickwire.server.service import Service
from tickwire.server.sink import FastSink, PlainSink
from tickwire.sse.frame import frame

PARAMETERS = ("symbols", "events", "fields", "interval", "delivery", "snapshot", "since", "client_id", "last_event_id")
_CLIENT_ID_LENGTH = 64
_QUERY_BYTES = 32 * 1024  # a thousand symbols fit; uvicorn's own limit on a request head is 64 KB
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx and others: pass events on as they come
]


class Request:
    """What a stream request asks, checked: subscription, start, client id. InputError names the parameter."""

    __slots__ = ("client_id", "moment", "start", "subscription")

    def __init__(self, service: Service, query: str, headers: Mapping[bytes, bytes]) -> None:
        given = _parameters(query)
        symbols = parse_symbols(given.get("symbols", "*"), most=service.limits.symbols)
        events = parse_events(given.get("events", "quote"))
        delivery = given.get("delivery", "latest")
        if delivery not in DELIVERIES:
            raise InputError(f"delivery={delivery[:40]!r}: choose latest or all", field="delivery")
        fields = parse_fields(given["fields"]) if "fields" in given else None
        interval = parse_interval(given.get("interval", "0"))
        if interval and delivery == "all":
            raise InputError("an interval leaves quotes out, and delivery=all leaves none out", field="interval")
        self.subscription = Subscription(symbols, events=events, delivery=delivery, fields=fields, interval=interval)
        self.moment: str | None = None  # a time to start from, still to be found in the journal
        self.start = self._start(service, given, headers.get(b"last-event-id"))
        self.client_id = _client_id(given.get("client_id"))

    def _start(self, service: Service, given: Mapping[str, str], header: bytes | None) -> Start:
        history, delivery = service.hub.history(), self.subscription.delivery
        asked = header.decode("latin-1") if header else given.get("last_event_id")
        if asked:
            return after(history, parse_id(asked), delivery)
        if parse_time(given.get("since", "")) is not None:
            self.moment = given["since"]
        elif "since" in given:
            return since(history, given["since"], delivery)
        return fresh(history, snapshot=_flag(given, "snapshot", default=True))


class StreamEndpoint:
    """The ASGI callable behind /v1/stream."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._addresses: Counter[str] = Counter()  # kept only where they are limited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one stream request."""
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            request = Request(self._service, scope["query_string"].decode("latin-1"), dict(scope["headers"]))
            if request.moment is not None:
                sequence = await self._service.find(parse_time(request.moment) or 0)
                request.start = since_time(self._service.hub.history(), request.moment, sequence)
        except InputError as error:
            await input_problem(error)(scope, receive, send)
            return
        except JournalError as error:
            await problem(503, str(error), headers={"retry-after": "2"})(scope, receive, send)
            return
        address = self._count(scope)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            if scope["method"] != "HEAD":
                connection = _connection(scope)
                if connection is not None:
                    await self._serve_fast(request, connection, scope)
                else:
                    await self._serve_plain(request, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._discount(address)

    def _count(self, scope: Scope) -> str | None:
        """Note the address that has one more reader, where that is limited."""
        if not self._service.limits.readers_per_address:
            return None
        address = _address(scope)
        self._addresses[address] += 1
        return address

    def _discount(self, address: str | None) -> None:
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["method"] not in ("GET", "HEAD"):
            return problem(405, "a stream is read with GET", headers={"allow": "GET, HEAD"})
        if len(scope["query_string"]) > _QUERY_BYTES:
            return problem(414, f"the query is longer than {_QUERY_BYTES} bytes")
        if self._service.hub.ending:
            return problem(503, "the server is stopping", headers={"retry-after": "2"})
        if len(self._service.hub.readers) >= self._service.limits.readers:
            return problem(503, "the server has all the readers it takes", headers={"retry-after": "5"})
        most = self._service.limits.readers_per_address
        if most and self._addresses[_address(scope)] >= most:
            return problem(429, f"an address may have {most} readers", headers={"retry-after": "5"})
        return None

    async def _serve_fast(self, request: Request, connection: StreamProtocol, scope: Scope) -> None:
        sink = connection.take_over(scope)
        await self._serve(request, sink)
        if sink.full:  # it does not read: nobody should wait until it does
            connection.transport.abort()

    async def _serve_plain(self, request: Request, receive: Receive, send: Send) -> None:
        sink = PlainSink(send)
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(sink.pump())
            watch = tasks.create_task(_until_disconnect(receive, sink))
            try:
                reason = await self._serve(request, sink)
            finally:
                watch.cancel()
            if reason == "lost" or sink.full:
                pump.cancel()
            sink.finish()

    async def _serve(self, request: Request, sink: FastSink | PlainSink) -> str:
        hub = self._service.hub
        reader = hub.open(request.subscription, request.start, request.client_id, sink)
        sink.listener = reader
        request.subscription = hub.readers[reader].subscription  # an equal one: a copy for each reader would be 0.5 KB
        try:
            reader.write(self._welcome(request, reader))
            return await hub.run(reader, request.start.gap)
        finally:
            hub.close(reader)
            sink.listener = None

    def _welcome(self, request: Request, reader: Reader) -> bytes:
        service = self._service
        data = {
            "client_id": reader.client_id,
            "head": str(service.hub.head),
            "mode": service.mode,
            "heartbeat": service.heartbeat,
            "subscription": {**request.subscription.describe(), "snapshot": reader.snapshot},
            "resume": request.start.resume,
        }
        return frame(encode(data), event="welcome", retry=service.retry_ms)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _connection(scope: Scope) -> StreamProtocol | None:
    """The connection to write to directly, if there is one that speaks chunks."""
    connection = scope.get("extensions", {}).get(EXTENSION)
    return connection if isinstance(connection, StreamProtocol) and scope["http_version"] == "1.1" else None


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50)
    except ValueError as error:
        raise InputError(f"the query string cannot be read: {error}") from error
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            near = get_close_matches(name, PARAMETERS, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(PARAMETERS)}"
            raise InputError(f"unknown parameter {name[:40]!r}", field=name[:40], hint=hint)
        if name in given:
            raise InputError(f"{name} is given twice", field=name)
        given[name] = value
    return given


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    text = given.get(name)
    if text is None:
        return default
    if text not in values:
        raise InputError(f"{name}={text[:40]!r}: choose true or false", field=name)
    return values[text]


def _client_id(text: str | None) -> str:
    if text is None:
        return f"c_{secrets.token_hex(6)}"
    if not (0 < len(text) <= _CLIENT_ID_LENGTH and text.isascii() and text.isprintable()):
        raise InputError(f"client_id: 1 to {_CLIENT_ID_LENGTH} printable ASCII characters", field="client_id")
    return text


async def _until_disconnect(receive: Receive, sink: PlainSink) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if sink.listener is not None:
        sink.listener.lost()
