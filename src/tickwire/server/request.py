"""What a stream request asks, checked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from tickwire.core.candle import check_interval
from tickwire.core.ids import parse_id
from tickwire.core.moment import read_moment
from tickwire.errors import InputError, nearest
from tickwire.hub.rights import USER
from tickwire.hub.start import History, Start, after, fresh, since
from tickwire.hub.subscription import (
    DELIVERIES,
    Subscription,
    parse_events,
    parse_fields,
    parse_interval,
    parse_symbols,
)
from tickwire.server.credential import IN_QUERY

SUBSCRIPTION_PARAMETERS = ("symbols", "filter", "events", "candles", "fields", "interval", "delivery")
START_PARAMETERS = ("snapshot", "since", "client_id", "last_event_id")
PARAMETERS = (*SUBSCRIPTION_PARAMETERS, *START_PARAMETERS, "subscription", *IN_QUERY)
_CLIENT_ID_LENGTH = 64


class StreamRequest:
    """Subscription, start and client id, from the parameters of a stream request. InputError names the wrong one."""

    __slots__ = ("client_id", "moment", "own_id", "start", "subscription")

    def __init__(
        self, given: Mapping[str, str], last_event_id: str | None, history: History, most_symbols: int
    ) -> None:
        self.subscription = parse_subscription(given, most_symbols)
        self.moment: int | None = None  # a time to start from, still to be found in the journal
        self.start = self._start(history, given, last_event_id)
        self.own_id = "client_id" in given
        self.client_id = _client_id(given["client_id"]) if self.own_id else f"c_{secrets.token_hex(6)}"

    def _start(self, history: History, given: Mapping[str, str], last_event_id: str | None) -> Start:
        asked = last_event_id or given.get("last_event_id")
        if asked:
            return after(history, parse_id(asked), self.subscription)
        if "since" in given:
            try:
                self.moment = read_moment(given["since"], field="since")
            except InputError:
                return since(history, given["since"], self.subscription)
        return fresh(history, snapshot=_flag(given, "snapshot", default=True))


def parse_subscription(given: Mapping[str, str], most_symbols: int) -> Subscription:
    """The subscription that the parameters spell; what is not given has its default."""
    symbols = parse_symbols(given.get("symbols", "*"), most=most_symbols)
    wanted = given.get("filter")
    candles = given.get("candles")
    events = parse_events(given["events"]) if "events" in given else _events(wanted, candles)
    if candles is not None:
        check_interval(candles, field="candles")
        if "candle" not in events:
            raise InputError(
                "candles= is the interval of candle events, and events= lists none",
                field="candles",
                hint=f"events={','.join([*events, 'candle'])}",
            )
    if "screen" in events and wanted is None:
        raise InputError("screen events are about a filter, and there is none", field="events")
    delivery = given.get("delivery", "latest")
    if delivery not in DELIVERIES:
        raise InputError(f"delivery={delivery[:40]!r}: choose latest or all", field="delivery")
    fields = parse_fields(given["fields"]) if "fields" in given else None
    interval = parse_interval(given.get("interval", "0"))
    if interval and delivery == "all":
        raise InputError("an interval leaves quotes out, and delivery=all leaves none out", field="interval")
    return Subscription(
        symbols, events=events, delivery=delivery, fields=fields, interval=interval, filter=wanted, candles=candles
    )


def _events(wanted: str | None, candles: str | None) -> list[str]:
    """What a reader gets that names no events: quotes, and what its other parameters are about."""
    return ["quote", *["screen"] * (wanted is not None), *["candle"] * (candles is not None)]


def parse_query(query: str, known: Sequence[str] = PARAMETERS) -> dict[str, str]:
    """The parameters of a query string, each known and given once; those that say who asks are left out."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50)
    except ValueError as error:
        raise InputError(f"the query string cannot be read: {error}") from error
    given: dict[str, str] = {}
    for name, value in pairs:
        check_name(name, known)
        if name in given:
            raise InputError(f"{name} is given twice", field=name)
        given[name] = value
    return {name: value for name, value in given.items() if name not in IN_QUERY}


def check_name(name: str, known: Sequence[str]) -> None:
    """InputError for a name that is not among the known ones, with the nearest of them."""
    if name not in known:
        raise InputError(f"unknown parameter {name[:40]!r}", field=name[:40], hint=nearest(name, known))


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    text = given.get(name)
    if text is None:
        return default
    if text not in values:
        raise InputError(f"{name}={text[:40]!r}: choose true or false", field=name)
    return values[text]


def _client_id(text: str) -> str:
    if not (0 < len(text) <= _CLIENT_ID_LENGTH and text.isascii() and text.isprintable()):
        raise InputError(f"client_id: 1 to {_CLIENT_ID_LENGTH} printable ASCII characters", field="client_id")
    if text.startswith(USER):
        raise InputError(f"client_id: {USER!r} at its beginning is for users", field="client_id")
    return text
