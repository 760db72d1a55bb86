"""Assigns sequence numbers to the messages of a log.

A process assigns the next free numbers to the events of its own messages. But other programs can write to the log too,
and an operator can delete a message. So a process that reads the log computes the numbers itself, from a message whose
number is known. All processes then have the same numbers:

- The events of a valid message have the next numbers, and the message states the first of these numbers.
- Any other message is unreadable, and counts as one unreadable event.
- If messages are missing, the number of events in them follows from the first event number in the next message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tickwire.errors import JournalUnreadable
from tickwire.journal.codecs.commit import Commit, unreadable_commit, unreadable_message
from tickwire.journal.codecs.registry import decode_commit


class LogAnchor(NamedTuple):
    """A known position in a log: `event` is the number of the first event in message number `message`."""

    message: int
    event: int


class MessageNumbering:
    """Numbers the events in the messages of a log.

    `message` is the number of the next message, and `event` is the number of the first event in the next message.

    `unreadable_reason` is the reason why the last message is unreadable, or None if the message is valid.
    """

    def __init__(self, anchor: LogAnchor) -> None:
        self.message, self.event = anchor
        self.unreadable_reason: str | None = None
        self._last_ts = 0

    def read(self, message: int, data: bytes) -> Sequence[Commit]:
        """Return the commits of the next message.

        If messages are missing before the next message, the first commit replaces the missing messages.

        `message` is the number of the next message, and `data` is its content. All messages between the previous
        message and the next message are missing. Raise JournalError if the dependencies of the message's codec are not
        installed.
        """
        missing = message - self.message
        commits = []
        try:
            commit, self.unreadable_reason = decode_commit(data), None
            # Count the missing events by their numbers, because a missing message may have contained several events.
            missing_events = max(missing, commit.first - self.event) if missing else 0
            if commit.first != self.event + missing_events:
                raise unreadable_message(
                    f"the message begins with event {commit.first} instead of event {self.event + missing_events}"
                )
            self._last_ts = commit.items[-1].ts
        except JournalUnreadable as error:
            self.unreadable_reason, missing_events = str(error), missing
            commit = unreadable_commit(self.event + missing_events, self._last_ts)
        if missing_events:
            commits.append(unreadable_commit(self.event, self._last_ts, missing_events))
        commits.append(commit)
        self.message, self.event = message + 1, commit.last + 1
        return commits
