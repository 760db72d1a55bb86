"""Middleware: the rate limiter, trusted proxies and allowed origins."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.errors import SettingsError
from tickwire.server.http_errors import RateLimited
from tickwire.server.middleware.cors import Cors
from tickwire.server.middleware.rate_limiter import MAX_BUCKETS, RateLimiter
from tickwire.server.transport.asgi import client_network
from tickwire.server.transport.proxies import TrustedProxies


def test_a_rate_limiter_allows_a_burst_and_then_the_rate() -> None:
    """A burst may contain the requests of five seconds. The `retry-after` header tells the client how long to wait."""
    limiter = RateLimiter(2, "requests")
    for _ in range(10):
        limiter.consume("a", 0.0)
    with pytest.raises(RateLimited) as refused:
        limiter.consume("a", 0.0)
    assert refused.value.headers == {"retry-after": "1"}
    limiter.consume("b", 0.0)
    limiter.consume("a", 0.5)
    with pytest.raises(RateLimited):
        limiter.consume("a", 0.5)
    for number in range(MAX_BUCKETS + 10):
        limiter.consume(str(number), 1.0)
    assert len(limiter) == MAX_BUCKETS


FORWARDED = [
    ("1.2.3.4", None, "1.2.3.4"),
    # The peer is not a trusted proxy, so its header does not count.
    ("1.2.3.4", "9.9.9.9", "1.2.3.4"),
    ("10.0.0.1", "9.9.9.9", "9.9.9.9"),
    # The client may have forged the addresses before the last untrusted address.
    ("10.0.0.1", "6.6.6.6, 9.9.9.9, 10.0.0.2", "9.9.9.9"),
    ("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
    ("10.0.0.1", None, "10.0.0.1"),
    ("::1", "2001:db8::7", "2001:db8::7"),
    # A dual-stack socket reports IPv4 addresses in this form.
    ("::ffff:10.0.0.1", "9.9.9.9, ::ffff:10.0.0.2", "9.9.9.9"),
    ("::ffff:1.2.3.4", "9.9.9.9", "::ffff:1.2.3.4"),
]


@pytest.mark.parametrize(("peer", "header", "client"), FORWARDED)
def test_only_trusted_proxies_name_the_client(peer, header, client) -> None:
    """The client is the most distant address that a trusted proxy reports."""
    headers = [] if header is None else [(b"x-forwarded-for", header.encode())]
    scope = {"client": (peer, 5), "headers": headers, "state": {}}
    TrustedProxies("10.0.0.0/8, ::1").resolve_client(scope)
    assert scope["client"][0] == client


# Each wrong setting, and a part of the advice in its error.
CORS_ERRORS = {
    "example.org": "such as https://example.org",
    "localhost:3000": "such as https://example.org",
    "https://": "such as https://example.org",
    "ftp://example.org": "such as https://example.org",
    "https://a.example https://b.example": "such as https://example.org",
    "http://[": "such as https://example.org",
    "https://example.org:99999": "such as https://example.org",
    "null": "such as https://example.org",
    "https://example.org/app": "write https://example.org",
    "https://example.org/?x=1": "write https://example.org",
    "*": "list each origin",
    "https://*.example.org": "list each origin",
}


def test_invalid_networks_and_origins_are_settings_errors() -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match="--trusted-proxies"):
        TrustedProxies("10.0.0.1/8")
    for text, advice in CORS_ERRORS.items():
        with pytest.raises(SettingsError, match=f"--cors .*{re.escape(advice)}"):
            Cors(text)


def allowed_origin(cors: Cors, origin: str) -> bool:
    scope = {"headers": [(b"origin", origin.encode())]}
    return (b"access-control-allow-origin", origin.encode()) in cors.response_headers(scope)


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        ("https://example.org/", "https://example.org"),
        ("HTTPS://Example.ORG", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80/", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://localhost:5173/", "http://localhost:5173"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        (" https://a.example , https://b.example/ ", "https://b.example"),
    ],
)
def test_origins_are_compared_as_browsers_write_them(setting: str, origin: str) -> None:
    assert allowed_origin(Cors(setting), origin)


@given(st.text(max_size=30) | st.builds("https://{}".format, st.text(max_size=20)))
def test_any_text_is_either_origins_or_a_settings_error(text: str) -> None:
    with contextlib.suppress(SettingsError):
        Cors(text)


def test_each_blocked_origin_is_logged_once_and_the_log_is_bounded(caplog) -> None:
    """Browsers report only a network error, although the status is 200, so the log has to name the origin."""
    cors = Cors("https://app.example")

    def request(origin: str, host: str = "ticks.example") -> None:
        headers = [(b"host", host.encode()), (b"origin", origin.encode())]
        cors.check_origin({"method": "GET", "headers": headers})

    for _ in range(3):
        for origin in (
            "https://app.example",
            "http://ticks.example",
            "https://other.example",
            "null",
            "http://[broken",
        ):
            request(origin)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3, lines
    assert "pages of 'https://other.example' read the answers of this server (CORS): add --cors" in lines[0]
    assert "serve the page from a web server" in lines[1]
    for number in range(1_000):
        request(f"https://{number}.example/" + "x" * 5_000)
    assert len(caplog.records) == 100
    assert max(len(record.getMessage()) for record in caplog.records) < 500


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_limits_count_a_client_by_its_network(address, network) -> None:
    assert client_network({"client": (address, 1)}) == network
    assert client_network({}) == ""
