"""The table of all feeds. To add a feed, add one file to this package and one row to this table."""

from __future__ import annotations

import logging
import re
from functools import cache
from importlib.metadata import entry_points

from tickwire.clock import Clock
from tickwire.core.instrument import Instrument
from tickwire.errors import InputError
from tickwire.feeds import poll_feed, replay, simulator
from tickwire.feeds.base import Feed, FeedMode, RemoteFeed
from tickwire.feeds.feed_kind import FeedKind, FeedOptions, MarketState
from tickwire.feeds.merged_feed import MergedFeed
from tickwire.feeds.vendors import alpaca, binance, coinbase, coinbase_advanced, json_stream, kraken
from tickwire.feeds.vendors.websocket_feed import vendor_feed_kind
from tickwire.redaction import redact_address

PLUGIN_GROUP = "tickwire.feeds"
"""The group of entry points under which other packages provide feeds."""

log = logging.getLogger(__name__)

FEED_KINDS = (
    simulator.FEED_KIND,
    replay.FEED_KIND,
    *(vendor_feed_kind(module.VENDOR) for module in (alpaca, binance, coinbase, coinbase_advanced, kraken)),
    json_stream.FEED_KIND,
    poll_feed.FEED_KIND,
    FeedKind("http", "live"),
)

FEED_SYNTAX = f"{', '.join(kind.syntax for kind in FEED_KINDS[:-1])} or {FEED_KINDS[-1].syntax}"
"""The syntax of all feed specifications, for help texts and errors."""

VENDOR_NAMES = tuple(kind.name for kind in FEED_KINDS if kind.is_vendor)
"""The names of the feeds that connect to a vendor."""

_KINDS_BY_NAME = {kind.name: kind for kind in FEED_KINDS}


SPEC_SEPARATOR = ";"
"""The character between the specifications of several feeds in one setting."""


def split_feed_spec(spec: str) -> list[str]:
    """Return the specification of each feed in `spec`. Only the feeds of vendors can be combined.

    Raise InputError for an unknown feed, a missing argument, or feeds that cannot be combined.
    """
    if re.split("[:;]", spec, maxsplit=1)[0].strip() not in VENDOR_NAMES:
        _find_kind(spec)
        return [spec]
    parts = [part.strip() for part in spec.split(SPEC_SEPARATOR) if part.strip()]
    for part in parts:
        kind, _ = _find_kind(part)
        if not kind.is_vendor:
            raise InputError(
                f"the feed {kind.name} cannot be combined with other feeds; only these feeds can be combined: "
                f"{', '.join(VENDOR_NAMES)}",
                field="feed",
            )
    return parts


def feed_kind_names(spec: str) -> list[str]:
    """Return the name of each feed in `spec`."""
    return [_find_kind(part)[0].name for part in split_feed_spec(spec)]


def parse_feed_spec(spec: str) -> tuple[str, str]:
    """Return the name and the argument of the feed in `spec`. The argument is the part after the colon.

    If `spec` names several feeds, the name joins all their names with "+", and the argument is the whole `spec`.
    """
    parts = split_feed_spec(spec)
    if len(parts) > 1:
        return "+".join(feed_kind_names(spec)), spec
    kind, argument = _find_kind(parts[0])
    return kind.name, argument


def feed_mode(spec: str) -> FeedMode:
    """Return the label of the prices of a feed: "live", "simulated" or "replay". `spec` names the feed."""
    return _find_kind(split_feed_spec(spec)[0])[0].mode


def is_always_open(spec: str) -> bool:
    """Return whether `spec` names a feed whose market never closes."""
    return any(_find_kind(part)[0].is_always_open for part in split_feed_spec(spec))


def feed_instruments(spec: str, options: FeedOptions) -> tuple[Instrument, ...]:
    """Return the reference data of the feeds that `spec` names."""
    found = (kind.instruments(argument, options) for kind, argument in map(_find_kind, split_feed_spec(spec)))
    return tuple(instrument for instruments in found for instrument in instruments)


def open_feed(spec: str, options: FeedOptions, clock: Clock, initial_state: MarketState = MarketState()) -> Feed | None:  # noqa: B008  # a constant
    """Open the feed that `spec` names. Return None if clients publish the ticks of the feed.

    A simulation continues the market from `initial_state`.
    """
    feeds = [
        None if kind.open_feed is None else kind.open_feed(argument, options, clock, initial_state)
        for kind, argument in map(_find_kind, split_feed_spec(spec))
    ]
    if len(feeds) == 1:
        return feeds[0]
    merged = MergedFeed([feed for feed in feeds if isinstance(feed, RemoteFeed)])
    if merged.follows_demand and not options.distinct_symbols:
        raise InputError(
            "a feed without a list of symbols can run beside other feeds only if the symbols begin with the vendor, "
            "such as KRAKEN:BTC/USD: add --distinct-symbols, or list the symbols of each feed",
            field="distinct_symbols",
        )
    return merged


def _find_kind(spec: str) -> tuple[FeedKind, str]:
    name, _, argument = spec.partition(":")
    kind = _KINDS_BY_NAME.get(name) or _load_plugin(name)
    if kind is None:
        raise InputError(
            f"unknown feed {redact_address(spec)!r}: choose {FEED_SYNTAX}, or install the package that provides it",
            field="feed",
        )
    if kind.argument and not argument and not kind.is_argument_optional:
        raise InputError(f"the feed {name} needs a {kind.argument}: write {kind.syntax}", field="feed")
    if argument and not kind.argument:
        raise InputError(
            f"the feed {name} has no argument, so its name must not be followed by a colon: write {kind.syntax}",
            field="feed",
        )
    return kind, argument


@cache
def _load_plugin(name: str) -> FeedKind | None:
    """Return the feed `name` that another package provides, or None if no package provides this feed.

    Raise InputError if the package cannot be imported, or does not provide a FeedKind.
    """
    for entry in entry_points(group=PLUGIN_GROUP, name=name):
        package = entry.dist.name if entry.dist is not None else entry.value
        try:
            kind = entry.load()
        except Exception as error:
            log.exception("the feed %s of the package %s cannot be loaded", name, package)
            raise InputError(
                f"the feed {name} of the package {package} cannot be loaded: {type(error).__name__}: {error}",
                field="feed",
            ) from None
        if not isinstance(kind, FeedKind) or kind.name != name:
            raise InputError(
                f"the entry point {name} of the package {package} is not a FeedKind with the name {name!r}",
                field="feed",
            )
        return kind
    return None
