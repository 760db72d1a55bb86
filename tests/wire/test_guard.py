"""What stands around every answer: headers, logs, limits, the audit log; and where a server may listen."""

from __future__ import annotations

import json
import logging

import httpx2
import pytest

from tickwire.errors import SettingsError
from tickwire.guarding import check_exposure
from tickwire.server.hosts import Hosts
from tickwire.server.refusal import Forbidden
from tickwire.settings import Settings
from tickwire.testing.clock import ManualClock
from tickwire.testing.server import run_server
from tickwire.testing.tokens import SECRET, bearer, token
from tickwire.testing.wire import open_stream

TOKENS = {"auth": "secret", "auth_secret": SECRET}
PAGE = "https://app.example"


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/quotes", "/nothing", "/v1/stream", "/healthz"])
async def test_every_answer_is_hardened_and_has_an_id(path) -> None:
    """Refusals and streams too; pages have a policy of their own."""
    async with run_server() as server, open_stream(server.url, path=path) as answer:
        headers = answer.headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-request-id"]
        assert "access-control-allow-origin" not in headers
        assert ("content-security-policy" in headers) == (path in ("/", "/docs"))
        if path == "/v1/stream":
            assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


async def test_a_page_runs_nothing_that_is_not_its_own() -> None:
    """The dashboard's scripts are files of ours, those of /docs known by hash; no frames, no forms elsewhere."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        for path, scripts in (("/", "script-src 'self';"), ("/docs", "script-src 'self' 'sha256-")):
            policy = (await client.get(path)).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert scripts in policy
            assert "unsafe" not in policy


async def test_only_listed_origins_may_read_answers() -> None:
    """By preflight and on the answer, streams and refusals among them."""
    async with run_server(**TOKENS, cors=PAGE) as server, httpx2.AsyncClient(base_url=server.url) as client:
        asks = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        for path in ("/v1/stream", "/v1/quotes"):
            allowed = await client.options(path, headers={"origin": PAGE, **asks})
            assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, PAGE)
            assert "authorization" in allowed.headers["access-control-allow-headers"]
            other = await client.options(path, headers={"origin": "https://evil.example", **asks})
            assert (other.status_code, "access-control-allow-origin" in other.headers) == (403, False)
        async with open_stream(server.url, headers={"origin": PAGE, **bearer(token())}) as stream:
            assert stream.headers["access-control-allow-origin"] == PAGE
        for origin, seen in ((PAGE, True), ("https://evil.example", False)):
            answer = await client.get("/v1/quotes", headers={"origin": origin})
            assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (401, seen)
            assert answer.headers["vary"] == "origin"


async def test_an_open_server_obeys_no_page_of_another_site() -> None:
    """A page somewhere could else publish into a server on the loopback of whoever looks at it."""
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        for origin, status in (("https://evil.example", 403), (server.url, 201), (None, 201)):
            headers = {} if origin is None else {"origin": origin}
            assert (await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=headers)).status_code == status


async def test_each_request_is_one_line_without_secrets(caplog) -> None:
    """Who, what, how long and how it went; never a token, wherever it was put and however it was spelled."""
    caplog.set_level(logging.DEBUG)
    text = token("publish", jti="t1")
    async with run_server(**TOKENS, auth_query=True) as server, httpx2.AsyncClient(base_url=server.url) as client:
        ticket = (await client.post("/v1/tickets", headers=bearer(text))).json()["ticket"]
        queries = (
            f"access_token={text}",
            f"access%5Ftoken={text}",
            f"ticket={ticket}",
            f"tocken={text}",
            f"ticket={text}&x",
        )
        for query in queries:
            async with open_stream(server.url, path=f"/v1/stream?{query}&a") as stream:
                assert stream.status in (200, 400, 401)
        await client.post("/v1/quotes", json=[{"symbol": "A"}], headers=bearer(text))
        await client.get("/v1/quotes", headers=bearer(text + "x"))
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "tickwire.requests"]
    assert len(lines) == 8
    published = next(line for line in lines if (line["method"], line["path"]) == ("POST", "/v1/quotes"))
    assert published.keys() == {"id", "method", "path", "status", "ms", "subject", "token", "address"}
    assert (published["status"], published["subject"], published["token"], published["address"]) == (
        201,
        "ann",
        "t1",
        "127.0.0.1",
    )
    secrets = [*text.split(".")[1:], *ticket.split(".")[1:], SECRET]
    said = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx2", "httpcore2"))]
    assert [line for line in said if any(secret in line for secret in secrets)] == []


async def test_addresses_and_users_have_rates() -> None:
    """One more is 429 with the time to come back; after that time it goes again. Health is counted too."""
    clock = ManualClock()
    async with (
        run_server(clock=clock, max_requests=2, max_connects=1) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        assert [(await client.get("/healthz")).status_code for _ in range(11)] == [200] * 10 + [429]
        refused = await client.get("/healthz")
        assert refused.headers["retry-after"] == "1"
        await clock.advance(1)
        assert (await client.get("/healthz")).status_code == 200
        await clock.advance(60)
        for number in range(6):
            async with open_stream(server.url) as stream:
                assert stream.status == (200 if number < 5 else 429)


async def test_a_user_has_one_rate_from_all_addresses() -> None:
    """Whichever proxy's client it is today."""
    options = {**TOKENS, "clock": ManualClock(), "max_requests": 1, "trusted_proxies": "127.0.0.1"}
    now = options["clock"].now() / 1e9
    async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for name, statuses in (("ann", [200] * 5 + [429]), ("bob", [200])):
            headers = bearer(token(sub=name, iat=now, exp=now + 9))
            found = [
                (await client.get("/v1/quotes", headers={**headers, "x-forwarded-for": f"9.9.9.{n}"})).status_code
                for n in range(len(statuses))
            ]
            assert found == statuses


async def test_changes_are_put_down_in_the_audit_log(tmp_path) -> None:
    """Who, from where, what, and how it went; refusals too, reading not."""
    path = tmp_path / "deep" / "audit.jsonl"
    async with (
        run_server(**TOKENS, audit=str(path)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        open_stream(server.url, {"client_id": "desk"}, headers=bearer(token())) as stream,
    ):
        await stream.event()
        all_ = bearer(token("publish messages admin", sub="root"))
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=all_)
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}], headers=bearer(token()))
        await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])
        await client.get("/v1/quotes", headers=all_)
        await client.post("/v1/messages", json={"event": "note", "data": {"secret": 1}, "target": "desk"}, headers=all_)
        await client.patch("/v1/clients/desk", json={"add": ["B"]}, headers=all_)
        await client.post("/v1/simulator", json={"command": "PAUSE"}, headers=all_)
        await client.delete("/v1/clients/desk", headers=all_)
        await client.delete("/v1/clients?user=eve", headers=all_)
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


async def test_an_audit_log_that_cannot_be_written_stops_the_start(tmp_path) -> None:
    """Better than to find out when it is needed."""
    with pytest.raises(SettingsError, match="the audit log"):
        async with run_server(audit=str(tmp_path)):
            pass


EXPOSED = [
    ({"host": "127.0.0.1"}, False),
    ({"host": "::1"}, False),
    ({"host": "localhost"}, False),
    ({"host": "0.0.0.0"}, True),
    ({"host": "192.168.1.5"}, True),
    ({"host": "example.org"}, True),
    ({"host": "0.0.0.0", "insecure": True}, False),
    ({"host": "0.0.0.0", **TOKENS}, False),
]


@pytest.mark.parametrize(("options", "stopped"), EXPOSED)
def test_an_open_server_listens_on_loopback_only(options, stopped) -> None:
    """Unless somebody says that it is meant; the refusal says what to do."""
    settings = Settings(**options)
    if stopped:
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
async def test_an_open_server_on_loopback_answers_to_its_own_names(host, hosts, status) -> None:
    """A page whose name was made to resolve to loopback is refused everything, though its origin is that name."""
    async with run_server(hosts=hosts) as server, httpx2.AsyncClient(base_url=server.url) as client:
        headers = {"host": host, "origin": f"http://{host}"}
        assert (await client.get("/v1/quotes", headers=headers)).status_code == status
        posted = await client.post("/v1/simulator", json={"command": "PAUSE"}, headers=headers)
        assert (posted.status_code == 403) == (status == 403)
        assert (await client.get("/healthz", headers=headers)).status_code == 200


async def test_where_others_decide_by_which_names_a_server_is_called() -> None:
    """With tokens, behind a trusted proxy, and mounted in another application, the name is not looked at."""
    for options in ({**TOKENS, "auth_audience": ""}, {"trusted_proxies": "127.0.0.1"}):
        async with run_server(**options) as server, httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"host": "ticks.example", **bearer(token())}
            assert (await client.get("/v1/quotes", headers=headers)).status_code == 200
    scope = {"server": ("127.0.0.1", 80), "headers": [(b"host", b"ticks.example")]}
    for elsewhere in (
        {"root_path": "/market"},
        {"server": ("10.0.0.1", 80)},
        {"server": ("/run/s", None)},
        {"server": None},
    ):
        Hosts(on=True).check(scope | elsewhere)
    with pytest.raises(Forbidden, match=r"ticks\.example is no name of this server"):
        Hosts(on=True).check(scope)
    with pytest.raises(SettingsError, match=r"--hosts .https://a\.example. is no name"):
        Hosts("https://a.example")
