"""A request that the server handles before it has answered the preceding request of the same connection."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class OverlappingCycle(RequestResponseCycle):
    """A request whose complete body has arrived, and whose response waits for the preceding response.

    HTTP/1.1 requires the responses of a connection to be in the order of its requests (RFC 9112, section 9.3.2).
    `turn` is done when the preceding response is complete, or when the connection is lost.
    """

    turn: asyncio.Future[None]

    @classmethod
    def convert(cls, cycle: RequestResponseCycle, loop: asyncio.AbstractEventLoop) -> None:
        """Convert a request that has not started to an overlapping request."""
        cycle.__class__ = cls
        assert isinstance(cycle, OverlappingCycle)  # noqa: S101  # the line above
        cycle.turn = loop.create_future()
        # Do not send `100 Continue`: the body has already arrived, and this response would precede the response to the
        # preceding request.
        cycle.waiting_for_100_continue = False

    def end_wait(self) -> None:
        """Allow the response to begin. A second call does nothing."""
        if not self.turn.done():
            self.turn.set_result(None)

    async def wait_for_turn(self) -> None:
        """Wait until the preceding response of the connection is complete, so that this response may begin."""
        if not self.turn.done():
            await self.turn

    async def send(self, message: Any) -> None:
        await self.wait_for_turn()
        await super().send(message)

    async def receive(self) -> Any:
        if self.response_complete or self.disconnected:
            return await super().receive()
        # uvicorn resumes reading from the socket in `super().receive()`. Pause reading again until the preceding
        # response is complete, because the server must not receive further requests before then.
        was_paused = self.flow.read_paused
        message = await super().receive()
        if was_paused and not self.turn.done():
            self.flow.pause_reading()
        return message
