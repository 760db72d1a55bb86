"""The body of a request, as ASGI gives it: in pieces."""

from __future__ import annotations

from typing import Any


async def read_body(receive: Any) -> bytes:
    """All of it."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
