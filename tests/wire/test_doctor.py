"""`tickwire doctor` without a proxy: servers that reject streams, are no Tickwire servers, or do not answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from tests.wire.http_2_proxy import Http2Proxy

from tickwire.client.doctor.diagnosis import Doctor
from tickwire.client.doctor.finding import Diagnosis
from tickwire.client.doctor.http_version_check import check_browser_version, find_browser_version
from tickwire.client.doctor.remedies import PRODUCTS, Product
from tickwire.clock import SystemClock
from tickwire.errors import InputError
from tickwire.testing.certificates import write_certificate
from tickwire.testing.command_line import invoke_command_in_thread
from tickwire.testing.proxy import FaultProxy
from tickwire.testing.server import run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

HEARTBEAT_S = 0.2
# The server looks once a second for silent streams, so the first heartbeat arrives within this time.
WATCH_S = 2.2
ORIGIN = "https://app.example.org"
HTML = b"<html>hello</html>"


async def examine(url: str, **options) -> Diagnosis:
    diagnosis = await Doctor(url, **{"answer_timeout_s": 5.0, "watch_s": WATCH_S, **options}).run()
    print(diagnosis)
    return diagnosis


async def find(url: str, **options) -> list[tuple[str, str]]:
    """Return the problem and the change of each finding."""
    return [(finding.problem, finding.change) for finding in (await examine(url, **options)).findings]


@contextlib.asynccontextmanager
async def run_stub(answer_to: Callable[[bytes], tuple[bytes, bool]]) -> AsyncIterator[str]:
    """Run a server that answers each request with bytes. `answer_to` also returns whether the connection stays open.

    Yield the URL of the server.
    """
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            sent, stays_open = answer_to(await reader.readuntil(b"\r\n\r\n"))
            writer.write(sent)
            if stays_open:
                await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        connections -= 1

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await wait_until(lambda: not connections)


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_server_without_a_proxy_has_no_finding() -> None:
    async with run_server(heartbeat=HEARTBEAT_S, cors=ORIGIN) as server:
        diagnosis = await examine(f"{server.url}/v1/stream?symbols=A", origin=ORIGIN, watch_s=None)
        assert (diagnosis.findings, diagnosis.product) == ([], None)
        assert diagnosis.measurements["browser_http_version"] == "HTTP/1.1"
        (note,) = diagnosis.notes
        assert "HTTP/2 requires https" in note
        assert diagnosis.measurements["heartbeat_s"] == HEARTBEAT_S
        assert diagnosis.measurements["content_encoding"] == "gzip"
        assert not server.runtime.hub.roster.find_readers("TICKWIRE-DOCTOR")


async def test_a_server_reports_how_it_received_a_request() -> None:
    """The call needs no token, and reports no value of the header Authorization."""
    headers = bearer_header("secret") | {"Last-Event-ID": "x-1", "Accept-Encoding": "br"}
    headers["X-Forwarded-For"] = "9.9.9.9, 8.8.8.8"
    settings = {"auth": "secret", "auth_secret": TEST_SECRET, "trusted_proxies": "127.0.0.1", "compress": "off"}
    async with run_server(**settings) as server, httpx2.AsyncClient(base_url=server.url) as client:
        received = (await client.get("/v1/stream/request", headers=headers)).json()
        assert received.pop("time") > 1_700_000_000_000_000
        with_token = (await client.get("/v1/stream/request", headers=headers | bearer_header(sign_token()))).json()
    # The address may be the internal address of a proxy, so a client without a valid token does not receive it.
    assert with_token["address"] == "8.8.8.8"
    assert received == {
        "http_version": "1.1",
        "address": None,
        "from_trusted_proxy": True,
        "forwarded_hops": 2,
        "headers": ["accept-encoding", "authorization", "last-event-id", "x-forwarded-for"],
        "accept_encoding": "br",
        "via": None,
        "compresses": False,
    }


async def test_clients_without_a_valid_token_receive_no_address() -> None:
    settings = {"auth": "secret", "auth_secret": TEST_SECRET, "auth_cookie": "session"}
    expired = sign_token(iat=1, exp=2)
    accepted = [bearer_header(sign_token()), {"cookie": f"session={sign_token()}"}]
    anonymous = [{}, bearer_header(expired), {"authorization": "Basic YTpi"}, {"cookie": "session=a; session=b"}]
    async with run_server(**settings) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for headers in accepted + anonymous:
            received = await client.get("/v1/stream/request", headers=headers)
            expected = "127.0.0.1" if headers in accepted else None
            assert (received.status_code, received.json()["address"]) == (200, expected), headers
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/v1/stream/request")).json()["address"] == "127.0.0.1"


async def test_a_server_without_compression_is_a_note() -> None:
    async with run_server(heartbeat=HEARTBEAT_S, compress="off") as server:
        diagnosis = await examine(server.url)
    assert diagnosis.findings == []
    assert [note for note in diagnosis.notes if "--compress off" in note]


async def test_pages_of_an_origin_without_cors_are_a_finding() -> None:
    async with run_server(heartbeat=HEARTBEAT_S, cors="https://other.example.org") as server:
        assert await find(server.url, origin=ORIGIN) == [("cors", f"tickwire serve --cors {ORIGIN}")]


@pytest.mark.parametrize("token", [None, "invalid"])
async def test_a_rejected_token_is_a_finding(token: str | None) -> None:
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        ((problem, change),) = await find(server.url, token=token)
    assert problem == "rejected"
    assert "TICKWIRE_TOKEN" in change


async def test_a_valid_token_has_no_finding() -> None:
    async with run_server(auth="secret", auth_secret=TEST_SECRET, heartbeat=HEARTBEAT_S) as server:
        assert await find(server.url, token=sign_token()) == []


@pytest.mark.parametrize(
    ("limit", "setting"), [("max_per_address", "--max-per-address"), ("max_readers", "--max-readers")]
)
async def test_a_full_server_is_a_finding(limit: str, setting: str) -> None:
    async with run_server(heartbeat=HEARTBEAT_S, **{limit: 1}) as server, open_stream(server.url) as reader:
        await reader.next_events(1, name="welcome")
        ((problem, change),) = await find(server.url)
    assert problem == "rejected"
    assert setting in change


class WrongClock(SystemClock):
    """A clock that is a minute fast."""

    def now(self) -> int:
        return super().now() + 60 * 10**9


async def test_a_wrong_clock_is_a_finding_and_delays_no_heartbeat() -> None:
    async with run_server(heartbeat=HEARTBEAT_S, clock=WrongClock()) as server:
        diagnosis = await examine(server.url)
    (finding,) = diagnosis.findings
    assert finding.problem == "clock-skew"
    assert "60.0 s ahead" in finding.evidence


@pytest.mark.parametrize("with_auth", [False, True])
async def test_an_untrusted_proxy_is_a_finding(with_auth: bool) -> None:
    """The server ignores the header X-Forwarded-For, which a proxy has added."""
    settings = {"auth": "secret", "auth_secret": TEST_SECRET} if with_auth else {}
    async with run_server(heartbeat=HEARTBEAT_S, **settings) as server:
        doctor = Doctor(server.url, watch_s=WATCH_S)
        doctor._headers["x-forwarded-for"] = "9.9.9.9"
        finding = (await doctor.run()).findings[0]
    address = "<address of the proxy>" if with_auth else "127.0.0.1"
    assert (finding.problem, finding.change) == ("untrusted-proxy", f"tickwire serve --trusted-proxies {address}")


STUBS = [
    (answer("200 OK", HTML, "Content-Type: text/html"), "not-tickwire"),
    (answer("404 Not Found", HTML, "Server: nginx"), "not-tickwire"),
    (answer("200 OK", b"data: 1\n\n", "Content-Type: text/event-stream"), "not-tickwire"),
    (answer("502 Bad Gateway", HTML, "Server: nginx"), "unavailable"),
    (answer("503 Service Unavailable", b"<p>No server is available to handle this request."), "unavailable"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "unreachable"),
    (b"", "unreachable"),
]


@pytest.mark.parametrize(("sent", "problem"), STUBS)
async def test_another_server_is_a_finding(sent: bytes, problem: str) -> None:
    async with run_stub(lambda _request: (sent, False)) as url:
        assert [found for found, _ in await find(url)] == [problem]


async def test_a_stub_names_its_program() -> None:
    for sent, _ in STUBS[3:5]:
        async with run_stub(lambda _request, sent=sent: (sent, False)) as url:
            diagnosis = await examine(url)
        assert diagnosis.product == ("nginx" if b"nginx" in sent else "HAProxy")
        assert diagnosis.findings[0].culprit == diagnosis.product


async def test_endless_redirects_end() -> None:
    async with run_stub(lambda _: (answer("302 Found", b"", "Location: /v1/stream/request"), False)) as url:
        assert [found for found, _ in await find(url)] == ["redirect", "not-tickwire"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another host", "another port"])
async def test_a_redirect_to_another_server_does_not_receive_the_token(host: str) -> None:
    requests = []

    def answer_to(request: bytes) -> tuple[bytes, bool]:
        requests.append(request.lower())
        return answer("404 Not Found"), False

    async with run_stub(answer_to) as target:
        location = f"Location: {target.replace('127.0.0.1', host)}/v1/stream/request"
        async with run_stub(lambda _request: (answer("302 Found", b"", location), False)) as url:
            assert [found for found, _ in await find(url, token="secret")] == ["redirect", "not-tickwire"]
    assert requests
    assert not any(b"authorization" in request for request in requests)


@pytest.mark.parametrize(
    ("location", "keeps_token"),
    [
        ("https://a.example.org/v1/stream/request", True),
        ("http://a.example.org/other/v1/stream/request", True),
        ("https://a.example.org:8443/v1/stream/request", False),
        ("http://a.example.org:8080/v1/stream/request", False),
        ("https://b.example.org/v1/stream/request", False),
    ],
)
async def test_the_token_follows_a_redirect_to_the_same_server(location: str, keeps_token: bool) -> None:
    """The token also follows the change from http to https on the default ports."""
    doctor = Doctor("http://a.example.org", token="secret")
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(302, headers={"location": location}))
    async with httpx2.AsyncClient(transport=transport) as client:
        assert doctor._follow_redirect(await client.get("http://a.example.org", headers=doctor._headers))
    assert ("authorization" in doctor._headers) == keeps_token


async def test_a_report_contains_no_secrets_of_a_redirect() -> None:
    location = "Location: http://user:secret-1@127.0.0.1:9/login?state=secret-2&back=/v1/stream/request#secret-3"
    async with run_stub(lambda _request: (answer("302 Found", b"", location), False)) as url:
        diagnosis = await examine(url.replace("//", "//user:secret-0@"))
    assert [finding.problem for finding in diagnosis.findings] == ["redirect", "unreachable"]
    assert "http://127.0.0.1:9/login" in diagnosis.findings[0].evidence
    assert "secret" not in str(diagnosis)


@pytest.mark.parametrize("location", ["http://127.0.0.1:x/", "http://[::1", "http://127.0.0.1:99999/", "ftp://a.b/c"])
async def test_a_malformed_redirect_is_a_finding(location: str) -> None:
    async with run_stub(lambda _request: (answer("302 Found", b"", f"Location: {location}"), False)) as url:
        diagnosis = await examine(url)
    assert [finding.problem for finding in diagnosis.findings] == ["redirect", "not-tickwire"]
    assert "no client can follow the redirect" in diagnosis.findings[0].evidence


async def test_a_damaged_compression_is_a_finding() -> None:
    """A proxy announces gzip, but sends another format in all answers."""
    head = ("Content-Encoding: gzip", "Content-Type: text/event-stream", "Server: nginx")
    async with run_stub(lambda _request: (answer("200 OK", b"no gzip", *head), False)) as url:
        diagnosis = await examine(url, origin=ORIGIN)
    assert [(finding.problem, finding.culprit) for finding in diagnosis.findings] == [("undecodable", "nginx")]


async def test_a_server_that_does_not_listen_is_a_finding() -> None:
    assert [found for found, _ in await find("http://127.0.0.1:9")] == ["unreachable"]


async def test_a_silent_server_is_a_finding_in_bounded_time() -> None:
    async with run_stub(lambda _request: (b"", True)) as url:
        assert [found for found, _ in await find(url, answer_timeout_s=0.5)] == ["unreachable"]


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"])
async def test_a_stream_that_is_held_back_is_a_finding(head: bytes) -> None:
    """The server answers other requests, but at most the head of a stream arrives."""

    def answer_to(request: bytes) -> tuple[bytes, bool]:
        return (head, True) if b"/v1/stream?" in request else (answer("404 Not Found"), False)

    async with run_stub(answer_to) as url:
        assert [found for found, _ in await find(url, answer_timeout_s=0.5)] == ["buffering"]


@pytest.mark.parametrize(
    ("after_heartbeat", "problem"), [(False, "idle-cut-off"), (True, "lifetime-cut-off")], ids=["idle", "lifetime"]
)
async def test_an_ended_stream_is_a_finding(after_heartbeat: bool, problem: str) -> None:
    async with run_server(heartbeat=HEARTBEAT_S) as server, FaultProxy(server.url) as proxy:

        async def cut_streams() -> None:
            # The head and the first event of a stream have more bytes than any other answer.
            await wait_until(lambda: len(started := streams()) == 2 and all(started))
            sizes = streams()
            if after_heartbeat:
                await wait_until(lambda: all(now > before for now, before in zip(streams(), sizes, strict=True)))
            proxy.cut()

        def streams() -> list[int]:
            return [each.forwarded_bytes for each in proxy.connections if each.forwarded_bytes > 600]

        cutting = asyncio.create_task(cut_streams())
        found = [found for found, _ in await find(proxy.url, watch_s=20.0)]
        await cutting
    assert found == [problem]


async def test_latency_is_not_a_finding() -> None:
    """A long round trip delays heartbeats, but no proxy holds them back."""
    async with run_server(heartbeat=HEARTBEAT_S) as server, FaultProxy(server.url) as proxy:
        proxy.latency_s = 0.05
        assert await find(proxy.url) == []


async def test_an_untrusted_certificate_is_a_finding(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    async with run_server(tls_cert=str(certificate), tls_key=str(key)) as server:
        diagnosis = await examine(server.url)
        plain = await examine(server.url.replace("https", "http"))
    assert [finding.problem for finding in diagnosis.findings] == ["tls"]
    assert "self-signed certificate" in diagnosis.findings[0].evidence
    assert [finding.problem for finding in plain.findings] == ["unreachable"]


async def test_a_server_with_tls_offers_no_http_2(trusted_certificate: tuple[Path, Path]) -> None:
    certificate, key = trusted_certificate
    async with run_server(tls_cert=str(certificate), tls_key=str(key), heartbeat=HEARTBEAT_S) as server:
        diagnosis = await examine(server.url)
    assert diagnosis.findings == []
    assert diagnosis.measurements["browser_http_version"] == "HTTP/1.1"
    assert "the port offers no HTTP/2" in diagnosis.notes[0]


# The options of the proxy, the problem that the doctor must find, and how long the doctor waits for each answer.
HTTP_2_FAULTS = {
    "none": ({}, "", 20.0),
    # The doctor closes the first stream before the wait for the second stream is over, and then the second one starts.
    "limit": ({"max_streams": 1}, "stream-limit", 20.0),
    "limit, and a short wait": ({"max_streams": 1}, "stream-limit", 1.0),
    "buffer": ({"holds_bodies": True}, "buffering", 5.0),
    "idle": ({"max_chunks": 1}, "idle-cut-off", 20.0),
}


@pytest.mark.parametrize("fault", HTTP_2_FAULTS)
async def test_a_fault_that_only_http_2_has_is_a_finding(fault: str, trusted_certificate: tuple[Path, Path]) -> None:
    options, problem, answer_timeout_s = HTTP_2_FAULTS[fault]
    # The first chunk contains `welcome`, and the second one contains the first heartbeat.
    async with (
        run_server(heartbeat=HEARTBEAT_S, trusted_proxies="127.0.0.1") as server,
        Http2Proxy(server.url, trusted_certificate, **options).running() as url,
    ):
        diagnosis = await examine(url, answer_timeout_s=answer_timeout_s)
    assert [finding.problem for finding in diagnosis.findings] == ([problem] if problem else [])
    assert all(finding.evidence.startswith("only over HTTP/2: ") for finding in diagnosis.findings)
    assert diagnosis.measurements["browser_http_version"] == "HTTP/2"
    assert ("http_2_heartbeat_delay_ms" in diagnosis.measurements) == (not problem)


async def test_without_the_library_for_http_2_a_note_names_the_extra(
    trusted_certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h2", None)
    async with (
        run_server(heartbeat=HEARTBEAT_S, trusted_proxies="127.0.0.1") as server,
        Http2Proxy(server.url, trusted_certificate).running() as url,
    ):
        diagnosis = await examine(url)
    assert "pip install 'tickwire[doctor]'" in diagnosis.notes[0]
    assert not any(name.startswith("http_2") for name in diagnosis.measurements)


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_line_for_http_2_is_known_for_each_proxy(product: Product) -> None:
    diagnosis = Diagnosis("http://example.com", product=product)
    check_browser_version("HTTP/1.1", diagnosis.url, diagnosis)
    assert f"({product}: " in diagnosis.notes[0]


async def test_a_port_that_does_not_answer_has_no_browser_version() -> None:
    assert await find_browser_version("https://127.0.0.1:9") is None


async def test_tls_with_a_server_without_tls_is_a_finding() -> None:
    async with run_server() as server:
        ((problem, change),) = await find(server.url.replace("http", "https"))
    assert problem == "tls"
    assert "http://" in change


@pytest.mark.parametrize(
    "url", ["stream.example.org", "http://", "http://[::1", "http://a:99999", "http://a..b", "http://a:b"]
)
def test_an_invalid_url_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError) as caught:
        Doctor(url)
    # A traceback prints the notes.
    assert caught.value.__notes__ == ["example: http://127.0.0.1:8000"]


async def test_the_command_prints_findings_and_has_an_exit_code() -> None:
    async with run_server(heartbeat=HEARTBEAT_S) as server:
        good = await invoke_command_in_thread("doctor", server.url, "--wait", "1")
        bad = await invoke_command_in_thread("doctor", server.url, "--origin", ORIGIN, "--wait", "0.6", "--json")
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert good.output.endswith("no finding\n")
    assert re.search("connecting to .*\nopening two streams", good.errors)
    report = json.loads(bad.output)
    assert [finding["problem"] for finding in report["findings"]] == ["cors"]
    assert report["findings"][0].keys() == {"problem", "evidence", "culprit", "change"}
