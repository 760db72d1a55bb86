"""Recognize the proxy that has sent or forwarded a response."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from urllib.parse import urlsplit

from tickwire.client.doctor.remedies import Product

# For each proxy: a word that the proxy writes into a response header. Squid also writes its name into X-Cache.
_HEADER_WORDS: tuple[tuple[str, Product], ...] = (
    ("varnish", "Varnish"),
    ("squid", "Squid"),
    ("caddy", "Caddy"),
    ("nginx", "nginx"),
    ("openresty", "nginx"),
    ("apache", "Apache"),
    ("envoy", "Envoy"),
)
_HEADERS = ("via", "x-cache", "x-varnish", "server")
# HAProxy sends no header with its name, but its error pages have these sentences.
_HAPROXY_SENTENCES = (
    "No server is available to handle this request",
    "The server didn't respond in time",
    "Your browser sent an invalid request",
)
# A request without a Host header. The first proxy on the path answers with status 400, and the answer contains the name
# of the proxy's program.
_INVALID_REQUEST = b"GET /v1/stream HTTP/1.1\r\nConnection: close\r\nno header\r\n\r\n"
_ANSWER_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 16_384


def find_product(headers: Iterable[tuple[str, str]], body: str = "") -> Product | None:
    """Return the proxy that names itself in the headers or the error page of a response, or None."""
    pairs = [(name.lower(), value.lower()) for name, value in headers]
    for wanted in _HEADERS:
        for name, value in pairs:
            if name != wanted:
                continue
            if name == "x-varnish":
                return "Varnish"
            for word, product in _HEADER_WORDS:
                if word in value:
                    return product
    return "HAProxy" if any(sentence in body for sentence in _HAPROXY_SENTENCES) else None


async def provoke_product(url: str) -> Product | None:
    """Send an invalid request, and return the proxy that names itself in the answer.

    Return None if the answer names no proxy.
    """
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    writer = None
    answer = b""
    # Ignore errors, because a proxy that closes the connection without an answer does not name itself.
    with contextlib.suppress(OSError, TimeoutError):
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    parts.hostname, parts.port or (443 if is_tls else 80), ssl=is_tls or None
                )
                writer.write(_INVALID_REQUEST)
                while len(answer) < _MAX_ANSWER_BYTES and (data := await reader.read(_MAX_ANSWER_BYTES)):
                    answer += data
        finally:
            if writer is not None:
                writer.transport.abort()
    head, _, body = answer.decode("latin-1").partition("\r\n\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])]
    return find_product(headers, body)
