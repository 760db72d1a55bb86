"""Sends messages between the processes that share a journal, through the owner of the journal."""

from __future__ import annotations

import asyncio
import secrets

from tickwire.journal.shared.peers import ChannelCallback, Unsubscribe
from tickwire.journal.unix.messages import PeerMessage
from tickwire.journal.unix.owner_connection import OwnerConnection

# The maximum size of a message, equal to the default of a NATS server.
_MAX_MESSAGE_BYTES = 2**20


class UnixPeerChannel:
    """A PeerChannel that sends its messages over the connection to the owner of the journal."""

    limit_setting = "the limit"
    max_message_bytes = _MAX_MESSAGE_BYTES

    def __init__(self, connection: OwnerConnection) -> None:
        self._connection = connection
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def server(self) -> str:
        """A description of the owner, for log and error messages."""
        return self._connection.owner

    @property
    def is_connected(self) -> bool:
        """Whether this process is connected to the owner."""
        return self._connection.is_connected

    def topic_address(self, topic: str) -> str:
        return topic

    def create_inbox(self) -> str:
        """Return a new address for replies."""
        return f"inbox-{secrets.token_hex(12)}"

    async def publish(self, address: str, data: bytes, *, reply_to: str = "") -> None:
        """Send a message to the subscribers of an address."""
        self._connection.send(PeerMessage(address, data, reply_to))

    async def subscribe(self, address: str, callback: ChannelCallback) -> Unsubscribe:
        """Call `callback` for each message to an address, until the returned function is called."""

        def on_message(message: PeerMessage) -> None:
            task = asyncio.ensure_future(callback(message.data, message.reply_to))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._connection.subscribe(address, on_message)

        async def unsubscribe() -> None:
            self._connection.unsubscribe(address)

        return unsubscribe
