"""The table of feeds, and the texts and labels that derive from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tickwire.errors import InputError
from tickwire.feeds.base import Feed
from tickwire.feeds.feed_kind import FeedOptions
from tickwire.feeds.registry import (
    FEED_KINDS,
    FEED_SYNTAX,
    feed_instruments,
    feed_mode,
    open_feed,
    parse_feed_spec,
    split_feed_spec,
)
from tickwire.feeds.vendors.vendor import Credentials
from tickwire.recordings.tick_reader import RecordingOptions
from tickwire.settings import Settings
from tickwire.testing.clock import ManualClock


def test_help_and_errors_list_every_feed() -> None:
    assert all(kind.syntax in FEED_SYNTAX for kind in FEED_KINDS)
    assert FEED_SYNTAX in (Settings.model_fields["feed"].description or "")
    with pytest.raises(InputError, match=f"unknown feed 'pigeon:coop': choose {re.escape(FEED_SYNTAX)}"):
        parse_feed_spec("pigeon:coop")


def test_a_required_argument_is_named() -> None:
    assert parse_feed_spec("replay:a:b.csv") == ("replay", "a:b.csv")
    with pytest.raises(InputError, match="the feed replay needs a PATH: write replay:PATH"):
        parse_feed_spec("replay:")


def test_a_feed_has_the_name_and_mode_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_text("ts_ns,price\n1767366000000000000,1\n")
    arguments = {"replay": str(path), "ws": "ws://host", "poll": "http://host"}
    options = FeedOptions(credentials=Credentials("key", "secret"))
    mapped = options._replace(recording_options=RecordingOptions("symbol=s,last=p"))
    for kind in FEED_KINDS:
        spec = f"{kind.name}:{arguments.get(kind.name, 'A')}" if kind.argument else kind.name
        assert feed_mode(spec) == kind.mode
        options_of_kind = mapped if kind.name in ("ws", "poll") else options
        feed: Feed | None = open_feed(spec, options_of_kind, ManualClock())
        assert (feed is None) == (kind.open_feed is None)
        assert feed is None or (feed.name, feed.mode) == (kind.name, kind.mode)


def test_the_simulator_and_the_vendors_bring_instruments() -> None:
    options = FeedOptions()
    assert {instrument.symbol for instrument in feed_instruments("simulator", options)} >= {"AAPL", "BTC-USD"}
    assert feed_instruments("http", options) == feed_instruments("replay:A.csv", options) == ()
    spec, distinct = "coinbase:BTC-USD;kraken:BTC/USD", options._replace(distinct_symbols=True)
    assert [(each.symbol, each.source) for each in feed_instruments(spec, distinct)] == [
        ("COINBASE:BTC-USD", "coinbase"), ("KRAKEN:BTC/USD", "kraken"),
    ]  # fmt: skip


def test_only_feeds_of_vendors_can_be_combined() -> None:
    assert split_feed_spec("coinbase:A,B; kraken:C;") == ["coinbase:A,B", "kraken:C"]
    assert split_feed_spec("replay:a;b.csv") == ["replay:a;b.csv"]
    with pytest.raises(InputError, match="the feed http cannot be combined"):
        split_feed_spec("coinbase:A;http")
