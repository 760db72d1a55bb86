"""Change the subscription of a connected reader: decode the requested changes, and apply them."""

from __future__ import annotations

from typing import Any

import msgspec

from tickwire.errors import InputError
from tickwire.server.transport.body import decode_body
from tickwire.sessions.subscription import Subscription, parse_fields, parse_interval, parse_symbols


class SubscriptionPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The requested changes of a subscription.

    First `symbols` replaces the whole list of symbols and patterns. Then the symbols in `remove` are removed, and the
    symbols in `add` are added. `interval` is a text such as `0`, `250ms` or `1s`. `fields` is a list of quote fields,
    or null for all fields. `filter` is a filter expression, or null for no filter.
    """

    symbols: list[str] | None = None
    add: list[str] = []
    remove: list[str] = []
    interval: str | None = None
    fields: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    filter: str | msgspec.UnsetType | None = msgspec.UNSET


_SYMBOL_LIST_SCHEMA = {"type": "array", "items": {"type": "string"}}
PATCH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "symbols": {**_SYMBOL_LIST_SCHEMA, "description": "the whole new list of symbols and patterns"},
        "add": {**_SYMBOL_LIST_SCHEMA, "description": "symbols and patterns to add to the list"},
        "remove": {**_SYMBOL_LIST_SCHEMA, "description": "symbols and patterns to remove; each must be in the list"},
        "interval": {"type": "string", "example": "250ms", "description": "minimum time between updates of a symbol"},
        "fields": {"type": ["array", "null"], "items": {"type": "string"}, "description": "quote fields; null for all"},
        "filter": {"type": ["string", "null"], "description": "a filter expression; null for no filter"},
    },
}


def decode_patch(body: bytes) -> SubscriptionPatch:
    """Decode the patch in a request body. Raise InputError if the patch is invalid."""
    return decode_body(body, SubscriptionPatch, "the change", hint="open a new stream to change anything else")


def apply_patch(current: Subscription, patch: SubscriptionPatch, max_symbols: int) -> Subscription:
    """Return the changed subscription.

    Raise InputError if the changed subscription is invalid or lists more than `max_symbols` symbols and patterns.
    """
    for field in ("symbols", "add", "remove"):
        names = getattr(patch, field)
        if names:
            parse_symbols(names, max_symbols=max_symbols, field=field)
    listed = {*(current.symbols_and_patterns if patch.symbols is None else patch.symbols)}
    missing = next((name for name in patch.remove if name not in listed), None)
    if missing is not None:
        raise InputError(f"{missing!r} is not in this reader's list of symbols and patterns", field="remove")
    other_changes: dict[str, Any] = {}
    if patch.interval is not None:
        other_changes["interval"] = parse_interval(patch.interval)
    if patch.fields is not msgspec.UNSET:
        other_changes["fields"] = None if patch.fields is None else parse_fields(patch.fields)
    if patch.filter is not msgspec.UNSET:
        other_changes |= {"filter": patch.filter, "events": _patched_events(current, patch.filter)}
    new = current.with_changes(symbols=patch.symbols, add=patch.add, remove=patch.remove, **other_changes)
    if len(new.symbols_and_patterns) > max_symbols:
        raise InputError(
            f"{len(new.symbols_and_patterns)} symbols and patterns: at most {max_symbols} are allowed", field="add"
        )
    parse_symbols(new.symbols_and_patterns or ["*"], max_symbols=max_symbols, field="add")
    if new.interval_ms and new.delivery == "all":
        raise InputError(
            "this stream was opened with delivery=all, which does not allow an interval: open a stream with "
            "delivery=latest",
            field="interval",
        )
    return new


def _patched_events(current: Subscription, new_filter: str | None) -> list[str]:
    """Return the event kinds of a subscription after a change of its filter.

    If the change adds a filter to a subscription without a filter, add the kind `screen`. If the change removes the
    filter, remove the kind `screen`.
    """
    others = [name for name in current.events if name != "screen"]
    if new_filter is None:
        return others
    return [*current.events] if current.screen is not None else [*others, "screen"]
