"""What one reader asks for, normalised and hashable: readers with equal subscriptions share one channel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import translate
from functools import cached_property
from typing import Any, Literal, TypeAlias

from tickwire.core.instrument import check_symbol
from tickwire.core.quote import QUOTE_FIELDS, Fields
from tickwire.errors import InputError
from tickwire.screens.screen import screen

Delivery: TypeAlias = Literal["latest", "all"]
DELIVERIES: tuple[Delivery, ...] = ("latest", "all")
EVENTS = ("quote", "screen", "status", "message")
_GLOB = re.compile(r"[A-Za-z0-9._:/^=+#&@$!~*?-]{1,32}", re.ASCII)
_INTERVAL = re.compile(r"(\d{1,6})(ms|s)", re.ASCII)
LEAST_INTERVAL, MOST_INTERVAL = 10, 60_000  # milliseconds: a flush of the fastest market; what proxies call idle
_MOST_GLOBS = 16  # each new symbol is tried against each glob of each channel; a watchlist needs few


class Subscription:
    """A set of symbols and kinds of events, and how faithfully to deliver them. Equal ones hash equally."""

    def __init__(
        self,
        symbols: Iterable[str] = ("*",),
        *,
        events: Iterable[str] = ("quote",),
        delivery: Delivery = "latest",
        fields: Iterable[str] | None = None,
        interval: int = 0,
        filter: str | None = None,  # noqa: A002  # the parameter's name
    ) -> None:
        names = sorted(set(symbols))
        self.globs = ("*",) if "*" in names else tuple(name for name in names if _is_glob(name))
        self.symbols = () if self.everything else tuple(name for name in names if not _is_glob(name))
        self.events = tuple(name for name in EVENTS if name in set(events))
        self.delivery = delivery
        self.fields = None if fields is None else _projection({"symbol", *fields})
        self.interval = interval  # milliseconds
        self.screen = None if filter is None else screen(filter)
        self._key = (self.symbols, self.globs, self.events, self.delivery, self.fields, self.interval, self.screen)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def quotes(self) -> bool:
        """Whether anything about quotes is wanted."""
        return "quote" in self.events or "screen" in self.events

    @property
    def named(self) -> bool:
        """Whether events are wanted that are in the journal under a name of their own."""
        return "status" in self.events or "message" in self.events

    @property
    def everything(self) -> bool:
        """Whether all symbols are wanted."""
        return self.globs == ("*",)

    def matches(self, symbol: str) -> bool:
        """Whether one of the globs takes this symbol."""
        return self._pattern is not None and self._pattern.match(symbol) is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Its symbols and patterns."""
        return (*self.globs, *self.symbols)

    def changed(
        self,
        *,
        symbols: Iterable[str] | None = None,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        **other: Any,
    ) -> Subscription:
        """The same with some symbols more, some less, or others; `other` are new values of what `describe` shows."""
        names = (set(self.names if symbols is None else symbols) - set(remove)) | set(add)
        return Subscription(**{**self.describe(), **other, "symbols": names})

    def describe(self) -> dict[str, Any]:
        """The values in force, as the welcome event shows them; a Subscription can be made from them."""
        return {
            "symbols": list(self.names),
            "events": list(self.events),
            "delivery": self.delivery,
            "interval": self.interval,
            "filter": None if self.screen is None else str(self.screen),
            "fields": list(QUOTE_FIELDS if self.fields is None else self.fields),
        }

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return re.compile("|".join(translate(glob) for glob in self.globs)) if self.globs else None


def _projection(names: set[str]) -> Fields:
    """The fields in their order; None where that is all of them."""
    return None if names >= set(QUOTE_FIELDS) else tuple(name for name in QUOTE_FIELDS if name in names)


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def parse_symbols(given: str | Iterable[str], *, most: int, field: str = "symbols") -> list[str]:
    """The symbols and globs in a list or comma list; InputError for one that cannot be, or for more than `most`."""
    names = [name.strip() for name in _listed(given)]
    if len(names) > most:
        raise InputError(f"{len(names)} symbols: a reader may have {most}", field=field)
    if sum(map(_is_glob, names)) > _MOST_GLOBS:
        raise InputError(f"more than {_MOST_GLOBS} patterns: list symbols instead", field=field)
    return [_check_glob(name, field) if _is_glob(name) else check_symbol(name, field=field) for name in names]


def parse_events(text: str) -> list[str]:
    """The kinds of events in a comma list; InputError for an unknown one."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in EVENTS:
            raise InputError(f"{name!r} is no kind of event: choose from {', '.join(EVENTS)}", field="events")
    return names


def parse_interval(text: str) -> int:
    """Milliseconds from `250ms`, `1s` or `0`; InputError for anything else."""
    match = _INTERVAL.fullmatch(text)
    milliseconds = 0 if text == "0" else int(match[1]) * (1 if match[2] == "ms" else 1000) if match else -1
    if milliseconds and not LEAST_INTERVAL <= milliseconds <= MOST_INTERVAL:
        raise InputError(
            f"interval={text[:40]!r}: from {LEAST_INTERVAL}ms to {MOST_INTERVAL // 1000}s, or 0",
            field="interval",
            hint="example: interval=250ms",
        )
    return milliseconds


def parse_fields(given: str | Iterable[str]) -> list[str]:
    """The quote fields in a list or comma list; InputError for an unknown one."""
    names = [name.strip() for name in _listed(given)]
    for name in names:
        if name not in QUOTE_FIELDS:
            near = get_close_matches(name, QUOTE_FIELDS, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(QUOTE_FIELDS)}"
            raise InputError(f"{name[:40]!r} is no field of a quote", field="fields", hint=hint)
    return names


def _check_glob(text: str, field: str) -> str:
    if _GLOB.fullmatch(text) is None:
        raise InputError(f"{text[:40]!r} cannot be a pattern of symbols", field=field, hint="example: BTC-*")
    return text


def _listed(given: str | Iterable[str]) -> Iterable[str]:
    return given.split(",") if isinstance(given, str) else given
