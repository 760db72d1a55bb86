"""The events of a stream: as text, and decoded to one class for each kind of event."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import msgspec

from tickwire.core.candle import Candle
from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection
from tickwire.core.event_kinds import StreamEvent
from tickwire.core.heartbeat import Heartbeat
from tickwire.core.quote import Quote


class SubscriptionState(msgspec.Struct, frozen=True):
    """The subscription of a stream, as the server reports it at the start and after each change.

    The attributes have the names of the stream parameters.

    `interval` is in milliseconds.
    """

    symbols: list[str]
    events: list[str]
    candles: str | None = None
    delivery: str = "latest"
    interval: float = 0
    filter: str | None = None
    fields: list[str] = []
    order: str | None = None
    top: int | None = None
    snapshot: bool = True


class Welcome(msgspec.Struct, frozen=True):
    """The first event of each connection: the subscription in force and the outcome of a resume.

    `head` is the server's newest event id. `heartbeat` and `delay` are in seconds. `mode` is `live`, `simulated` or
    `replay`.
    """

    client_id: str
    head: str
    mode: str
    heartbeat: float
    subscription: SubscriptionState
    delay: float = 0.0
    resume: Any = None
    snapshot: bool = True


class Matches(msgspec.Struct, frozen=True):
    """The `matches` event: all symbols that match the filter now, or the symbols of the top N."""

    filter: str | None
    symbols: list[str]


class Enter(msgspec.Struct, frozen=True):
    """The `enter` event: a symbol began to match the filter, or entered the top N."""

    filter: str | None
    symbol: str
    quote: Quote | None = None


class Leave(msgspec.Struct, frozen=True):
    """The `leave` event: a symbol no longer matches the filter, or left the top N."""

    filter: str | None
    symbol: str
    quote: Quote | None = None


class Status(msgspec.Struct, frozen=True):
    """The `status` event: the state of the feed, or of trading in `symbol`.

    `last_tick_ts` is in microseconds since 1970. `docs/protocol.md` lists the states.
    """

    feed: str
    mode: str
    state: str
    speed: float = 1.0
    symbol: str | None = None
    last_tick_ts: int | None = None
    halted: list[str] = []
    model: str | None = None
    scenario: str | None = None
    notice: str | None = None
    command: str | None = None
    connection: str | None = None
    sources: dict[str, str] = {}


class Gap(msgspec.Struct, frozen=True, rename={"from_id": "from", "to_id": "to"}):
    """The `gap` event: the server will not send the events after `from_id` up to and including `to_id`. The current
    state follows.

    `reason` is `expired`, `epoch` or `unreadable` (see `docs/protocol.md`).
    """

    from_id: str
    to_id: str
    reason: str


class Expiring(msgspec.Struct, frozen=True):
    """The `expiring` event: the token expires in `in_ms` milliseconds."""

    in_ms: float


class Bye(msgspec.Struct, frozen=True):
    """The last event before the server ends the connection.

    `reason` is one of the values of `CloseReason`, or a reason of a newer server.
    """

    reason: str
    reconnect_in_ms: float


class Message(msgspec.Struct, frozen=True):
    """A message that a program published. The publisher chose `name` and `data`."""

    name: str
    data: Any


EventValue: TypeAlias = (
    Quote
    | Candle
    | Welcome
    | Matches
    | Enter
    | Leave
    | Status
    | TradeCorrection
    | SubscriptionState
    | Gap
    | Heartbeat
    | Expiring
    | Bye
    | Message
)
"""A decoded event."""

EVENT_TYPES: dict[StreamEvent, type[EventValue]] = {
    StreamEvent.WELCOME: Welcome,
    StreamEvent.QUOTE: Quote,
    StreamEvent.CANDLE: Candle,
    StreamEvent.MATCHES: Matches,
    StreamEvent.ENTER: Enter,
    StreamEvent.LEAVE: Leave,
    StreamEvent.STATUS: Status,
    StreamEvent.CORRECTION: TradeCorrection,
    StreamEvent.SUBSCRIPTION: SubscriptionState,
    StreamEvent.GAP: Gap,
    StreamEvent.HEARTBEAT: Heartbeat,
    StreamEvent.EXPIRING: Expiring,
    StreamEvent.BYE: Bye,
}
"""The class of each event that the server itself writes. Every other event is a Message."""
_TYPES_BY_NAME: dict[str, type[EventValue]] = {event.value: kind for event, kind in EVENT_TYPES.items()}


class Event(NamedTuple):
    """One event of a stream.

    If the server sent the event without a name, `name` is `quote`. If the server sent the event without an id, `id` is
    the id of the newest earlier event with an id.
    """

    name: str
    text: str
    id: str

    @property
    def data(self) -> Any:
        """The data of the event, decoded from JSON to dicts, lists, texts and numbers."""
        return decode_json(self.text, object)

    @property
    def value(self) -> EventValue:
        """The event as an object of the class for its name, such as Quote, Gap or Bye.

        An event with an unknown name is a Message. Each access decodes the event again.
        """
        kind = _TYPES_BY_NAME.get(self.name)
        return Message(self.name, self.data) if kind is None else decode_json(self.text, kind)
