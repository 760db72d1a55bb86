"""A client connection of the websockets library that passes messages to the feed without a queue.

With the library's queue, each message would wake a task. The wake-up takes a third of the processing time of a message.
Import this module late, because the library is an optional dependency.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event


class MessageConnection(ClientConnection):
    """Calls `on_message` for each message, and `on_received` after all messages that have arrived together.

    If one of these functions raises an exception, the connection ends, and `failure` is the exception. Do not call
    `recv`, which never returns here.
    """

    def __init__(
        self,
        on_message: Callable[[bytes], None],
        on_received: Callable[[], None],
        protocol: ClientProtocol,
        **options: Any,
    ) -> None:
        super().__init__(protocol, **options)
        self.failure: Exception | None = None
        self._on_message = on_message
        self._on_received = on_received
        # The frames of a message whose last frame has not arrived.
        self._fragments: list[bytes] = []

    def process_event(self, event: Event) -> None:
        """Pass a frame of a message to the feed. The library processes all other frames and the handshake."""
        if self.response is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif not event.fin:
            self._fragments.append(bytes(event.data))
        elif self._fragments:
            message = b"".join([*self._fragments, bytes(event.data)])
            self._fragments.clear()
            self._call(self._on_message, message)
        else:
            self._call(self._on_message, bytes(event.data))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._call(self._on_received)

    def _call(self, function: Callable[..., None], *arguments: bytes) -> None:
        if self.failure is None:
            try:
                function(*arguments)
            except Exception as error:  # noqa: BLE001  # the reader of `failure` raises it
                self.failure = error
                self.transport.abort()
