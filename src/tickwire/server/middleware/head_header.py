"""The response header `Tickwire-Head`: the journal position of the state that an answer describes."""

from __future__ import annotations

from tickwire.server.transport.asgi import Scope

HEAD_HEADER = "Tickwire-Head"
_STATE_KEY = "head"


def record_head(scope: Scope, head: str) -> None:
    """Send `head` in the header `Tickwire-Head` of the answer to this request. A second call replaces the value."""
    scope["state"][_STATE_KEY] = head


def head_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the header `Tickwire-Head` with the recorded position, or an empty list if no position was recorded."""
    head = scope["state"].get(_STATE_KEY)
    return [] if head is None else [(HEAD_HEADER.lower().encode(), head.encode())]
