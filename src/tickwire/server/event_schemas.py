"""The JSON Schema of the data of each event, for the OpenAPI and the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from tickwire.core.candle import Candle
from tickwire.core.close_reasons import CloseReason
from tickwire.core.correction import TradeCorrection
from tickwire.core.event_kinds import EVENT_KINDS, FeedState, StreamEvent
from tickwire.core.heartbeat import Heartbeat
from tickwire.core.quote import Quote
from tickwire.feeds.base import FeedMode
from tickwire.hub.catchup.resume import ResumeResult
from tickwire.hub.fanout.gap import Gap
from tickwire.sessions.subscription import DELIVERY_MODES, Heartbeats

SCHEMA_REFERENCE = "#/components/schemas/{name}"
# The name of the schema of a message's data, which can be any JSON value. This name is not an event name, because the
# sender of a message chooses the event name.
MESSAGE_SCHEMA_NAME = "Message"


def _one_of(*values: str) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"enum": list(values)})


class SubscriptionInForce(msgspec.Struct, kw_only=True):
    """The subscription of a stream.

    `order` and `top` are present if the stream has a top-N screen. `allowed` is present if the token restricts the
    patterns in `symbols`.
    """

    symbols: list[str]
    events: list[Annotated[str, _one_of(*EVENT_KINDS)]]
    candles: str | None
    delivery: Annotated[str, _one_of(*DELIVERY_MODES)]
    interval: int
    filter: str | None
    fields: list[str]
    order: str | msgspec.UnsetType = msgspec.UNSET
    top: int | msgspec.UnsetType = msgspec.UNSET
    heartbeats: Annotated[str, _one_of(*Heartbeats)] = Heartbeats.COMMENT
    allowed: list[str] = []


class FirstSubscription(SubscriptionInForce, kw_only=True):
    """The subscription at the start of a stream. `snapshot` is true if a snapshot follows."""

    snapshot: bool


class Welcome(msgspec.Struct):
    """The first event of a stream."""

    client_id: str
    head: str
    mode: FeedMode
    heartbeat: float
    delay: int
    subscription: FirstSubscription
    resume: ResumeResult | None


class Matches(msgspec.Struct):
    """All symbols that match the filter now, or the symbols of the top N with the best symbol first."""

    filter: str | None
    symbols: list[str]


class ScreenChange(msgspec.Struct):
    """A symbol that enters or leaves the set of `matches`, and the quote of the symbol at this moment."""

    filter: str | None
    symbol: str
    quote: Quote


class Status(msgspec.Struct):
    """The state of the feed, or, if `symbol` is set, the state of trading in this symbol."""

    feed: str
    mode: FeedMode
    state: FeedState
    speed: float | None
    symbol: str | None
    last_tick_ts: int | None
    halted: list[str]
    model: str | None
    scenario: str | None
    notice: str | None
    command: str | None
    connection: Literal["connecting", "connected", "disconnected", "ended"] | None
    sources: dict[str, str]


class Expiring(msgspec.Struct):
    """The time in milliseconds until the token expires."""

    in_ms: int


class Bye(msgspec.Struct):
    """The reason for the end of the stream, and the time after which the client should reconnect."""

    reason: Annotated[str, _one_of(*(reason for reason in CloseReason if reason.is_on_wire))]
    reconnect_in_ms: int


EVENT_DATA: Mapping[StreamEvent, type] = {
    StreamEvent.WELCOME: Welcome,
    StreamEvent.QUOTE: Quote,
    StreamEvent.CANDLE: Candle,
    StreamEvent.MATCHES: Matches,
    StreamEvent.ENTER: ScreenChange,
    StreamEvent.LEAVE: ScreenChange,
    StreamEvent.STATUS: Status,
    StreamEvent.CORRECTION: TradeCorrection,
    StreamEvent.SUBSCRIPTION: SubscriptionInForce,
    StreamEvent.GAP: Gap,
    StreamEvent.HEARTBEAT: Heartbeat,
    StreamEvent.EXPIRING: Expiring,
    StreamEvent.BYE: Bye,
}
"""A dict that maps each event to the type of its data."""


def event_schemas() -> tuple[dict[StreamEvent, dict[str, Any]], dict[str, Any]]:
    """Return two dicts: the references to the schemas of the events' data, by event, and the schemas, by name.

    Each reference points into `components.schemas` of a document.
    """
    references, schemas = msgspec.json.schema_components(EVENT_DATA.values(), ref_template=SCHEMA_REFERENCE)
    schemas[MESSAGE_SCHEMA_NAME] = {"description": "Any JSON value. The sender of the message chooses it."}
    return dict(zip(EVENT_DATA, references, strict=True)), schemas


def schema_reference(name: str) -> dict[str, str]:
    """Return the reference to the schema with this name."""
    return {"$ref": SCHEMA_REFERENCE.format(name=name)}
