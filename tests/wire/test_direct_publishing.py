"""Publish requests that bypass ASGI: the requests of a table cause the same answers, log lines and counters as over
ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickwire.core.codec import decode_json
from tickwire.journal.memory import MemoryJournal
from tickwire.server.routes.direct_publish import DirectPublishing
from tickwire.server.routes.publish import PublishEndpoint
from tickwire.server.transport.protocol import StreamProtocol
from tickwire.server.transport.stream_connection import StreamConnection
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TEST_SECRET, sign_token
from tickwire.testing.waiting import wait_until

PAGE = "https://page.example"
BODY = b'[{"symbol":"A","last":2.5,"size":3}]'
_VARYING = (rb"x-request-id: [^\r]+", rb"date: [^\r]+", rb"retry.after:? \d+")


def request(
    body: bytes = BODY, *headers: str, target: str = "/v1/quotes", method: str = "POST", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", *headers]
    names = {header.lower().partition(":")[0] for header in headers}
    lines += ["Host: localhost"] * ("host" not in names)
    lines += [f"Content-Length: {len(body)}"] * (not names & {"content-length", "transfer-encoding"})
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


BODIES = [
    BODY, b'{"symbol":"A","last":1}\n{"symbol":"B","last":2}', b"", b"[]", b"{}", b"[{}]", b"\xff", b'[{"symbol":"A"}]',
    b'[{"symbol":"A","last":NaN}]', b'[{"symbol":"a b ","last":1}]', b'[{"symbol":"A","last":1,"ts":5}]',
    b'[{"symbol":"A","lsat":1}]', b'[{"symbol":"A","last":1e99}]', b"[" + BODY[1:-1] + b"," * 40_000 + b"]",
    b"[" + b",".join([BODY[1:-1]] * 1_200) + b"]", b"[" + b",".join([BODY[1:-1]] * 5_000) + b"]",
]  # fmt: skip
HEADERS = [
    ("Idempotency-Key: k",), ("Idempotency-Key: k",), ("Idempotency-Key: " + "k" * 200,), ("Idempotency-Key:",),
    ("Content-Encoding: gzip",), ("Content-Encoding: identity",), ("Connection: close",), ("Connection: keep-alive",),
    (f"Origin: {PAGE}",), ("Origin: https://evil.example",), ("Host: evil.example",), ("X-User: ann",),
    ("X-Forwarded-For: 192.0.2.7", "X-User: bob"), ("X-User: \xff",), ("Content-Type: text/plain",),
    ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
]  # fmt: skip
REQUESTS = [
    *map(request, BODIES),
    *(request(BODY, *headers) for headers in HEADERS),
    request(target="/v1/quotes?"),
    request(target="/v1/quotes?key=1"),
    request(target="/v1/quotes/"),
    request(target="/v1/%71uotes"),
    request(target="http://localhost/v1/quotes"),
    request(version="1.0"),
    request(b"", method="HEAD"),
    request(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), "Transfer-Encoding: chunked"),
    request(BODY, "Content-Length: x"),
    request() + request(b'{"symbol":"B","last":2}'),
]


def without_varying(text: bytes, epoch: bytes) -> bytes:
    text = text.replace(epoch, b"EPOCH")
    for pattern in _VARYING:
        text = re.sub(pattern, b"*", text)
    return text


async def connect(server: RunningServer, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    return reader, writer


async def read_response(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    return head + await reader.readexactly(int(found[1]) if found else 0)


async def answer(server: RunningServer, data: bytes) -> bytes:
    """Send the bytes on a new connection, and close its write end. Return everything that the server sends."""
    reader, writer = await connect(server, data)
    # A server drops the answer to a half-closed connection, so send another request, and wait for its answer.
    if b"\r\nConnection: close" not in data and b"HTTP/1.0" not in data:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    received = await reader.read()
    writer.close()
    return received


async def answers_of(
    protocol: type[asyncio.Protocol],
    requests: list[bytes],
    caplog: pytest.LogCaptureFixture,
    audit: Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    caplog.clear()
    # The time of the server stands still, so that limits do not depend on the speed of the machine.
    clock = ManualClock(time.time_ns())
    async with run_server(protocol=protocol, clock=clock, audit=str(audit), **settings) as server:
        epoch = server.runtime.hub.head.epoch.encode()
        received = [without_varying(await answer(server, each), epoch) for each in requests]
        app = server.app._http_app
        assert app is not None
        counts = dict(app._guard.request_metrics.request_counts())
        head, prices = server.runtime.journal.head, server.runtime.hub.board.last_prices()
        unlogged, rejected = dict(app._guard.unlogged_by_call), server.runtime.dirty_ticks()
    audited = [decode_json(line, dict) for line in audit.read_bytes().splitlines()]
    logged = [decode_json(record.getMessage(), dict) for record in caplog.records if record.name == "tickwire.requests"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    for line in [*logged, *audited]:
        for name in ("id", "ms", "ts"):
            line.pop(name, None)
    texts = {"audited": str(audited).replace(epoch.decode(), "EPOCH"), "logged": str(logged)}
    return {"received": received, "counts": counts, "head": head, "prices": prices, **texts} | {
        "unlogged": unlogged, "rejected": rejected,
    }  # fmt: skip


async def assert_equal_answers(
    requests: list[bytes], caplog: pytest.LogCaptureFixture, folder: Path, **settings: Any
) -> list[bytes]:
    caplog.set_level(logging.INFO)
    direct, over_asgi = [
        await answers_of(protocol, requests, caplog, folder / protocol.__name__, settings)
        for protocol in (StreamConnection, HttpToolsProtocol)
    ]
    for name, value in direct.items():
        assert value == over_asgi[name], name
    return direct["received"]


def statuses(answers: list[bytes]) -> set[bytes]:
    return {each.split(b" ", 2)[1] for each in answers}


async def test_an_open_server_gives_the_same_answers(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    answers = await assert_equal_answers(REQUESTS, caplog, tmp_path)
    assert statuses(answers) >= {b"200", b"201", b"400", b"403", b"405", b"415"}


@pytest.mark.parametrize(
    "settings",
    [
        {"cors": PAGE, "user_header": "X-User", "trusted_proxies": "127.0.0.1"},
        {"max_requests": 0.01},
        {"max_body": 1_024},
    ],
    ids=str,
)
async def test_limits_and_proxies_give_the_same_answers(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await assert_equal_answers(REQUESTS, caplog, tmp_path, **settings)


async def test_a_server_with_tokens_gives_the_same_answers(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    tokens = [
        sign_token("publish", sub="ann"), sign_token("publish", symbols=["B"]), sign_token("publish", symbols=["A*"]),
        sign_token("admin"), sign_token("read"), sign_token("publish", exp=1.0), sign_token("publish") + "x", "x",
    ]  # fmt: skip
    requests = [request(body, f"Authorization: Bearer {token}") for token in tokens for body in (BODY, b"{}")]
    requests += [request(), request(BODY, f"Authorization: Bearer {tokens[0]}", "Idempotency-Key: k")] * 2
    answers = await assert_equal_answers(requests, caplog, tmp_path, auth="secret", auth_secret=TEST_SECRET)
    assert statuses(answers) == {b"200", b"201", b"400", b"401", b"403"}


@pytest.fixture
def direct_count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that returns the number of requests that bypassed ASGI."""
    counts: list[int] = []
    respond = DirectPublishing.answer

    async def counted(self: DirectPublishing, each: Any) -> None:
        counts.append(1)
        await respond(self, each)

    monkeypatch.setattr(DirectPublishing, "answer", counted)
    return lambda: len(counts)


@pytest.fixture
def read_count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that returns how often a connection received bytes."""
    counts: list[int] = []
    receive = StreamProtocol.data_received

    def counted(self: StreamProtocol, data: bytes) -> None:
        counts.append(len(data))
        receive(self, data)

    monkeypatch.setattr(StreamProtocol, "data_received", counted)
    return lambda: len(counts)


async def test_whole_requests_bypass_asgi_and_the_connection_stays_usable(
    direct_count: Callable[[], int], read_count: Callable[[], int]
) -> None:
    async with run_server() as server:
        reader, writer = await connect(server, request())
        assert b" 201 " in await read_response(reader)
        for _ in range(3):
            writer.write(request())
            assert b" 201 " in await read_response(reader)
        assert direct_count() == 4
        # ASGI answers a request in two pieces, and the next whole request bypasses it again.
        pieces = request()
        writer.write(pieces[:30])
        await wait_until(lambda: read_count() == 5)
        writer.write(pieces[30:])
        assert b" 201 " in await read_response(reader)
        assert direct_count() == 4
        writer.write(request(b"{}"))
        assert b" 400 " in await read_response(reader)
        assert direct_count() == 5
        writer.close()


class HeldAppends:
    """Appends that wait until the test releases them. `started` counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started = 0
        self.released = asyncio.Event()
        append, held = MemoryJournal.append, self

        async def wait_and_append(journal: MemoryJournal, entry: Any) -> Any:
            span = await append(journal, entry)
            if entry.source.startswith("http"):
                held.started += 1
                await held.released.wait()
            return span

        monkeypatch.setattr(MemoryJournal, "append", wait_and_append)


async def test_requests_behind_a_direct_request_wait_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish request starts before the answer to the preceding one. A GET waits for it."""
    async with run_server() as server:
        held = HeldAppends(monkeypatch)
        reader, writer = await connect(server, request())
        await wait_until(lambda: held.started == 1)
        writer.write(request(b'{"symbol":"B","last":2}'))
        await wait_until(lambda: held.started == 2)
        writer.write(b"GET /v1/quotes/B HTTP/1.1\r\nHost: localhost\r\n\r\n")
        held.released.set()
        assert [(await read_response(reader)).split(b" ")[1] for _ in range(3)] == [b"201", b"201", b"200"]
        writer.close()


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_request_within_the_head_of_another_request_is_malformed(
    is_first: bool, read_count: Callable[[], int]
) -> None:
    async with run_server() as server:
        reader, writer = await connect(server, b"" if is_first else request())
        if not is_first:
            assert b" 201 " in await read_response(reader)
        before = read_count()
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        await wait_until(lambda: read_count() > before)
        writer.write(request())
        assert b" 400 " in await read_response(reader)
        writer.close()


async def test_malformed_bytes_behind_a_direct_request_abort_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_server() as server:
        held = HeldAppends(monkeypatch)
        reader, writer = await connect(server, request())
        await wait_until(lambda: held.started == 1)
        writer.write(b"nonsense\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        held.released.set()
        await wait_until(lambda: server.runtime.hub.board.last_prices() == {"A": 2.5})
        writer.close()


async def test_a_client_that_leaves_before_the_answer_has_published(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_server() as server:
        held = HeldAppends(monkeypatch)
        _, writer = await connect(server, request())
        await wait_until(lambda: held.started == 1)
        writer.transport.abort()
        held.released.set()
        await wait_until(lambda: server.runtime.hub.board.last_prices() == {"A": 2.5})


async def test_an_unexpected_error_is_answered_and_logged_as_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(PublishEndpoint, "respond", fail)
    caplog.set_level(logging.INFO)
    async with run_server() as server:
        reader, writer = await connect(server, request())
        received = await reader.read()
        assert received.startswith(b"HTTP/1.1 500 ")
        assert b"connection: close" in received
        writer.close()
    lines = [decode_json(record.getMessage(), dict) for record in caplog.records if record.name == "tickwire.requests"]
    assert [(line["path"], line["status"]) for line in lines] == [("/v1/quotes", 500)]


class ImpatientProtocol(StreamProtocol):
    """Waits only a short time for the next request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeout_keep_alive = 0.1  # type: ignore[assignment]  # uvicorn's setting has whole seconds


@pytest.mark.parametrize(
    "data", [request(), b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["publish", "get"]
)
async def test_a_connection_is_closed_when_its_client_sends_no_further_request(data: bytes) -> None:
    async with run_server(protocol=ImpatientProtocol) as server:
        reader, writer = await connect(server, data)
        for _ in range(3):
            assert b" 200 " in (response := await read_response(reader)) or b" 201 " in response
            await asyncio.sleep(0)
            writer.write(data)
        await read_response(reader)
        answered_at = time.monotonic()
        assert await reader.read() == b""
        assert time.monotonic() - answered_at >= 0.09
        writer.close()


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (request(), b"\r\n"),
        # The server answers 404 before the body has arrived.
        (b"POST /unknown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[", b"]"),
    ],
    ids=["empty line", "rest of a body"],
)
async def test_bytes_that_start_no_request_do_not_keep_a_connection_open(data: bytes, rest: bytes) -> None:
    async with run_server(protocol=ImpatientProtocol) as server:
        reader, writer = await connect(server, data)
        await read_response(reader)
        writer.write(rest)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
