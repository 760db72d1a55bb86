"""The settings of a server's feed. `tickwire.settings` declares the other settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings

from tickwire.feeds.registry import FEED_SYNTAX, SPEC_SEPARATOR, VENDOR_NAMES

# Some settings have an effect only if another setting has certain values. `only_with` maps the name of this other
# setting to the allowed kinds of its value. The kind of a value is the part before a colon. If the kind is not allowed,
# tickwire/settings_rules.py rejects the setting that declares `only_with`.
_FEED: JsonDict = {"group": "Feed"}
_PLAYBACK: JsonDict = {"group": "Feed", "only_with": {"feed": ["simulator", "replay"]}}
_VENDOR: JsonDict = {"group": "Feed", "only_with": {"feed": [*VENDOR_NAMES]}}
_ALPACA: JsonDict = {"group": "Feed", "only_with": {"feed": ["alpaca"]}}
_SIMULATOR: JsonDict = {"group": "Simulator", "only_with": {"feed": ["simulator"]}}
_REPLAY: JsonDict = {"group": "Replay", "only_with": {"feed": ["replay"]}}
_MAPPED: JsonDict = {"group": "Replay", "only_with": {"feed": ["replay", "ws", "poll"]}}


class FeedSettings(BaseSettings):
    """The settings of the groups Feed, Simulator and Replay, which are the first groups of `Settings`."""

    feed: str = Field(
        "simulator",
        description=f"Read prices from this feed: {FEED_SYNTAX}. Several "
        "feeds of vendors can run at once: repeat the flag, or separate the feeds by semicolons.",
        json_schema_extra=_FEED | {"repeatable": SPEC_SEPARATOR},
    )
    speed: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Run a simulator or a replay at this multiple of real time. 0 means as fast as possible.",
        json_schema_extra=_PLAYBACK,
    )
    stale_after: float = Field(
        10.0,
        gt=0,
        description="Mark the feed as stale after this many seconds without a tick.",
        json_schema_extra=_FEED,
    )
    feed_url: str = Field(
        "",
        # The URL may contain a token, so `repr` omits the setting.
        repr=False,
        description="Connect to the vendor of the feed at this address (ws:// or wss://). For several feeds: "
        "VENDOR=ADDRESS,... Empty: the vendor's own address.",
        json_schema_extra=_VENDOR,
    )
    feed_key: str = Field(
        "",
        repr=False,
        description="Log in to the vendor of the feed with this key. Set it as an environment variable, not as a flag.",
        json_schema_extra=_ALPACA,
    )
    feed_secret: str = Field(
        "",
        repr=False,
        description="Log in to the vendor of the feed with this secret. Set it as an environment variable, not as a "
        "flag.",
        json_schema_extra=_ALPACA,
    )
    feed_key_file: str = Field(
        "",
        description="Read the key for the vendor of the feed from line 1 of this file, and the secret from line 2.",
        json_schema_extra=_ALPACA,
    )
    feed_send: str = Field(
        "",
        repr=False,
        description="Send these messages, one per line, each time the feed ws:URL has connected. The messages can "
        "contain a key.",
        json_schema_extra={"group": "Feed", "only_with": {"feed": ["ws"]}},
    )
    every: float = Field(
        3.0,
        gt=0,
        description="Request the prices of the feed poll:URL at intervals of this many seconds.",
        json_schema_extra={"group": "Feed", "only_with": {"feed": ["poll"]}},
    )
    conditions: Literal["", "sip"] = Field(
        "",
        description="Apply the rules of the US consolidated tape (sip) to the sale conditions of trades from Alpaca "
        "and from publishers. For example, an odd lot changes only the volume. Empty: each trade changes last, high, "
        "low and volume.",
        json_schema_extra=_FEED,
    )
    distinct_symbols: bool = Field(
        False,
        description="Add the vendor to each symbol, such as KRAKEN:BTC/USD.",
        json_schema_extra=_VENDOR,
    )
    instruments: str = Field(
        "",
        description="Read the names and other reference data of symbols from this file (CSV or JSON). Empty: only the "
        "reference data of the feed.",
        json_schema_extra=_FEED,
    )
    calendar: str = Field(
        "",
        description="Begin a trading session on each trading day of this exchange, such as XNYS. Empty: "
        "begin a session on each UTC day.",
        json_schema_extra=_FEED,
    )

    seed: int = Field(
        0,
        ge=0,
        description="Seed the random number generator. The same seed generates the same prices. 0 chooses a "
        "random seed.",
        json_schema_extra=_SIMULATOR,
    )
    start: str = Field(
        "",
        description="Start the simulated market at this time, such as 2026-01-05T14:30:00Z. A time without an "
        "offset is UTC. Empty: now.",
        json_schema_extra=_SIMULATOR,
    )
    rate: float = Field(
        3.0,
        gt=0,
        le=1000,
        description="Generate this many ticks per second for each symbol, on average.",
        json_schema_extra=_SIMULATOR,
    )
    history: str = Field(
        "",
        description="Simulate this much history before the start, such as 5d (at most 31d). After a restart, simulate "
        "only the time since the newest tick. Empty: no history.",
        json_schema_extra=_SIMULATOR,
    )
    model: str = Field(
        "",
        description="Load the market model from FILE, http(s)://... or s3://BUCKET/KEY, or from the address in a file "
        "(ref:FILE). Empty: the built-in model.",
        json_schema_extra=_SIMULATOR,
    )
    model_poll: float = Field(
        5.0,
        gt=0,
        description="Check for a new version of the model at intervals of this many seconds.",
        json_schema_extra=_SIMULATOR,
    )
    scenario: str = Field(
        "", description="Play the market scenario in this TOML file. Empty: no scenario.", json_schema_extra=_SIMULATOR
    )

    loop: bool = Field(False, description="Repeat the recording whenever it ends.", json_schema_extra=_REPLAY)
    bar_time: Literal["start", "end"] = Field(
        "start",
        description="Set whether a bar's time in the recording is the start or the end of the bar.",
        json_schema_extra=_REPLAY,
    )
    map: str = Field(
        "",
        description="Map columns to fields (FIELD=COLUMN,...), such as symbol=ticker,ts=time@ms,last=px. Empty: detect "
        "the fields by the names of the columns. For several recordings: FILE:FIELD=COLUMN,...;... For ws:URL "
        "and poll:URL: paths in the JSON, such as symbol=data.*.s,last=data.*.p.",
        json_schema_extra=_MAPPED,
    )
    symbol: str = Field(
        "",
        description="Set the symbol of a recording or source that has no symbols. For several recordings: "
        "FILE=SYMBOL,...",
        json_schema_extra=_MAPPED,
    )
    wide: bool = Field(
        False, description="Read a table that has a column of prices for each symbol.", json_schema_extra=_REPLAY
    )
    encoding: str = Field(
        "",
        description="Read the recording as text in this encoding, such as cp1252. Empty: UTF-8, or UTF-16 with a byte "
        "order mark.",
        json_schema_extra=_REPLAY,
    )
    skip_rows: int = Field(
        0, ge=0, description="Skip this many lines at the beginning of a recording.", json_schema_extra=_REPLAY
    )
    skip_bad_rows: int = Field(
        0,
        ge=0,
        description="Skip up to this many invalid rows of a recording, and log how many rows were skipped.",
        json_schema_extra=_REPLAY,
    )
