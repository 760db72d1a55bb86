"""Passes messages between the processes of a cluster, by publish and subscribe. The journal's owner runs the broker."""

from __future__ import annotations

import logging
from typing import Protocol

from tickwire.journal.unix.messages import PeerMessage, encode_message

# The maximum number of bytes that a process may leave unread. The broker drops further messages to this process,
# because the process probably no longer runs. Even the largest messages, such as a reply that lists 100,000 readers,
# are smaller.
_MAX_UNREAD_BYTES = 64 * 2**20

log = logging.getLogger("tickwire.journal")


class PeerConnection(Protocol):
    """The connection to a process that can subscribe to addresses."""

    @property
    def unsent_bytes(self) -> int:
        """The number of bytes that the process has not read yet."""
        ...

    def send(self, data: bytes | bytearray) -> None:
        """Send an encoded message."""
        ...


class PeerBroker:
    """The subscriptions of all processes.

    `dropped_messages` counts the messages that the broker dropped because their receiver did not read its earlier
    messages.
    """

    def __init__(self) -> None:
        self.dropped_messages = 0
        # The inner dict is an ordered set of connections.
        self._subscribers: dict[str, dict[PeerConnection, None]] = {}

    def subscribe(self, address: str, connection: PeerConnection) -> None:
        """Forward messages for `address` to `connection` from now on."""
        self._subscribers.setdefault(address, {})[connection] = None

    def unsubscribe(self, address: str, connection: PeerConnection) -> None:
        """End the subscription that `subscribe` began. Do nothing if there is no such subscription."""
        subscribers = self._subscribers.get(address, {})
        subscribers.pop(connection, None)
        if not subscribers:
            self._subscribers.pop(address, None)

    def remove(self, connection: PeerConnection) -> None:
        """End all subscriptions of a connection."""
        for address in [each for each, subscribers in self._subscribers.items() if connection in subscribers]:
            self.unsubscribe(address, connection)

    def publish(self, message: PeerMessage) -> None:
        """Forward a message to all subscribers of its address."""
        data = encode_message(message)
        for connection in self._subscribers.get(message.address, {}):
            if connection.unsent_bytes + len(data) <= _MAX_UNREAD_BYTES:
                connection.send(data)
                continue
            if not self.dropped_messages:
                log.warning(
                    "a process of the cluster reads its messages too slowly, so the owner of the journal drops further "
                    "messages to this process"
                )
            self.dropped_messages += 1
