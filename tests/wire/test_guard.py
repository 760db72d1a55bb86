"""The checks around every request: headers, CORS, host names, rate limits, request logs and the audit log."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter

import httpx2
import pytest

from tickwire.auth_wiring import check_exposure
from tickwire.errors import SettingsError
from tickwire.server.auth.rules import RULES
from tickwire.server.http_errors import Forbidden
from tickwire.server.middleware.host_check import HostCheck
from tickwire.settings import Settings
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream

PAGE = "https://app.example"


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/quotes", "/nothing", "/v1/stream", "/healthz"])
async def test_every_response_has_security_headers_and_an_id(path) -> None:
    """Error responses and streams have the security headers too. Only pages have a content policy."""
    async with run_server() as server, open_stream(server.url, path=path) as answer:
        headers = answer.headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-request-id"]
        assert "access-control-allow-origin" not in headers
        assert ("content-security-policy" in headers) == (path in ("/", "/docs"))
        if path == "/v1/stream":
            assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


async def test_caches_store_no_answer_except_the_files_of_the_pages() -> None:
    """The table of access rules lists all calls. Rejected and unknown calls are not stored either."""
    headers = bearer_header(sign_token("publish messages admin metrics"))
    async with run_server(**TOKEN_AUTH) as server:
        for method, path in [*RULES, ("HEAD", "/v1/quotes"), ("GET", "/nothing"), ("PUT", "/v1/quotes")]:
            for credential in (headers, {}):
                async with open_stream(server.url, path=path, method=method, headers=credential) as answer:
                    is_page = method == "GET" and path in ("/", "/docs")
                    assert answer.headers["cache-control"] == ("no-cache" if is_page else "no-store"), (method, path)


async def test_the_content_policy_allows_only_own_scripts() -> None:
    """The scripts of the dashboard are files of this server. The scripts of /docs are inline and allowed by hash."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        for path, scripts in (("/", "script-src 'self';"), ("/docs", "script-src 'self' 'sha256-")):
            policy = (await client.get(path)).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert scripts in policy
            assert "unsafe" not in policy


async def test_only_listed_origins_may_read_responses() -> None:
    """The rule applies to preflight requests, streams and error responses."""
    async with run_server(**TOKEN_AUTH, cors=PAGE) as server, httpx2.AsyncClient(base_url=server.url) as client:
        preflight = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        for path in ("/v1/stream", "/v1/quotes"):
            allowed = await client.options(path, headers={"origin": PAGE, **preflight})
            assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, PAGE)
            assert "authorization" in allowed.headers["access-control-allow-headers"]
            assert "QUERY" in allowed.headers["access-control-allow-methods"]
            other = await client.options(path, headers={"origin": "https://evil.example", **preflight})
            assert (other.status_code, "access-control-allow-origin" in other.headers) == (403, False)
        async with open_stream(server.url, headers={"origin": PAGE, **bearer_header(sign_token())}) as stream:
            assert stream.headers["access-control-allow-origin"] == PAGE
        for origin, is_allowed in ((PAGE, True), ("https://evil.example", False)):
            answer = await client.get("/v1/quotes", headers={"origin": origin})
            assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (401, is_allowed)
            assert answer.headers["vary"] == "origin"


async def test_a_stream_that_the_browser_hides_is_logged_with_advice(caplog) -> None:
    async with run_server() as server, open_stream(server.url, headers={"origin": PAGE}) as stream:
        assert stream.status == 200
    assert [record.getMessage() for record in caplog.records if "--cors" in record.getMessage()] == [
        f"browsers do not let pages of {PAGE!r} read the answers of this server (CORS): add --cors {PAGE!r}"
    ]


async def test_an_open_server_rejects_changes_by_foreign_pages() -> None:
    """If the server accepted such changes, any web page could publish to a local server of its visitor."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        for origin, status in (("https://evil.example", 403), (server.url, 201), (None, 201)):
            headers = {} if origin is None else {"origin": origin}
            assert (await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=headers)).status_code == status


async def test_each_request_is_logged_in_one_line_without_secrets(caplog) -> None:
    """The log never contains a token, in any part of the request and in any encoding."""
    caplog.set_level(logging.DEBUG)
    token = sign_token("publish", jti="t1")
    async with (
        run_server(**TOKEN_AUTH, auth_query=True) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        ticket = (await client.post("/v1/tickets", headers=bearer_header(token))).json()["ticket"]
        queries = (
            f"access_token={token}",
            f"access%5Ftoken={token}",
            f"ticket={ticket}",
            f"tocken={token}",
            f"ticket={token}&x",
        )
        for query in queries:
            async with open_stream(server.url, path=f"/v1/stream?{query}&a") as stream:
                assert stream.status in (200, 400, 401)
        await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=bearer_header(token))
        await client.get("/v1/quotes", headers=bearer_header(token + "x"))
        await client.get(f"/v1/quotes/{token}", headers=bearer_header(token))
        await client.get(f"/v1/stream/{token}")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "tickwire.requests"]
    assert len(lines) == 10
    assert [line["path"] for line in lines[-2:]] == ["/v1/quotes/***", "/v1/stream/***"]
    published = next(line for line in lines if (line["method"], line["path"]) == ("POST", "/v1/quotes"))
    assert published.keys() == {"id", "method", "path", "status", "ms", "subject", "token", "address"}
    assert (published["status"], published["subject"], published["token"], published["address"]) == (
        201,
        "ann",
        "t1",
        "127.0.0.1",
    )
    secrets = [*token.split(".")[1:], *ticket.split(".")[1:], TEST_SECRET]
    server_lines = [
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx2", "httpcore2"))
    ]
    assert [line for line in server_lines if any(secret in line for secret in secrets)] == []


async def test_requests_and_streams_of_an_address_are_rate_limited() -> None:
    """After the time in the Retry-After header, requests succeed again.

    The rate limit also applies to health checks.
    """
    clock = ManualClock()
    async with (
        run_server(clock=clock, max_requests=2, max_connects=1) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        assert [(await client.get("/healthz")).status_code for _ in range(11)] == [200] * 10 + [429]
        rejected = await client.get("/healthz")
        assert rejected.headers["retry-after"] == "1"
        await clock.advance(1)
        assert (await client.get("/healthz")).status_code == 200
        await clock.advance(60)
        for number in range(6):
            async with open_stream(server.url) as stream:
                assert stream.status == (200 if number < 5 else 429)


async def test_the_rate_of_a_user_counts_all_addresses() -> None:
    options = {**TOKEN_AUTH, "clock": ManualClock(), "max_requests": 1, "trusted_proxies": "127.0.0.1"}
    now = options["clock"].now() / 1e9
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for name, statuses in (("ann", [200] * 5 + [429]), ("bob", [200])):
            headers = bearer_header(sign_token(sub=name, iat=now, exp=now + 9))
            received = [
                (await client.get("/v1/quotes", headers={**headers, "x-forwarded-for": f"9.9.9.{n}"})).status_code
                for n in range(len(statuses))
            ]
            assert received == statuses


async def test_the_audit_log_records_changes(tmp_path) -> None:
    """The audit log also records rejected changes by authenticated clients. It records no reads."""
    path = tmp_path / "deep" / "audit.jsonl"
    async with (
        run_server(**TOKEN_AUTH, audit=str(path)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"client_id": "desk"}, headers=bearer_header(sign_token())) as stream,
    ):
        await stream.next_event()
        root = bearer_header(sign_token("publish messages admin", sub="root"))
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=root)
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=bearer_header(sign_token()))
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        await client.get("/v1/quotes", headers=root)
        await client.post("/v1/messages", json={"event": "note", "data": {"secret": 1}, "target": "desk"}, headers=root)
        await client.patch("/v1/clients/desk", json={"add": ["B"]}, headers=root)
        await client.post("/v1/simulator", json={"command": "PAUSE"}, headers=root)
        await client.delete("/v1/clients/desk", headers=root)
        await client.delete("/v1/clients?user=eve", headers=root)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["action"], line["subject"], line["status"]) for line in lines] == [
        ("publish", "root", 201),
        ("publish", "ann", 403),
        ("message", "root", 201),
        ("change", "root", 200),
        ("simulator", "root", 400),
        ("evict", "root", 200),
        ("revoke", "root", 200),
    ]
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert lines[0]["what"] == {"ticks": 1, "first": 1, "last": 1, "repeated": False}
    assert lines[2]["what"] == {"event": "note", "target": "desk", "readers": 0}
    assert lines[3]["what"]["wish"]["add"] == ["B"]
    assert path.stat().st_mode & 0o077 == 0


async def test_one_client_cannot_fill_the_audit_log_with_requests_that_change_nothing(tmp_path) -> None:
    """The requests are rejected, or are changes without an effect.

    If each such request wrote a line, the rotation of the audit log would soon delete the lines of all other clients.
    """
    path = tmp_path / "audit.jsonl"
    mallory, root = bearer_header(sign_token(sub="mallory")), bearer_header(sign_token("publish admin", sub="root"))
    async with (
        run_server(**TOKEN_AUTH, audit=str(path)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"client_id": "desk", "symbols": "A"}, headers=mallory) as stream,
    ):
        await stream.next_event()
        started_at = time.monotonic()
        for _ in range(50):
            rejected = [
                await client.post("/v1/quotes", json=[], headers=mallory),
                await client.post("/v1/messages", json={}, headers=mallory),
                await client.patch("/v1/clients/nobody", json={}, headers=mallory),
                await client.patch("/v1/clients/desk", json={"interval": "x"}, headers=mallory),
                await client.delete("/v1/clients/user:root", headers=mallory),
                await client.delete("/v1/clients?user=root", headers=mallory),
            ]
            assert [answer.status_code for answer in rejected] == [403, 403, 404, 400, 404, 403]
            unchanged = await client.patch("/v1/clients/desk", json={"symbols": ["A"]}, headers=mallory)
            assert unchanged.status_code == 200
            await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=root)
        windows = int(time.monotonic() - started_at) + 1
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    of_mallory = [line for line in lines if line["subject"] == "mallory"]
    assert len(lines) - len(of_mallory) == 50
    assert 2 <= len(of_mallory) <= 2 * windows
    summaries = [line for line in of_mallory if line["action"] == "repeated"]
    assert sum(line["count"] for line in summaries) + len(of_mallory) - len(summaries) == 350
    counts: Counter[str] = sum((Counter(line["what"]) for line in summaries), Counter())
    assert set(counts) == {
        "publish 403", "message 403", "change 404", "change 400", "evict 404", "revoke 403", "change 200"
    }  # fmt: skip


async def test_an_unwritable_audit_log_stops_the_start(tmp_path) -> None:
    with pytest.raises(SettingsError, match="cannot write the audit log"):
        async with run_server(audit=str(tmp_path)):
            pass


# Pairs: settings, and whether the server refuses to start with these settings.
EXPOSED = [
    ({"host": "127.0.0.1"}, False),
    ({"host": "::1"}, False),
    ({"host": "localhost"}, False),
    ({"host": "0.0.0.0"}, True),
    ({"host": "192.168.1.5"}, True),
    ({"host": "example.org"}, True),
    ({"host": "0.0.0.0", "insecure": True}, False),
    ({"host": "0.0.0.0", **TOKEN_AUTH}, False),
]


@pytest.mark.parametrize(("options", "is_stopped"), EXPOSED)
def test_an_open_server_listens_only_on_loopback_by_default(options, is_stopped) -> None:
    settings = Settings(**options)
    if is_stopped:
        with pytest.raises(SettingsError, match=r"--auth secret.*--insecure"):
            check_exposure(settings)
    else:
        check_exposure(settings)


@pytest.mark.parametrize(
    ("host", "hosts", "status"),
    [
        ("evil.example", "", 403),
        ("evil.example:8000", "", 403),
        ("localhost.evil.example", "", 403),
        ("127.0.0.1.evil.example", "", 403),
        ("localhost", "", 200),
        ("LOCALHOST.:8000", "", 200),
        ("app.localhost:8000", "", 200),
        ("127.0.0.1:1", "", 200),
        ("[::1]:8000", "", 200),
        ("ticks.example", "other.example, Ticks.Example", 200),
        ("ticks.example.evil.example", "ticks.example", 403),
        ("evil.example", "*", 200),
    ],
)
async def test_an_open_server_on_loopback_rejects_foreign_host_names(host, hosts, status) -> None:
    """The check prevents DNS rebinding.

    If the host name of a web page resolves to loopback, the browser treats the local server as the page's own origin.
    """
    async with run_server(hosts=hosts) as server, httpx2.AsyncClient(base_url=server.url) as client:
        headers = {"host": host, "origin": f"http://{host}"}
        assert (await client.get("/v1/quotes", headers=headers)).status_code == status
        posted = await client.post("/v1/simulator", json={"command": "PAUSE"}, headers=headers)
        assert (posted.status_code == 403) == (status == 403)
        assert (await client.get("/healthz", headers=headers)).status_code == 200


async def test_other_servers_do_not_check_host_names() -> None:
    """The other servers require tokens, have a trusted proxy, are mounted in an application, or are not on loopback."""
    for options in ({**TOKEN_AUTH, "auth_audience": ""}, {"trusted_proxies": "127.0.0.1"}):
        async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"host": "ticks.example", **bearer_header(sign_token())}
            assert (await client.get("/v1/quotes", headers=headers)).status_code == 200
    scope = {"server": ("127.0.0.1", 80), "headers": [(b"host", b"ticks.example")]}
    for other in (
        {"root_path": "/market"},
        {"server": ("10.0.0.1", 80)},
        {"server": ("/run/s", None)},
        {"server": None},
    ):
        HostCheck(enabled=True).check(scope | other)
    with pytest.raises(Forbidden, match=r"'ticks\.example' is not a host name of this server"):
        HostCheck(enabled=True).check(scope)
    with pytest.raises(SettingsError, match=r"--hosts .https://a\.example. is not a host name"):
        HostCheck("https://a.example")
