"""Find the state that answers a request, and send its position in the journal in the response header `Tickwire-Head`.

If a client continues with `GET /v1/stream?since=<position>`, it misses no change between the answer and the stream.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tickwire.hub.hub import Hub
from tickwire.server.auth.access import request_rights
from tickwire.server.middleware.head_header import record_head
from tickwire.server.service import Service
from tickwire.server.transport.asgi import Scope


class HubState:
    """The state of the hub that serves a request. The answer to the request contains the position of this state.

    The constructor records the position. If a route waits before it reads the state, it may call `record_head` just
    before the read. The state must never be older than the recorded position. The state may be newer: a stream from the
    recorded position then only repeats some changes.
    """

    def __init__(self, hub: Hub, scope: Scope) -> None:
        self.hub = hub
        self._scope = scope
        self.record_head()

    def record_head(self) -> None:
        """Report the current position of the hub in the answer."""
        record_head(self._scope, str(self.hub.head))


async def find_hub_state(request: Request) -> HubState:
    """Return the state that the request may read. Raise JournalError if the state is not available."""
    service: Service = request.app.state.service
    return HubState(await service.hub_pool.hub_for(request_rights(request.scope)), request.scope)


StateOfHub = Annotated[HubState, Depends(find_hub_state)]
"""A route with a parameter of this type receives the state of a hub."""
