"""Answer publish requests on a connection of Tickwire's own server, without ASGI."""

from __future__ import annotations

import logging

from tickwire.server.middleware.guard import Exchange, Guard
from tickwire.server.middleware.request_check import find_rejection
from tickwire.server.routes.publish import PUBLISH_PATH, PublishEndpoint
from tickwire.server.transport.direct_request import DirectRequest

log = logging.getLogger(__name__)


class DirectPublishing:
    """Answers the requests of DirectRequest objects, with the same steps as HttpApp and PublishEndpoint."""

    def __init__(self, guard: Guard, endpoint: PublishEndpoint) -> None:
        self._guard = guard
        self._endpoint = endpoint

    async def answer(self, request: DirectRequest) -> None:
        """Check a request, publish its ticks, and send the response in one write. Run this method in its own task."""
        scope = request.scope
        exchange = Exchange(self._guard, scope, PUBLISH_PATH)
        exchange.activate()
        try:
            rejection = await find_rejection(self._guard, scope, exchange)
            response = rejection or await self._endpoint.respond(scope, request.receive)
            headers = exchange.start_response(response.status_code, response.raw_headers)
            await request.send(response.status_code, headers, bytes(response.body))
        except BaseException as error:
            log.exception("cannot answer a publish request")
            await request.send_failure()
            # Log and count this response like every other response.
            exchange.start_response(500, ())
            # Raise the error again if it is a cancellation. A stopping server cancels the task.
            if not isinstance(error, Exception):
                raise
