"""The event kinds that a subscription can list, and the names of the events that the server writes to a stream."""

from __future__ import annotations

import enum
from typing import Literal, Self

FeedState = Literal["waiting", "running", "paused", "stale", "closed", "halted"]
"""The states of a feed in a status event."""

CLOCK_EVENT = "clock"
"""The name of the event that advances the market's time. The server does not send this event to readers."""


class EventKind(enum.StrEnum):
    """A kind of event that a subscription can list in `events=`. The value is the text on the wire.

    If `has_state` is true, the events report a state, such as the current price of a symbol. A new stream can then
    start with the current state (the snapshot). `conflation` is a text for the documentation. It states when the server
    may replace an unsent event by a newer event.
    """

    _value_: str
    has_state: bool
    conflation: str
    meaning: str

    def __new__(cls, text: str, has_state: bool, conflation: str, meaning: str) -> Self:
        """Create a member with the value `text`, and store the other arguments as its attributes."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.has_state, member.conflation, member.meaning = has_state, conflation, meaning
        return member

    QUOTE = "quote", True, "with `delivery=latest`", "the quotes of the subscribed symbols"
    CANDLE = "candle", True, "open candles only", "the [candles](candles.md#stream-candles) of the subscribed symbols"
    SCREEN = (
        "screen",
        True,
        "while the reader catches up or is paced",
        "the symbols that match the filter or are in the top N, and changes of this set",
    )
    STATUS = "status", True, "never", "the state of the feed, and of trading in a symbol"
    CORRECTION = "correction", False, "never", "corrections and cancels of trades in the subscribed symbols"
    MESSAGE = "message", False, "never", "[messages](#send-a-message-to-readers), with names that the senders choose"


class StreamEvent(enum.StrEnum):
    """The name of an event that the server itself writes to a stream. The server sends quotes without a name.

    A stream receives the event if its subscription lists `kind`. If `kind` is None, every stream receives the event.
    `ids` says when the event has an id. This table does not list the event names of messages, because the sender of a
    message chooses the name.
    """

    _value_: str
    kind: EventKind | None
    ids: str
    meaning: str

    def __new__(cls, text: str, kind: EventKind | None, ids: str, meaning: str) -> Self:
        """Create a member with the value `text`, and store the other arguments as its attributes."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.kind, member.ids, member.meaning = kind, ids, meaning
        return member

    WELCOME = "welcome", None, "no", "the first event: the subscription in force and the outcome of a resume"
    QUOTE = (
        "quote",
        EventKind.QUOTE,
        "yes, unless the quote is older than the reader's last id (after a changed subscription or an `enter`)",
        "a quote; the event has no name on the wire",
    )
    CANDLE = "candle", EventKind.CANDLE, "if closed", "a candle of one symbol, open or closed"
    MATCHES = "matches", EventKind.SCREEN, "no", "all symbols that match the filter, or the symbols of the top N"
    ENTER = (
        "enter",
        EventKind.SCREEN,
        "if a new quote of the symbol caused it, and no separate `quote` event follows",
        "a symbol began to match the filter, or entered the top N",
    )
    LEAVE = (
        "leave",
        EventKind.SCREEN,
        "if a new quote of the symbol caused it",
        "a symbol no longer matches the filter, or left the top N",
    )
    STATUS = (
        "status",
        EventKind.STATUS,
        "yes, except while the journal is unavailable",
        "the state of the feed, or of trading in one symbol",
    )
    CORRECTION = "correction", EventKind.CORRECTION, "yes", "a trade was corrected or cancelled"
    SUBSCRIPTION = "subscription", None, "no", "a change of the subscription is in force"
    GAP = "gap", None, "no", "the server cannot send some events; the current state follows"
    HEARTBEAT = "heartbeat", None, "no", "only with `heartbeats=event`: the stream was silent, and the server is alive"
    EXPIRING = "expiring", None, "no", "the token expires in `in_ms` milliseconds"
    BYE = "bye", None, "if the reader is evicted", "the last event before the server ends the stream"


EVENT_KINDS = tuple(kind.value for kind in EventKind)
"""The values that `events=` accepts. The kinds of a subscription have the same order."""

ADMIN_EVENT_KIND = "control"
"""The name and the kind of admin events, such as the eviction of a reader."""

EVENT_SOURCE_NAMES = frozenset({"message", "open", "error"})
"""The names of the events that a browser's `EventSource` creates itself.

`EventSource` dispatches every event without a name as `message`.
"""

RESERVED_EVENT_NAMES = frozenset({*StreamEvent, *EVENT_SOURCE_NAMES, ADMIN_EVENT_KIND})
"""The event names that a message must not have.

Clients could mistake a message with such a name for an event of the server or of `EventSource`.
"""
