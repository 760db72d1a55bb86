"""The interfaces that a server backend provides to a shared journal: a numbered log of messages and a snapshot store.

`SharedJournal` implements the journal on top of these protocols. A backend such as `journal/nats` implements the
protocols for one server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from tickwire.core.trace_context import Traceparents
from tickwire.errors import JournalError
from tickwire.journal.base import Snapshot
from tickwire.journal.retention import SnapshotInfo
from tickwire.journal.shared.numbering import LogAnchor

MessageCallback = Callable[[int, bytes, Traceparents], None]
"""Receives the number, the data and the traceparents of a message.

If the callback raises JournalError, the consumer raises LogLost.
"""

SendOnce = Callable[[], Awaitable[None]]
"""Sends a message without waiting for the result. Raises JournalUnavailable if the connection fails."""


class LogLost(JournalError):
    """The log was deleted, replaced or damaged, so this process can no longer follow the log."""


class LogRolledBack(LogLost):
    """The log has lost its newest messages.

    If the processes used it further, new events would receive the numbers of the lost events.
    """


class StoredMessage(NamedTuple):
    """A message in the log."""

    number: int
    data: bytes


class LogMessage(NamedTuple):
    """A message to append to the log. The log can find a message by its `source` and `key`.

    `traceparents` contains the trace contexts of the entries in the message.
    """

    number: int
    data: bytes
    source: str
    key: str | None
    traceparents: Traceparents = ()


class LogState(NamedTuple):
    """The numbers of the first and the last message in a log, the number of messages, and the log's size.

    If the log is empty, `last_message` is the last number that the log has assigned.
    """

    first_message: int
    last_message: int
    message_count: int
    size_bytes: int


class LogConsumer(Protocol):
    """Delivers each new message exactly once and in order, even if servers or connections fail."""

    @property
    def position(self) -> int:
        """The number of the newest delivered message."""
        ...

    @property
    def stall_reason(self) -> str | None:
        """The reason why messages may be missing at this consumer, or None if nothing is wrong."""
        ...

    async def wait_until_caught_up(self) -> None:
        """Wait until the consumer has delivered every message that the log contained when the consumer started."""
        ...

    async def wait_until_receiving(self) -> None:
        """Wait until this process receives messages again (`stall_reason` is None)."""
        ...

    async def run(self) -> None:
        """Deliver messages until cancelled. Raise LogLost if the log was deleted or replaced."""
        ...


class SharedLog(Protocol):
    """An ordered log on a server. Several processes append messages to the log, and message numbers have no gaps.

    The sender of a message chooses the message number. The server stores the message only if the chosen number is the
    next free number, so two messages cannot have the same number. All methods raise JournalUnavailable if the server is
    unreachable.
    """

    @property
    def server(self) -> str:
        """The kind and address of the server, such as "NATS at 127.0.0.1:4222", for error messages."""
        ...

    @property
    def fault(self) -> str | None:
        """The reason why the connection is down, or None if it is up.

        A broken connection counts as up until this process detects the failure.
        """
        ...

    @property
    def max_message_bytes(self) -> int:
        """The largest size of a message that the server accepts, in bytes."""
        ...

    @property
    def limit_setting(self) -> str:
        """The name of the server setting that determines `max_message_bytes`, for error messages."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each reconnect."""
        ...

    def create_consumer(self, position: int, deliver: MessageCallback) -> LogConsumer:
        """Return a consumer that delivers the messages after the message with the number `position`."""
        ...

    def publication(
        self, message: LogMessage, reject: Callable[[JournalError], None]
    ) -> AbstractAsyncContextManager[SendOnce]:
        """Prepare to send a message.

        The context manager yields a function that sends the message. Each further call sends the message again. The
        function does not report success: the message is stored when the LogConsumer delivers it under the chosen
        number. If the server answers with an error that a retry cannot fix, the context manager calls `reject`.
        """
        ...

    async def read_state(self) -> LogState:
        """Return the range of the message numbers in the log, and the size of the log."""
        ...

    async def read_message(self, number: int) -> bytes:
        """Return the data of one message. Raise JournalError if the message does not exist."""
        ...

    async def read_messages(self, first: int, last: int) -> Sequence[StoredMessage]:
        """Return the messages with the numbers from `first` to `last`, in order, except deleted messages."""
        ...

    async def find_newest(self, source: str, key: str | None = None) -> StoredMessage | None:
        """Return the newest message of `source` that has a key, or None if there is no such message.

        If `key` is given, return the newest message with this key.
        """
        ...

    async def delete_before(self, number: int) -> None:
        """Delete all messages with a smaller number than `number`."""
        ...

    async def close(self) -> None:
        """Disconnect. A second call does nothing."""
        ...


class StoredSnapshot(NamedTuple):
    """A complete snapshot on the server. `location` identifies the snapshot in its SnapshotStore.

    A process that loads the snapshot reads the log from the position `anchor` on, because the snapshot includes all
    earlier events. `anchor` is None if an older version of Tickwire saved the snapshot.
    """

    info: SnapshotInfo
    location: str
    anchor: LogAnchor | None = None


class SnapshotStore(Protocol):
    """The snapshots of a shared journal. Several processes may save snapshots with the same sequence number."""

    async def list_complete(self) -> Sequence[StoredSnapshot]:
        """Return all snapshots that are completely written, oldest first."""
        ...

    async def save(self, snapshot: Snapshot, ts: int, anchor: LogAnchor) -> None:
        """Write a snapshot. `ts` is the time of the call, in nanoseconds since the Unix epoch.

        A process that loads the snapshot reads the log from the position `anchor` on, because the snapshot includes all
        earlier events.
        """
        ...

    async def load(self, stored: StoredSnapshot) -> Snapshot:
        """Read a snapshot. Raise JournalUnavailable if another process has deleted the snapshot."""
        ...

    async def delete(self, snapshots: Sequence[StoredSnapshot]) -> None:
        """Delete snapshots."""
        ...
