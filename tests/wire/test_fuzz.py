"""No input causes a 5xx answer: requests generated from the OpenAPI document, broken bodies, and random queries."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from urllib.parse import quote

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from tickwire.core.codec import encode_json
from tickwire.server.stream_request import STREAM_PARAMETERS
from tickwire.testing.marks import short_and_long
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream

# Even on a busy machine, the server exceeds this time only if it hangs.
CALL_TIMEOUT_S = 100

QUICK = settings(
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/x-ndjson")
def encode_lines(_context, value) -> bytes:
    """Return the lines of a generated value; a list has a line for each element."""
    return b"".join(encode_json(each) + b"\n" for each in (value if isinstance(value, list) else [value]))


@pytest.mark.parametrize("options", [{}, TOKEN_AUTH], ids=["open", "tokens"])
@short_and_long("examples", 3, 100)
async def test_generated_requests_never_get_5xx(options, examples: int) -> None:
    """All operations except the stream are called with valid and with invalid values of their schemas."""
    async with run_server(**options, feed="simulator", max_body=20_000) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            document = (await client.get("/openapi.json")).json()
        del document["paths"]["/v1/stream"]
        call_count = await asyncio.to_thread(_call_all, document, server.url, examples)
        assert call_count >= examples


def _call_all(document, url: str, examples: int) -> int:
    """Call all operations and return the number of calls. Run this function in a thread, because it blocks."""
    call_count = 0
    headers = bearer_header(sign_token("publish messages admin"))
    for each in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = each.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=mode)

            @settings(QUICK, max_examples=examples)
            @given(strategy)
            def call(case) -> None:
                nonlocal call_count
                call_count += 1
                answer = case.call(base_url=url, headers=headers, timeout=CALL_TIMEOUT_S)
                assert answer.status_code < 500, f"{case.method} {case.path}: {answer.text}"

            # An operation without parameters has no invalid values.
            with contextlib.suppress(Unsatisfiable):
                call()
    return call_count


BODIES = [b"0 0", b"0x", b"\n0x", b"{}\n0x", b"\xff", b"[" * 10_000, b'{"a":' * 10_000, b'"\\ud800"', b"NaN", b"null"]
TOML_BODIES = [b"a = " + b"[" * 10_000, b"[a" + b".a" * 10_000 + b"]"]


async def test_broken_bodies_get_4xx() -> None:
    """Each body is deeply nested, or has a valid beginning and an invalid end."""
    async with run_server(feed="simulator") as server, httpx2.AsyncClient(base_url=server.url) as client:
        document = (await client.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method in [method for method, operation in methods.items() if "requestBody" in operation]:
                for body in (*BODIES, *TOML_BODIES):
                    answer = await client.request(method.upper(), path.replace("{client_id}", "x"), content=body)
                    assert 400 <= answer.status_code < 500, (method, path, body[:20], answer.text)


NAMES = st.sampled_from([*STREAM_PARAMETERS, "interval", "filter", "x", ""])
VALUES = st.one_of(
    st.sampled_from(["", "*", "A", "A,B*", "last > 5", "quote,screen", "1s", "all", "latest", "earliest", "true", "0"]),
    st.sampled_from(["1767366000000000", "2026-01-01", "abc123-5", "9" * 30, "%00", "%ff", "\x00", "a" * 2000]),
    st.text(max_size=20),
)
QUERIES = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(
    lambda pairs: "&".join(f"{name}={quote(value, safe='%')}" for name, value in pairs)
)
RAW = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, blacklist_characters="#"), max_size=60)


@pytest.mark.parametrize("options", [{}, {**TOKEN_AUTH, "auth_query": True}], ids=["open", "tokens"])
@short_and_long("examples", 60, 3_000)
async def test_random_stream_queries_never_get_5xx(options, examples: int) -> None:
    """The server still opens streams afterwards."""
    statuses: set[int] = set()
    async with run_server(**options) as server:

        async def request_stream(query: str) -> None:
            headers = bearer_header(sign_token())
            async with open_stream(server.url, path=f"/v1/stream?{query}&client_id=x", headers=headers) as stream:
                statuses.add(stream.status)
                assert stream.status < 500, query

        loop = asyncio.get_running_loop()

        @settings(QUICK, max_examples=examples)
        @given(st.one_of(QUERIES, RAW))
        def fuzz(query: str) -> None:
            asyncio.run_coroutine_threadsafe(request_stream(query), loop).result(10)

        await asyncio.to_thread(fuzz)
        await request_stream("symbols=A")
        assert 200 in statuses


HEADERS = [
    "Accept", "Accept-Encoding", "Access-Control-Request-Method", "Authorization", "Connection", "Content-Encoding",
    "Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host", "Idempotency-Key", "If-Modified-Since",
    "If-None-Match", "If-Range", "Last-Event-ID", "Origin", "Range", "Referer", "Transfer-Encoding", "Upgrade",
    "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "X-User",
]  # fmt: skip
HEADER_VALUES = [
    b"", b" ", b"\t", b"[", b"]", b":", b"%", b"%00", b"\xff", b"\x80\xa0", b"\xc3(", b"null", b"None", b"*", b",,,",
    b";=;", b"http://[", b"http://[::1", b"http://]", b"http://[v1.x]", b"http://a:b:c", b"http://a:99999999", b"//",
    b"http://\xff", b"[::1", b"[::1]:x", b"localhost:99999", b"a" * 5000, b"99999999999999999999999", b"-1", b"0x1",
    b"1e999", b"nan", b"bytes=", b"bytes=-", b"bytes=0-", b"bytes=9-1", b"bytes=0-0,1-1,2-2",
    b"bytes=99999999999999999999-", b"lines=1-2", b'W/"', b'"', b"Bearer", b"Bearer ", b"Bearer \xff.\xff.\xff",
    b"Bearer e30.e30.e30", b"Basic !", b"session=\xff", b"session=", b"a=b; session", b"gzip;q=", b"gzip;q=nan",
    b"gzip;q=1e999", b"gzip, br;q=x, *;q=-1", b"gzip", b"br", b"chunked, gzip", b"websocket", b"h2c", b"100-continue",
    b"1.2.3.4:5", b"::ffff:1.2.3.4%x", b"1.2.3.4, [::1], ,", b"text/html;charset=\xff", b"multipart/form-data",
    b"application/json; charset=nonsense", b"x-1-2", b"-", b"x--1", b"Thu, 99 Foo 2026 99:99:99 GMT",
    b"9" * 400 + b"-5", b"A" * 129,
]  # fmt: skip
HEADER_TARGETS = [
    ("GET", "/"), ("GET", "/app/x"), ("GET", "/docs"), ("GET", "/healthz"), ("GET", "/nowhere"), ("PUT", "/v1/quotes"),
    ("OPTIONS", "/v1/quotes"), ("GET", "/v1/quotes"), ("GET", "/v1/quotes?x=1"), ("HEAD", "/v1/stream"),
    ("POST", "/v1/quotes"), ("POST", "/v1/messages"), ("PATCH", "/v1/clients/x"),
]  # fmt: skip


async def _status(server, request: tuple[str, str], headers: dict[str, bytes]) -> int:
    """Send one request. Return the status, or 0 if the server closes the connection."""
    method, path = request
    body = b"[]" if method in ("POST", "PATCH") and not {"Content-Length", "Transfer-Encoding"} & set(headers) else b""
    headers = {"Host": b"localhost", **({"Content-Length": b"2"} if body else {}), **headers}
    lines = [name.encode() + b": " + value for name, value in headers.items()]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        writer.write(b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *lines, b"", body]))
        # An incomplete body ends here, so that the server does not wait for the rest.
        writer.write_eof()
        return int(((await reader.readline()).split() or [0, 0])[1])
    except ConnectionError:
        return 0
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("options", "credentials"),
    [
        ({"user_header": "X-User", "trusted_proxies": "127.0.0.1", "cors": "https://a.example", "hosts": "*"}, {}),
        ({**TOKEN_AUTH, "auth_cookie": "session"}, {}),
        (TOKEN_AUTH, {"Authorization": f"Bearer {sign_token('publish messages')}".encode()}),
    ],
    ids=["open", "without a token", "with a token"],
)
@short_and_long("targets_per_value", 1, len(HEADER_TARGETS))
async def test_odd_headers_never_get_5xx(options, credentials, targets_per_value) -> None:
    """Every header that the server or its libraries read has broken values, before and after authentication."""
    targets, wrong, statuses = itertools.cycle(HEADER_TARGETS), [], set()
    async with run_server(**options) as server:
        for header, value in itertools.product(HEADERS, HEADER_VALUES):
            for target in itertools.islice(targets, targets_per_value):
                status = await _status(server, target, {**credentials, header: value})
                statuses.add(status)
                if status >= 500:
                    wrong.append((target, header, value, status))
    assert not wrong, (len(wrong), wrong[:5])
    assert len(statuses) > 4
