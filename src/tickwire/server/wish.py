"""What somebody wants of a reader's subscription, and what comes of it."""

from __future__ import annotations

from typing import Any

import msgspec

from tickwire.errors import InputError
from tickwire.hub.subscription import Subscription, parse_fields, parse_interval, parse_symbols
from tickwire.server.body import decode_body


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change. `symbols` replaces the list; then `remove` is taken from it and `add` put to it.

    `interval` is `0`, `250ms`, `1s`; `fields` a list, or null for all; `filter` a filter, or null for none.
    """

    symbols: list[str] | None = None
    add: list[str] = []
    remove: list[str] = []
    interval: str | None = None
    fields: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    filter: str | msgspec.UnsetType | None = msgspec.UNSET


_NAMES = {"type": "array", "items": {"type": "string"}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "symbols": {**_NAMES, "description": "the whole new list"},
        "add": _NAMES,
        "remove": {**_NAMES, "description": "symbols and patterns as they stand in the list"},
        "interval": {"type": "string", "example": "250ms"},
        "fields": {"type": ["array", "null"], "items": {"type": "string"}, "description": "null is all"},
        "filter": {"type": ["string", "null"], "description": "null is none"},
    },
}


def read_wish(body: bytes) -> Wish:
    """The wish in a request's body; InputError where it is none."""
    return decode_body(body, Wish, "the change", hint="for others, open a new stream")


def changed(now: Subscription, wish: Wish, most: int) -> Subscription:
    """The subscription with what is wished; InputError for what cannot be, as more than `most` symbols."""
    for field in ("symbols", "add", "remove"):
        names = getattr(wish, field)
        if names:
            parse_symbols(names, most=most, field=field)
    listed = {*(now.names if wish.symbols is None else wish.symbols)}
    missing = next((name for name in wish.remove if name not in listed), None)
    if missing is not None:
        raise InputError(f"{missing} is not in the list of this reader's symbols and patterns", field="remove")
    other: dict[str, Any] = {}
    if wish.interval is not None:
        other["interval"] = parse_interval(wish.interval)
    if wish.fields is not msgspec.UNSET:
        other["fields"] = None if wish.fields is None else parse_fields(wish.fields)
    if wish.filter is not msgspec.UNSET:
        other |= {"filter": wish.filter, "events": _events(now, wish.filter)}
    new = now.changed(symbols=wish.symbols, add=wish.add, remove=wish.remove, **other)
    if len(new.names) > most:
        raise InputError(f"{len(new.names)} symbols: a reader may have {most}", field="add")
    parse_symbols(new.names or ["*"], most=most, field="add")
    if new.interval and new.delivery == "all":
        raise InputError("an interval leaves quotes out, and this reader gets all of them", field="interval")
    return new


def _events(now: Subscription, wanted: str | None) -> list[str]:
    """With a first filter come the events of its screen, and they go with it; else events stay as they were."""
    others = [name for name in now.events if name != "screen"]
    if wanted is None:
        return others
    return [*now.events] if now.screen is not None else [*others, "screen"]
