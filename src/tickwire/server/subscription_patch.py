"""Change the subscription of a connected reader: decode the requested changes, and apply them."""

from __future__ import annotations

from typing import Any

import msgspec

from tickwire.errors import InputError
from tickwire.screens.ranking import MAX_TOP, Ranking, parse_ranking
from tickwire.server.transport.body import decode_body
from tickwire.sessions.subscription import Subscription, parse_fields, parse_interval, parse_symbols


class SubscriptionPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The requested changes of a subscription.

    First `symbols` replaces the whole list of symbols and patterns. Then the symbols in `remove` are removed, and the
    symbols in `add` are added. `interval` is a text such as `0`, `250ms` or `1s`. `fields` is a list of quote fields,
    or null for all fields. `filter` is a filter expression, or null for no filter. `order` and `top` are the order and
    the size of a top-N screen; with `order` null, the subscription has no such screen.
    """

    symbols: list[str] | None = None
    add: list[str] = []
    remove: list[str] = []
    interval: str | None = None
    fields: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    filter: str | msgspec.UnsetType | None = msgspec.UNSET
    order: str | msgspec.UnsetType | None = msgspec.UNSET
    top: int | None = None


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
        "order": {"type": ["string", "null"], "example": "change_rate desc", "description": "null for no top-N screen"},
        "top": {"type": "integer", "minimum": 1, "maximum": MAX_TOP, "description": "the size of the top-N screen"},
    },
}


def decode_patch(body: bytes) -> SubscriptionPatch:
    """Decode the patch in a request body. Raise InputError if the patch is invalid."""
    return decode_body(body, SubscriptionPatch, "the change", hint="open a new stream to change any other parameter")


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
        message = f"cannot remove {missing!r}: it is not in this reader's list of symbols and patterns"
        raise InputError(message, field="remove")
    other_changes: dict[str, Any] = {}
    if patch.interval is not None:
        other_changes["interval"] = parse_interval(patch.interval)
    if patch.fields is not msgspec.UNSET:
        other_changes["fields"] = None if patch.fields is None else parse_fields(patch.fields)
    if patch.filter is not msgspec.UNSET:
        other_changes["filter"] = patch.filter
    other_changes["order"] = ranking = _patched_ranking(current, patch)
    has_filter = current.screen is not None if patch.filter is msgspec.UNSET else patch.filter is not None
    other_changes["events"] = _patched_events(current, has_screen=has_filter or ranking is not None)
    new = current.with_changes(symbols=patch.symbols, add=patch.add, remove=patch.remove, **other_changes)
    if len(new.symbols_and_patterns) > max_symbols:
        raise InputError(
            f"{len(new.symbols_and_patterns)} symbols and patterns: at most {max_symbols} are allowed", field="add"
        )
    parse_symbols(new.symbols_and_patterns or ["*"], max_symbols=max_symbols, field="add")
    if new.interval_ms and new.delivery == "all":
        raise InputError(
            "this stream was opened with delivery=all, which allows neither an interval nor an order: open a stream "
            "with delivery=latest",
            field="interval" if ranking is None else "order",
        )
    return new


def _patched_ranking(current: Subscription, patch: SubscriptionPatch) -> Ranking | None:
    """Return the ranking after a change of its order, its size or both."""
    if patch.order is None:
        if patch.top is not None:
            raise InputError("top requires an order: send order and top, or leave out top", field="top")
        return None
    if patch.order is msgspec.UNSET and patch.top is None:
        return current.ranking
    if current.ranking is None and (patch.order is msgspec.UNSET or patch.top is None):
        raise InputError("this subscription has no top-N screen: send order and top", field="order")
    ranking = current.ranking
    order = ranking.order if ranking is not None and patch.order is msgspec.UNSET else patch.order
    top = ranking.top if ranking is not None and patch.top is None else patch.top
    assert isinstance(order, str) and isinstance(top, int)  # noqa: S101, PT018  # checked above
    return parse_ranking(order, top)


def _patched_events(current: Subscription, *, has_screen: bool) -> list[str]:
    """Return the event kinds that a subscription has after a change of its filter or its ranking.

    If the change adds the first screen, add the kind `screen`. If the change removes the last screen, remove the kind
    `screen`.
    """
    others = [name for name in current.events if name != "screen"]
    if not has_screen:
        return others
    return [*current.events] if current.is_screened else [*others, "screen"]
