"""The head of a response that the server sends without ASGI."""

from __future__ import annotations

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

FAILURE_BODY = b"Internal Server Error"
FAILURE_HEADERS = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(FAILURE_BODY)))
"""The headers and the body of a 500 response, as uvicorn sends them if an application fails."""


def encode_response_head(
    status: int, headers: Iterable[tuple[bytes, bytes]], *, keep_alive: bool, is_chunked: bool = False
) -> bytes:
    """Return the head of a response, with its headers in the order in which uvicorn sends them."""
    lines = [STATUS_LINE[status]]
    lines += [b"%b: %b\r\n" % header for header in headers]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    if is_chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
