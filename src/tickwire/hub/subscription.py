"""What one reader asks for, normalised and hashable: readers with equal subscriptions share one channel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from tickwire.core.candle import INTERVAL_NAMES, INTERVALS
from tickwire.core.event import Kind
from tickwire.core.instrument import check_symbol
from tickwire.core.quote import QUOTE_FIELDS, Fields
from tickwire.errors import InputError, nearest
from tickwire.hub.names import ALL, Names, is_glob
from tickwire.screens.screen import Screen, screen

Delivery: TypeAlias = Literal["latest", "all"]
DELIVERIES: tuple[Delivery, ...] = ("latest", "all")
EVENTS = ("quote", "candle", "screen", "status", "message")
CANDLES = "1m"  # the interval of candles where none is named
_GLOB = re.compile(r"[A-Za-z0-9._:/^=+#&@$!~*?-]{1,32}", re.ASCII)
_INTERVAL = re.compile(r"(\d{1,6})(ms|s)", re.ASCII)
LEAST_INTERVAL, MOST_INTERVAL = 10, 60_000  # milliseconds: a flush of the fastest market; what proxies call idle
_MOST_GLOBS = 16  # each new symbol is tried against each glob of each channel; a watchlist needs few


class Subscription:
    """A set of symbols and kinds of events, and how faithfully to deliver them. Equal ones hash equally.

    With `allowed`, a symbol has to be among those too. That is worked out once, here: `symbols` are all that are known
    by name, and `bound` is what a symbol that one of the `globs` matches must be among (None: nothing more is asked).
    """

    def __init__(
        self,
        symbols: Iterable[str] = ("*",),
        *,
        events: Iterable[str] = ("quote",),
        delivery: Delivery = "latest",
        fields: Iterable[str] | None = None,
        interval: int = 0,
        filter: str | Screen | None = None,  # noqa: A002  # the parameter's name
        candles: str | None = None,
        allowed: Names | Iterable[str] = ALL,
    ) -> None:
        self._wanted, self.bound = _within(Names(symbols), allowed if isinstance(allowed, Names) else Names(allowed))
        kinds = set(events)
        self.events = tuple(name for name in EVENTS if name in kinds)
        self.delivery = delivery
        self.fields = None if fields is None else _projection({"symbol", *fields})
        self.interval = interval  # milliseconds
        self.screen = screen(filter) if isinstance(filter, str) else filter
        self.candles = INTERVALS[candles or CANDLES] if "candle" in self.events else 0  # seconds; 0 for none
        self._key = (
            self._wanted, self.bound, self.events, self.delivery, self.fields, self.interval, self.screen, self.candles
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def quotes(self) -> bool:
        """Whether anything about quotes is wanted."""
        return "quote" in self.events or "screen" in self.events

    @property
    def of_symbols(self) -> bool:
        """Whether anything is wanted that is about symbols."""
        return self.quotes or bool(self.candles)

    @property
    def unskipped(self) -> tuple[Kind, ...]:
        """Kinds of records with events that are wanted and of which none may be skipped, whatever the delivery."""
        named = "status" in self.events or "message" in self.events
        return (Kind.NAMED,) * named + (Kind.CANDLES,) * bool(self.candles)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that are wanted by name."""
        return self._wanted.symbols

    @property
    def globs(self) -> tuple[str, ...]:
        """The patterns."""
        return self._wanted.globs

    @property
    def everything(self) -> bool:
        """Whether all symbols are wanted."""
        return self._wanted.everything

    def matches(self, symbol: str) -> bool:
        """Whether one of the globs takes this symbol."""
        return self._wanted.matches(symbol) and (self.bound is None or self.bound.takes(symbol))

    def takes(self, symbol: str) -> bool:
        """Whether the symbol is wanted, by name or by a glob."""
        return self.matches(symbol) or symbol in self._wanted.symbols

    @property
    def names(self) -> tuple[str, ...]:
        """Its symbols and patterns."""
        return self._wanted.all

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
        bound = {} if self.bound is None else {"allowed": list(self.bound.all)}
        return {
            "symbols": list(self.names),
            "events": list(self.events),
            "candles": INTERVAL_NAMES.get(self.candles),
            "delivery": self.delivery,
            "interval": self.interval,
            "filter": None if self.screen is None else str(self.screen),
            "fields": list(QUOTE_FIELDS if self.fields is None else self.fields),
            **bound,
        }


def _within(wanted: Names, allowed: Names) -> tuple[Names, Names | None]:
    """The names that stand for what is in both, and what the patterns among them must be held to besides.

    What one side knows by name is decided here; what both know only by pattern is left to each symbol that comes.
    """
    if allowed.everything:
        return wanted, None
    if wanted.everything:
        return allowed, None
    named = [symbol for symbol in wanted.symbols if allowed.takes(symbol)]
    named += [symbol for symbol in allowed.symbols if wanted.matches(symbol)]
    globs = wanted.globs if allowed.globs else ()
    return Names([*named, *globs]), None if set(globs) <= set(allowed.globs) else allowed


def _projection(names: set[str]) -> Fields:
    """The fields in their order; None where that is all of them."""
    return None if names >= set(QUOTE_FIELDS) else tuple(name for name in QUOTE_FIELDS if name in names)


def parse_symbols(given: str | Iterable[str], *, most: int, field: str = "symbols") -> list[str]:
    """The symbols and globs in a list or comma list; InputError for one that cannot be, or for more than `most`."""
    names = [name.strip() for name in _listed(given)]
    if len(names) > most:
        raise InputError(f"{len(names)} symbols: a reader may have {most}", field=field)
    if sum(map(is_glob, names)) > _MOST_GLOBS:
        raise InputError(f"more than {_MOST_GLOBS} patterns: list symbols instead", field=field)
    return [_check_glob(name, field) if is_glob(name) else check_symbol(name, field=field) for name in names]


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
            f"interval={text[:40]!r}: a number with its unit, ms or s, from {LEAST_INTERVAL}ms to "
            f"{MOST_INTERVAL // 1000}s, or 0",
            field="interval",
            hint="example: interval=250ms",
        )
    return milliseconds


def parse_fields(given: str | Iterable[str]) -> list[str]:
    """The quote fields in a list or comma list; InputError for an unknown one."""
    names = [name.strip() for name in _listed(given)]
    for name in names:
        if name not in QUOTE_FIELDS:
            hint = nearest(name, QUOTE_FIELDS)
            raise InputError(f"{name[:40]!r} is no field of a quote", field="fields", hint=hint)
    return names


def _check_glob(text: str, field: str) -> str:
    if _GLOB.fullmatch(text) is None:
        raise InputError(f"{text[:40]!r} cannot be a pattern of symbols", field=field, hint="example: BTC-*")
    return text


def _listed(given: str | Iterable[str]) -> Iterable[str]:
    return given.split(",") if isinstance(given, str) else given
