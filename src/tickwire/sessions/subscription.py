"""The subscription of a reader. The server groups readers with equal subscriptions, and sends them the same bytes."""

from __future__ import annotations

import enum
import re
from collections.abc import Generator, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

from tickwire.core.arrays import Bools
from tickwire.core.candle import INTERVAL_NAMES, INTERVAL_SECONDS
from tickwire.core.event import RecordKind
from tickwire.core.event_kinds import EVENT_KINDS, EventKind
from tickwire.core.instrument import check_symbol
from tickwire.core.quote import QUOTE_FIELDS, QuoteProjection
from tickwire.core.text_column import TextColumn
from tickwire.errors import InputError, suggest_name
from tickwire.market.symbol_column import SymbolColumn
from tickwire.screens.ranking import Ranking, parse_ranking
from tickwire.screens.screen import Screen, combine_screens, parse_screen
from tickwire.sessions.symbol_set import ALL_SYMBOLS, SymbolSet, is_pattern

Delivery: TypeAlias = Literal["latest", "all"]
DELIVERY_MODES: tuple[Delivery, ...] = ("latest", "all")


class Heartbeats(enum.StrEnum):
    """The form of a stream's heartbeats. Browsers pass events to the page, but they do not pass on comments."""

    COMMENT = "comment"
    EVENT = "event"


# The candle interval for a request without a candle interval.
DEFAULT_CANDLE_INTERVAL = "1m"

# The limits of the interval between updates. The minimum is the shortest time between two flushes in a fast market.
# With a longer interval than the maximum, proxies could close the connection as idle.
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 10, 60_000

# The shortest interval of a subscription with a top-N screen. Each evaluation takes up to 2 ms for 100,000 symbols, and
# a person cannot follow faster changes of a table.
MIN_RANKING_INTERVAL_MS = 100

# The maximum number of patterns in a subscription. The server compares each new symbol with each pattern of each
# channel, so many patterns would slow the server down. A watchlist needs only a few patterns.
_MAX_PATTERNS = 16

_PATTERN_SYNTAX = re.compile(r"[A-Za-z0-9._:/^=+#&@$!~*?-]{1,32}", re.ASCII)
_INTERVAL_SYNTAX = re.compile(r"(\d{1,6})(ms|s)", re.ASCII)


class RankedSelection(NamedTuple):
    """The symbols, the filter and the ranking of a top-N screen. Subscriptions with equal selections share the screen.

    `pattern_allowlist` restricts the symbols that match a pattern (see `Subscription`).
    """

    symbols: SymbolSet
    pattern_allowlist: SymbolSet | None
    screen: Screen | None
    ranking: Ranking | None


class Subscription:
    """The symbols and event kinds that a reader requests, and the delivery mode. Equal subscriptions have equal hashes.

    `fields` is None for all fields. `interval_ms` is the minimum time between two updates of a symbol. 0 means no
    minimum. `candle_interval_s` is 0 for no candles. `ranking` is the order and the size of a top-N screen. Such a
    subscription has an interval of at least MIN_RANKING_INTERVAL_MS. The arguments `order` and `top` describe the
    ranking.

    If the argument `allowed` is given, the subscription includes only symbols that are also in `allowed`. The
    constructor computes this intersection, and stores the result in three attributes. All symbols in `symbols` are
    included. A symbol that matches one of the `patterns` is included if it is also in `pattern_allowlist`. If
    `pattern_allowlist` is None, all symbols that match are included.

    If the argument `required` is given, the reader may read a symbol only while the symbol matches this filter. In this
    case, `screen` contains both filters.

    `restricts_status` is True if status events are requested and the rights do not allow every symbol. The reader then
    receives the trading status of the included symbols only.
    """

    def __init__(
        self,
        symbols: Iterable[str] = ("*",),
        *,
        events: Iterable[str] = (EventKind.QUOTE,),
        delivery: Delivery = "latest",
        fields: Iterable[str] | None = None,
        interval: int = 0,
        filter: str | Screen | None = None,  # noqa: A002  # the parameter's name
        candles: str | None = None,
        heartbeats: str = Heartbeats.COMMENT,
        order: str | Ranking | None = None,
        top: int = 0,
        allowed: SymbolSet | Iterable[str] = ALL_SYMBOLS,
        required: Screen | None = None,
    ) -> None:
        allowed = allowed if isinstance(allowed, SymbolSet) else SymbolSet(allowed)
        self._symbol_set, self.pattern_allowlist = _intersect(SymbolSet(symbols), allowed)
        requested_kinds = set(events)
        self.events = tuple(kind for kind in EVENT_KINDS if kind in requested_kinds)
        restricts_symbols = required is not None or not allowed.includes_all
        self.restricts_status = EventKind.STATUS in self.events and restricts_symbols
        self.delivery = delivery
        self.fields = None if fields is None else _ordered_fields({"symbol", *fields})
        self.required_screen = required
        self.screen = combine_screens(parse_screen(filter) if isinstance(filter, str) else filter, required)
        self.ranking = parse_ranking(order, top) if isinstance(order, str) else order
        self.interval_ms = interval if self.ranking is None else max(interval, MIN_RANKING_INTERVAL_MS)
        self.candle_interval_s = (
            INTERVAL_SECONDS[candles or DEFAULT_CANDLE_INTERVAL] if EventKind.CANDLE in self.events else 0
        )
        self.heartbeats = Heartbeats(heartbeats)
        self._key = (
            self._symbol_set, self.pattern_allowlist, self.events, self.delivery, self.fields, self.interval_ms,
            self.screen, self.candle_interval_s, self.restricts_status, self.heartbeats, self.ranking,
            self.required_screen,
        )  # fmt: skip
        self._hash = hash(self._key)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Subscription) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_screened(self) -> bool:
        """Whether the subscription has a filter or a top-N screen."""
        return self.screen is not None or self.ranking is not None

    @property
    def filter_length(self) -> int:
        """The total number of characters in the filter and in the order of the top-N screen."""
        filter_length = 0 if self.screen is None else len(self.screen.text)
        return filter_length + (0 if self.ranking is None else len(self.ranking.order))

    @property
    def ranked_selection(self) -> RankedSelection:
        """The key of the subscription's top-N screen. Subscriptions with equal keys share one top-N screen."""
        return RankedSelection(self._symbol_set, self.pattern_allowlist, self.screen, self.ranking)

    @property
    def filters(self) -> tuple[Screen, ...]:
        """The filters that need room in the screen index: the filter of quotes, and `required_screen`.

        `required_screen` selects the symbols whose candles, corrections and statuses the reader receives. The filter of
        quotes already includes `required_screen`.
        """
        return tuple(screen for screen in (self.screen, self.required_screen) if screen is not None)

    @property
    def screen_conditions(self) -> tuple[Screen | RankedSelection, ...]:
        """The conditions that need room in the screen index: the filters and the top-N screen."""
        return self.filters if self.ranking is None else (*self.filters, self.ranked_selection)

    @property
    def wants_quotes(self) -> bool:
        """Whether the reader receives events that depend on quotes: quotes or screen events."""
        return EventKind.QUOTE in self.events or EventKind.SCREEN in self.events

    @property
    def wants_symbol_events(self) -> bool:
        """Whether the reader receives events about symbols: quotes, screen events or candles."""
        return self.wants_quotes or bool(self.candle_interval_s)

    @property
    def lossless_kinds(self) -> tuple[RecordKind, ...]:
        """The kinds of journal records whose events are never skipped for this reader, even with `delivery=latest`."""
        wants_named = not {EventKind.STATUS, EventKind.CORRECTION, EventKind.MESSAGE}.isdisjoint(self.events)
        return (RecordKind.NAMED_EVENT,) * wants_named + (RecordKind.CANDLES,) * bool(self.candle_interval_s)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that the subscription lists, without patterns."""
        return self._symbol_set.symbols

    @property
    def patterns(self) -> tuple[str, ...]:
        return self._symbol_set.patterns

    @property
    def includes_all_symbols(self) -> bool:
        return self._symbol_set.includes_all

    def matches_pattern(self, symbol: str) -> bool:
        """Whether a pattern matches the symbol, and `pattern_allowlist` (if it is not None) includes the symbol."""
        return self._symbol_set.matches_pattern(symbol) and (
            self.pattern_allowlist is None or self.pattern_allowlist.includes(symbol)
        )

    def includes(self, symbol: str) -> bool:
        """Whether the subscription includes the symbol, either by name or with a pattern (see `matches_pattern`)."""
        return self._symbol_set.lists(symbol) or self.matches_pattern(symbol)

    def test_patterns_stepwise(self, column: SymbolColumn) -> Generator[None, None, None]:
        """Test all patterns on all symbols of the column, in steps that take a few milliseconds each.

        The column stores the results, so that `pattern_mask` is fast afterwards.
        """
        yield from self._symbol_set.test_patterns_stepwise(column)
        if self.patterns and self.pattern_allowlist is not None:
            yield from self.pattern_allowlist.test_patterns_stepwise(column)

    def pattern_mask(self, column: TextColumn, first: int = 0) -> Bools:
        """Return a boolean array with one element for each symbol of the column, starting at the index `first`.

        An element is True if `matches_pattern` accepts the symbol.
        """
        mask = self._symbol_set.pattern_mask(column, first)
        return mask if self.pattern_allowlist is None else mask & self.pattern_allowlist.mask(column, first)

    def select(self, symbols: frozenset[str]) -> list[str]:
        """Return the items of `symbols` that the subscription includes, in alphabetical order."""
        listed, ordered = symbols.intersection(self._symbol_set.symbols), sorted(symbols)
        if not self.patterns:
            return sorted(listed)
        matching = self.pattern_mask(TextColumn(ordered)).tolist()
        return [symbol for symbol, matches in zip(ordered, matching, strict=True) if matches or symbol in listed]

    @property
    def symbols_and_patterns(self) -> tuple[str, ...]:
        """All patterns and symbols that the subscription lists."""
        return self._symbol_set.symbols_and_patterns

    def with_changes(
        self,
        *,
        symbols: Iterable[str] | None = None,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        **changes: Any,
    ) -> Subscription:
        """Return a changed copy of the subscription.

        First `symbols` replaces all symbols. Then the symbols in `remove` are removed, and the symbols in `add` are
        added. `changes` contains new values for other keys of the dict that `describe` returns.
        """
        names = (set(self.symbols_and_patterns if symbols is None else symbols) - set(remove)) | set(add)
        return Subscription(**{**self.describe(), **changes, "symbols": names})

    def describe(self) -> dict[str, Any]:
        """Return the subscription as a dict for the welcome event.

        `Subscription(**result)` has the same symbols, kinds and filter. The dict does not contain the restrictions by
        the rights of the reader: `Subscription(**result)` has no `required_screen`, and its `restricts_status` may be
        False. So describe the subscription that the reader requested. When you create the subscription again, restrict
        it with `Rights.restrict`.
        """
        allowed = (
            {} if self.pattern_allowlist is None else {"allowed": list(self.pattern_allowlist.symbols_and_patterns)}
        )
        # Omit default values, because processes of earlier versions read these descriptions from the journal, and do
        # not know the fields for heartbeats and rankings.
        heartbeats = {} if self.heartbeats is Heartbeats.COMMENT else {"heartbeats": self.heartbeats}
        ranking = {} if self.ranking is None else {"order": self.ranking.order, "top": self.ranking.top}
        return {
            "symbols": list(self.symbols_and_patterns),
            "events": list(self.events),
            "candles": INTERVAL_NAMES.get(self.candle_interval_s),
            "delivery": self.delivery,
            "interval": self.interval_ms,
            "filter": None if self.screen is None else str(self.screen),
            "fields": list(QUOTE_FIELDS if self.fields is None else self.fields),
            **ranking,
            **heartbeats,
            **allowed,
        }


def _intersect(requested: SymbolSet, allowed: SymbolSet) -> tuple[SymbolSet, SymbolSet | None]:
    """Return the intersection of two symbol sets: a symbol set, and an allowlist for its patterns.

    The resulting set lists each symbol that one set lists by name and the other set includes. It has patterns only if
    both sets have patterns. A symbol that only matches a pattern is in the intersection if the allowlist contains it.
    If the allowlist is None, every symbol that matches a pattern is in the intersection.
    """
    if allowed.includes_all:
        return requested, None
    if requested.includes_all:
        return allowed, None
    symbols = allowed.select(requested.symbols) + requested.select(allowed.symbols)
    patterns = requested.patterns if allowed.patterns else ()
    return SymbolSet([*symbols, *patterns]), None if set(patterns) <= set(allowed.patterns) else allowed


def _ordered_fields(names: set[str]) -> QuoteProjection:
    """Return the fields in the order in which a quote contains them. Return None if `names` contains all fields."""
    return None if names >= set(QUOTE_FIELDS) else tuple(name for name in QUOTE_FIELDS if name in names)


def parse_symbols(value: str | Iterable[str], *, max_symbols: int, field: str = "symbols") -> list[str]:
    """Parse symbols and patterns: a list, or a comma-separated text.

    Raise InputError if a symbol or pattern is invalid, or if there are too many.
    """
    names = [name.strip() for name in _split_list(value)]
    if len(names) > max_symbols:
        raise InputError(f"{len(names)} symbols and patterns: at most {max_symbols} are allowed", field=field)
    if sum(map(is_pattern, names)) > _MAX_PATTERNS:
        raise InputError(f"the subscription has more than {_MAX_PATTERNS} patterns: list symbols instead", field=field)
    return [_check_pattern(name, field) if is_pattern(name) else check_symbol(name, field=field) for name in names]


def parse_events(text: str) -> list[str]:
    """Parse a comma-separated text of event kinds. Raise InputError for an unknown kind."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in EVENT_KINDS:
            raise InputError(f"unknown event kind {name!r}: choose from {', '.join(EVENT_KINDS)}", field="events")
    return names


def parse_interval(text: str) -> int:
    """Return the milliseconds of an interval such as `250ms`, `1s` or `0`. Raise InputError for any other text."""
    match = _INTERVAL_SYNTAX.fullmatch(text)
    milliseconds = 0 if text == "0" else int(match[1]) * (1 if match[2] == "ms" else 1000) if match else -1
    if milliseconds and not MIN_INTERVAL_MS <= milliseconds <= MAX_INTERVAL_MS:
        raise InputError(
            f"invalid interval {text[:40]!r}: use a number with its unit, ms or s, from {MIN_INTERVAL_MS}ms to "
            f"{MAX_INTERVAL_MS // 1000}s, or 0",
            field="interval",
            hint="example: interval=250ms",
        )
    return milliseconds


def parse_fields(value: str | Iterable[str]) -> list[str]:
    """Parse quote fields: a list, or a comma-separated text. Raise InputError for an unknown field."""
    names = [name.strip() for name in _split_list(value)]
    for name in names:
        if name not in QUOTE_FIELDS:
            hint = suggest_name(name, QUOTE_FIELDS)
            raise InputError(f"unknown quote field {name[:40]!r}", field="fields", hint=hint)
    return names


def _check_pattern(text: str, field: str) -> str:
    if _PATTERN_SYNTAX.fullmatch(text) is None:
        raise InputError(f"invalid symbol pattern {text[:40]!r}", field=field, hint="example: BTC-*")
    return text


def _split_list(value: str | Iterable[str]) -> Iterable[str]:
    return value.split(",") if isinstance(value, str) else value
