"""Streams that bypass ASGI: the requests of a table cause the same answers, log lines and counters as over ASGI."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwire.core.codec import decode_json
from tickwire.core.event import ticks_entry
from tickwire.core.tick import Tick, pack_ticks
from tickwire.server import stream_request
from tickwire.server.routes.stream import StreamEndpoint
from tickwire.server.transport.protocol import StreamProtocol
from tickwire.server.transport.stream_connection import StreamConnection
from tickwire.sessions.rights import Rights
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until

PROTOCOLS: tuple[type[asyncio.Protocol], ...] = (StreamConnection, StreamProtocol, HttpToolsProtocol)
_VARYING = (
    rb"x-request-id: [^\r]+", rb"date: [^\r]+", rb"c_[0-9a-f]{12}", rb"retry: \d+", rb"_in_ms\":\d+",
    rb"retry.after:? \d+", rb"last_tick_ts\":\d+",
)  # fmt: skip
LAST_CHUNK = b"<end>"
PAGE = "https://page.example"
PATH = "/v1/stream"


def request(
    query: str = "", *headers: str, target: str = PATH, method: str = "GET", version: str = "1.1", body: bytes = b""
) -> bytes:
    lines = [f"{method} {target}{'?' * bool(query)}{query} HTTP/{version}", *headers]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append("Host: localhost")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


QUERIES = [
    "", "symbols=A", "symbols=A,B&delivery=all", "fields=last,bid&symbols=A", "interval=1s", "filter=last>1",
    "candles=1m", "events=quote,status,message", "snapshot=false", "since=earliest", "since=earliest&delivery=all",
    "since=2020-01-01T00:00:00Z&delivery=all", "client_id=me", "lastEventId=zzzzzz-3&symbols=A", "symbols=%41",
    "nonsense=1", "symbols=A&symbols=B", "symbols=", "delivery=most", "filter=last>", "client_id=user:x",
    "since=yesterday", "subscription=none", "interval=1s&delivery=all", "ticket=x", "access_token=x&symbols=A",
    "&&", "symbols=" + "A," * 2_000, "symbols=" + "A" * 40_000, "symbols=A#fragment", "symbols=\xff",
]  # fmt: skip
HEADERS = [
    ("Accept-Encoding: gzip",), ("Accept-Encoding: br;q=1, gzip;q=0",), ("Connection: close",),
    ("Connection: keep-alive",), ("Last-Event-ID: EPOCH-1",), ("Last-Event-ID: EPOCH-1000",), ("Last-Event-ID: x",),
    (f"Origin: {PAGE}",), ("Origin: https://evil.example",), ("Origin: null",), ("Host: evil.example",),
    ("Host: 127.0.0.1:80",), ("Expect: 100-continue",), ("Content-Length: 0",), ("X-User: ann",),
    ("X-Forwarded-For: 192.0.2.7", "X-User: bob"), ("X-Forwarded-For: nonsense",), ("X-User: \xff",),
    ("Accept: text/event-stream", "User-Agent: test", "Cache-Control: no-cache", "Accept-Language: en"),
]  # fmt: skip
OTHER_REQUESTS = [
    request(method="HEAD"),
    request(method="POST"),
    request(method="OPTIONS"),
    request("", "Origin: " + PAGE, "Access-Control-Request-Method: GET", method="OPTIONS"),
    request(version="1.0"),
    request(target="/v1/%73tream"),
    request(target="/v1/stream/"),
    request(target="/v1/streams"),
    request(target="http://localhost/v1/stream"),
    request("", "Content-Length: 3", body=b"abc"),
    request("symbols=A") + request(target="/healthz"),
    b"GET /v1/stream HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET /v1/stream HTTP/3.7\r\nHost: localhost\r\n\r\n",
    b"GET /v1/stream?symbols=\x01 HTTP/1.1\r\n\r\n",
]
JSON = "Content-Type: application/json"
BODIES = [
    b"{}", b'{"symbols":["A"]}', b'{"symbols":"A,B","delivery":"all"}', b'{"symbol":"A"}', b"", b"[]", b"\xff", b"{",
    b'{"filter":"last>"}', b'{"filter":"last>1","heartbeats":"event"}',
    b'{"symbols":' + b'["A"' + b',"A"' * 2_000 + b"]}",
]  # fmt: skip


def query_request(body: bytes, query: str = "", *headers: str) -> bytes:
    length = f"Content-Length: {len(body)}"
    return request(query, *(headers or (JSON,)), length, method="QUERY", body=body)


QUERY_REQUESTS = [
    *map(query_request, BODIES),
    query_request(b'{"symbols":"A"}', "symbols=B"),
    query_request(b'{"symbols":"A"}', "snapshot=false&client_id=me"),
    query_request(b'{"symbols":"A"}', "subscription=none"),
    query_request(b'{"symbols":"A"}', "", "Content-Type: text/plain"),
    query_request(b'{"symbols":"A"}', "", JSON, "Last-Event-ID: EPOCH-1"),
    query_request(b'{"symbols":"A"}', "", JSON, "Content-Encoding: gzip"),
    query_request(b'{"symbols":"A"}', "", JSON, f"Origin: {PAGE}"),
    request("symbols=A", JSON, method="QUERY"),
]
STREAM_REQUESTS = [*map(request, QUERIES), *QUERY_REQUESTS, *(request("symbols=A", *headers) for headers in HEADERS)]


class Answers:
    """The bytes that the clients of one server received, and the log lines and counters of the server."""

    def __init__(self, received: list[bytes], logged: list[dict[str, Any]], counted: dict[str, Any]) -> None:
        self.received = received
        self.logged = logged
        self.counted = counted


async def exchange(server: RunningServer, requests: list[bytes]) -> list[bytes]:
    """Send each request on its own connection, one after the other. Then end the streams, and read all answers."""
    host, port = server.url.removeprefix("http://").split(":")
    epoch = server.runtime.hub.head.epoch.encode()
    connections = []
    for each in requests:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(each.replace(b"EPOCH", epoch))
        head = await reader.readuntil(b"\r\n\r\n")
        connections.append((head, reader, writer))
    # Wait until the readers have received their snapshots. Then every server sends the same events before the end.
    await wait_until(lambda: all(reader.is_live for hub in server.runtime.hub_pool for reader in hub.roster.channels))
    server.app.drain()
    # A stream releases its slot when it has written its last chunk.
    app = server.app._http_app
    assert app is not None
    await wait_until(lambda: not app._stream_endpoint._admission._slot_counts)
    answers = []
    for head, reader, writer in connections:
        writer.write_eof()
        answers.append(normalize(head, await reader.read(), epoch))
        writer.close()
    return answers


def normalize(head: bytes, body: bytes, epoch: bytes) -> bytes:
    """Decode the body, and replace the parts that differ from answer to answer."""
    if b"transfer-encoding: chunked" in head:
        body = join_chunks(body)
    if b"content-encoding: gzip" in head:
        body = zlib.decompressobj(31).decompress(body.removesuffix(LAST_CHUNK)) + LAST_CHUNK
    text = (head + body).replace(epoch, b"EPOCH")
    for pattern in _VARYING:
        text = re.sub(pattern, b"*", text)
    return text


def join_chunks(body: bytes) -> bytes:
    """Return the data of the chunks. Bytes after the last chunk, such as the next response, stay in the result."""
    data = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        data, body = data + rest[:length], rest[length + 2 :]
        if not length:
            return data + LAST_CHUNK + body
    return data


@pytest.fixture(autouse=True)
def _log_every_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log every stream. By default, the number of logged streams depends on the time."""
    monkeypatch.setattr("tickwire.server.middleware.guard.MAX_LOGGED_STREAMS_PER_S", 1e6)


async def answers_of(
    protocol: type[asyncio.Protocol],
    requests: Callable[[RunningServer], list[bytes]],
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
) -> Answers:
    caplog.clear()
    # The time of the server stands still. On a busy machine, an exchange can take more than ten seconds. The feed would
    # then become stale, and the status event of this change is part of some answers.
    async with run_server(protocol=protocol, clock=ManualClock(time.time_ns()), **settings) as server:
        trades = pack_ticks([Tick(symbol=symbol, ts=1_000_000, last=2.0) for symbol in "ABC"], now=0)
        await server.runtime.publish(ticks_entry(trades))
        # The first price changes the state of the feed. The status event changes the head in the `welcome`.
        await wait_until(lambda: (server.runtime.hub.status or {}).get("state") == "running")
        received = await exchange(server, requests(server))
        app = server.app._http_app
        assert app is not None
        service = app._stream_endpoint._service
        counted = {
            "refused": dict(service.refused_streams),
            "denied": dict(app._guard.denied_by_status),
            "closed": server.runtime.hub.stats().streams_closed,
        }
    logged = [decode_json(record.getMessage(), dict) for record in caplog.records if record.name == "tickwire.requests"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    for line in logged:
        del line["id"], line["ms"]
    return Answers(received, sorted(logged, key=str), counted)


async def assert_equal_answers(
    requests: Callable[[RunningServer], list[bytes]], caplog: pytest.LogCaptureFixture, **settings: Any
) -> list[bytes]:
    caplog.set_level(logging.INFO)
    direct, *others = [await answers_of(protocol, requests, caplog, settings) for protocol in PROTOCOLS]
    for other in others:
        assert direct.received == other.received
        assert direct.logged == other.logged
        assert direct.counted == other.counted
    return direct.received


async def test_an_open_server_gives_the_same_answers(caplog: pytest.LogCaptureFixture) -> None:
    answers = await assert_equal_answers(lambda _: STREAM_REQUESTS, caplog, max_symbols=1_000)
    statuses = {answer.split(b" ", 2)[1] for answer in answers}
    assert statuses >= {b"200", b"400", b"403", b"404", b"414"}


async def test_cors_proxies_and_reader_limits_give_the_same_answers(caplog: pytest.LogCaptureFixture) -> None:
    await assert_equal_answers(
        lambda _: STREAM_REQUESTS,
        caplog,
        cors=PAGE,
        user_header="X-User",
        trusted_proxies="127.0.0.1",
        max_per_user=1,
        max_per_address=12,
    )


@pytest.mark.parametrize("limit", [{"max_readers": 3}, {"max_connects": 0.01}, {"max_requests": 0.01}], ids=str)
async def test_limits_give_the_same_answers(limit: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    requests = [request("symbols=A")] * 6
    answers = await assert_equal_answers(lambda _: requests, caplog, **limit)
    assert any(answer.split(b" ", 2)[1] in (b"429", b"503") for answer in answers)


def token_requests(server: RunningServer) -> list[bytes]:
    tokens = [
        sign_token("admin", user="ann"), sign_token(sub="ann", symbols=["A", "X*"]), sign_token(events=["message"]),
        sign_token(interval="1s"), sign_token(delay="15m"), sign_token(exp=1.0), sign_token(readers=1, sub="bob"),
        sign_token(readers=1, sub="bob"), sign_token() + "x", "nonsense", "",
    ]  # fmt: skip
    app = server.app._http_app
    assert app is not None
    tickets = app._guard.tickets
    assert tickets is not None
    ticket = tickets.issue(Rights(user="eve", issued=1.0, expires=4e9))
    queries = ["symbols=A", "symbols=C", "delivery=all&symbols=A"]
    return [
        *(request(query, f"Authorization: Bearer {token}") for token in tokens for query in queries),
        *(request(f"ticket={each}") for each in (ticket, ticket, "x")),
        request("access_token=" + tokens[0]),
        request("symbols=A", f"Authorization: Bearer {tokens[0]}", f"Authorization: Bearer {tokens[1]}"),
        request("symbols=A", f"Cookie: a=b; session={tokens[0]}"),
        request("symbols=A", "Authorization: Basic x"),
        request("symbols=A"),
    ]


@pytest.mark.parametrize("options", [{}, {"auth_query": True, "auth_cookie": "session"}], ids=str)
async def test_a_server_with_tokens_gives_the_same_answers(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    answers = await assert_equal_answers(token_requests, caplog, auth="secret", auth_secret=TEST_SECRET, **options)
    assert {answer.split(b" ", 2)[1] for answer in answers} >= {b"200", b"400", b"401", b"403", b"429"}


async def test_requests_that_only_look_like_streams_give_the_same_answers(caplog: pytest.LogCaptureFixture) -> None:
    """StreamConnection leaves these requests to StreamProtocol."""
    caplog.set_level(logging.INFO)
    direct, other = [await answers_of(protocol, lambda _: OTHER_REQUESTS, caplog, {}) for protocol in PROTOCOLS[:2]]
    assert (direct.received, direct.logged, direct.counted) == (other.received, other.logged, other.counted)


async def connect(server: RunningServer, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    return reader, writer


async def test_a_stream_begins_with_one_write_and_a_live_reader_has_no_task() -> None:
    async with run_server() as server:
        trades = pack_ticks([Tick(symbol=f"S{number}", ts=1_000_000, last=2.0) for number in range(10)], now=0)
        await server.runtime.publish(ticks_entry(trades))
        tasks = len(asyncio.all_tasks())
        connections = [await connect(server, request("delivery=all")) for _ in range(5)]
        for reader, _ in connections:
            received = await reader.read(65_536)
            assert received.startswith(b"HTTP/1.1 200 OK")
            assert received.count(b"event: welcome") == 1
            assert received.count(b"\nid: ") == 10
        assert all(reader.is_live for reader in server.runtime.hub.roster.channels)
        assert len(asyncio.all_tasks()) <= tasks
        for _, writer in connections:
            writer.close()


async def test_requests_behind_a_stream_are_answered_after_the_stream() -> None:
    async with run_server() as server:
        reader, writer = await connect(server, request("symbols=A"))
        await reader.readuntil(b"event: welcome")
        # Each piece is a part of a request.
        for piece in (b"GET /hea", b"lthz HTTP/1.1\r\n\r\n", request("symbols=A")):
            writer.write(piece)
            await writer.drain()
        server.app.drain()
        rest = await reader.readuntil(b"0\r\n\r\n")
        assert b"event: bye" in rest
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 503" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_a_connection_serves_another_request_after_a_rejected_stream() -> None:
    async with run_server() as server:
        reader, writer = await connect(server, request("nonsense=1"))
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 400")
        writer.write(request("symbols=A"))
        assert b"HTTP/1.1 200" in await reader.readuntil(b"event: welcome")
        writer.close()


async def test_an_unexpected_error_is_answered_and_logged_as_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(StreamEndpoint, "admit", fail)
    caplog.set_level(logging.INFO)
    async with run_server() as server:
        reader, writer = await connect(server, request("symbols=A"))
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
        writer.close()
    lines = [decode_json(record.getMessage(), dict) for record in caplog.records if record.name == "tickwire.requests"]
    assert [(line["path"], line["status"]) for line in lines] == [(PATH, 500)]


def test_the_cache_of_queries_contains_no_credentials() -> None:
    for query in ("symbols=A&ticket=x", "access_token=x", "access%5Ftoken=x"):
        before = stream_request._parse_query_cached.cache_info()
        assert "ticket" not in stream_request.parse_stream_query(query)
        assert stream_request._parse_query_cached.cache_info() == before


def test_a_caller_may_change_the_parameters_of_a_cached_query() -> None:
    stream_request.parse_stream_query("symbols=A").clear()
    assert stream_request.parse_stream_query("symbols=A") == {"symbols": "A"}
