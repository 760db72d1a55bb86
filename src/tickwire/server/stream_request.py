"""Parse the parameters of a stream request: subscription, start position and client id."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl

from tickwire.core.candle import parse_candle_interval
from tickwire.core.event_id import parse_event_id, strip_eviction_time
from tickwire.core.timestamps import parse_timestamp
from tickwire.errors import InputError, suggest_name
from tickwire.hub.catchup.resume import JournalRange, StreamStart, start_after, start_fresh, start_since
from tickwire.screens.ranking import MAX_TOP, Ranking, parse_ranking
from tickwire.server.auth.credential import CREDENTIAL_PARAMETERS
from tickwire.server.transport.body import decode_body
from tickwire.sessions.rights import USER_PREFIX
from tickwire.sessions.subscription import (
    DELIVERY_MODES,
    Heartbeats,
    Subscription,
    parse_events,
    parse_fields,
    parse_interval,
    parse_symbols,
)

SUBSCRIPTION_PARAMETERS = (
    "symbols", "filter", "order", "top", "events", "candles", "fields", "interval", "delivery", "heartbeats",
)  # fmt: skip
_LAST_EVENT_ID = "last_event_id"
START_PARAMETERS = ("snapshot", "since", "client_id", _LAST_EVENT_ID)
STREAM_PARAMETERS = (*SUBSCRIPTION_PARAMETERS, *START_PARAMETERS, "subscription", *CREDENTIAL_PARAMETERS)
MAX_SUBSCRIPTION_BYTES = 256 * 1024
"""The maximum size of a body with stream parameters."""
_MAX_CLIENT_ID_LENGTH = 64
_MAX_TOP_DIGITS = 9
# The maximum number of cached requests. The cache occupies about 5 MB.
_MAX_CACHED_REQUESTS = 1_024
_MAX_CACHED_CHARS = 1_000
# If this pattern matches no part of a query, the query contains no ticket and no token, not even in percent-encoding.
_POSSIBLE_CREDENTIAL = re.compile("|".join(("%", *CREDENTIAL_PARAMETERS)))
# Libraries that replace EventSource append the last event id to the URL. The names are `lastEventId`
# (event-source-polyfill, reconnecting-eventsource), and `lastEventID` or `Last-Event-ID` (clients of Mercure).
_LAST_EVENT_ID_SPELLING = re.compile("last[_-]?event[_-]?id", re.IGNORECASE)


class StreamRequest:
    """The parsed parameters of a stream request.

    The constructor raises InputError with the name of the parameter if a parameter is invalid.
    """

    __slots__ = ("client_id", "has_client_chosen_id", "start", "start_time_ns", "subscription")

    def __init__(
        self, parameters: Mapping[str, str], last_event_id: str | None, history: JournalRange, max_symbols: int
    ) -> None:
        self.subscription = _parse_subscription_cached(parameters, max_symbols)
        # The start time in the parameter `since`, or None. If there is a start time, the caller must search the journal
        # for the first event after it.
        self.start_time_ns: int | None = None
        self.start = self._parse_start(history, parameters, last_event_id)
        self.has_client_chosen_id = "client_id" in parameters
        self.client_id = (
            _check_client_id(parameters["client_id"]) if self.has_client_chosen_id else f"c_{secrets.token_hex(6)}"
        )

    def _parse_start(
        self, history: JournalRange, parameters: Mapping[str, str], last_event_id: str | None
    ) -> StreamStart:
        # If the id of an evicted reader contains no position, `event_id` is empty. Such a reader cannot resume.
        event_id = strip_eviction_time(last_event_id or parameters.get(_LAST_EVENT_ID, ""))
        if event_id:
            return start_after(history, parse_event_id(event_id), self.subscription)
        if "since" in parameters:
            try:
                self.start_time_ns = parse_timestamp(parameters["since"], field="since")
            except InputError:
                return start_since(history, parameters["since"], self.subscription)
        return start_fresh(history, needs_snapshot=_parse_flag(parameters, "snapshot", default=True))


def _parse_subscription_cached(parameters: Mapping[str, str], max_symbols: int) -> Subscription:
    """Return the result of `parse_subscription`. Requests with equal parameters share one immutable object."""
    items = tuple([(name, parameters[name]) for name in SUBSCRIPTION_PARAMETERS if name in parameters])
    if sum([len(value) for _, value in items]) > _MAX_CACHED_CHARS:
        return parse_subscription(parameters, max_symbols)
    return _parse_subscription_items(items, max_symbols)


@lru_cache(maxsize=_MAX_CACHED_REQUESTS)
def _parse_subscription_items(items: tuple[tuple[str, str], ...], max_symbols: int) -> Subscription:
    return parse_subscription(dict(items), max_symbols)


def parse_subscription(parameters: Mapping[str, str], max_symbols: int) -> Subscription:
    """Return the subscription that the stream parameters describe. A missing parameter has its default value.

    Raise InputError with the name of the parameter if a parameter is invalid.
    """
    symbols = parse_symbols(parameters.get("symbols", "*"), max_symbols=max_symbols)
    filter_text, candles = parameters.get("filter"), parameters.get("candles")
    ranking = _parse_ranking(parameters)
    delivery = parameters.get("delivery", "latest")
    if delivery not in DELIVERY_MODES:
        raise InputError(f"invalid delivery {delivery[:40]!r}: choose latest or all", field="delivery")
    fields = parse_fields(parameters["fields"]) if "fields" in parameters else None
    interval = parse_interval(parameters.get("interval", "0"))
    if interval and delivery == "all":
        raise InputError(
            "interval= cannot be combined with delivery=all: choose delivery=latest or interval=0",
            field="interval",
        )
    if ranking is not None and delivery == "all":
        raise InputError("order= cannot be combined with delivery=all: choose delivery=latest", field="order")
    heartbeats = parameters.get("heartbeats", Heartbeats.COMMENT)
    if heartbeats not in list(Heartbeats):
        raise InputError(f"invalid heartbeats {heartbeats[:40]!r}: choose comment or event", field="heartbeats")
    return Subscription(
        symbols, events=_parse_event_kinds(parameters), delivery=delivery, fields=fields, interval=interval,
        filter=filter_text, candles=candles, heartbeats=heartbeats, order=ranking,
    )  # fmt: skip


def _parse_event_kinds(parameters: Mapping[str, str]) -> list[str]:
    candles, has_screen = parameters.get("candles"), "filter" in parameters or "order" in parameters
    events = parse_events(parameters["events"]) if "events" in parameters else _default_events(has_screen, candles)
    if candles is not None:
        parse_candle_interval(candles, field="candles")
        if "candle" not in events:
            raise InputError(
                f"candles={candles} requires candle events: add candle to events=",
                field="candles",
                hint=f"write events={','.join([*events, 'candle'])}",
            )
    if "screen" in events and not has_screen:
        raise InputError(
            "events=screen requires a filter or an order: add filter= or order=, or remove screen from events=",
            field="events",
        )
    return events


def _parse_ranking(parameters: Mapping[str, str]) -> Ranking | None:
    """Return the ranking of a top-N screen; None if the request has no parameter `order`."""
    if "order" not in parameters:
        if "top" in parameters:
            raise InputError("top= requires an order: add order=", field="top", hint="example: order=change_rate desc")
        return None
    if "top" not in parameters:
        raise InputError("order= requires the number of symbols: add top=", field="order", hint="example: top=10")
    text = parameters["top"]
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_TOP_DIGITS):
        raise InputError(f"invalid top {text[:40]!r}: choose a number from 1 to {MAX_TOP}", field="top")
    return parse_ranking(parameters["order"], int(text))


def decode_subscription(body: bytes) -> dict[str, str]:
    """Read stream parameters from the JSON body of a request. Raise InputError if a parameter is unknown."""
    values = decode_body(body, dict[str, list[str] | str | int | None], "the subscription")
    for name in values:
        check_parameter_name(name, SUBSCRIPTION_PARAMETERS)
    return {name: _parameter_text(value) for name, value in values.items() if value is not None}


def _parameter_text(value: list[str] | str | int) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def add_body_parameters(parameters: dict[str, str], body: bytes) -> None:
    """Add the parameters in the body of a QUERY request. Raise InputError if the query has the same parameter."""
    for name, value in decode_subscription(body).items():
        if name in parameters:
            raise InputError(f"parameter {name!r} is in the URL and in the body: send it once", field=name)
        parameters[name] = value


def _default_events(has_screen: bool, candles: str | None) -> list[str]:
    """Return the event kinds for a request without the parameter `events`.

    The kind `quote` is always included. A filter or an order adds the kind `screen`. A candle interval adds the kind
    `candle`.
    """
    return ["quote", *["screen"] * has_screen, *["candle"] * (candles is not None)]


def parse_stream_query(query: str) -> dict[str, str]:
    """Return the result of `parse_query` for a stream request. If the cache contains the result, return it from there.

    Most readers send one of a few queries. The cache contains no queries with tickets or tokens, so that no credential
    stays in memory.
    """
    if len(query) > _MAX_CACHED_CHARS or _POSSIBLE_CREDENTIAL.search(query):
        return parse_query(query)
    return dict(_parse_query_cached(query))


@lru_cache(maxsize=_MAX_CACHED_REQUESTS)
def _parse_query_cached(query: str) -> Mapping[str, str]:
    return parse_query(query)


def parse_query(query: str, known_names: Sequence[str] = STREAM_PARAMETERS) -> dict[str, str]:
    """Return the stream parameters in a query string. Ignore tickets and tokens.

    Raise InputError if a parameter is unknown, or if a parameter other than `last_event_id` is repeated. A query may
    contain `last_event_id` several times, in any spelling. The result contains the value at the end of the query,
    because some client libraries append the newest id to a URL that already contains an id.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50)
    except ValueError as error:
        raise InputError(f"invalid query string: {error}") from error
    parameters: dict[str, str] = {}
    for spelling, value in pairs:
        name = _LAST_EVENT_ID if _LAST_EVENT_ID_SPELLING.fullmatch(spelling) else spelling
        check_parameter_name(name, known_names)
        if name in parameters and name != _LAST_EVENT_ID:
            raise InputError(f"repeated parameter {name!r}: send it once", field=name)
        parameters[name] = value
    return {name: value for name, value in parameters.items() if name not in CREDENTIAL_PARAMETERS}


def check_parameter_name(name: str, known_names: Sequence[str]) -> None:
    """Raise InputError if no stream parameter has this name. The error's hint contains the most similar known name."""
    if name not in known_names:
        raise InputError(f"unknown parameter {name[:40]!r}", field=name[:40], hint=suggest_name(name, known_names))


def _parse_flag(parameters: Mapping[str, str], name: str, *, default: bool) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    text = parameters.get(name)
    if text is None:
        return default
    if text not in values:
        raise InputError(f"invalid {name} {text[:40]!r}: choose true or false", field=name)
    return values[text]


def _check_client_id(text: str) -> str:
    if not (0 < len(text) <= _MAX_CLIENT_ID_LENGTH and text.isascii() and text.isprintable()):
        raise InputError(
            f"invalid client_id {text[:40]!r}: expected 1 to {_MAX_CLIENT_ID_LENGTH} printable ASCII characters",
            field="client_id",
        )
    if text.startswith(USER_PREFIX):
        raise InputError(
            f"invalid client_id {text!r}: choose an id that does not start with {USER_PREFIX!r}", field="client_id"
        )
    return text
