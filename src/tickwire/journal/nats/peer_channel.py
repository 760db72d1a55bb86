"""Sends messages between the processes that share a journal, by publish and subscribe on NATS.

All NATS subjects begin with the name of the journal.
"""

from __future__ import annotations

from nats.aio.msg import Msg

from tickwire.journal.nats.connection import NatsConnection
from tickwire.journal.shared.peers import ChannelCallback, Unsubscribe


class NatsPeerChannel:
    """A PeerChannel that sends its messages over the NATS connection of the journal."""

    limit_setting = "max_payload"

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        """The URLs of the NATS servers, for log and error messages."""
        return self._connection.server

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up. A broken connection counts as up until the NATS client detects the failure."""
        return self._connection.is_connected

    @property
    def max_message_bytes(self) -> int:
        """The largest size of a message that the server accepts, in bytes."""
        return self._connection.max_payload

    def topic_address(self, topic: str) -> str:
        """Return the NATS subject for a topic."""
        return self._connection.address.subject("p", topic)

    def create_inbox(self) -> str:
        """Return a new NATS subject for replies."""
        return self._connection.new_inbox()

    async def publish(self, address: str, data: bytes, *, reply_to: str = "") -> None:
        """Send a message to the subscribers of a subject."""
        await self._connection.publish(address, data, reply=reply_to)

    async def subscribe(self, address: str, callback: ChannelCallback) -> Unsubscribe:
        """Call `callback` for each message on a subject, until the returned function is called."""

        async def on_message(message: Msg) -> None:
            # Answer only to inboxes of this journal. Otherwise a client could make this process publish to any subject
            # to which this process has access.
            is_inbox = message.reply.startswith(f"{self._connection.address.inbox_prefix}.")
            await callback(message.data, message.reply if is_inbox else "")

        subscription = await self._connection.subscribe(address, on_message)

        async def unsubscribe() -> None:
            await subscription.unsubscribe()

        return unsubscribe
