"""Untrusted texts in the log and in the audit log: every field of every API call is bounded and escaped."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tickwire.ops.log_format import JsonFormatter, LineFormatter
from tickwire.server.auth.rules import RULES
from tickwire.server.middleware.guard import MAX_LOGGED_STREAMS_PER_S
from tickwire.testing.clock import ManualClock
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

MAX_LINE_BYTES = 5_000
CONTROLS = "\r\nforged\x00\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e"
# The control characters that the parser of HTTP headers accepts.
HEADER_CONTROLS = "\x1b[2J\x85\x9b\u2028"
LONG = 'a"\\' * 5_000
ODD_TEXTS = [CONTROLS, LONG, "http://ann:PASS@host/?sig=PASS ", f"{CONTROLS}{LONG}{CONTROLS * 100}"]
SCOPES = "publish messages admin metrics"


class LogLines(logging.Handler):
    """Collects the messages of all records, and their lines in the log of a server."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.messages: list[str] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
        if record.name.startswith("tickwire"):
            self.messages.append(record.getMessage())


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    handler, root = LogLines(), logging.getLogger()
    previous_level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(previous_level)


def odd_paths(path: str, text: str) -> list[str]:
    """Return request targets with an odd text in the path and in the query."""
    encoded = quote(text, safe="")[:50_000]
    return [f"{path.rstrip('/')}/{encoded}", f"{path}{encoded}", f"{path}?client_id={encoded}&user={encoded[:5_000]}"]


def odd_bodies(text: str) -> list[bytes]:
    """Return request bodies with an odd text in each kind of member that some API call reads."""
    texts = dict.fromkeys(("filter", "interval", "symbol", "event", "target", "command", "version", "name", text), text)
    bodies = [{name: value} for name, value in texts.items()]
    bodies += [{"symbols": [text] * 3}, {"add": [text]}, {"data": {text: text}, "event": "note"}]
    return [*(json.dumps(body).encode() for body in bodies), text.encode(), f"name = {json.dumps(text)}".encode()]


def odd_headers(odd_texts: list[str]) -> list[dict[str, str]]:
    """Return request headers with an odd text in each header that the server reads, and in the claims of a token."""
    names = ("user-agent", "authorization", "x-request-id", "last-event-id", "x-forwarded-for", "cookie", "origin")
    headers = [
        {**bearer_header(sign_token(SCOPES)), name: text}
        for name in names
        for text in (HEADER_CONTROLS + "x" * 30_000,)
    ]
    claims = [{name: text} for name in ("sub", "jti", "scope", "symbols", "iss", "kid") for text in odd_texts]
    return headers + [bearer_header(sign_token(**{"scope": SCOPES, **claim})) for claim in claims]


async def send_odd_requests(client: httpx2.AsyncClient, method: str, path: str, odd_texts: list[str]) -> int:
    """Send requests with odd texts in the path, the query, the headers, the body, the client id and the token.

    Return the number of requests.
    """
    requests, url = 0, str(client.base_url)
    # The longest names that a token may have, with all rights and without any.
    for scope in (SCOPES, ""):
        rights = bearer_header(sign_token(scope, sub='"' * 128, jti="中" * 128))
        for text in odd_texts:
            for target in odd_paths(path, text):
                async with open_stream(url, path=target, method=method, headers=rights):
                    requests += 1
            for body in odd_bodies(text) if method in ("POST", "PUT", "PATCH") else []:
                target = f"{path}desk" if path.endswith("/") else path
                await client.request(method, target, content=body, headers=rights)
                requests += 1
    for headers in odd_headers(odd_texts):
        async with open_stream(url, path=path, method=method, headers=headers):
            requests += 1
    return requests


@short_and_long("odd_texts", ODD_TEXTS[-1:], ODD_TEXTS)
async def test_no_request_writes_a_long_line(odd_texts: list[str], tmp_path: Path, log_lines: LogLines) -> None:
    audit = tmp_path / "audit.jsonl"
    requests = 0
    async with (
        run_server(**TOKEN_AUTH, audit=str(audit), trusted_proxies="127.0.0.1") as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        for method, path in RULES:
            requests += await send_odd_requests(client, method, path, odd_texts)
    lines = [*log_lines.lines, *audit.read_text().splitlines()]
    assert [line for line in lines if len(line.encode()) > MAX_LINE_BYTES or not line.isprintable()] == []
    assert [message for message in log_lines.messages if not message.isprintable()] == []
    assert [line for line in log_lines.lines if "ERROR" in line.split()[:3] or "PASS" in line] == []
    # A stream has one more line, for its end.
    assert requests > 10 * len(RULES)
    assert len(log_lines.lines) <= 2 * requests
    assert all(json.loads(line) for line in audit.read_text().splitlines())


async def test_a_refused_change_of_a_plain_token_writes_little(tmp_path: Path, log_lines: LogLines) -> None:
    audit = tmp_path / "audit.jsonl"
    async with (
        run_server(**TOKEN_AUTH, audit=str(audit)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        rights = bearer_header(sign_token(symbols=["NOTHING"]))
        change = {"filter": "a" * 250_000}
        answer = await client.patch("/v1/clients/nobody", json=change, headers=rights)
        assert answer.status_code == 404
    (line,) = map(json.loads, audit.read_text().splitlines())
    assert (line["action"], line["status"]) == ("change", 404)
    assert line["what"]["truncated"].startswith('{"client":"nobody","wish":{"symbols":null,')
    assert audit.stat().st_size < MAX_LINE_BYTES


async def test_probes_and_accepted_publishes_are_counted_and_not_logged(log_lines: LogLines) -> None:
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            await client.get(path)
            await client.head(path)
        accepted = await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        rejected = await client.post("/v1/quotes", json=[{"symbol": "?"}])
        metrics = (await client.get("/metrics")).text
    assert (accepted.status_code, rejected.status_code) == (201, 400)
    (line,) = [json.loads(message) for message in log_lines.messages if message.startswith("{")]
    assert (line["path"], line["status"]) == ("/v1/quotes", 400)
    assert 'tickwire_unlogged_requests_total{call="POST /v1/quotes"} 1' in metrics
    assert 'tickwire_unlogged_requests_total{call="GET /metrics"} 2' in metrics
    assert "tickwire_log_dropped_total 0" in metrics


@pytest.mark.parametrize("bypass_asgi", [True, False])
async def test_the_end_of_a_stream_is_one_line_with_its_reason(bypass_asgi: bool, log_lines: LogLines) -> None:
    async with run_server(bypass_asgi=bypass_asgi) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for client_id in ("leaves", "evicted"):
            async with open_stream(server.url, {"client_id": client_id}) as stream:
                await stream.next_event()
                if client_id == "evicted":
                    await client.delete("/v1/clients/evicted")
                    await stream.next_events(1, name="bye")
            await wait_until(lambda: not len(server.app.runtime.hub_pool))
        await wait_until(lambda: sum("closed" in message for message in log_lines.messages) == 2)
    ends = [json.loads(message) for message in log_lines.messages if "closed" in message]
    assert [end["closed"] for end in ends] == ["lost", "evicted"]
    starts = [json.loads(message)["id"] for message in log_lines.messages if "/v1/stream" in message][::2]
    assert [end["id"] for end in ends] == starts


async def test_many_streams_write_few_lines(log_lines: LogLines) -> None:
    """The lines of a stream are its start and its end. Streams above the limit have none, and are counted."""
    count = 3 * int(MAX_LOGGED_STREAMS_PER_S)
    clock = ManualClock()
    async with run_server(clock=clock) as server:
        for _ in range(count):
            async with open_stream(server.url) as stream:
                await stream.next_event()
        await wait_until(lambda: not len(server.app.runtime.hub_pool))
        assert server.app.direct_streams is not None
        unlogged = server.app.direct_streams._guard.unlogged_by_call["GET /v1/stream"]
    lines = [json.loads(message) for message in log_lines.messages if "/v1/stream" in message]
    starts, ends = ([line["id"] for line in lines if ("closed" in line) is is_end] for is_end in (False, True))
    assert len(starts) == MAX_LOGGED_STREAMS_PER_S == count - unlogged
    assert sorted(starts) == sorted(ends)


async def test_a_line_about_a_failed_request_names_it(caplog: pytest.LogCaptureFixture) -> None:
    formatter = JsonFormatter()
    lines: list[dict[str, str]] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(formatter.format(record)))

    handler = Lines()
    logging.getLogger().addHandler(handler)
    try:
        async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
            # A fault of the server itself.
            server.runtime.monitor.current_stats = lambda: 1 / 0  # type: ignore[method-assign]
            answer = await client.get("/v1/operations")
    finally:
        logging.getLogger().removeHandler(handler)
    assert answer.status_code == 500
    failures = [line for line in lines if "ZeroDivisionError" in line.get("traceback", "")]
    assert len({line["request_id"] for line in failures}) == 1
