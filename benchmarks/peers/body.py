"""The body of an ASGI request."""

from __future__ import annotations

from typing import Any


async def read_body(receive: Any) -> bytes:
    """Read the body, which ASGI delivers in pieces."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
